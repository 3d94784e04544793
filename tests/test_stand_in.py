"""The procedural pen: its styles, its hand, its data set, and what is no digit."""

import time

import numpy as np
import pytest

from digitkit import ink, stand_in
from digitkit.networks import decide, load_network
from digitkit.stand_in import RARE, STYLES, UNSEEN, draw_images, draw_strokes

LETTERS, UNSEEN_LETTERS = stand_in.LETTERS, stand_in.UNSEEN_LETTERS


def split(*tables):
    """Return all styles of some tables as pairs (name, style)."""
    items = [item for table in tables for item in table.items()]
    return [(name, one.strip()) for name, text in items for one in text.split(",")]


# Styles


@pytest.mark.parametrize(("digit", "style"), split(STYLES, RARE, UNSEEN))
def test_a_style_gives_images_of_one_digit(digit, style):
    images = draw_images([digit] * 30, 0, {digit: style}) / 255
    mass = images.sum(axis=(1, 2))
    assert 10 < mass.min() < mass.max() < 300  # pixels of ink: a thin 1 has 10
    assert images.max(axis=(1, 2)).min() > 0.4  # a thin line may lie between pixels
    for axis in (1, 2):
        centre = images.sum(axis=axis) @ np.arange(28) / mass
        assert abs(centre - ink.CENTRE).max() < 0.52  # moved by whole pixels
    assert len({image.tobytes() for image in images}) == 30  # never twice the same


def test_unseen_styles_are_like_no_other():
    def as_noted(digit, style):
        [strokes] = draw_strokes([digit], 0, {digit: style}, jitter=0)
        return ink.to_image(strokes)

    known = [as_noted(*one) for one in split(STYLES, RARE)]
    assert sorted(UNSEEN) == list(range(10))
    for digit, style in UNSEEN.items():
        drawn = as_noted(digit, style)
        for other in known:
            overlap = np.minimum(drawn, other).sum() / np.maximum(drawn, other).sum()
            assert overlap < 0.9, f"{digit}: {style}"
    assert sorted(LETTERS) == sorted(UNSEEN_LETTERS)
    assert not {*split(LETTERS)} & {*split(UNSEEN_LETTERS)}


# What is drawn


def all_points(drawn):
    """Return all numbers of images, or of lists of lists of strokes."""
    if isinstance(drawn, np.ndarray):
        return drawn.ravel()
    return np.concatenate([all_points(one) for one in drawn])


