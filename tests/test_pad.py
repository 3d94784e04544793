"""The drawing pad: what hands, keys and networks do to it, without a browser."""

import asyncio
import re
import time

import numpy as np
import pytest
from ipycanvas.canvas import _CANVAS_MANAGER, COMMANDS, _CanvasManager
from ipywidgets.widgets.widget import _instances

from digitkit import ink
from digitkit.drawings import load_drawings
from digitkit.networks import UNSURE
from digitkit.pad.canvas import DOTS, LONGEST, StrokeCanvas
from digitkit.pad.drawing_pad import DrawingPad
from digitkit.stand_in import draw_strokes

SEVEN = [(0.2, 0.2), (0.8, 0.2), (0.4, 0.9)]
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
    content = {"event": event, **content}
    data = {"method": "custom", "content": content}
    widget._handle_msg({"content": {"data": data}, "buffers": []})


def mouse(pad, event, x, y):
    send(pad._canvas, f"mouse_{event}", x=x * DOTS, y=y * DOTS)


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
    """Return the digit that is shown large."""
    return re.search(r'class="guess"[^>]*>(.*?)</b>', pad._answer.value)[1]


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


# What is drawn


def test_a_stroke_is_read_and_told_in_words(pad):
    seen = []
    predict = pad.predict
    pad.predict = lambda image: seen.append(image) or predict(image)
    draw(pad, SEVEN)
    assert pad.strokes == [SEVEN]
    np.testing.assert_array_equal(seen[-1], ink.to_image([SEVEN]))
    np.testing.assert_array_equal(pad.image, seen[-1])
    assert pad.guess == 7 and pad.probabilities[7] == 0.82
    assert status(pad) == "This looks like a 7, 82 %"
    assert shown(pad) == "7"
    assert pad._answer.value.count(">2 %</dd>") == 9
    assert re.findall(r'class="top">\s*<dt>(.)', pad._answer.value) == ["7"]
    pad.clear()
    pad.add_stroke(np.array(SEVEN))  # as a whole, from code
    assert pad.strokes == [SEVEN] and pad.guess == 7


def test_a_drawing_smaller_than_the_pen_is_a_dot(pad):
    pad.add_stroke([(0.5, 0.48), (0.5, 0.52)])
    dot = ink.to_image([[(0.5, 0.5)]])
    np.testing.assert_array_equal(pad.image, dot)
    pad.add_stroke([(0.5, 0.48), (0.5, 0.6)])
    assert pad.image.sum() > 3 * dot.sum()


def test_the_network_is_named(pad):
    pad.predict.network = "my_<network>"
    draw(pad, SEVEN)
    assert "network: my_&lt;network&gt;<" in pad._answer.value


def test_blank_paper_is_not_read(pad):
    asked = []
    pad.predict = asked.append
    pad.clear()
    pad.undo()
    assert pad.strokes == [] and not pad.image.any()
    assert pad.guess is None and pad.probabilities is None
    assert status(pad) == "Draw a digit from 0 to 9"
    assert shown(pad) == "" and 'class="top"' not in pad._answer.value
    assert not asked


def test_undo_takes_the_last_stroke_and_clear_all(pad, drawn):
    for take_back, left in (("Undo", [SEVEN]), ("Clear", [])):
        pad.add_stroke(SEVEN)
        pad.add_stroke([(0.3, 0.5), (0.7, 0.5)])
        kept = pad.strokes
        drawn.clear()
        button(pad, take_back).click()
        assert pad.strokes == left and len(kept) == 2
        assert names(drawn).count("strokeLines") == len(left)
        assert "fillRect" in names(drawn)
        pad.clear()


def test_undo_clear_and_replay_lift_the_pen(pad):
    for act, left in ((pad.undo, 0), (pad.clear, 0), (pad.replay, 1)):
        pad.pen_down(0.1, 0.1)
        pad.pen_move(0.5, 0.5)
        act()
        pad.pen_move(0.9, 0.9)
        assert len(pad.strokes) == left and not pad.pen_is_down
    assert pad.strokes == [[(0.1, 0.1), (0.5, 0.5)]]


