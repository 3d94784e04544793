"""The procedural pen and the data set that it draws."""

import re
import time
from collections import Counter

import numpy as np
import pytest

from digitkit import ink, stand_in
from digitkit.stand_in import RARE, STYLES, UNSEEN, draw_images, draw_strokes

ALL = [
    (digit, style.strip(), table)
    for table, styles in (("STYLES", STYLES), ("RARE", RARE), ("UNSEEN", UNSEEN))
    for digit, text in styles.items()
    for style in text.split(",")
]


# Styles


@pytest.mark.parametrize("styles", [STYLES, UNSEEN])
def test_each_digit_has_a_style(styles):
    assert sorted(styles) == list(range(10))


@pytest.mark.parametrize(("digit", "style", "table"), ALL)
def test_a_style_is_strokes_of_points(digit, style, table):
    for stroke in style.split("|"):
        assert re.fullmatch(r"[0-9]{2}( [0-9]{2})+", stroke)


def test_no_style_is_there_twice():
    styles = [style for _, style, _ in ALL]
    assert len(styles) == len(set(styles))


@pytest.mark.parametrize(("digit", "style", "table"), ALL)
def test_a_style_gives_images_of_one_digit(digit, style, table):
    images = draw_images([digit] * 30, 0, {digit: style}) / 255
    mass = images.sum(axis=(1, 2))
    assert mass.min() > 10  # pixels of ink: a thin 1 has that
    assert mass.max() < 300  # four in ten are paper at least
    assert images.max(axis=(1, 2)).min() > 0.4  # a thin line may lie between pixels
    pixels = np.arange(28)
    for axis in (1, 2):
        centre = images.sum(axis=axis) @ pixels / mass
        assert abs(centre - ink.CENTRE).max() < 0.52  # moved by whole pixels
    assert len({image.tobytes() for image in images}) == 30  # never twice the same


def without_jitter(digit, style):
    """Draw a style as it is noted."""
    [strokes] = draw_strokes([digit], 0, {digit: style}, jitter=0)
    return ink.to_image(strokes)


def test_unseen_styles_are_like_no_other():
    known = [without_jitter(d, style) for d, style, table in ALL if table != "UNSEEN"]
    for digit, style in UNSEEN.items():
        drawn = without_jitter(digit, style)
        overlap = [
            np.minimum(drawn, other).sum() / np.maximum(drawn, other).sum()
            for other in known
        ]
        assert max(overlap) < 0.9, f"{digit}: {style}"


# Images and strokes


def test_images_have_the_shape_and_type_of_mnist():
    images = draw_images([3, 1, 4, 1, 5], 0)
    assert images.shape == (5, 28, 28)
    assert images.dtype == np.uint8
    assert draw_images([], 0).shape == (0, 28, 28)


def test_a_seed_repeats_and_another_differs():
    digits = np.arange(50) % 10
    first = draw_images(digits, 7)
    np.testing.assert_array_equal(first, draw_images(digits, 7))
    assert not (first == draw_images(digits, 8)).all(axis=(1, 2)).any()
    assert not (first == draw_images(digits, [7, 1])).all(axis=(1, 2)).any()


def test_each_image_is_of_its_digit():
    # Ones have ink in the middle, zeros have none, wherever they stand in the list.
    digits = np.random.default_rng(0).permutation([0, 1] * 100)
    images = draw_images(digits, 0, {0: STYLES[0], 1: "50 59"})
    hollow = images[:, 13:16, 13:16].max(axis=(1, 2)) < 128
    assert (hollow == (digits == 0)).mean() > 0.9


def test_all_styles_of_a_digit_are_drawn():
    styles = {1: "50 59, 00 90 90 99, 00 09 99 90 00"}  # of one, two and four edges
    strokes = draw_strokes([1] * 300, 0, styles)
    points = [len(stroke) for (stroke,) in strokes]
    counts = [points.count(n) for n in sorted(set(points))]
    assert len(counts) == 3
    assert min(counts) > 60


def test_a_digit_without_style_is_refused():
    with pytest.raises(ValueError, match=r"no style for 7: expected \[3\]"):
        draw_images([3, 7], 0, {3: STYLES[3]})


def test_own_styles_can_be_drawn():
    images = draw_images([7], 0, {7: "00 90 90 39"})
    assert images.any()


@pytest.mark.parametrize("digit", range(10))
def test_strokes_become_the_same_image(digit):
    """With one style both are drawn by the same hand; the pen differs."""
    style = {digit: STYLES[digit].split(",")[0]}
    images = draw_images([digit] * 20, 3, style)
    drawings = draw_strokes([digit] * 20, 3, style, jitter=1)
    own, other = [], []
    for i, strokes in enumerate(drawings):
        image = ink.to_image(strokes).ravel()
        own.append(np.corrcoef(image, images[i].ravel())[0, 1])
        other.append(np.corrcoef(image, images[i - 1].ravel())[0, 1])
    assert np.mean(own) > 0.75
    assert np.mean(own) > np.mean(other) + 0.2


def test_drawings_are_lists_of_strokes():
    drawings = draw_strokes([4, 1, 0], 0)
    assert [len(drawing) for drawing in drawings] == [2, 2, 1]
    for drawing in drawings:
        for stroke in drawing:
            assert stroke.ndim == 2
            assert stroke.shape[1] == 2


def test_strokes_are_those_of_unseen_styles_unless_told():
    for digit in range(10):
        default = draw_strokes([digit], 1)[0]
        unseen = draw_strokes([digit], 1, UNSEEN)[0]
        for stroke, expected in zip(default, unseen, strict=True):
            np.testing.assert_array_equal(stroke, expected)


# The pen


