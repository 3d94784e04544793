"""The stand-in: a procedural pen that draws digits, rare styles and what is no digit.

The pen follows control points in smooth curves, with a hand that is never the same
twice. It was written from looking at handwriting, not fitted to any data. Add your own
7! In come digits and styles, out come strokes or images, drawn through `digitkit.ink`.
`data` takes a whole data set from here if there is no MNIST; `training` mixes in rare
styles and non-digits; lessons draw with it.
"""

import re
from functools import partial

import numpy as np

from . import ink

# Commas separate styles, "|" the strokes of a style. A point is two figures: how far
# right, how far down, 0 to 9. The pen rounds points off; one given twice is a corner.
STYLES = {
    0: """50 31 23 26 38 59 77 73 61 50 40, 62 50 20 03 07 39 79 96 93 70 50,
        60 30 13 07 29 59 96 92 61 40 22, 50 10 03 07 39 89 95 81 40 43,
        40 12 05 27 58 87 94 81 50 30, 70 30 03 07 29 59 86 92 80 50,
        50 10 04 28 69 95 71 30 10, 50 20 03 07 39 79 96 93 81""",
    1: "80 19, 50 49, 70 39, 60 63 46 39, 40 59, 61 56 59, 50 59|50 69, 60 50 59 69",
    2: """24 12 30 80 84 47 09 09 99, 11 50 83 56 18 09 18 59 98, 10 80 82 09 09 99,
        12 20 60 93 55 09 09 99, 32 51 63 56 48 09 09 99, 02 40 92 75 28 09 09 98,
        03 12 40 81 84 57 28 08 16 47 79 98, 03 11 50 71 64 28 08 06 26 59 98,
        24 32 50 72 64 37 08 06 37 98, 02 30 81 74 28 08 06 35 58 95,
        02 30 71 63 36 19 08 36 57 98, 12 40 90 84 39 09 06 26 58 98,
        22 50 81 75 28 09 07 27 59 97, 12 30 70 75 39 19 07 36 68 97,
        12 41 72 55 27 08 17 38 69 99, 04 11 50 82 74 46 08 08 99,
        03 20 70 93 66 09 09 99, 10 50 72 47 09 19 59""",
    3: """10 60 72 43 74 86 48 08, 11 51 63 34 73 86 59 08, 12 50 91 54 54 96 69 07,
        11 40 80 83 44 44 84 98 59 08, 12 40 62 53 34 44 75 78 49 18,
        10 80 80 44 44 85 98 59 08, 01 60 82 43 43 84 87 49 19,
        10 71 44 35 55 77 49 08""",
    4: """10 04 26 84|80 79, 00 05 56 94|90 89, 40 06 06 86|74 49, 10 15 15 95|73 79,
        10 03 25 74|80 80 69, 70 05 06 86|70 79, 30 05 05 85|80 39,
        20 15 15 95|70 69, 50 06 06 95|50 59""",
    5: """70 20 20 03 03 53 96 79 29 07, 20 14 14 53 95 98 49 08|20 90,
        22 25 25 54 86 79 39 08|31 92, 60 20 20 15 15 54 86 69 18,
        10 14 14 64 87 69 18|10 80, 80 20 13 44 86 78 39 08,
        91 30 12 34 75 87 59 07, 80 30 30 25 54 86 59 09""",
    6: """50 13 07 39 79 86 64 35, 80 26 18 39 79 87 65 36 18, 20 06 28 69 86 65 27,
        30 04 08 49 98 95 54 16, 60 21 05 08 49 88 86 45 17, 30 04 08 59 98 76 38,
        40 15 18 49 78 66 37 28 59 99, 82 60 22 06 29 79 86 54 26 18,
        80 43 16 19 59 97 94 64 27, 50 23 16 18 39 69 77 56 37 18""",
    7: """04 02 10 70 80 64 49, 03 11 40 80 80 69, 02 00 00 90 90 49, 10 80 80 69,
        05 00 11 80 70 59|25 84, 11 30 61 90 90 55 39, 13 00 81 70 59|34 84,
        10 91 75 49, 11 80 80 59""",
    8: """50 10 13 45 86 89 49 09 06 45 83 80 50, 11 40 72 54 16 28 59 87 75 32 12 30,
        82 50 12 44 87 59 17 35 54 82 70 50, 80 40 03 25 65 86 69 38 26 55 91 70,
        71 40 12 34 76 88 49 08 36 63 71, 61 41 33 55 76 68 38 37 55 72 61,
        80 30 02 34 86 79 29 07 45 82 90, 90 50 23 45 77 69 29 27 54 81,
        10 34 68 49 28 55 90""",
    9: """60 20 04 35 74 80 80 79, 80 40 13 34 64 81 80 59, 62 40 23 34 63 71 70 79,
        90 50 03 15 56 92 90 89, 70 40 13 14 44 73 80 79, 84 35 02 40 81 84 69,
        81 40 12 24 55 83 81 86 59 18, 90 50 13 14 45 84 91 90 69,
        71 30 12 24 55 72 71 76 59, 81 50 23 15 46 83 90 90 49,
        81 51 33 35 64 82 70 73 59, 82 51 22 24 54 72 81 66 39""",
}
# Hardly in MNIST, but written by many, or seen while one draws (the last 1 and 4).
RARE = {
    0: """60 30 02 06 29 69 97 93 71 40|90 09, 41 23 25 38 58 76 73 51 41|90 09,
        50 20 03 07 39 79 96 93 80 80 18, 51 22 26 48 68 86 82 51|60 39,
        52 23 26 48 68 86 83 52|50 59, 50 31 36 49 59 76 71 50|04 95""",
    1: """23 50 50 59|29 89, 05 70 70 69|49 99, 22 40 50 50 59 29, 22 60 60 59|09 99,
        14 40 50 50 59, 12 33 60 60 69, 50 59|29 89, 04 60 60 59, 23 50 50 59,
        13 31 50 50 59, 24 32 50 50 49, 14 50 50 59 59 19 19 89, 05 95""",
    4: "40 14 14 74 74 49, 30 05 05 75 75 59, 20 15 45 84 82 59, 20 08 08 89",
    5: "13 14 54 87 69 08|30 90, 33 24 54 85 88 49 08|10 80",
    6: "81 40 03 08 49 88 85 55 36, 81 40 03 08 49 88 85 45 27",
    7: """02 00 00 90 90 49|35 95, 01 40 90 64 49|24 75, 11 80 80 59|34 94,
        00 90 90 39|25 85, 13 12 50 91 84 47 19|36 86, 14 21 60 91 74 36 09|35 85""",
    8: "31 60 72 44 17 29 69 87 64 35, 20 23 46 77 59 27 46 73 70",
    9: "60 21 24 54 73 71 76 69 28, 72 40 22 44 73 72 77 59 17",
}
# Never trained on: for measuring how a network reads a hand that is new to it.
UNSEEN = """70 92 96 59 17 13 40 80, 33 50 50 59|39 79, 13 40 82 56 07 19 58 99,
    10 90 90 54 85 97 59 18, 40 16 16 96|73 78, 91 31 24 54 85 78 39 09,
    40 03 08 59 87 64 25 07, 02 10 80 80 55 49|34 84, 60 20 13 55 88 59 18 26 73 80 50,
    71 30 13 35 73 81 88 59 27"""