def test_coordinates_are_moved_onto_the_paper(pad):
    draw(pad, [(-0.5, 0.5), (1.4, 7.0)])
    assert pad.strokes == [[(0.0, 0.5), (1.0, 1.0)]]


class Network:
    def __call__(self, images):
        return images

    predict_on_batch = __call__


@pytest.mark.parametrize("predict", [Network(), "shipped", None])
def test_what_is_no_function_of_one_image_is_refused(predict):
    with pytest.raises(ValueError, match=r"received .*: write dk.DrawingPad"):
        DrawingPad(predict)


@pytest.mark.parametrize(
    "points",
    [[], [(0.1, 0.2, 0.3)], [(0.1, float("nan"))], [(10, 20)], [(-0.1, 0.5)], "7"],
)
def test_a_wrong_stroke_is_refused_and_changes_nothing(pad, points):
    draw(pad, SEVEN)
    with pytest.raises(ValueError, match="received"):
        pad.add_stroke(points)
    with pytest.raises(ValueError, match="finite"):
        pad.pen_down(float("nan"), 0.5)
    pad.pen_move(0.5, 0.5)
    assert pad.strokes == [SEVEN]


# Mouse and fingers


def test_the_mouse_draws_while_its_button_is_down(pad, focus):
    mouse(pad, "move", 0.5, 0.5)
    mouse(pad, "out", 1.1, 0.5)
    assert pad.strokes == [] and focus == []
    mouse(pad, "down", *SEVEN[0])
    mouse(pad, "move", *SEVEN[1])
    mouse(pad, "move", *SEVEN[2])
    assert focus == []
    mouse(pad, "up", *SEVEN[2])
    np.testing.assert_allclose(pad.strokes, [SEVEN])
    assert pad.guess == 7 and focus == ["away"]  # the notebook has its keys back


def test_leaving_the_paper_ends_the_stroke_at_its_edge(pad, focus):
    mouse(pad, "down", 0.5, 0.5)
    mouse(pad, "move", 0.9, 0.5)
    mouse(pad, "out", 1.06, 0.5)
    mouse(pad, "move", 0.5, 0.1)  # back again; the button was released outside
    assert pad.strokes == [[(0.5, 0.5), (0.9, 0.5), (1.0, 0.5)]]
    assert pad.guess == 7 and focus == ["away"]


@pytest.mark.parametrize("shaken", [0, 0.003])
def test_a_click_of_any_button_leaves_no_ink(pad, shaken):
    mouse(pad, "down", 0.5, 0.5)
    mouse(pad, "move", 0.5 + shaken, 0.5)
    mouse(pad, "up", 0.5, 0.5)
    assert pad.strokes == [] and pad.guess is None


def test_a_lost_release_does_not_join_two_strokes(pad):
    mouse(pad, "down", 0.9, 0.9)  # a click, its release lost as well
    mouse(pad, "down", 0.1, 0.1)
    mouse(pad, "move", 0.1, 0.9)
    mouse(pad, "down", 0.5, 0.1)
    mouse(pad, "move", 0.5, 0.9)
    mouse(pad, "up", 0.5, 0.9)
    assert [len(stroke) for stroke in pad.strokes] == [2, 2]


def test_a_page_that_is_being_hidden_ends_the_stroke(pad):
    mouse(pad, "down", 0.5, 0.5)
    mouse(pad, "move", 0.9, 0.5)
    send(pad._canvas, "mouse_out", x=None, y=None)  # as Chromium tells it
    assert pad.strokes == [[(0.5, 0.5), (0.9, 0.5)]]
    assert status(pad) == "This looks like a 7, 82 %"


A, B = (0.4, 0.4), (0.8, 0.8)


