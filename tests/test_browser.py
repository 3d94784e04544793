"""What a person meets in JupyterLab: the first minute, the pad, a mouse, a finger."""

import json
import os
import re
import shutil
import statistics
import time
from types import SimpleNamespace

import numpy as np
import pytest
from lab import (
    IDLE,
    ROOT,
    draw,
    on_paper,
    stable_ink,
    start_browser,
    start_lab,
    wait_until,
)

from digitkit.standin import draw_strokes

pytestmark = pytest.mark.browser

DOOR = "notebooks/00_start_here.ipynb"
NOTEBOOK = ROOT / "notebooks" / "04_draw_your_own.ipynb"
PAD = "pad"  # what the notebook calls it
PIXEL = 1 / 280  # of the paper, as wide as the page shows it
SEVEN = [[(0.2 + 0.03 * i, 0.2) for i in range(21)]]
SEVEN[0] += [(0.8 - 0.02 * i, 0.2 + 0.035 * i) for i in range(1, 21)]
LABELS = """output => [...output.querySelectorAll('span')].map(span => {
    const {color, backgroundColor} = getComputedStyle(span);
    const parts = [color, backgroundColor].map(x => x.match(/[0-9]+/g).map(Number));
    return [span.textContent.trim(), ...parts];
})"""
LISTEN = """canvas => {
    window.waits = [];
    let up = null;
    canvas.addEventListener('mouseup', () => { up = performance.now(); });
    const answer = document.querySelector('.digitkit .widget-html-content');
    new MutationObserver(() => {
        if (up !== null) window.waits.push(performance.now() - up);
        up = null;
    }).observe(answer, {childList: true});
}"""


@pytest.fixture(scope="module")
def browser(browser_path):
    with start_browser(browser_path) as browser:
        yield browser


# The first minute


@pytest.fixture(scope="module")
def door(browser, tmp_path_factory):
    """The first notebook, opened as run.py opens it, all run, a 7 drawn and read."""
    folder, home = tmp_path_factory.mktemp("digitkit"), tmp_path_factory.mktemp("home")
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    asked = []
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DIGITKIT_DATA", raising=False)
        patch.setenv("KERAS_HOME", str(home / "keras"))
        begun = time.monotonic()
        with start_lab(folder, home) as lab:
            page = browser.new_page(viewport={"width": 1000, "height": 800})
            page.on("request", lambda request: asked.append(request.url))
            page.goto(f"{lab.url}/lab/tree/{DOOR}?token={lab.token}")
            page.wait_for_function(IDLE, timeout=60_000)
            lab.command(page, "notebook:run-all-cells")
            canvas = page.locator(".digitkit canvas")
            canvas.wait_for(timeout=60_000)
            wait_until_still(canvas)
            draw(page, canvas, SEVEN)
            answer = page.locator(".digitkit [role=status]")
            answer.filter(has_text="This looks like a 7").wait_for()
            seconds = time.monotonic() - begun
            yield SimpleNamespace(
                lab=lab, page=page, home=home, asked=asked, seconds=seconds
            )
            page.close()


def test_the_first_digit_is_read_within_a_minute_without_a_network(door, capsys):
    with capsys.disabled():
        print(f"\nstarting JupyterLab to the first digit read: {door.seconds:.0f} s")
    assert door.seconds < 60
    elsewhere = [x for x in door.asked if not x.startswith((door.lab.url, "data:"))]
    assert not elsewhere, "the page asks for what is not on this machine"


def test_jupyterlab_asks_nothing_of_a_beginner(door):
    assert door.page.get_by_text("get notified").count() == 0


def test_what_works_is_told_in_green_and_in_words(door):
    lines = painted(door.page)
    assert {colour for _, colour in lines} == {"green"}
    told = [words for words, _ in lines if words]  # none where a line goes on
    assert len(told) == 8 and all(words.startswith("pass  ") for words in told)
    assert not door.page.locator("[data-mime-type$=stderr]").count()


