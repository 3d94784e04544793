import re

import numpy as np
import pytest
from ipycanvas.canvas import _CANVAS_MANAGER, COMMANDS, _CanvasManager
from ipywidgets.widgets.widget import _instances

from digitkit import ink
from digitkit.drawing_pad import DOTS, DrawingPad
from digitkit.standin import draw_strokes

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
    send(pad._paper, f"mouse_{event}", x=x * DOTS, y=y * DOTS)


def touch(pad, event, *fingers):
    touches = [{"x": x * DOTS, "y": y * DOTS} for x, y in fingers]
    send(pad._paper, f"touch_{event}", touches=touches)


def status(pad):
    return re.search(r'role="status"[^>]*>(.*?)</div>', pad._answer.value)[1]


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


def names(messages):
    return [NAMES[command[0]] for message in messages for command in message]


# What is drawn


def test_a_stroke_is_recorded_read_and_told_in_words(pad):
    draw(pad, SEVEN)
    assert pad.strokes == [SEVEN]
    assert pad.guess == 7
    assert pad.probabilities[7] == pytest.approx(0.82)
    assert status(pad) == "This looks like a 7, 82 %"
    assert pad._answer.value.count("<dd>2 %</dd>") == 9


def test_the_image_is_that_of_the_strokes(pad):
    seen = []
    pad.predict = lambda image: seen.append(image) or np.eye(10)[1]
    draw(pad, SEVEN)
    np.testing.assert_array_equal(seen[-1], ink.to_image([SEVEN]))
    np.testing.assert_array_equal(pad.image, seen[-1])
    assert pad.image.shape == (28, 28)
    assert pad.image.dtype == np.float32


def test_a_whole_stroke_is_the_same_as_its_moves(pad):
    other = DrawingPad(always(7))
    other.add_stroke(np.array(SEVEN))
    draw(pad, SEVEN)
    assert other.strokes == pad.strokes
    assert other._answer.value == pad._answer.value


def test_an_eight_has_its_article(pad):
    pad.predict = always(8)
    draw(pad, SEVEN)
    assert status(pad) == "This looks like an 8, 82 %"


def test_the_network_is_named(pad):
    pad.predict = always(7)
    pad.predict.network = "my_<network>"
    draw(pad, SEVEN)
    assert "read by my_&lt;network&gt;" in pad._answer.value


def test_blank_paper_gives_no_guess(pad):
    asked = []
    pad.predict = asked.append
    pad.clear()
    pad.undo()
    assert pad.strokes == [] and not pad.image.any()
    assert pad.guess is None and pad.probabilities is None
    assert status(pad) == "Draw a digit from 0 to 9"
    assert not asked


def test_undo_takes_the_last_stroke_and_clear_all(pad):
    draw(pad, SEVEN)
    pad.add_stroke([(0.3, 0.5), (0.7, 0.5)])
    pad.undo()
    assert pad.strokes == [SEVEN]
    assert pad.guess == 7
    pad.add_stroke([(0.3, 0.5), (0.7, 0.5)])
    pad.clear()
    assert pad.strokes == []
    assert pad.guess is None


def test_undo_and_clear_lift_the_pen(pad):
    for take_back in (pad.undo, pad.clear):
        pad.pen_down(0.1, 0.1)
        pad.pen_move(0.5, 0.5)
        take_back()
        pad.pen_move(0.9, 0.9)
        assert pad.strokes == []


def test_what_was_drawn_before_clear_stays_with_who_kept_it(pad):
    draw(pad, SEVEN)
    kept = pad.strokes
    pad.clear()
    assert kept == [SEVEN]


def test_the_buttons_undo_and_clear(pad):
    for button in (pad._undo, pad._clear):
        draw(pad, SEVEN)
        button.click()
        assert pad.strokes == []


def test_coordinates_are_moved_onto_the_paper(pad):
    draw(pad, [(-0.5, 0.5), (1.4, 7.0)])
    assert pad.strokes == [[(0.0, 0.5), (1.0, 1.0)]]