@pytest.mark.parametrize(
    "rest",
    [
        [("end",)],
        [("cancel",), ("move", B)],
        [("start", A, B), ("move", B, A), ("end", A), ("move", B), ("end",)],
        [("move", A, B), ("move", B, A), ("end", A), ("move", B), ("end",)],
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
    sent = names(drawn[-1:])
    assert sent.index("save") < sent.index("strokeCircle") < sent.index("restore")
    assert "fillCircle" not in sent, "hollow: the pen is up"
    press(pad, " ")
    assert "Pen down" in status(pad) and pad.pen_is_down
    assert "fillCircle" in names(drawn[-1:])[names(drawn[-1:]).index("strokeCircle") :]
    press(pad, "ArrowRight", "ArrowDown", "ArrowDown")
    press(pad, " ")
    assert status(pad) == "This looks like a 7, 82 %"
    corners = [(0.46, 0.46), (0.5, 0.46), (0.5, 0.5), (0.5, 0.54)]
    np.testing.assert_allclose(pad.strokes, [corners])
    np.testing.assert_array_equal(pad.image, ink.to_image([corners]))
    assert focus == [], "the paper keeps the focus while keys draw"
    pad.clear()
    assert "strokeCircle" not in names(drawn[-1:])


def test_four_keys_move_diagonally_and_none_off_the_paper(pad):
    press(pad, " ", "Home", "PageUp", "PageDown", "End", " ")
    corners = [(0.5, 0.5), (0.46, 0.46), (0.5, 0.42), (0.54, 0.46), (0.5, 0.5)]
    np.testing.assert_allclose(pad.strokes, [corners])
    press(pad, " ", *["End"] * 20, "PageUp", " ")
    np.testing.assert_allclose(pad.strokes[1][-2:], [(0, 1), (0.04, 0.96)])


@pytest.mark.parametrize("key", ["Backspace", "Delete"])
def test_a_key_takes_back(pad, key):
    draw(pad, SEVEN)
    press(pad, " ", "ArrowUp", key)  # the stroke under way
    assert pad.strokes == [SEVEN] and not pad.pen_is_down
    press(pad, key)
    assert pad.strokes == []


@pytest.mark.parametrize(
    ("key", "held", "goes"),
    [
        ("Tab", {}, ["Undo"]),
        ("Tab", {"shift": True}, ["away"]),
        ("Escape", {}, ["away"]),
        ("s", {"ctrl": True}, ["away"]),  # which the page swallows once
        ("ArrowUp", {"ctrl": True}, ["away"]),
        ("b", {}, ["away"]),
        ("Shift", {"shift": True}, []),
        ("Control", {"ctrl": True}, []),
    ],
)
def test_the_keyboard_is_not_trapped(pad, focus, key, held, goes):
    press(pad, key, **held)
    assert focus == goes


def test_paper_alone_lets_tab_go_on():
    paper, calls = StrokeCanvas(), []
    paper._canvas.blur = lambda: calls.append("away")
    press(paper, "Tab")
    assert calls == ["away"]


def test_leaving_lifts_the_pen_and_shows_the_answer(pad, drawn):
    press(pad, "ArrowUp", "Escape")
    assert status(pad) == "Draw a digit from 0 to 9"
    press(pad, " ", "ArrowUp", "ArrowUp", "Tab")
    assert len(pad.strokes) == 1 and not pad.pen_is_down
    assert status(pad) == "This looks like a 7, 82 %"
    assert "strokeCircle" not in names(drawn[-1:])


def test_mouse_and_keys_take_over_from_each_other(pad, drawn, focus):
    press(pad, " ", "ArrowUp")
    mouse(pad, "move", 0.9, 0.9)  # a mouse that just passes leaves the keys alone
    mouse(pad, "out", 1.1, 0.9)
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
    """Replay in an event loop; return how much of the drawing each picture showed."""

    async def play():
        drawn.clear()
        pad.replay()
        await asyncio.sleep(seconds)
        meanwhile()
        await asyncio.sleep(0.1)
        return [names([message]).count("strokeLines") for message in drawn]

    return asyncio.run(play())


def test_replay_draws_stroke_by_stroke_and_changes_nothing(pad, drawn):
    strokes = [[(0.2, 0.1 * i), (0.4, 0.1 * i)] for i in range(1, 6)]
    for stroke in strokes:
        pad.add_stroke(stroke)
    asked, before = [], pad._answer.value
    pad.predict = asked.append
    pictures, redraw = [], pad.redraw
    pad.redraw = lambda *part: pictures.append(part) or redraw(*part)
    begun = time.monotonic()
    parts = replayed(pad, drawn, 1.5, lambda: pad._replaying.result())
    assert parts == sorted(parts) and set(parts) == {1, 2, 3, 4, 5}
    assert 10 < len(parts) < 60
    assert parts[-1] == 5 and pictures[-1] == (), "the drawing itself at the end"
    assert time.monotonic() - begun < 2 * LONGEST
    assert pad.strokes == strokes and pad._answer.value == before and not asked


def test_replay_of_a_scribble_ends_in_time(pad, drawn, monkeypatch):
    monkeypatch.setattr("digitkit.pad.canvas.LONGEST", 0.3)
    pad.add_stroke(np.random.default_rng(0).random((2_000, 2)))
    replayed(pad, drawn, 0.6, lambda: pad._replaying.result())


@pytest.mark.parametrize(
    ("meanwhile", "strokes"),
    [
        (lambda pad: pad.pen_down(0.5, 0.5), 3),
        (lambda pad: pad.undo(), 1),
        (lambda pad: pad.clear(), 0),
        (lambda pad: pad.add_stroke(SEVEN), 3),
        (lambda pad: press(pad, "ArrowUp"), 2),
    ],
)
def test_whatever_is_drawn_ends_the_replay(pad, drawn, meanwhile, strokes):
    pad.add_stroke(SEVEN)
    pad.add_stroke(SEVEN)
    seen = []

    def act():
        meanwhile(pad)
        seen.append(len(drawn))

    parts = replayed(pad, drawn, 0.1, act)
    assert len(parts) == seen[0], "nothing is drawn after that"
    assert parts[-1] == len(pad.strokes) - pad.pen_is_down
    assert len(pad.strokes) == strokes


def test_a_second_replay_ends_the_first(pad, drawn):
    pad.add_stroke(SEVEN)
    first = []

    def again():
        first.append(pad._replaying)
        button(pad, "Replay").click()
        assert first[0].cancelling() and not pad._replaying.cancelling()

    replayed(pad, drawn, 0.1, again)
    assert pad._replaying is not first[0]


def test_replay_without_a_loop_or_a_drawing_is_no_error(pad, drawn):
    pad.add_stroke(SEVEN)
    pad.replay()
    assert pad.strokes == [SEVEN]
    pad.clear()
    assert replayed(pad, drawn, 0) == [] and pad._replaying is None
    pad.add_stroke([(0.5, 0.5)])  # a dot: no way to go
    replayed(pad, drawn, 0.1, lambda: pad._replaying.result())


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


def test_what_is_not_yet_ready_is_not_saved_by_accident(pad, work):
    button(pad, "Save").click()
    assert status(pad) == "Nothing to save: draw a digit first"
    pad.pen_down(*SEVEN[0])
    with pytest.raises(ValueError, match="draw a digit first"):
        pad.save(7)  # a mere click is no drawing
    assert not pad.pen_is_down
    draw(pad, SEVEN)
    button(pad, "Save").click()
    assert status(pad) == "Not saved: choose the true digit first"
    with pytest.raises(ValueError, match="received 10"):
        pad.save(10)
    assert pad.strokes == [SEVEN] and shown(pad) == "7"
    button(pad, "true digit").value = 7
    button(pad, "Clear").click()
    assert button(pad, "true digit").value is None
    assert not (work / "drawings.json").exists()


@pytest.mark.parametrize("fault", ["damaged file", "full disk"])
def test_what_cannot_be_saved_stays_on_the_paper(pad, work, monkeypatch, fault):
    if fault == "damaged file":
        work.mkdir()
        (work / "drawings.json").write_text("[")
        told = "drawings.json is no strokes file"
    else:
        told = "No space left on <device>"

        def fail(strokes, digit):
            raise OSError(28, told)

        monkeypatch.setattr("digitkit.drawings.save_drawing", fail)
    draw(pad, SEVEN)
    button(pad, "true digit").value = 7
    button(pad, "Save").click()
    assert status(pad).startswith("Not saved: ")
    assert told.replace("<", "&lt;").replace(">", "&gt;") in status(pad)
    assert pad.strokes == [SEVEN] and button(pad, "true digit").value == 7
    with pytest.raises((ValueError, OSError), match=told):
        pad.save(7)


# What is sent to the browser


def test_ink_is_live_and_redrawn_at_the_end(pad, drawn, monkeypatch):
    monkeypatch.setattr(
        _CANVAS_MANAGER, "_caching", True
    )  # as another pad may leave it
    pad.pen_down(0.1, 0.1)
    pad.pen_move(0.5, 0.1)
    pad.pen_move(0.5, 0.9)
    sent = [name for name in names(drawn) if name != "switchCanvas"]
    assert sent == ["strokeLine", "strokeLine"]
    assert drawn[-1][0][1] == pytest.approx([280, 56, 280, 504])
    drawn.clear()
    pad.pen_up()
    assert len(drawn) == 1, "one message, or the page flickers"
    commands = [name for name in names(drawn) if name not in ("set", "switchCanvas")]
    assert commands == ["fillRect", "fillCircle", "strokeLines"]
    style = drawn[0][names(drawn).index("fillRect") - 1]
    assert NAMES[style[0]] == "set" and style[1][1] == "white"


def test_a_page_opened_again_is_told_the_canvas_and_all_strokes(pad, drawn):
    draw(pad, SEVEN)
    pad.add_stroke([(0.3, 0.5), (0.7, 0.5)])
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
    assert not _CANVAS_MANAGER._caching


# What the network answers, and what goes wrong


def test_an_unsure_network_gives_no_guess(pad):
    answer = np.full(10, (1 - UNSURE + 0.01) / 9)
    answer[8] = UNSURE - 0.01
    pad.predict = lambda image: answer
    draw(pad, SEVEN)
    assert status(pad) == f"Unsure: perhaps an 8, {100 * answer[8]:.0f} %"
    assert pad.guess is None and shown(pad) == "?"
    np.testing.assert_array_equal(pad.probabilities, answer)
    assert ">0 %</dd>" not in pad._answer.value
    assert 'class="top"' not in pad._answer.value


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (np.ones(9) / 9, "ten probabilities"),
        (np.full(10, np.nan), "ten probabilities"),
        (np.full(10, 7.0), "ten probabilities"),
        ([1.5, -0.5, *[0] * 8], "ten probabilities"),
        (None, "ten probabilities"),
        ("seven", "ValueError"),
    ],
)
def test_a_wrong_answer_is_told(pad, answer, told):
    pad.predict = lambda image: answer
    draw(pad, SEVEN)
    assert told in status(pad)
    assert pad.guess is None and pad.probabilities is None


