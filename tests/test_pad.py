"""The drawing pad: what hands, keys and networks do to it, without a browser."""

import asyncio
import re

import numpy as np
import pytest
from ipycanvas.canvas import _CANVAS_MANAGER, COMMANDS, _CanvasManager
from ipywidgets.widgets.widget import _instances

from digitkit import ink
from digitkit.drawings import load_drawings
from digitkit.networks import UNSURE, load_network, predictor
from digitkit.pad.canvas import DOTS
from digitkit.pad.drawing_pad import DrawingPad
from digitkit.stand_in import draw_strokes

SEVEN = [(0.2, 0.2), (0.8, 0.2), (0.4, 0.9)]
BAR = [(0.3, 0.5), (0.7, 0.5)]
NAMES = {number: name for name, number in COMMANDS.items()}


def always(digit):
    probabilities = np.full(10, 0.02)
    probabilities[digit] = 0.82
    return lambda image: probabilities


def draw(pad, points):
    pad.pen_down(*points[0])
    for point in points[1:]:
        pad.pen_move(*point)
    pad.pen_up()


def send(widget, event, **content):
    """Do what the browser's message does (private names: they may change)."""
    data = {"method": "custom", "content": {"event": event, **content}}
    widget._handle_msg({"content": {"data": data}, "buffers": []})


def mouse(pad, event, x, y):
    x, y = (None if part is None else part * DOTS for part in (x, y))
    send(pad._canvas, f"mouse_{event}", x=x, y=y)


def touch(pad, event, *fingers):
    touches = [{"x": x * DOTS, "y": y * DOTS} for x, y in fingers]
    send(pad._canvas, f"touch_{event}", touches=touches)


def press(pad, *keys, shift=False, ctrl=False):
    for key in keys:
        held = {"shift_key": shift, "ctrl_key": ctrl, "meta_key": False}
        send(pad._canvas, "key_down", key=key, **held)


def button(pad, name):
    widgets = pad.children[0].children
    (found,) = [x for x in widgets if getattr(x, "description", "") == name]
    return found


def status(pad):
    return re.search(r'role="status"[^>]*>(.*?)</div>', pad.children[1].value)[1]


def shown(pad):
    """Return the digit that is shown large, and those whose bar is marked."""
    html = pad._answer.value
    large = re.search(r'class="guess"[^>]*>(.*?)</b>', html)[1]
    return large, re.findall(r'class="top">\s*<dt>(.)', html)


@pytest.fixture
def pad():
    return DrawingPad(always(7))


@pytest.fixture
def drawn(monkeypatch):
    """Record what is sent to the canvas: one list of commands for each message."""
    messages = []

    def record(manager, commands, buffers=()):
        several = isinstance(commands[0], list)
        messages.append(commands if several else [commands])

    monkeypatch.setattr(_CanvasManager, "_send_custom", record)
    return messages


@pytest.fixture
def focus(pad, monkeypatch):
    """Record where the focus goes."""
    calls = []
    monkeypatch.setattr(button(pad, "Undo"), "focus", lambda: calls.append("Undo"))
    monkeypatch.setattr(pad._canvas, "blur", lambda: calls.append("away"))
    return calls


def names(messages):
    return [NAMES[command[0]] for message in messages for command in message]


# What is drawn and what the network answers


def test_a_drawing_is_read_and_told_in_words(pad):
    seen = []
    predict = pad.predict
    pad.predict = lambda image: seen.append(image) or predict(image)
    pad.predict.network = "my_<network>"
    draw(pad, SEVEN)
    assert pad.strokes == [SEVEN] and pad.guess == 7
    np.testing.assert_array_equal(seen[-1], ink.to_image([SEVEN]))
    np.testing.assert_array_equal(pad.image, seen[-1])
    assert status(pad) == "This looks like a 7, 82 %"
    assert shown(pad) == ("7", ["7"])
    assert pad._answer.value.count(">2 %</dd>") == 9
    assert "network: my_&lt;network&gt;<" in pad._answer.value