def test_what_fails_is_told_in_red_with_what_to_do(door):
    work = door.home / "work"
    work.rmdir()
    work.touch()
    door.lab.command(door.page, "notebook:run-all-cells")
    stopped = door.page.locator("[data-mime-type$=stderr]")
    stopped.filter(has_text="start JupyterLab anew").wait_for(timeout=60_000)
    try:
        for theme in ("JupyterLab Dark", "JupyterLab Light"):
            door.lab.command(door.page, "apputils:change-theme", theme=theme)
            red = [words for words, colour in painted(door.page) if colour == "red"]
            assert [x for x in red if x] == ["FAIL  work folder", "what to do:"]
    finally:
        work.unlink()


def wait_until_still(canvas):
    """Wait until the page, which moves while it fills, leaves the canvas in place."""
    canvas.scroll_into_view_if_needed()
    places = []

    def still():
        places.append(canvas.bounding_box())
        return len(places) >= 10 and all(place == places[-1] for place in places[-10:])

    wait_until(still, 15, "the canvas does not come to rest")


def painted(page):
    """Return (words, colour) of each label that the check printed, easy to read."""
    output = page.locator(".jp-OutputArea-output", has_text="pass  Python")
    labels = []
    for words, ink, ground in output.evaluate(LABELS):
        assert contrast(ink, ground) > 4.5, f"{words!r} is hard to read"
        red, green, _ = ground
        labels.append((words, "green" if green > red else "red"))
    return labels


def contrast(*colours):
    """Return the contrast of two colours as WCAG 2.2 defines it, from 1 to 21."""
    part = np.array(colours) / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    low, high = sorted(linear @ (0.2126, 0.7152, 0.0722))
    return (high + 0.05) / (low + 0.05)


# The pad


class Pad:
    """The pad on the page, and the same pad in the kernel."""

    def __init__(self, lab, page, value):
        self.lab, self.page, self.value = lab, page, value
        self.canvas = page.locator(".digitkit canvas").first
        self.status = page.locator(".digitkit [role=status]").first
        self.errors = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def show(self):
        self.canvas.wait_for()
        self.canvas.scroll_into_view_if_needed()

    def press(self, name):
        self.page.locator(".digitkit").get_by_role("button", name=name).click()

    def strokes(self):
        return self.value(f"{PAD}.strokes")

    def draw(self, strokes, with_finger=False):
        """Draw, and wait until the kernel has all of it."""
        before = len(self.strokes())
        if with_finger:
            swipe(self.page, self.canvas, strokes)
        else:
            draw(self.page, self.canvas, strokes)
        done = f"not {PAD}._drawing and len({PAD}.strokes) == {before + len(strokes)}"
        wait_until(lambda: self.value(done), 15, "the kernel lacks strokes")

    def wait_for_status(self, wanted):
        wait_until(
            lambda: re.search(wanted, self.status.inner_text()),
            15,
            f"the page should say {wanted}",
        )

    def read(self, strokes):
        """Read strokes in the kernel without the pad."""
        image = f"__import__('digitkit').to_image({json.dumps(strokes)})"
        return self.value(f"int({PAD}.predict({image}).argmax())")


def thin(stroke):
    """Leave out points so near to the one before that no browser tells them apart."""
    kept = [stroke[0]]
    for point in stroke[1:]:
        if np.abs(point - kept[-1]).max() > 4 * PIXEL:
            kept.append(point)
    return np.array(kept)


def swipe(page, canvas, strokes):
    touch = page.context.new_cdp_session(page)
    box = canvas.bounding_box()
    for stroke in strokes:
        points = np.add(np.multiply(stroke, box["width"]), [box["x"], box["y"]])
        kind = "touchStart"
        for x, y in points.tolist():
            finger = {"type": kind, "touchPoints": [{"x": x, "y": y}]}
            touch.send("Input.dispatchTouchEvent", finger)
            kind = "touchMove"
        lifted = {"type": "touchEnd", "touchPoints": []}
        touch.send("Input.dispatchTouchEvent", lifted)
    touch.detach()