def test_errors_are_told_and_drawing_goes_on(pad, drawn):
    def fail(image):
        raise RuntimeError("out of <paper>")

    pad.predict = fail
    mouse(pad, "down", 0.1, 0.1)
    mouse(pad, "move", 0.9, 0.9)
    mouse(pad, "up", 0.9, 0.9)
    assert "no answer" in status(pad) and "out of &lt;paper&gt;" in status(pad)
    assert pad.guess is None and len(pad.strokes) == 1
    assert "strokeLines" in names(drawn)
    assert not _CANVAS_MANAGER._caching
    pad.predict = always(3)
    mouse(pad, "down", float("nan"), 0.5)
    assert "Something failed on the pad" in status(pad)
    pad.add_stroke(SEVEN)
    assert status(pad) == "This looks like a 3, 82 %" and len(pad.strokes) == 2


# Drawings that people or the stand-in's pen made, a real network


def share_read(drawings):
    """Draw each on the pad; return the share that the shipped network reads."""
    from digitkit.networks import load_network, predictor

    pad = DrawingPad(predictor(load_network("shipped")))
    right = 0
    for digit, strokes in drawings:
        points = np.concatenate(strokes)
        low, side = points.min(axis=0), np.ptp(points, axis=0).max()
        pad.clear()
        for stroke in strokes:
            pad.add_stroke((np.asarray(stroke) - low) / max(side, 1) * 0.8 + 0.1)
        right += pad.guess == digit
    return right / len(drawings)


@pytest.mark.slow
def test_drawings_of_the_pen_are_read():
    digits = np.arange(100) % 10
    drawings = draw_strokes(digits, seed=3)
    assert share_read([*zip(digits, drawings, strict=True)]) >= 0.95


@pytest.mark.slow
def test_real_pens_are_read(pens):
    some = [(drawing["label"], drawing["strokes"]) for drawing in pens[::13]]
    assert len(some) > 500
    assert share_read(some) >= 0.95