def test_blank_paper_is_not_read(pad):
    asked = []
    pad.predict = asked.append
    pad.clear()
    pad.undo()
    assert pad.strokes == [] and not pad.image.any() and not asked
    assert pad.guess is None and pad.probabilities is None
    assert status(pad) == "Draw a digit from 0 to 9" and shown(pad) == ("", [])


def test_an_unsure_network_gives_no_guess(pad):
    answer = np.full(10, (1 - UNSURE + 0.01) / 9)
    answer[8] = UNSURE - 0.01
    pad.predict = lambda image: answer
    draw(pad, SEVEN)
    assert status(pad) == f"Unsure: perhaps an 8, {100 * answer[8]:.0f} %"
    assert pad.guess is None and shown(pad) == ("?", [])


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (np.ones(9) / 9, "ten probabilities"),
        (np.full(10, np.nan), "ten probabilities"),
        ([1.5, -0.5, *[0] * 8], "ten probabilities"),
        (None, "ten probabilities"),
        ("<seven>", "&lt;seven&gt;"),
    ],
)
def test_a_wrong_answer_is_told_and_drawing_goes_on(pad, answer, told):
    pad.predict = lambda image: answer
    draw(pad, SEVEN)
    assert "no answer" in status(pad) and told in status(pad)
    assert pad.guess is None and pad.probabilities is None
    pad.predict = always(3)
    pad.add_stroke(BAR)
    assert pad.guess == 3 and pad.strokes == [SEVEN, BAR]


class Network:
    def __call__(self, images):
        return images

    predict_on_batch = __call__


@pytest.mark.parametrize("predict", [Network(), "shipped", None])
def test_what_is_no_function_of_one_image_is_refused(predict):
    with pytest.raises(ValueError, match=r"received .*: write dk.DrawingPad"):
        DrawingPad(predict)


def test_a_drawing_smaller_than_the_pen_is_a_dot(pad):
    dot = ink.to_image([[(0.5, 0.5)]])
    pad.add_stroke([(0.5, 0.48), (0.5, 0.52)])
    np.testing.assert_array_equal(pad.image, dot)
    pad.add_stroke([(0.5, 0.48), (0.5, 0.6)])
    assert pad.image.sum() > 3 * dot.sum()


@pytest.mark.parametrize(
    "points", [[], [(0.1, 0.2, 0.3)], [(0.1, np.nan)], [(10, 20)], [(-0.1, 0.5)], "7"]
)
def test_a_wrong_stroke_is_refused_and_changes_nothing(pad, points):
    pad.add_stroke(np.array(SEVEN))
    with pytest.raises(ValueError, match="received"):
        pad.add_stroke(points)
    mouse(pad, "down", np.nan, 0.5)
    assert "Something failed on the pad" in status(pad)
    pad.pen_move(0.5, 0.5)
    assert pad.strokes == [SEVEN]


@pytest.mark.parametrize(("name", "left"), [("Undo", [SEVEN]), ("Clear", [])])
def test_a_button_takes_back_ink_and_lifts_the_pen(pad, drawn, name, left):
    pad.add_stroke(SEVEN)
    pad.pen_down(0.1, 0.1)
    pad.pen_move(0.5, 0.5)
    drawn.clear()
    button(pad, name).click()
    pad.pen_move(0.9, 0.9)
    assert pad.strokes == left and not pad.pen_is_down
    assert names(drawn).count("strokeLines") == len(left)
    assert "fillRect" in names(drawn)


# Mouse and fingers


