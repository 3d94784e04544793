"""The procedural pen: its styles, its hand, its data set, and what is no digit."""

from unittest.mock import Mock

import numpy as np
import pytest

from digitkit import ink, stand_in
from digitkit.networks import decide, load_network
from digitkit.stand_in import RARE, STYLES, UNSEEN, draw_images, draw_strokes

KINDS = stand_in.NON_DIGITS
LETTERS, UNSEEN_LETTERS = stand_in.LETTERS, stand_in.UNSEEN_LETTERS


def split(*tables):
    """Return all styles of some tables as pairs (name, style)."""
    items = [item for table in tables for item in table.items()]
    return [(name, one.strip()) for name, text in items for one in text.split(",")]


def all_points(drawn):
    """Return all numbers of images, or of lists of lists of strokes."""
    if isinstance(drawn, np.ndarray):
        return drawn.ravel()
    return np.concatenate([all_points(one) for one in drawn])


@pytest.mark.parametrize(("digit", "style"), split(STYLES, RARE, UNSEEN))
def test_a_style_gives_images_of_one_digit(digit, style):
    images = draw_images([digit] * 30, 0, {digit: style}) / 255
    mass = images.sum(axis=(1, 2))
    assert 10 < mass.min() < mass.max() < 300  # pixels of ink: a thin 1 has 10
    for axis in (1, 2):
        centre = images.sum(axis=axis) @ np.arange(28) / mass
        assert abs(centre - ink.CENTRE).max() < 0.52  # moved by whole pixels
    assert len({image.tobytes() for image in images}) == 30  # never twice the same


def test_unseen_styles_are_like_no_other():
    def as_noted(digit, style):
        [strokes] = draw_strokes([digit], 0, {digit: style}, jitter=0)
        return ink.to_image(strokes)

    known = [as_noted(*one) for one in split(STYLES, RARE)]
    for digit in range(10):
        drawn = as_noted(digit, UNSEEN[digit])
        for other in known:
            overlap = np.minimum(drawn, other).sum() / np.maximum(drawn, other).sum()
            assert overlap < 0.9, digit
    assert not {*split(LETTERS)} & {*split(UNSEEN_LETTERS)}


def test_a_seed_repeats_and_another_differs():
    def draw(seed):
        yield draw_images(range(10), seed)
        yield draw_strokes(range(10), seed)
        yield stand_in.draw_non_digit_images(10, seed)
        yield from (stand_in.draw_non_digits(kind, 10, seed) for kind in KINDS)

    for first, again, other in zip(draw(3), draw(3), draw(4), strict=True):
        np.testing.assert_array_equal(all_points(first), all_points(again))
        assert not np.array_equal(all_points(first), all_points(other))


def test_all_styles_of_a_digit_are_drawn():
    styles = {1: "50 59, 00 90 90 99, 00 09 99 90 00"}  # of one, two and four edges
    points = [len(stroke) for (stroke,) in draw_strokes([1] * 300, 0, styles)]
    _, counts = np.unique(points, return_counts=True)
    assert len(counts) == 3
    assert min(counts) > 60