@pytest.mark.parametrize(
    "points",
    [
        [],
        [(0.1, 0.2, 0.3)],
        [(0.1, float("nan"))],
        [(10, 20), (30, 40)],
        [(-0.1, 0.5)],
        np.empty((0, 2)),
        "7",
        None,
    ],
)
def test_a_wrong_stroke_is_refused_and_changes_nothing(pad, points):
    draw(pad, SEVEN)
    with pytest.raises(ValueError, match="received"):
        pad.add_stroke(points)
    assert pad.strokes == [SEVEN]


def test_a_point_that_is_none_is_refused(pad):
    draw(pad, SEVEN)
    with pytest.raises(ValueError, match="finite"):
        pad.pen_down(float("nan"), 0.5)
    pad.pen_move(0.5, 0.5)
    assert pad.strokes == [SEVEN]


# What the browser sends


def test_the_mouse_draws(pad):
    mouse(pad, "down", *SEVEN[0])
    mouse(pad, "move", *SEVEN[1])
    mouse(pad, "move", *SEVEN[2])
    mouse(pad, "up", *SEVEN[2])
    np.testing.assert_allclose(pad.strokes, [SEVEN])
    assert pad.guess == 7


def test_moves_without_a_button_draw_nothing(pad):
    mouse(pad, "move", 0.2, 0.2)
    mouse(pad, "move", 0.8, 0.8)
    mouse(pad, "up", 0.8, 0.8)
    assert pad.strokes == []


def test_leaving_the_paper_ends_the_stroke_at_its_edge(pad):
    mouse(pad, "down", 0.5, 0.5)
    mouse(pad, "move", 0.9, 0.5)
    mouse(pad, "out", 1.06, 0.5)
    mouse(pad, "move", 0.5, 0.1)  # back again; the button was released outside
    assert pad.strokes == [[(0.5, 0.5), (0.9, 0.5), (1.0, 0.5)]]
    assert pad.guess == 7


@pytest.mark.parametrize("shaken", [0, 0.003])
def test_a_click_of_any_button_leaves_no_ink(pad, shaken):
    mouse(pad, "down", 0.5, 0.5)
    mouse(pad, "move", 0.5 + shaken, 0.5)
    mouse(pad, "up", 0.5, 0.5)
    assert pad.strokes == []
    assert pad.guess is None


def test_a_lost_release_does_not_join_two_strokes(pad):
    mouse(pad, "down", 0.9, 0.9)  # a click, its release lost as well
    mouse(pad, "down", 0.1, 0.1)
    mouse(pad, "move", 0.1, 0.9)
    mouse(pad, "down", 0.5, 0.1)
    mouse(pad, "move", 0.5, 0.9)
    mouse(pad, "up", 0.5, 0.9)
    assert [len(stroke) for stroke in pad.strokes] == [2, 2]


def test_a_finger_draws(pad):
    touch(pad, "start", SEVEN[0])
    touch(pad, "move", SEVEN[1])
    touch(pad, "move", (1.5, 0.9))  # fingers are followed beyond the paper
    touch(pad, "end")  # no finger is left
    np.testing.assert_allclose(pad.strokes, [[*SEVEN[:2], (1.0, 0.9)]])
    assert pad.guess == 7


@pytest.mark.parametrize("event", ["start", "move"])
def test_a_second_finger_ends_the_stroke(pad, event):
    touch(pad, "start", (0.2, 0.2))
    touch(pad, "move", (0.4, 0.4))
    touch(pad, event, (0.4, 0.4), (0.8, 0.8))
    assert pad.guess == 7
    assert len(pad.strokes) == 1
    touch(pad, "move", (0.6, 0.6), (0.9, 0.9))
    touch(pad, "end", (0.6, 0.6))
    touch(pad, "move", (0.7, 0.7))
    touch(pad, "end")
    np.testing.assert_allclose(pad.strokes, [[(0.2, 0.2), (0.4, 0.4)]])


def test_a_cancelled_touch_ends_the_stroke(pad):
    touch(pad, "start", (0.2, 0.2))
    touch(pad, "move", (0.4, 0.4))
    touch(pad, "cancel")
    touch(pad, "move", (0.9, 0.9))
    assert [len(stroke) for stroke in pad.strokes] == [2]


