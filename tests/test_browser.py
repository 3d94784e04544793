"""What a person meets in JupyterLab: the first minute, the pad, a mouse, a finger."""

import base64
import io
import os
import re
import shutil
import statistics
import time
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
from lab import (
    CORNER,
    DASH,
    IDLE,
    INK,
    PAPER,
    ROOT,
    SEVEN,
    TOKEN,
    WHITE,
    Pad,
    contrast,
    draw,
    on_paper,
    stable_ink,
    start_browser,
    start_lab,
    wait_until,
    write_notebook,
    write_pad_notebook,
)
from PIL import Image

from digitkit.drawings import load_drawings
from digitkit.stand_in import draw_strokes

pytestmark = pytest.mark.browser

DOOR = "notebooks/00_start_here.ipynb"
PAD = "pad.ipynb"
PIXEL = 1 / PAPER
FOCUS = "document.activeElement.tagName + document.activeElement.textContent"
LABELS = """output => [...output.querySelectorAll('span')].map(span => {
    const {color, backgroundColor} = getComputedStyle(span);
    const parts = [color, backgroundColor].map(x => x.match(/[0-9]+/g).map(Number));
    return [span.textContent.trim(), ...parts];
})"""
LISTEN = """canvas => {
    window.waits = [], window.tools = [];
    if (canvas.isHeard)
        return;
    canvas.isHeard = true;
    let up = null;
    const lift = event => { if (event.target === canvas) up = event.timeStamp; };
    window.addEventListener('mouseup', lift, true);
    window.addEventListener('touchend', lift, true);
    canvas.addEventListener('pointerdown', event => {
        window.tools.push(event.pointerType);
    });
    const pad = canvas.closest('.digitkit'), words = pad.querySelector('[role=status]');
    new MutationObserver(() => {
        if (up !== null) window.waits.push(performance.now() - up);
        up = null;
    }).observe(words.closest('.widget-html-content'), {childList: true});
}"""
RUN = """tag => {
    const notebook = window.jupyterapp.shell.currentWidget.content;
    notebook.activeCellIndex = notebook.widgets.findIndex(
        cell => cell.model.getMetadata('tags')?.includes(tag));
    return window.jupyterapp.commands.execute('notebook:run-cell');
}"""


@pytest.fixture(scope="module")
def browser(browser_path):
    with start_browser(browser_path) as browser:
        yield browser


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """JupyterLab on a copy of the notebooks, without MNIST."""
    folder, home = tmp_path_factory.mktemp("digitkit"), tmp_path_factory.mktemp("home")
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DIGITKIT_DATA", raising=False)
        patch.setenv("KERAS_HOME", str(home / "keras"))
        begun = time.monotonic()
        with start_lab(folder, home) as server:
            seconds = time.monotonic() - begun
            yield SimpleNamespace(
                server=server, home=home, folder=folder, seconds=seconds
            )


# The first minute


@pytest.fixture(scope="module")
def door(browser, lab):
    """The first notebook, opened as run.py opens it, all run, a 7 drawn and read."""
    asked = []
    begun = time.monotonic()
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{lab.server.url}/lab/tree/{DOOR}?token={TOKEN}")
    page.wait_for_function(IDLE, timeout=60_000)
    lab.server.command(page, "notebook:run-all-cells")
    canvas = page.locator(".digitkit canvas")
    canvas.wait_for(timeout=60_000)
    wait_until_still(canvas)
    draw(page, canvas, SEVEN)
    answer = page.locator(".digitkit [role=status]")
    answer.filter(has_text="This looks like a 7").wait_for()
    seconds = lab.seconds + time.monotonic() - begun
    yield SimpleNamespace(page=page, asked=asked, seconds=seconds)
    page.close()


def test_the_first_digit_is_read_within_a_minute_without_a_network(door, lab, capsys):
    with capsys.disabled():
        print(f"\nstarting JupyterLab to the first digit read: {door.seconds:.0f} s")
    assert door.seconds < 60
    elsewhere = [x for x in door.asked if not x.startswith((lab.server.url, "data:"))]
    assert not elsewhere, "the page asks for what is not on this machine"