@pytest.mark.parametrize(
    ("draw", "told"),
    [
        (lambda: draw_images([3, 7], 0, {3: "00 99"}), r"no style for 7: expected \[3"),
        (lambda: draw_images([3], 0, {3: "00 9"}), "'00 9' is no stroke"),
        (lambda: stand_in.draw_non_digits("flower", 1, 0), "flower.*scribbles"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, told):
    with pytest.raises(ValueError, match=told):
        draw()


def test_the_hand_wobbles_but_keeps_its_corners():
    def turns(style, jitter=0.6):
        """Return by how many degrees the pen turns at each point of 200 strokes."""
        drawings = draw_strokes([1] * 200, 0, {1: style}, jitter)
        steps = [np.diff(stroke, axis=0).T for (stroke,) in drawings]
        assert max(np.hypot(x, y).max() for x, y in steps) < 1  # it leaves no gaps
        angles = [np.unwrap(np.arctan2(y, x)) for x, y in steps]
        return [np.abs(np.degrees(np.diff(angle))) for angle in angles]

    assert max(map(sum, turns("00 30 60 90", jitter=0))) < 1e-3
    assert min(map(sum, turns("00 30 60 90"))) > 2  # none is straight
    assert min(map(max, turns("00 90 90 99"))) > 35  # a point given twice
    assert np.median([*map(max, turns("00 90 99"))]) < 15


def test_counts_are_those_of_mnist(mnist):
    (_, y_train), (_, y_test) = mnist
    assert stand_in.TRAIN_COUNTS == tuple(np.bincount(y_train).tolist())
    assert stand_in.TEST_COUNTS == tuple(np.bincount(y_test).tolist())


def test_the_data_set_has_its_counts_and_all_styles_but_the_unseen(monkeypatch):
    monkeypatch.setattr(stand_in, "TRAIN_COUNTS", (*range(50, 60),))
    monkeypatch.setattr(stand_in, "TEST_COUNTS", (*range(20, 10, -1),))
    monkeypatch.setattr(stand_in, "draw_images", asked := Mock(wraps=draw_images))
    (x_train, y_train), (x_test, y_test) = first = stand_in.draw_data_set()
    assert x_train.dtype == y_train.dtype == np.uint8
    assert np.bincount(y_train).tolist() == list(range(50, 60))
    assert np.bincount(y_test).tolist() == list(range(20, 10, -1))
    assert np.count_nonzero(np.diff(y_train)) > 0.8 * len(y_train)  # shuffled
    images = {image.tobytes() for image in (*x_train, *x_test)}
    assert len(images) == len(y_train) + len(y_test)  # none is there twice
    train, test = (call.args for call in asked.call_args_list)
    assert train[3] > test[3] > 0  # trained on harder digits than tested on
    for _, _, styles, _ in (train, test):  # a rare style half as often as another
        assert sorted(split(styles)) == sorted(split(STYLES, STYLES, RARE))
    np.testing.assert_array_equal(
        all_points(stand_in.draw_data_set()), all_points(first)
    )


@pytest.mark.parametrize("unseen", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_non_digit_is_drawn(kind, unseen):
    drawings = stand_in.draw_non_digits(kind, 20, 0, unseen)
    images = [ink.to_image(drawing) for drawing in drawings]
    assert min(image.max() for image in images) > 0.8
    assert len(images) == 20
    assert len({image.tobytes() for image in images}) > 12  # dots are all alike
    assert stand_in.draw_non_digits(kind, 0, 0, unseen) == []


def test_two_side_by_side_do_not_touch_and_two_laid_over_do():
    def apart(drawing):
        """Say whether a gap parts the first strokes from the others."""
        parts = [(drawing[:i], drawing[i:]) for i in range(1, len(drawing))]
        spans = [[np.concatenate(part)[:, 0] for part in pair] for pair in parts]
        return any(left.max() < right.min() for left, right in spans)

    assert all(map(apart, stand_in.draw_non_digits("two side by side", 50, 0)))
    assert sum(map(apart, stand_in.draw_non_digits("two laid over", 50, 0))) < 5


@pytest.mark.parametrize(
    ("unseen", "letters", "digits", "jitter"),
    [(False, LETTERS, STYLES, 1), (True, UNSEEN_LETTERS, UNSEEN, 0.6)],
)
def test_measuring_has_own_styles(monkeypatch, unseen, letters, digits, jitter):
    monkeypatch.setattr(stand_in, "draw_strokes", asked := Mock(wraps=draw_strokes))
    stand_in.draw_non_digits("letters", 5, 0, unseen)
    stand_in.draw_non_digits("two laid over", 300, 0, unseen)
    of_letters, first, second = (call.args for call in asked.call_args_list)
    assert of_letters[2:] == (letters, jitter)
    assert first[2:] == second[2:] == (digits, jitter)
    assert (first[0] != second[0]).all()  # never twice the same digit


@pytest.mark.slow
def test_the_shipped_network_reads_digits_and_doubts_all_else():
    model = load_network("shipped")

    def read(images):
        rows = model.predict(np.stack(images), batch_size=500, verbose=0)
        return np.array([-1 if decide(row) is None else decide(row) for row in rows])

    def read_drawings(drawings):
        return read([ink.to_image(drawing) for drawing in drawings])

    digits = np.arange(500) % 10
    answers = read_drawings(draw_strokes(digits, 1))
    assert (answers == -1).mean() < 0.03
    assert (answers == digits).mean() > 0.95
    assert (read(draw_images(digits, 1) / np.float32(255)) == digits).mean() > 0.9
    drawn = [stand_in.draw_non_digits(kind, 100, 1, True) for kind in KINDS]
    doubted = [(read_drawings(drawings) == -1).mean() for drawings in drawn]
    assert np.mean(doubted) > 0.8
    assert min(doubted) > 0.6
