"""Drawings that are no digit, by the stand-in's pen: so that a network can doubt.

A network that has met digits alone calls everything a digit. Shown scribbles under a
label that changes at random, it learns that there is nothing to be known: its
probabilities spread, and `networks.decide` answers "unsure". After Hendrycks, Mazeika
and Dietterich, "Deep Anomaly Detection with Outlier Exposure" (2019).
"""

from functools import partial

import numpy as np

from . import ink, standin

# As in `standin`: commas separate styles. These letters have no twin among the digits.
LETTERS = {
    "A": "09 40 40 89|25 65, 09 30 50 89|06 85, 19 12 40 72 79|15 75",
    "E": "80 10 10 19 19 89|15 65, 70 00 00 09 09 79|04 64, 81 50 12 34 54 16 28 59 88",
    "F": "10 10 19|10 80|15 65, 80 10 10 19|14 64",
    "H": "10 19|80 89|15 85, 10 10 19|80 89|04 95, 20 29 29 25 54 75 79",
    "K": "10 19|80 15 15 89, 20 29|70 26|45 79, 10 19|83 16|45 89",
    "M": "09 10 10 45 45 80 80 99, 09 00 00 46 46 90 90 99, 09 03 22 44 49 44 63 84 89",
    "N": "19 10 10 79 79 70, 09 00 00 89 89 80, 19 13 19 15 42 73 79",
    "R": "10 19|10 60 83 65 15|45 89, 19 10 70 84 15 15 89, 19 13 19 15 42 73",
    "T": "00 90|50 59, 10 90|40 49, 40 49|13 73",
    "W": "00 29 29 52 52 79 79 90, 00 19 39 53 69 79 90, 02 07 29 48 52 48 69 88 92",
    "X": "00 99|90 09, 10 79|80 19, 10 89|90 09",
}
# Never trained on: for measuring.
UNSEEN_LETTERS = {
    "A": "29 50 50 79|26 75",
    "E": "10 19|10 70|14 64|19 79",
    "F": "71 20 20 19|05 54",
    "H": "20 19|70 69|24 65",
    "K": "10 19|70 15|25 79",
    "M": "19 21 21 46 46 70 70 89",
    "N": "19 10|10 89|89 80",
    "R": "10 19|20 50 72 54 15 79",
    "T": "91 10|51 49",
    "W": "10 28 28 50 50 78 78 80",
    "X": "10 40 58 89|81 50 38 09",
}


def draw_non_digits(kind, n, seed, unseen=False):
    """Draw what is no digit.

    Parameters
    ----------
    kind : str, one of `NON_DIGITS`
    seed : int or list of int
    unseen : bool
        By an ordinary hand, in styles and letters that no network was trained on:
        for measuring. Otherwise by a wild one, for training.

    Returns
    -------
    list of list of numpy.ndarray
        Each drawing is a list of strokes ``(p, 2)``.

    Raises
    ------
    ValueError
        If there is no such kind.
    """
    if kind not in NON_DIGITS:
        raise ValueError(f"there is no {kind!r}: expected one of {[*NON_DIGITS]}")
    return NON_DIGITS[kind](n, np.random.default_rng(seed), unseen)


def draw_images(n, seed):
    """Return ``(n, 28, 28)`` float32, 0 to 1: all kinds alike, by pens of any width."""
    rng = np.random.default_rng(seed)
    images = []
    for i, kind in enumerate(NON_DIGITS.values()):
        for drawing in kind(len(range(i, n, len(NON_DIGITS))), rng, False):
            radius = np.exp(rng.normal(0.2, 0.3))  # pixels, as the stand-in's
            scale, offset = ink.fit_to_box(np.concatenate(drawing)[None], radius)
            moved = [line * scale[0] + offset[0] for line in drawing]
            # Half a pixel apart will do: the soft edge hides what lies between.
            points = np.concatenate([ink.resample(line, 0.5) for line in moved])
            images.append(ink.draw(points[None], radius)[0])
    return ink.move_to_centre(np.reshape(images, (-1, ink.SIZE, ink.SIZE)))


def _pen(names, styles, rng, unseen):
    seed, jitter = rng.integers(2**32), 0.6 if unseen else 1
    return standin.draw_strokes(names, seed, styles, jitter)


def _letters(n, rng, unseen):
    styles = UNSEEN_LETTERS if unseen else LETTERS
    return _pen(rng.choice([*styles], n), styles, rng, unseen)


def _scribbles(n, rng, unseen):
    styles = {}
    for name in range(n):
        across, down = rng.integers(0, 10, (2, rng.integers(8, 24)))
        if rng.random() < 0.4:  # a zigzag instead of a tangle
            across.sort()
            down = np.where(np.arange(len(down)) % 2, 8 - down // 3, down // 3)
        styles[name] = _points(across, down)
    return _pen(range(n), styles, rng, unseen)


def _dots_and_dashes(n, rng, unseen):
    styles = {}
    for name in range(n):
        parts = max(1, rng.integers(-1, 6))  # a single one is the most natural
        across, down = rng.integers(0, 10, (2, parts))
        strokes = [_points([x], [y]) for x, y in zip(across, down, strict=True)]
        if rng.random() < 0.5:
            end = rng.integers(0, 10, parts)
            strokes = [
                _points([x, (x + 3 + z % 4) % 10], [y, y])
                for x, y, z in zip(across, down, end, strict=True)
            ]
        styles[name] = "|".join(strokes)
    return _pen(range(n), styles, rng, unseen)


def _points(across, down):
    return " ".join(f"{x}{y}" for x, y in zip(across, down, strict=True))


def lay_beside(left, right, rng):
    """Return one drawing of two: ``left`` and ``right`` are lists of strokes (p, 2)."""
    left, right = _same_size(left, rng), _same_size(right, rng)
    edge = np.concatenate(left)[:, 0].max() - np.concatenate(right)[:, 0].min()
    away = edge + rng.uniform(0.1, 0.6), rng.normal(0, 0.15)
    return [*left, *(line + away for line in right)]


def lay_over(below, above, rng):
    """Return one drawing of two, as `lay_beside` does, their middles together."""
    below, above = _same_size(below, rng), _same_size(above, rng)
    return [*below, *(line + rng.normal(0, 0.1, 2) for line in above)]


def _same_size(drawing, rng):
    """Move the middle to (0, 0), and scale the longer side to about 1."""
    points = np.concatenate(drawing)
    low, high = points.min(axis=0), points.max(axis=0)
    size = ((high - low).max() or 1) * np.exp(rng.normal(0, 0.15))  # 1 for a dot
    return [(line - (low + high) / 2) / size for line in drawing]


def _pairs(lay, n, rng, unseen):
    first = rng.integers(0, 10, n)
    second = (first + rng.integers(1, 10, n)) % 10  # another one
    styles = standin.UNSEEN if unseen else standin.STYLES
    drawn = [_pen(digits, styles, rng, unseen) for digits in (first, second)]
    return [lay(*pair, rng) for pair in zip(*drawn, strict=True)]


NON_DIGITS = {
    "two side by side": partial(_pairs, lay_beside),
    "two laid over": partial(_pairs, lay_over),
    "scribbles": _scribbles,
    "dots and dashes": _dots_and_dashes,
    "letters": _letters,
}