def test_jupyterlab_asks_nothing_of_a_beginner(door):
    assert door.page.get_by_text("get notified").count() == 0


def test_what_works_is_told_in_green_and_in_words(door):
    lines = painted(door.page)
    assert {colour for _, colour in lines} == {"green"}
    told = [words for words, _ in lines if words]  # none where a line goes on
    assert len(told) == 8 and all(words.startswith("pass  ") for words in told)
    assert not door.page.locator("[data-mime-type$=stderr]").count()


def test_what_fails_is_told_in_red_with_what_to_do(door, lab):
    work = lab.home / "work"
    work.rmdir()
    work.touch()
    lab.server.command(door.page, "notebook:run-all-cells")
    stopped = door.page.locator("[data-mime-type$=stderr]")
    stopped.filter(has_text="start JupyterLab anew").wait_for(timeout=60_000)
    try:
        for theme in ("JupyterLab Dark", "JupyterLab Light"):
            lab.server.command(door.page, "apputils:change-theme", theme=theme)
            red = [words for words, colour in painted(door.page) if colour == "red"]
            assert [x for x in red if x] == ["FAIL  work folder", "what to do:"]
    finally:
        work.unlink()


def wait_until_still(canvas):
    """Wait until the page, which moves while it fills, leaves the canvas in place.

    Return that place.
    """
    canvas.scroll_into_view_if_needed()
    places = []

    def still():
        places.append(canvas.bounding_box())
        return len(places) >= 10 and all(place == places[-1] for place in places[-10:])

    wait_until(still, 15, "the canvas does not come to rest")
    return places[-1]


def painted(page):
    """Return (words, colour) of each label that the check printed, easy to read."""
    output = page.locator(".jp-OutputArea-output", has_text="pass  Python")
    labels = []
    for words, ink, ground in output.evaluate(LABELS):
        assert contrast(ink, ground) > 4.5, f"{words!r} is hard to read"
        red, green, _ = ground
        labels.append((words, "green" if green > red else "red"))
    return labels


# The pad


@pytest.fixture(scope="module")
def opened(browser, lab):
    """Notebook 04 up to its pad, opened and run."""
    size = {"width": 1000, "height": 800}
    page = browser.new_context(viewport=size, has_touch=True).new_page()
    write_pad_notebook(lab.folder / PAD)
    lab.server.open(page, PAD)
    lab.server.command(page, "notebook:run-all-cells")
    with lab.server.kernel(PAD) as kernel:
        yield Pad(page, kernel)


@pytest.fixture
def pad(opened):
    """The pad with blank paper."""
    opened.clear()
    return opened


@pytest.fixture(scope="module")
def second(opened, lab):
    """The same pad on a second page."""
    opened.show()
    lab.server.command(opened.page, "docmanager:save")
    page = opened.page.context.new_page()
    lab.server.open(page, PAD)
    yield Pad(page, opened.kernel)
    page.close()


def thin(stroke):
    """Leave out points so near to the one before that a slow hand is needed."""
    kept = [stroke[0]]
    for point in stroke[1:]:
        if np.abs(point - kept[-1]).max() > 8 * PIXEL:
            kept.append(point)
    return np.array(kept)


@pytest.fixture(scope="module")
def drawings(request):
    """Fifty labelled drawings, of ten digits each time: real pens if there are."""
    digits = np.tile(range(10), 5)
    if os.environ.get("DIGITKIT_PENS"):
        pens = request.getfixturevalue("pens")
        found = [iter([x for x in pens if x["label"] == digit]) for digit in range(10)]
        strokes = [next(found[digit])["strokes"] for digit in digits]
    else:
        strokes = draw_strokes(digits, seed=1)
    thinned = [[thin(stroke) for stroke in on_paper(drawing)] for drawing in strokes]
    return [[x for x in drawing if len(x) > 1] for drawing in thinned]


