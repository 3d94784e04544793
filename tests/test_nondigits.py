"""Drawings that are no digit."""

import itertools

import numpy as np
import pytest

from digitkit import ink, stand_in
from digitkit.networks import decide, load_network
from digitkit.stand_in import (
    LETTERS,
    NON_DIGITS,
    UNSEEN_LETTERS,
    draw_non_digit_images,
    draw_non_digits,
)


@pytest.mark.parametrize("unseen", [False, True])
@pytest.mark.parametrize("kind", NON_DIGITS)
def test_each_kind_gives_as_many_drawings_as_asked(kind, unseen):
    drawings = draw_non_digits(kind, 20, 0, unseen)
    assert len(drawings) == 20
    for drawing in drawings:
        for stroke in drawing:
            points = ink.as_points(stroke)  # raises if a point is not finite
            assert len(points)
    images = np.stack([ink.to_image(drawing) for drawing in drawings])
    assert images.max(axis=(1, 2)).min() > 0.8
    assert len({image.tobytes() for image in images}) > 12  # dots are all alike
    assert draw_non_digits(kind, 0, 0, unseen) == []


@pytest.mark.parametrize("kind", NON_DIGITS)
def test_a_seed_repeats_and_another_differs(kind):
    def flat(seed):
        drawings = draw_non_digits(kind, 10, seed)
        return np.concatenate([stroke for drawing in drawings for stroke in drawing])

    np.testing.assert_array_equal(flat(3), flat(3))
    assert not np.array_equal(flat(3), flat(4))


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match=r"flower.*scribbles"):
        draw_non_digits("flower", 1, 0)


def test_letters_without_a_twin_in_styles_that_are_all_different():
    assert sorted(LETTERS) == sorted(UNSEEN_LETTERS) == list("AEFHKMNRTWX")
    texts = [*LETTERS.values(), *UNSEEN_LETTERS.values()]
    styles = [style.strip() for text in texts for style in text.split(",")]
    assert len(styles) == len(set(styles))


def test_two_side_by_side_do_not_touch_and_two_laid_over_do():
    def gap(drawing):
        """Return the widest empty strip between strokes, as a share of the width."""
        spans = sorted((line[:, 0].min(), line[:, 0].max()) for line in drawing)
        reach = itertools.accumulate((end for _, end in spans), max)
        gaps = [start - end for end, (start, _) in zip(reach, spans[1:], strict=False)]
        return max(gaps) / np.ptp(np.concatenate(drawing)[:, 0])

    beside = [gap(drawing) for drawing in draw_non_digits("two side by side", 50, 0)]
    over = [gap(drawing) for drawing in draw_non_digits("two laid over", 50, 0)]
    assert min(beside) > 0
    assert np.mean(np.array(over) < 0) > 0.9


def test_two_at_once_are_never_twice_the_same_digit(monkeypatch):
    asked, draw = [], stand_in.draw_strokes

    def record(digits, *rest):
        asked.append(digits)
        return draw(digits, *rest)

    monkeypatch.setattr(stand_in, "draw_strokes", record)
    draw_non_digits("two laid over", 300, 0)
    first, second = asked
    assert (first != second).all()
    assert set(first) == set(second) == set(range(10))


def test_measuring_draws_in_styles_that_training_does_not(monkeypatch):
    used = {True: [], False: []}
    draw = stand_in.draw_strokes
    for unseen in used:

        def record(names, seed, styles, jitter, unseen=unseen):
            used[unseen].append((styles, jitter))
            return draw(names, seed, styles, jitter)

        monkeypatch.setattr(stand_in, "draw_strokes", record)
        for kind in ("letters", "two laid over"):
            draw_non_digits(kind, 5, 0, unseen)
    pairs = [(LETTERS, 1), *2 * [(stand_in.STYLES, 1)]]
    assert used[False] == pairs
    assert used[True] == [(UNSEEN_LETTERS, 0.6), *2 * [(stand_in.UNSEEN, 0.6)]]


def test_images_are_of_all_kinds_alike_by_pens_of_any_width(monkeypatch):
    counts = {}
    for kind, make in NON_DIGITS.items():

        def counted(n, rng, unseen, kind=kind, make=make):
            counts[kind] = n
            assert not unseen
            return make(n, rng, unseen)

        monkeypatch.setitem(stand_in.NON_DIGITS, kind, counted)
    images = draw_non_digit_images(102, 0)
    assert images.shape == (102, 28, 28)
    assert images.dtype == np.float32
    assert 0 <= images.min() < images.max() <= 1
    assert [*counts.values()] == [21, 21, 20, 20, 20]
    np.testing.assert_array_equal(images, draw_non_digit_images(102, 0))
    letters = images[-20:].sum(axis=(1, 2))
    assert letters.max() > 1.5 * letters.min()
    assert draw_non_digit_images(0, 0).shape == (0, 28, 28)


@pytest.mark.slow
def test_the_shipped_network_doubts_them_and_hardly_any_digit():
    model = load_network("shipped")

    def doubted(drawings):
        images = np.stack([ink.to_image(drawing) for drawing in drawings])
        probabilities = model.predict(images, batch_size=500, verbose=0)
        return np.mean([decide(row) is None for row in probabilities])

    refused = [doubted(draw_non_digits(kind, 100, 1, True)) for kind in NON_DIGITS]
    assert np.mean(refused) > 0.8
    assert min(refused) > 0.6
    assert doubted(stand_in.draw_strokes(np.arange(500) % 10, 1)) < 0.03