@pytest.fixture(scope="module")
def opened(browser, tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebooks")
    shutil.copy(NOTEBOOK, folder)
    home = tmp_path_factory.mktemp("lab")
    with start_lab(folder, home) as lab:
        size = {"width": 1000, "height": 800}
        page = browser.new_context(viewport=size, has_touch=True).new_page()
        lab.open(page, NOTEBOOK.name)
        lab.command(page, "notebook:run-all-cells")
        with lab.kernel(NOTEBOOK.name) as value:
            yield Pad(lab, page, value)


@pytest.fixture
def pad(opened):
    """The pad with blank paper."""
    opened.show()
    opened.press("Clear")
    opened.wait_for_status("Draw a digit")
    assert opened.strokes() == []
    return opened


@pytest.fixture
def ten_drawings(request):
    """Return a drawing of each digit: of real pens if there are, else of our own."""
    if os.environ.get("DIGITKIT_PENS"):
        pens = request.getfixturevalue("pens")
        drawings = {drawing["label"]: drawing["strokes"] for drawing in pens[::-1]}
        drawings = [drawings[digit] for digit in range(10)]
    else:
        drawings = draw_strokes(range(10), seed=1)
    drawings = [map(thin, on_paper(drawing)) for drawing in drawings]
    return [[stroke for stroke in drawing if len(stroke) > 1] for drawing in drawings]


def test_ten_drawings_are_read_as_the_kernel_reads_them(pad, ten_drawings):
    for digit, drawing in enumerate(ten_drawings):
        pad.press("Clear")
        pad.wait_for_status("Draw a digit")
        pad.draw(drawing, with_finger=digit % 4 == 3)
        sent = [stroke.tolist() for stroke in drawing]
        pad.wait_for_status(f"looks like an? {pad.read(sent)},")
        for stroke, recorded in zip(sent, pad.strokes(), strict=True):
            away = np.abs(np.subtract(stroke, recorded)).max()
            assert away < 1.5 * PIXEL, f"{digit}: {away / PIXEL} pixels off"


def test_undo_and_clear(pad):
    pad.draw(SEVEN)
    one = stable_ink(pad.canvas, least=0)
    pad.draw([[(0.3, 0.5), (0.5, 0.5), (0.7, 0.5)]])
    assert stable_ink(pad.canvas) > one
    pad.press("Undo")
    wait_until(lambda: len(pad.strokes()) == 1, 5, "Undo took nothing back")
    assert stable_ink(pad.canvas) == one
    pad.press("Clear")
    pad.wait_for_status("Draw a digit")
    assert pad.strokes() == []
    assert stable_ink(pad.canvas) == 0


def test_leaving_the_paper_with_the_button_down_leaves_no_phantom_ink(pad):
    box = pad.canvas.bounding_box()
    left, middle = box["x"], box["y"] + box["height"] / 2
    mouse = pad.page.mouse
    mouse.move(left + 140, middle)
    mouse.down()
    mouse.move(left + 60, middle, steps=10)
    mouse.move(left - 40, middle, steps=10)
    mouse.up()
    wait_until(lambda: not pad.value(f"{PAD}._drawing"), 5, "the stroke did not end")
    ink, strokes = stable_ink(pad.canvas, least=0), pad.strokes()
    mouse.move(left + 100, middle - 80, steps=10)
    mouse.move(left + 200, middle + 80, steps=10)
    assert stable_ink(pad.canvas) == ink
    assert pad.strokes() == strokes
    assert len(strokes) == 1 and strokes[0][-1][0] == 0


def test_a_click_of_the_right_button_leaves_no_ink(pad):
    pad.canvas.click(button="right")
    pad.page.keyboard.press("Escape")  # closes JupyterLab's menu
    assert stable_ink(pad.canvas) == 0
    pad.draw(SEVEN)
    assert len(pad.strokes()) == 1


def test_the_keyboard_is_not_trapped(pad):
    focused = "document.activeElement.tagName + document.activeElement.textContent"
    pad.canvas.focus()
    pad.page.keyboard.press("Tab")
    wait_until(lambda: pad.page.evaluate(focused) == "BUTTONUndo", 5, "Tab is trapped")
    pad.draw(SEVEN)  # a press of the mouse takes the focus
    wait_until(
        lambda: not pad.page.evaluate(focused).startswith("CANVAS"),
        5,
        "the paper keeps the keys after drawing",
    )


def test_the_dark_theme_keeps_the_paper_white(pad):
    theme = "apputils:change-theme"
    pad.draw(SEVEN)
    try:
        pad.lab.command(pad.page, theme, theme="JupyterLab Dark")
        assert 0.02 < stable_ink(pad.canvas, least=0) < 0.2
        corner = "c => [...c.getContext('2d').getImageData(3, 3, 1, 1).data]"
        assert pad.canvas.evaluate(corner) == [255, 255, 255, 255]
        colour = "e => getComputedStyle(e).color.match(/[0-9.]+/g).slice(0, 3)"
        wait_until(
            lambda: sum(map(float, pad.status.evaluate(colour))) > 3 * 128,
            5,
            "the answer is dark on dark",
        )
    finally:
        pad.lab.command(pad.page, theme, theme="JupyterLab Light")


def test_a_narrow_window_shows_all_and_draws_where_the_mouse_is(pad):
    size = pad.page.viewport_size
    try:
        pad.page.set_viewport_size({"width": 340, "height": 800})
        pad.show()
        wait_until(lambda: pad.canvas.bounding_box()["width"] < 270, 5, "no shrinking")
        box = pad.canvas.bounding_box()
        assert box["width"] == pytest.approx(box["height"], abs=1)
        assert box["x"] + box["width"] <= 340
        pad.draw(SEVEN)
        away = np.abs(np.subtract(pad.strokes(), SEVEN)).max()
        assert away < 1.5 / box["width"]
    finally:
        pad.page.set_viewport_size(size)


def test_a_reload_and_a_second_page_keep_the_drawing(pad):
    pad.draw(SEVEN)
    before = stable_ink(pad.canvas, least=0)
    said = pad.status.inner_text()
    pad.lab.command(pad.page, "docmanager:save")
    second = pad.page.context.new_page()
    try:
        pad.lab.open(second, NOTEBOOK.name)
        other = Pad(pad.lab, second, pad.value)
        for view in (pad, other):
            if view is pad:
                pad.page.reload()
            view.show()
            assert stable_ink(view.canvas, least=0) == pytest.approx(before, rel=0.01)
            view.wait_for_status(re.escape(said))
            view.draw([[(0.3, 0.5), (0.5, 0.5), (0.7, 0.5)]])
            assert stable_ink(view.canvas, least=before) > before
            view.press("Undo")
            wait_until(lambda: len(pad.strokes()) == 1, 5, "Undo took nothing back")
        assert pad.errors == other.errors == []
    finally:
        second.close()


@pytest.mark.soak
def test_fifty_drawings_and_their_time(pad, capsys):
    pad.canvas.evaluate(LISTEN)
    drawings = draw_strokes(np.tile(range(10), 5), seed=2)
    strokes = 0
    for drawing in drawings:
        drawing = on_paper(drawing)
        pad.press("Clear")
        pad.wait_for_status("Draw a digit")
        for stroke in drawing:
            pad.draw([stroke])
            strokes += 1
            pad.page.wait_for_function(f"window.waits.length === {strokes}")
        sent = [stroke.tolist() for stroke in drawing]
        pad.wait_for_status(f"looks like an? {pad.read(sent)},")
    waits = sorted(pad.page.evaluate("window.waits"))
    with capsys.disabled():
        print(
            f"\n{len(waits)} strokes, from pen-up to the answer on the page: "
            f"median {statistics.median(waits):.0f} ms, "
            f"95 % within {waits[int(0.95 * len(waits))]:.0f} ms"
        )