def answers(pad, drawings, tools):
    """Draw; hold what the page says against the kernel; return it, and the waits.

    The waits, in ms, are from lifting the pen to the answer on the page.
    """
    pad.canvas.evaluate(LISTEN)
    said, strokes = [], 0
    for i, drawing in enumerate(drawings):
        pad.clear()
        tool = tools[i % len(tools)]
        for stroke in drawing:
            pad.draw([stroke], tool)
            strokes += 1
            pad.page.wait_for_function(f"window.waits.length === {strokes}")
        recorded = pad.strokes()
        for sent, received in zip(drawing, recorded, strict=True):
            away = np.abs(np.subtract(sent, received)).max()
            assert away < 1.5 * PIXEL, f"{i}, {tool}: {away / PIXEL} pixels off"
        assert pad.status.inner_text() == pad.answer(recorded), f"{i}, {tool}"
        said.append(pad.status.inner_text())
    assert pad.page.evaluate("window.tools.length") == strokes
    return said, pad.page.evaluate("window.waits")


def summary(waits):
    late = np.percentile(waits, 95)
    return (
        f"\n{len(waits)} strokes, from lifting the pen to the answer on the page: "
        f"median {statistics.median(waits):.0f} ms, 95 % within {late:.0f} ms"
    )


def test_ten_drawings_are_read_as_the_kernel_reads_them(pad, drawings, capsys):
    tools = ("mouse", "finger", "mouse", "pen", "mouse")
    said, waits = answers(pad, drawings[:10], tools)
    assert set(pad.page.evaluate("window.tools")) == {"mouse", "touch", "pen"}
    right = sum(f" {digit}," in answer for digit, answer in enumerate(said))
    with capsys.disabled():
        print(summary(waits))
    assert right >= 8


def test_undo_and_clear(pad):
    pad.draw(SEVEN)
    one = stable_ink(pad.canvas, least=0)
    pad.draw(DASH)
    assert stable_ink(pad.canvas, least=one) > one
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
    wait_until(
        lambda: (strokes := pad.strokes()) and strokes[0][-1][0] == 0,
        5,
        "the stroke does not reach the edge",
    )
    ink, strokes = stable_ink(pad.canvas, least=0), pad.strokes()
    mouse.move(left + 100, middle - 80, steps=10)
    mouse.move(left + 200, middle + 80, steps=10)
    assert stable_ink(pad.canvas) == ink
    assert pad.strokes() == strokes
    assert len(strokes) == 1


def test_a_click_of_the_right_button_leaves_no_ink(pad):
    pad.canvas.click(button="right")
    pad.page.keyboard.press("Escape")  # closes JupyterLab's menu
    assert stable_ink(pad.canvas) == 0
    pad.draw(SEVEN)
    assert len(pad.strokes()) == 1


def test_the_keyboard_is_not_trapped(pad):
    pad.canvas.focus()
    pad.page.keyboard.press("Tab")
    wait_for_focus(pad, "BUTTONUndo")
    pad.draw(SEVEN)  # a press of the mouse takes the focus
    wait_until(
        lambda: not pad.page.evaluate(FOCUS).startswith("CANVAS"),
        5,
        "the paper keeps the keys after drawing",
    )


def wait_for_focus(pad, wanted):
    wait_until(lambda: pad.page.evaluate(FOCUS) == wanted, 5, f"no way to {wanted}")


def test_with_the_keyboard_alone_a_digit_is_drawn_read_and_saved(pad, lab):
    press = pad.page.keyboard.press
    pad.page.locator(".jp-CodeCell", has=pad.canvas).locator(".cm-content").click()
    press("Escape")
    for _ in range(20):
        press("Tab")
        if pad.page.evaluate(FOCUS).startswith("CANVAS"):
            break
    four = "Left 5, Up 6, pen, Down 6, Right 10, pen, Up 6, pen, Down 14, pen"
    for step in four.split(", "):
        way, _, times = step.partition(" ")
        for _ in range(int(times or 1)):
            press("Space" if way == "pen" else f"Arrow{way}")

    def is_read():  # all of it: one stroke and a part can look like a 4, too
        strokes = pad.strokes()
        return len(strokes) == 2 and pad.answer(strokes) in pad.status.inner_text()

    wait_until(is_read, 30, "two strokes by the keys, and their answer")
    assert "looks like a 4" in pad.status.inner_text()
    assert pad.status.get_attribute("aria-live") == "polite"  # said aloud
    drawn = pad.strokes()
    press("Tab")
    for button in ("Undo", "Clear", "Replay"):
        wait_for_focus(pad, f"BUTTON{button}")
        press("Tab")
    press("4")
    press("Tab")
    wait_for_focus(pad, "BUTTONSave")
    press("Enter")
    pad.wait_for_status("Saved as a 4: 1 drawing in drawings.json")
    file = lab.home / "work" / "drawings.json"
    drawings, digits = load_drawings(file)
    file.unlink()
    assert digits.tolist() == [4]
    for stroke, kept in zip(drawn, drawings[0], strict=True):
        np.testing.assert_allclose(kept, stroke, atol=1e-5)
    assert pad.strokes() == [] and stable_ink(pad.canvas) == 0