@pytest.mark.parametrize(
    ("events", "strokes"),
    [
        ("move .5 .5, out 1.1 .5", []),  # just hovers
        ("down .1 .1, move .1 .9, up .1 .9", [[(0.1, 0.1), (0.1, 0.9)]]),
        ("down .5 .5, up .5 .5", []),  # a click of any button
        ("down .5 .5, move .503 .5, up .5 .5", []),
        (  # the button is released outside
            "down .5 .5, move .9 .5, out 1.06 .5, move .5 .1",
            [[(0.5, 0.5), (0.9, 0.5), (1, 0.5)]],
        ),
        (  # both releases are lost
            "down .9 .9, down .1 .1, move .1 .9, down .5 .1, move .5 .9, up .5 .9",
            [[(0.1, 0.1), (0.1, 0.9)], [(0.5, 0.1), (0.5, 0.9)]],
        ),
        (  # Chromium hides the page
            "down .5 .5, move .9 .5, out None None",
            [[(0.5, 0.5), (0.9, 0.5)]],
        ),
    ],
)
def test_the_mouse_draws_while_its_button_is_down(pad, focus, events, strokes):
    for event in events.split(", "):
        name, *place = event.split()
        mouse(pad, name, *(None if x == "None" else float(x) for x in place))
    assert pad.strokes == [[pytest.approx(xy) for xy in stroke] for stroke in strokes]
    assert pad.guess == (7 if strokes else None)
    # The notebook has its keys back.
    assert focus == (["away"] if "down" in events else [])


A, B = (0.4, 0.4), (0.8, 0.8)


@pytest.mark.parametrize(
    "rest",
    [
        [("end",)],
        [("cancel",), ("move", B)],
        [("start", A, B), ("move", B, A), ("end", A), ("move", B), ("end",)],
        [("move", A, B), ("end", A), ("move", B), ("end",)],
    ],
)
def test_one_finger_draws_and_whatever_comes_then_ends_the_stroke(pad, rest):
    touch(pad, "start", (0.2, 0.2))
    touch(pad, "move", (1.5, 0.4))  # fingers are followed beyond the paper
    for event, *fingers in rest:
        touch(pad, event, *fingers)
    np.testing.assert_allclose(pad.strokes, [[(0.2, 0.2), (1.0, 0.4)]])
    assert pad.guess == 7


# The keys


def test_keys_draw(pad, focus, drawn):
    press(pad, "ArrowUp", "ArrowLeft")
    assert pad.strokes == [] and "Pen up, in the middle" in status(pad)
    assert "strokeCircle" in names(drawn[-1:]), "a ring shows where the pen is"
    assert "fillCircle" not in names(drawn[-1:]), "hollow: the pen is up"
    press(pad, " ")
    assert "Pen down" in status(pad) and pad.pen_is_down
    assert names(drawn[-1:]).count("fillCircle") == 2
    press(pad, "ArrowRight", "ArrowDown", "Home", "PageUp", "PageDown", "End", " ")
    assert status(pad) == "This looks like a 7, 82 %"
    across = np.array([-1, 0, 0, -1, 0, 1, 0]) * 0.04 + 0.5
    down = np.array([-1, -1, 0, -1, -2, -1, 0]) * 0.04 + 0.5
    np.testing.assert_allclose(pad.strokes, [np.transpose([across, down])])
    press(pad, " ", *["End"] * 20, " ")
    np.testing.assert_allclose(pad.strokes[1][-1], (0, 1), err_msg="off the paper")
    assert focus == [], "the paper keeps the focus while keys draw"
    press(pad, " ", "ArrowUp", "Backspace")
    assert len(pad.strokes) == 2 and not pad.pen_is_down
    press(pad, "Delete", "Escape")
    assert len(pad.strokes) == 1 and "strokeCircle" not in names(drawn[-1:])
    assert status(pad) == "This looks like a 7, 82 %"


@pytest.mark.parametrize(
    ("key", "held", "goes"),
    [
        ("Tab", {}, ["Undo"]),
        ("Tab", {"shift": True}, ["away"]),
        ("Escape", {}, ["away"]),
        ("ArrowUp", {"ctrl": True}, ["away"]),
        ("b", {}, ["away"]),
    ],
)
def test_a_key_that_does_not_draw_leaves_the_paper(pad, focus, drawn, key, held, goes):
    press(pad, "Shift", shift=True)
    press(pad, "Control", ctrl=True)
    assert focus == [], "these are only held"
    press(pad, " ", "ArrowUp", "ArrowUp")
    press(pad, key, **held)
    assert focus == goes
    assert len(pad.strokes) == 1 and not pad.pen_is_down
    assert status(pad) == "This looks like a 7, 82 %"
    assert "strokeCircle" not in names(drawn[-1:])