@pytest.mark.parametrize(
    ("name", "shift", "called"),
    [("Tab", False, ["focus"]), ("Tab", True, ["blur"]), ("Escape", False, ["blur"])],
)
def test_the_keyboard_is_not_trapped(pad, monkeypatch, name, shift, called):
    calls = []
    monkeypatch.setattr(pad._undo, "focus", lambda: calls.append("focus"))
    monkeypatch.setattr(pad._paper, "blur", lambda: calls.append("blur"))
    key = {"key": name, "shift_key": shift, "ctrl_key": False, "meta_key": False}
    send(pad._paper, "key_down", **key)
    assert calls == called


@pytest.mark.parametrize("event", ["up", "out"])
def test_after_a_stroke_the_notebook_has_its_keys_back(pad, monkeypatch, event):
    calls = []
    monkeypatch.setattr(pad._paper, "blur", lambda: calls.append("blur"))
    mouse(pad, "down", 0.1, 0.1)
    assert calls == []
    mouse(pad, event, 0.9, 0.9)
    assert calls == ["blur"]


# What is sent to the browser


def test_ink_is_live_and_redrawn_at_the_end(pad, drawn):
    pad.pen_down(0.1, 0.1)
    pad.pen_move(0.5, 0.1)
    pad.pen_move(0.5, 0.9)
    assert [name for name in names(drawn) if name != "switchCanvas"] == [
        "strokeLine",
        "strokeLine",
    ]
    assert drawn[-1][0][1] == pytest.approx([280, 56, 280, 504])
    drawn.clear()
    pad.pen_up()
    assert len(drawn) == 1, "one message, or the page flickers"
    commands = [name for name in names(drawn) if name not in ("set", "switchCanvas")]
    assert commands == ["fillRect", "fillCircle", "strokeLines"]
    first = names(drawn).index("fillRect")
    style = drawn[0][first - 1]
    assert NAMES[style[0]] == "set" and style[1][1] == "white"


def test_clear_and_undo_repaint_the_paper(pad, drawn):
    draw(pad, SEVEN)
    for take_back in (pad.undo, pad.clear):
        drawn.clear()
        take_back()
        assert "fillRect" in names(drawn)
        assert "strokeLines" not in names(drawn)


def test_a_page_opened_anew_is_told_the_canvas_and_all_strokes(pad, drawn):
    draw(pad, SEVEN)
    pad.add_stroke([(0.3, 0.5), (0.7, 0.5)])
    drawn.clear()
    before = set(_instances)
    send(pad._paper, "client_ready")
    commands = [command for message in drawn for command in message]
    told = [c[1][0] for c in commands if NAMES[c[0]] == "switchCanvas"]
    assert told[-1] == f"IPY_MODEL_{pad._paper.model_id}"
    sent = names(drawn)
    assert sent.index("fillRect") > len(sent) - 1 - sent[::-1].index("switchCanvas")
    assert sent.count("strokeLines") == 2
    assert set(_instances) == before, "each reload would leave a widget behind"
    assert not _CANVAS_MANAGER._caching


# What goes wrong


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (np.ones(9) / 9, "ten probabilities"),
        (np.full(10, np.nan), "ten probabilities"),
        ("seven", "ValueError"),
    ],
)
def test_a_wrong_answer_is_told(pad, answer, told):
    pad.predict = lambda image: answer
    draw(pad, SEVEN)
    assert told in status(pad)
    assert pad.guess is None and pad.probabilities is None


def test_an_error_in_predict_is_told_and_drawing_goes_on(pad, drawn):
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
    pad.add_stroke(SEVEN)
    assert pad.guess == 3 and len(pad.strokes) == 2
    assert status(pad) == "This looks like a 3, 82 %"


def test_an_error_in_a_handler_is_told_and_drawing_goes_on(pad):
    mouse(pad, "down", float("nan"), 0.5)
    assert "Something failed on the pad" in status(pad)
    draw(pad, SEVEN)
    assert status(pad) == "This looks like a 7, 82 %"


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