def test_save_asks_for_what_is_missing(pad, lab):
    pad.press("Save")
    pad.wait_for_status("draw a digit first")
    pad.draw(SEVEN)
    pad.press("Save")
    pad.wait_for_status("choose the true digit first")
    pad.box.locator("select").select_option("7")
    pad.press("Save")
    pad.wait_for_status("Saved as a 7")
    (lab.home / "work" / "drawings.json").unlink()


def test_replay_draws_the_strokes_again(pad):
    pad.draw(SEVEN)
    pad.wait_for_status("looks like a 7")
    ink = stable_ink(pad.canvas, least=0)
    pad.press("Replay")
    wait_until(
        lambda: pad.canvas.evaluate(INK) < ink / 2, 5, "the ink stays where it is"
    )
    assert stable_ink(pad.canvas, least=0.99 * ink) == ink
    pad.wait_for_status("looks like a 7")


def test_the_dark_theme_keeps_the_paper_white(pad, lab):
    theme = "apputils:change-theme"
    pad.draw(SEVEN)
    try:
        lab.server.command(pad.page, theme, theme="JupyterLab Dark")
        assert 0.02 < stable_ink(pad.canvas, least=0) < 0.2
        assert pad.canvas.evaluate(CORNER) == WHITE
        colour = "e => getComputedStyle(e).color.match(/[0-9.]+/g).slice(0, 3)"
        wait_until(
            lambda: sum(map(float, pad.status.evaluate(colour))) > 3 * 128,
            5,
            "the answer is dark on dark",
        )
    finally:
        lab.server.command(pad.page, theme, theme="JupyterLab Light")


@pytest.mark.parametrize(
    ("width", "height", "scale"),
    [
        pytest.param(1000, 800, 2, id="fine screen"),
        # What the browser's zoom does: fewer CSS pixels, each of more dots.
        pytest.param(667, 533, 1.5, id="browser zoom 150 %"),
        pytest.param(340, 800, 1, id="narrow window"),
    ],
)
def test_the_ink_is_where_the_mouse_was(pad, width, height, scale):
    size = {"width": width, "height": height, "deviceScaleFactor": scale}
    browser = pad.page.context.new_cdp_session(pad.page)
    show = "Emulation.setDeviceMetricsOverride"
    try:
        browser.send(show, {**size, "mobile": False})
        assert pad.page.evaluate("devicePixelRatio") == scale
        box = wait_until_still(pad.canvas)
        assert box["width"] == pytest.approx(box["height"], abs=1)
        assert box["x"] + box["width"] <= width
        pad.draw(SEVEN)
        away = np.abs(np.subtract(pad.strokes(), SEVEN)).max()
        assert away < 1.5 / box["width"]
        stable_ink(pad.canvas, least=0)
        png = browser.send("Page.captureScreenshot")["data"]
    finally:
        back = {**pad.page.viewport_size, "deviceScaleFactor": 1, "mobile": False}
        browser.send(show, back)
        browser.detach()
    left, top, side = scale * np.array([box["x"], box["y"], box["width"]])
    with Image.open(io.BytesIO(base64.b64decode(png))) as picture:
        paper = picture.crop((left, top, left + side, top + side)).convert("L")
    dark = 3 + np.argwhere(np.array(paper)[3:-3, 3:-3] < 128)[:, ::-1]  # no outline
    edges = np.array([dark.min(axis=0), dark.max(axis=0) + 1]) / side
    pen = 0.025  # of the paper: half its width
    wanted = [np.min(SEVEN[0], axis=0) - pen, np.max(SEVEN[0], axis=0) + pen]
    assert edges == pytest.approx(np.array(wanted), abs=2 / box["width"])