def test_a_doubled_point_is_a_corner_and_the_pen_stays_within_its_points():
    corner = np.array([[0, 0], [9, 0], [9, 0], [9, 9]], float)
    curve = stand_in._spline(corner) @ corner
    np.testing.assert_allclose(curve[[0, -1]], corner[[0, -1]], atol=1e-9)
    assert np.hypot(*(curve - [9, 0]).T).min() < 0.2
    assert curve.min() >= 0
    assert curve.max() <= 9
    rounded = corner[[0, 1, 3]]
    curve = stand_in._spline(rounded) @ rounded
    assert np.hypot(*(curve - [9, 0]).T).min() > 1


def test_hands_differ_by_more_than_slant_and_proportions():
    # No stretching and slanting turns a straight row of points into what they write.
    row = {1: "00 22 44 66 88"}
    drawings = draw_strokes([1] * 100, 0, row)
    bent = [np.linalg.svd(s - s.mean(axis=0))[1][1] for (s,) in drawings]
    assert np.median(bent) > 1
    [(still,)] = draw_strokes([1], 0, row, jitter=0)
    assert np.linalg.svd(still - still.mean(axis=0))[1][1] < 1e-9


def test_the_wilder_the_hand_the_less_alike_its_digits():
    style = {8: STYLES[8].split(",")[0]}
    drawn = [draw_images([8] * 100, 0, style, jitter) for jitter in (0, 0.6, 1)]
    still, ordinary, wild = (images.std(axis=0).mean() for images in drawn)
    assert still < ordinary < wild


def turns(stroke):
    """Return by how many degrees the pen turns at each point of a stroke."""
    x, y = np.diff(stroke, axis=0).T
    return np.abs(np.degrees(np.diff(np.unwrap(np.arctan2(y, x)))))


def test_the_hand_wobbles_but_keeps_its_corners():
    lines = draw_strokes([1] * 50, 0, {1: "00 30 60 90"})
    assert min(turns(stroke).sum() for (stroke,) in lines) > 2  # none is straight
    corners = draw_strokes([7] * 200, 0, {7: "00 90 90 99"})
    assert min(turns(stroke).max() for (stroke,) in corners) > 35
    curves = draw_strokes([7] * 200, 0, {7: "00 90 99"})
    assert np.median([turns(stroke).max() for (stroke,) in curves]) < 15


def test_the_pen_goes_evenly():
    zigzag = np.array([[0, 0], [9, 3], [0, 6], [9, 9]], float)
    steps = np.hypot(*np.diff(stand_in._spline(zigzag) @ zigzag, axis=0).T)
    assert steps.max() < 0.4
    assert steps.max() < 1.2 * steps.min()


# The data set


@pytest.fixture
def small(monkeypatch):
    """Make the data set a hundredth as large."""
    for name in ("TRAIN_COUNTS", "TEST_COUNTS"):
        counts = tuple(count // 100 for count in getattr(stand_in, name))
        monkeypatch.setattr(stand_in, name, counts)


def test_counts_are_those_of_mnist(mnist):
    (_, y_train), (_, y_test) = mnist
    assert stand_in.TRAIN_COUNTS == tuple(np.bincount(y_train).tolist())
    assert stand_in.TEST_COUNTS == tuple(np.bincount(y_test).tolist())


def test_counts_add_up():
    assert sum(stand_in.TRAIN_COUNTS) == 60_000
    assert sum(stand_in.TEST_COUNTS) == 10_000


def test_the_data_set_has_its_counts_and_types(small):
    parts = stand_in.draw_data_set()
    all_counts = stand_in.TRAIN_COUNTS, stand_in.TEST_COUNTS
    for (images, digits), counts in zip(parts, all_counts, strict=True):
        assert images.shape == (sum(counts), 28, 28)
        assert images.dtype == digits.dtype == np.uint8
        assert tuple(np.bincount(digits).tolist()) == counts
        assert np.count_nonzero(np.diff(digits)) > 0.8 * len(digits)  # shuffled


def test_no_image_is_there_twice(small):
    (x_train, _), (x_test, _) = stand_in.draw_data_set()
    images = {image.tobytes() for image in (*x_train, *x_test)}
    assert len(images) == len(x_train) + len(x_test)


def test_the_data_set_repeats(small):
    (x_train, y_train), _ = stand_in.draw_data_set()
    (x_again, y_again), _ = stand_in.draw_data_set()
    np.testing.assert_array_equal(x_train, x_again)
    np.testing.assert_array_equal(y_train, y_again)
    (x_other, y_other), _ = stand_in.draw_data_set(seed=1)
    assert (x_train != x_other).any(axis=(1, 2)).all()
    assert (y_train != y_other).any()


def test_the_data_set_has_all_styles_but_the_unseen(small, monkeypatch):
    given = []
    monkeypatch.setattr(
        stand_in,
        "draw_images",
        lambda *arguments: given.append(arguments) or arguments[0],
    )
    stand_in.draw_data_set()
    (_, train_seed, _, wild), (_, test_seed, _, ordinary) = given
    assert train_seed != test_seed
    assert wild > ordinary > 0  # trained on harder digits than tested on
    for _, _, styles, _ in given:
        drawn = Counter(
            (digit, style.strip())
            for digit, text in styles.items()
            for style in text.split(",")
        )
        assert drawn == {
            (d, style): 1 if table == "RARE" else 2
            for d, style, table in ALL
            if table != "UNSEEN"
        }


def test_seventy_thousand_images_take_half_a_minute_at_most():
    draw_images([0], 0)  # brings SciPy
    digits = np.random.default_rng(0).integers(0, 10, 3000)
    begun = time.process_time()
    draw_images(digits, 0)
    assert (time.process_time() - begun) * 70_000 / len(digits) < 30