@pytest.fixture
def small(monkeypatch):
    """Make the data set a hundredth as large."""
    for name in ("TRAIN_COUNTS", "TEST_COUNTS"):
        counts = tuple(count // 100 for count in getattr(stand_in, name))
        monkeypatch.setattr(stand_in, name, counts)


@pytest.mark.parametrize(
    "draw",
    [
        lambda seed: draw_images(range(10), seed),
        lambda seed: draw_strokes(range(10), seed),
        lambda seed: stand_in.draw_non_digit_images(10, seed),
        *(
            lambda seed, kind=kind: stand_in.draw_non_digits(kind, 10, seed)
            for kind in stand_in.NON_DIGITS
        ),
        stand_in.draw_data_set,
    ],
)
def test_a_seed_repeats_and_another_differs(draw, small):
    first = all_points(draw(3))
    np.testing.assert_array_equal(first, all_points(draw(3)))
    assert not np.array_equal(first, all_points(draw(4)))


def test_each_image_is_of_its_digit():
    # Ones have ink in the middle, zeros have none, wherever they stand in the list.
    digits = np.random.default_rng(0).permutation([0, 1] * 100)
    images = draw_images(digits, 0, {0: STYLES[0], 1: "50 59"})
    hollow = images[:, 13:16, 13:16].max(axis=(1, 2)) < 128
    assert (hollow == (digits == 0)).mean() > 0.9


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


def test_strokes_are_of_unseen_styles_unless_told():
    drawings = draw_strokes([4, 1, 0], 1)
    assert [len(drawing) for drawing in drawings] == [2, 2, 1]
    expected = draw_strokes([4, 1, 0], 1, UNSEEN)
    np.testing.assert_array_equal(all_points(drawings), all_points(expected))


# The hand


def turns(stroke):
    """Return by how many degrees the pen turns at each point of a stroke."""
    x, y = np.diff(stroke, axis=0).T
    return np.abs(np.degrees(np.diff(np.unwrap(np.arctan2(y, x)))))


def test_the_hand_wobbles_but_keeps_its_corners():
    lines = draw_strokes([1] * 50, 0, {1: "00 30 60 90"})
    assert min(turns(stroke).sum() for (stroke,) in lines) > 2  # none is straight
    [(line,)] = draw_strokes([1], 0, {1: "00 30 60 90"}, jitter=0)
    assert turns(line).sum() < 1e-3
    corners = draw_strokes([7] * 200, 0, {7: "00 90 90 99"})
    assert min(turns(stroke).max() for (stroke,) in corners) > 35
    curves = draw_strokes([7] * 200, 0, {7: "00 90 99"})
    assert np.median([turns(stroke).max() for (stroke,) in curves]) < 15


def test_the_pen_goes_evenly_and_stays_within_its_points():
    zigzag = np.array([[0, 0], [9, 3], [0, 6], [9, 9]], float)
    curve = stand_in._spline(zigzag) @ zigzag
    np.testing.assert_allclose(curve[[0, -1]], zigzag[[0, -1]], atol=1e-9)
    assert curve.min() > -1e-9
    assert curve.max() < 9 + 1e-9
    steps = np.hypot(*np.diff(curve, axis=0).T)
    assert steps.max() < min(0.4, 1.2 * steps.min())


# The data set


def test_counts_are_those_of_mnist(mnist):
    (_, y_train), (_, y_test) = mnist
    assert stand_in.TRAIN_COUNTS == tuple(np.bincount(y_train).tolist())
    assert stand_in.TEST_COUNTS == tuple(np.bincount(y_test).tolist())


def test_the_data_set_has_its_counts_and_no_image_twice(small):
    (x_train, y_train), (x_test, y_test) = stand_in.draw_data_set()
    assert x_train.dtype == y_train.dtype == np.uint8
    assert x_train.shape[1:] == (28, 28)
    assert tuple(np.bincount(y_train).tolist()) == stand_in.TRAIN_COUNTS
    assert tuple(np.bincount(y_test).tolist()) == stand_in.TEST_COUNTS
    assert np.count_nonzero(np.diff(y_train)) > 0.8 * len(y_train)  # shuffled
    images = {image.tobytes() for image in (*x_train, *x_test)}
    assert len(images) == len(y_train) + len(y_test)


def test_the_data_set_has_all_styles_but_the_unseen(small, monkeypatch):
    given = []
    monkeypatch.setattr(stand_in, "draw_images", lambda *words: given.append(words))
    stand_in.draw_data_set()
    (_, train_seed, styles, wild), (_, test_seed, same, ordinary) = given
    assert train_seed != test_seed
    assert wild > ordinary > 0  # trained on harder digits than tested on
    # A rare style is drawn half as often as a common one.
    assert sorted(split(styles)) == sorted(split(STYLES, STYLES, RARE))
    assert same == styles


def test_seventy_thousand_images_take_half_a_minute_at_most():
    draw_images([0], 0)  # brings SciPy
    digits = np.random.default_rng(0).integers(0, 10, 3000)
    begun = time.process_time()
    draw_images(digits, 0)
    assert (time.process_time() - begun) * 70_000 / len(digits) < 30


# What is no digit


@pytest.mark.parametrize("unseen", [False, True])
@pytest.mark.parametrize("kind", stand_in.NON_DIGITS)
def test_each_kind_gives_as_many_drawings_as_asked(kind, unseen):
    drawings = stand_in.draw_non_digits(kind, 20, 0, unseen)
    assert np.isfinite(all_points(drawings)).all()
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


@pytest.fixture
def asked(monkeypatch):
    """Record what `draw_strokes` is asked for."""
    calls, draw = [], stand_in.draw_strokes

    def record(*given):
        calls.append(given)
        return draw(*given)

    monkeypatch.setattr(stand_in, "draw_strokes", record)
    return calls


def test_two_at_once_are_never_twice_the_same_digit(asked):
    stand_in.draw_non_digits("two laid over", 300, 0)
    first, second = (digits for digits, *_ in asked)
    assert (first != second).all()
    assert set(first) == set(second) == set(range(10))


@pytest.mark.parametrize(
    ("unseen", "letters", "digits", "jitter"),
    [(False, LETTERS, STYLES, 1), (True, UNSEEN_LETTERS, UNSEEN, 0.6)],
)
def test_measuring_draws_in_styles_that_training_does_not(
    asked, unseen, letters, digits, jitter
):
    stand_in.draw_non_digits("letters", 5, 0, unseen)
    stand_in.draw_non_digits("two laid over", 5, 0, unseen)
    styles = letters, digits, digits
    assert [given[2:] for given in asked] == [(one, jitter) for one in styles]


def test_images_of_non_digits_are_by_pens_of_any_width(asked):
    images = stand_in.draw_non_digit_images(102, 0)
    assert images.shape == (102, 28, 28)
    assert images.dtype == np.float32
    assert 0 <= images.min() < images.max() <= 1
    assert [len(names) for names, *_ in asked] == [21, 21, 21, 21, 20, 20, 20]
    assert not any(styles in (UNSEEN, UNSEEN_LETTERS) for _, _, styles, _ in asked)
    letters = images[-20:].sum(axis=(1, 2))
    assert letters.max() > 1.5 * letters.min()


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
    doubted = [
        (read_drawings(stand_in.draw_non_digits(kind, 100, 1, True)) == -1).mean()
        for kind in stand_in.NON_DIGITS
    ]
    assert np.mean(doubted) > 0.8
    assert min(doubted) > 0.6