def test_a_reload_and_a_second_page_keep_the_drawing(pad, second):
    pad.draw(SEVEN)
    before = stable_ink(pad.canvas, least=0)
    said = pad.answer(pad.strokes())
    pad.wait_for_status(said)
    for view in (pad, second):
        if view is pad:
            pad.page.reload()
        view.show()
        assert stable_ink(view.canvas, least=0) == pytest.approx(before, rel=0.01)
        view.wait_for_status(re.escape(said))
        view.draw(DASH)
        assert stable_ink(view.canvas, least=before) > before
        view.press("Undo")
        wait_until(lambda: len(pad.strokes()) == 1, 5, "Undo took nothing back")
    assert pad.errors == second.errors == []


def test_running_the_cell_again_gives_a_new_pad_and_the_old_picture_harms_none(
    pad, second
):
    second.show()
    pad.draw(SEVEN)
    second.wait_for_status("looks like a 7")
    pad.page.evaluate(RUN, "widget")
    wait_until(lambda: pad.strokes() == [], 15, "the old pad is still there")
    pad.wait_for_status("Draw a digit")
    seen = second.box.locator("img")
    before = seen.get_attribute("src")
    draw(second.page, second.canvas, DASH)  # on the old pad
    wait_until(lambda: seen.get_attribute("src") != before, 5, "the old pad is dead")
    assert pad.strokes() == []
    pad.show()
    assert stable_ink(pad.canvas) == 0
    pad.draw(SEVEN)
    pad.wait_for_status(pad.answer(pad.strokes()))
    assert pad.errors == second.errors == []


@pytest.mark.soak
def test_fifty_drawings_and_their_time(pad, drawings, capsys):
    medians = []
    for _ in range(3):  # other work on the machine may spoil a round
        said, waits = answers(pad, drawings, ["mouse"])
        medians.append(statistics.median(waits))
        right = sum(f" {i % 10}," in answer for i, answer in enumerate(said))
        with capsys.disabled():
            print(f"{summary(waits)}; {right} of {len(said)} read as meant")
        assert right >= 0.9 * len(said)
        if medians[-1] <= 80:
            return
    pytest.fail(f"medians of {medians} ms from lifting the pen to the answer")


# The pad that collects

COLLECT = 'import digitkit as dk\n\npad = dk.CollectingPad("my_hand.json")\npad'


def test_a_mouse_writes_what_is_asked_for_and_a_reload_loses_nothing(browser, lab):
    write_notebook(lab.folder / "hand.ipynb", nbformat.v4.new_code_cell(COLLECT))
    page = browser.new_page(viewport={"width": 1000, "height": 700})
    lab.server.open(page, "hand.ipynb")
    lab.server.command(page, "notebook:run-all-cells")
    with lab.server.kernel("hand.ipynb") as kernel:
        pad = Pad(page, kernel)
        pad.show()
        order = kernel.value("pad._order")
        for number, digit in enumerate(order[:2], 1):
            pad.wait_for_status(f"Write an? {digit} \\({number} of 20\\)")
            pad.draw(SEVEN)
            pad.press("Save")
        pad.wait_for_status(r"\(3 of 20\)")
        assert load_drawings(lab.folder / "my_hand.json")[1].tolist() == order[:2]
        pad.draw(DASH)
        lab.server.command(page, "docmanager:save")
        page.reload()
        pad.show()
        pad.wait_for_status(r"\(3 of 20\)")
        assert stable_ink(pad.canvas, least=0.001) > 0.005, "the drawing is there"
        assert "2 of 20 written" in pad.box.inner_text()
        lab.server.command(page, "notebook:run-all-cells")  # as on another day
        wait_until(lambda: kernel.value("pad.strokes") == [], 15, "no new pad")
        pad.wait_for_status(r"\(3 of 20\)")
        assert pad.errors == []
    page.close()