def test_mouse_and_keys_take_over_from_each_other(pad, drawn, focus):
    press(pad, " ", "ArrowUp")
    mouse(pad, "move", 0.9, 0.9)  # a mouse that just passes leaves the keys alone
    mouse(pad, "up", 0.9, 0.9)
    press(pad, "ArrowUp")
    mouse(pad, "down", 0.1, 0.1)
    assert "strokeCircle" not in names(drawn[-1:])
    mouse(pad, "move", 0.1, 0.9)
    press(pad, " ", "ArrowUp", " ")
    assert [len(stroke) for stroke in pad.strokes] == [3, 2, 2]
    assert pad.strokes[2][0] == (0.5, 0.5)
    assert focus == []


# Replay


def replayed(pad, drawn, seconds, meanwhile=lambda: None):
    """Replay in an event loop; return how many strokes each picture showed."""

    async def play():
        drawn.clear()
        pad.replay()
        await asyncio.sleep(seconds)
        meanwhile()
        await asyncio.sleep(0.1)
        return [names([message]).count("strokeLines") for message in drawn]

    return asyncio.run(play())


def test_replay_draws_stroke_by_stroke_and_changes_nothing(pad, drawn):
    strokes = [[(0.2, y), (0.4, y)] for y in (0.2, 0.4, 0.6)]
    for stroke in strokes:
        pad.add_stroke(stroke)
    asked, before = [], pad._answer.value
    pad.predict = asked.append
    parts = replayed(pad, drawn, 1, lambda: pad._replaying.result())
    assert parts == sorted(parts) and set(parts) == {1, 2, 3}
    assert pad.strokes == strokes and pad._answer.value == before and not asked


@pytest.mark.parametrize("n", [1, 2_000])
def test_replay_of_a_dot_or_a_scribble_ends_in_time(pad, drawn, monkeypatch, n):
    monkeypatch.setattr("digitkit.pad.canvas.LONGEST", 0.2)
    pad.add_stroke(np.random.default_rng(0).random((n, 2)))
    replayed(pad, drawn, 0.5, lambda: pad._replaying.result())


@pytest.mark.parametrize(
    "meanwhile",
    [
        lambda pad: pad.pen_down(0.5, 0.5),
        lambda pad: pad.undo(),
        lambda pad: pad.clear(),
        lambda pad: pad.add_stroke(BAR),
        lambda pad: press(pad, "ArrowUp"),
    ],
)
def test_whatever_is_drawn_ends_the_replay(pad, drawn, meanwhile):
    pad.add_stroke(SEVEN)
    pad.add_stroke(SEVEN)
    seen = []
    parts = replayed(pad, drawn, 0.1, lambda: seen.append(meanwhile(pad) or len(drawn)))
    assert seen == [len(parts)], "nothing is drawn after that"
    assert parts[-1] == len(pad.strokes) - pad.pen_is_down


def test_a_second_replay_ends_the_first(pad, drawn):
    pad.replay()  # of blank paper
    pad.add_stroke(SEVEN)
    pad.pen_down(0.5, 0.5)
    pad.replay()  # in a plain script
    assert pad.strokes == [SEVEN] and pad._replaying is None
    tasks = []

    def again():
        tasks.append(pad._replaying)
        button(pad, "Replay").click()

    replayed(pad, drawn, 0.1, again)
    assert tasks[0].cancelled() and pad._replaying is not tasks[0]


# Saving


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.setenv("DIGITKIT_WORK", str(tmp_path / "work"))
    return tmp_path / "work"


def test_a_drawing_is_saved_and_new_paper_given(pad, work):
    draw(pad, SEVEN)
    pad.save(7)
    assert status(pad) == "Saved as a 7: 1 drawing in drawings.json"
    assert pad.strokes == [] and pad.guess is None
    draw(pad, SEVEN)
    button(pad, "true digit").value = 8
    button(pad, "Save").click()
    assert status(pad) == "Saved as an 8: 2 drawings in drawings.json"
    assert button(pad, "true digit").value is None  # or the next is saved as it
    drawings, digits = load_drawings()
    assert digits.tolist() == [7, 8]
    np.testing.assert_allclose(drawings[1], [SEVEN])