UNSEEN = dict(enumerate(UNSEEN.split(",")))
TRAIN_COUNTS = (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)  # MNIST's
TEST_COUNTS = (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009)


def draw_data_set(seed=0):
    """Draw ``(images, digits)`` to train and to test, as many of each as MNIST has."""
    styles = {digit: f"{STYLES[digit]}, {STYLES[digit]}" for digit in STYLES}
    for digit in RARE:  # half as often as a common style
        styles[digit] += "," + RARE[digit]
    sets = []
    for part, (counts, jitter) in enumerate([(TRAIN_COUNTS, 1), (TEST_COUNTS, 0.6)]):
        digits = np.repeat(np.arange(10, dtype=np.uint8), counts)
        np.random.default_rng([seed, part]).shuffle(digits)
        sets.append((draw_images(digits, [seed, part, 1], styles, jitter), digits))
    return tuple(sets)


def draw_images(digits, seed, styles=STYLES, jitter=1):
    """Return an image of each digit, uint8 ``(n, 28, 28)``, 0 paper to 255 ink.

    Parameters
    ----------
    digits : (n,) integers that `styles` has
    seed : int or list of int
    styles : dict of str, as ``{7: "00 90 90 39"}``
    jitter : float, 1 for the wild hand that trains, 0.6 for an ordinary one
    """
    images = np.zeros((len(digits), ink.SIZE, ink.SIZE), np.uint8)
    rng = np.random.default_rng(seed)
    for chosen, strokes in _write(digits, rng, styles, jitter):
        points = np.concatenate(strokes, axis=1)
        radius = np.exp(rng.normal(0.2, 0.3, (len(chosen), 1)))  # pixels
        # The ink's edge is ragged, more so of a thicker pen.
        ragged = rng.normal(0, 0.13 * jitter, (len(chosen), 1, 1)) * radius[..., None]
        points += ragged * rng.normal(size=points.shape)
        scale, offset = ink.fit_to_box(points, radius)
        drawn = ink.draw(points * scale + offset, radius)
        images[chosen] = np.rint(ink.move_to_centre(drawn) * 255)
    return images