def test_what_is_not_or_cannot_be_saved_stays_on_the_paper(pad, work, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on <device>")

    button(pad, "Save").click()
    assert status(pad) == "Nothing to save: draw a digit first"
    pad.pen_down(*SEVEN[0])
    with pytest.raises(ValueError, match="draw a digit first"):
        pad.save(7)  # a mere click is no drawing
    draw(pad, SEVEN)
    button(pad, "Save").click()
    assert status(pad) == "Not saved: choose the true digit first"
    with pytest.raises(ValueError, match="received 10"):
        pad.save(10)
    button(pad, "true digit").value = 7
    monkeypatch.setattr("pathlib.Path.write_bytes", fail)
    button(pad, "Save").click()
    assert "Not saved: " in status(pad) and "&lt;device&gt;" in status(pad)
    assert pad.strokes == [SEVEN] and button(pad, "true digit").value == 7
    assert not (work / "drawings.json").exists()


# What is sent to the browser


def test_ink_is_live_and_redrawn_at_the_end(pad, drawn, monkeypatch):
    # Caching, as an error on another pad may leave it.
    monkeypatch.setattr(_CANVAS_MANAGER, "_caching", True)
    pad.pen_down(0.1, 0.1)
    pad.pen_move(0.5, 0.1)
    pad.pen_move(0.5, 7)  # moved onto the paper
    sent = [name for name in names(drawn) if name != "switchCanvas"]
    assert sent == ["strokeLine", "strokeLine"]
    assert drawn[-1][0][1] == pytest.approx([280, 56, 280, 560])
    drawn.clear()
    pad.pen_up()
    assert len(drawn) == 1, "one message, or the page flickers"
    commands = [name for name in names(drawn) if name not in ("set", "switchCanvas")]
    assert commands == ["fillRect", "fillCircle", "strokeLines"]
    style = drawn[0][names(drawn).index("fillRect") - 1]
    assert NAMES[style[0]] == "set" and style[1][1] == "white"


def test_a_page_opened_again_is_told_the_canvas_and_all_strokes(pad, drawn):
    draw(pad, SEVEN)
    pad.add_stroke(BAR)
    drawn.clear()
    before = set(_instances)
    send(pad._canvas, "client_ready")
    commands = [command for message in drawn for command in message]
    told = [c[1][0] for c in commands if NAMES[c[0]] == "switchCanvas"]
    assert told[-1] == f"IPY_MODEL_{pad._canvas.model_id}"
    sent = names(drawn)
    assert sent.index("fillRect") > len(sent) - 1 - sent[::-1].index("switchCanvas")
    assert sent.count("strokeLines") == 2
    assert set(_instances) == before, "each reload would leave a widget behind"


# Drawings that people or the stand-in's pen made, a real network


def share_read(drawings):
    """Draw each on the pad; return the share that the shipped network reads."""
    pad = DrawingPad(predictor(load_network("shipped")))
    right = []
    for digit, strokes in drawings:
        scale, offset = ink.fit_to_box(np.concatenate(strokes)[None])
        pad.clear()
        for stroke in strokes:
            pad.add_stroke((stroke * scale[0] + offset[0]) / ink.SIZE)
        right.append(pad.guess == digit)
    return np.mean(right)


@pytest.mark.slow
def test_drawings_of_the_stand_in_are_read():
    digits = np.arange(50) % 10
    drawings = draw_strokes(digits, seed=3)
    assert share_read(zip(digits, drawings, strict=True)) >= 0.94


@pytest.mark.slow
def test_real_pens_are_read(pens):
    some = [(drawing["label"], drawing["strokes"]) for drawing in pens[::20]]
    assert len(some) > 300
    assert share_read(some) >= 0.95