def draw_strokes(digits, seed, styles=UNSEEN, jitter=0.6):
    """Return each digit as a list of strokes ``(p, 2)``, in styles never trained on.

    Parameters
    ----------
    digits, seed, styles, jitter : as `draw_images` takes them
    """
    drawings = [None] * len(digits)
    for chosen, strokes in _write(digits, np.random.default_rng(seed), styles, jitter):
        for i, position in enumerate(chosen):
            drawings[position] = [stroke[i] for stroke in strokes]
    return drawings


def _write(digits, rng, styles, jitter):
    """Yield positions among `digits`, and their strokes, each ``(n, p, 2)``."""
    digits, luck = np.asarray(digits), rng.random(len(digits))  # for choosing the style
    for digit in np.unique(digits).tolist():
        if digit not in styles:
            raise ValueError(f"there is no style for {digit}: expected {list(styles)}")
        lines = styles[digit].split(",")
        for i, style in enumerate(lines):
            chosen = np.flatnonzero((digits == digit) & (luck * len(lines) // 1 == i))
            for start in range(0, len(chosen), 200):  # what fits the processor's cache
                few = chosen[start : start + 200]
                yield few, _hand(style, len(few), rng, jitter)


def _hand(style, n, rng, jitter):
    """Write a style `n` times: as many hands, each of its own slant and proportions."""
    slant, turn, width = rng.normal(0, 1, (3, n)) * [[0.32], [0.16], [0.22]] * jitter
    width = np.exp(width - 0.2)
    slanted = np.array([[width, turn * width], [slant, np.ones(n)]])
    squeeze = np.exp(rng.normal(0, 0.25 * jitter, (n, 1, 2)))
    bend = rng.normal(0, 0.8 * jitter, (n, 1, 2))
    strokes = []
    for line in style.split("|"):
        if not re.fullmatch(r"(\s*\b\d\d\b)+\s*", line):
            raise ValueError(f"{line!r} is no stroke: expected points, as 00 90 90 39")
        control = np.array([[int(x), int(y)] for x, y in line.split()], float)
        corner = np.r_[False, (np.diff(control, axis=0) == 0).all(axis=1)]
        wobble = rng.normal(0, 0.75 * jitter, (n, *control.shape))
        wobble[:, corner] = wobble[:, np.flatnonzero(corner) - 1]  # stays a corner
        moved = control + wobble + rng.normal(0, 0.35 * jitter, (n, 1, 2))
        moved = np.clip((moved + 1) / 11, 0, 1) ** squeeze * 11 - 1
        moved += bend * (moved[..., ::-1] / 4.5 - 1) ** 2
        strokes.append(_spline(control) @ moved @ slanted.transpose(2, 0, 1))
    return strokes


def _spline(control):
    """Return the matrix ``(p, k)`` from control points to even points on the curve."""
    from scipy.interpolate import BSpline

    k = len(control)
    basis = BSpline(np.arange(k + 5) - 2, np.eye(k)[np.r_[0, :k, k - 1]], 2)
    t = np.linspace(0, k, 50 * k)
    along = np.r_[0, np.cumsum(np.hypot(*np.diff(basis(t) @ control, axis=0).T))]
    even = np.linspace(0, along[-1], int(along[-1] * 3) + 2)
    return basis(np.interp(even, along, t))


# What is no digit
#
# A network that has met digits alone calls everything a digit. If it is shown scribbles
# under a label that changes at random, it learns that there is nothing to know: its
# probabilities spread, and `networks.decide` answers "unsure". After Hendrycks, Mazeika
# and Dietterich, "Deep Anomaly Detection with Outlier Exposure" (2019).

# Written like the digits' styles. These letters have no twin among the digits.
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


def draw_non_digit_images(n, seed):
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
    return draw_strokes(names, seed, styles, jitter)


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
    styles = UNSEEN if unseen else STYLES
    drawn = [_pen(digits, styles, rng, unseen) for digits in (first, second)]
    return [lay(*pair, rng) for pair in zip(*drawn, strict=True)]


NON_DIGITS = {
    "two side by side": partial(_pairs, lay_beside),
    "two laid over": partial(_pairs, lay_over),
    "scribbles": _scribbles,
    "dots and dashes": _dots_and_dashes,
    "letters": _letters,
}
