"""A data set like MNIST, drawn by a procedural pen: for machines without MNIST.

The pen follows control points in smooth curves, with a hand that is never twice the
same. Written from looking at handwriting, not fitted to any data. Add your own 7!
"""

import re

import numpy as np

from . import ink

# Commas separate styles, "|" the strokes of a style. A point is two figures: how far
# right, how far down, 0 to 9. The pen rounds points off; one given twice is a corner.
STYLES = {
    0: """60 30 02 06 29 69 97 93 71 40, 50 31 23 26 38 59 77 73 61 50 40,
        50 20 03 07 39 79 96 93 81, 40 70 93 97 69 29 06 02 30 50,
        40 12 05 27 58 87 94 81 50 30, 20 12 05 28 69 96 92 60 20 41 72,
        62 50 20 03 07 39 79 96 93 70 50""",
    1: "50 59, 80 19, 50 49, 70 39, 60 63 46 39, 40 59, 61 56 59",
    2: """12 20 60 93 55 09 09 99, 03 20 70 93 66 09 09 99,
        12 30 80 84 38 19 08 27 59 99, 12 30 80 84 38 29 08 17 48 79 97,
        13 20 60 83 56 08 08 38 69 98, 10 80 82 09 09 99, 24 12 30 80 84 47 09 09 99,
        02 40 92 75 28 09 09 98, 11 50 83 56 18 09 18 59 98,
        12 40 90 84 39 09 06 26 58 98, 22 50 81 75 28 09 07 27 59 97,
        12 30 70 75 39 19 07 36 68 97, 02 30 81 74 28 08 06 35 58 95""",
    3: """11 40 80 83 44 44 84 98 59 08, 11 40 83 54 44 54 96 59 08,
        11 60 83 54 33 45 85 98 49 08, 10 80 80 44 44 85 98 59 08,
        02 30 81 74 44 44 96 88 39 07, 21 50 72 54 44 44 76 78 49 18,
        12 50 91 54 54 96 69 07, 01 60 82 43 43 84 87 49 19""",
    4: """20 15 15 95|70 69, 10 04 26 84|80 79, 60 06 06 96|60 69, 95 05 05 60 60 69,
        10 14 35 74 80 80 69, 10 15 15 95|73 79, 00 05 56 94|90 89, 40 06 06 86|74 49,
        30 05 05 85|80 39, 10 03 25 74|80 80 69""",
    5: """20 14 14 53 95 98 49 08|20 90, 90 20 20 14 14 64 97 69 08,
        80 20 13 44 86 78 39 08, 91 30 12 34 75 87 59 07, 10 14 14 64 87 69 18|10 80,
        70 20 20 03 03 53 96 79 29 07, 60 20 20 15 15 54 86 69 18,
        22 25 25 54 86 79 39 08|31 92, 80 30 30 25 54 86 59 09""",
    6: """60 21 05 08 49 88 86 45 17, 70 14 08 49 88 85 44 17, 50 13 07 39 79 86 64 35,
        70 23 06 28 69 97 84 44 07, 50 23 16 18 39 69 77 56 37 18,
        82 60 22 06 29 79 86 54 26 18, 80 26 18 39 79 87 65 36 18,
        30 04 08 49 98 95 54 16, 40 15 18 49 78 66 37 28 59 99,
        60 13 06 19 69 97 84 44 07, 80 43 16 19 59 97 94 64 27""",
    7: """00 90 90 39, 11 80 80 59, 02 00 00 90 90 49, 01 40 90 64 49, 10 91 75 49,
        11 30 61 90 90 55 39, 10 80 80 69, 03 11 40 71 90 66 59""",
    8: """82 50 12 44 87 59 17 35 54 82 70 50,
        50 22 34 54 73 61 40|54 26 18 59 88 76 54 44,
        44 12 30 70 83 44 16 18 59 88 86 44, 11 40 72 54 16 28 59 87 75 32 12 30,
        71 40 22 44 76 68 39 27 44 71 61, 91 50 12 44 87 59 17 26 54 80,
        61 30 23 55 77 69 29 17 36 62 51, 80 30 02 34 86 79 29 07 45 82 90,
        80 40 12 34 76 79 39 18 45 72 90, 90 50 23 45 77 69 29 27 54 81,
        61 41 33 55 76 68 38 37 55 72 61""",
    9: """82 50 12 15 46 74 80 80 79, 81 40 12 24 55 83 81 86 59 18,
        60 20 04 35 74 80 80 79, 81 50 23 15 46 83 90 90 49,
        80 40 12 24 55 84 81 60 30|81 79, 72 50 32 34 55 73 71 68 49,
        90 50 03 15 56 92 90 89, 84 35 02 40 81 84 69, 71 30 12 24 55 72 71 76 59,
        82 51 22 24 54 72 81 66 39, 71 40 12 14 44 72 71 59 49,
        80 50 23 34 64 82 90 66 48, 60 30 22 34 64 72 60 62 49,
        81 51 33 35 64 82 70 73 59""",
}
# Written by many people, but hardly in MNIST: what a network trained on it misreads.
RARE = {
    0: """60 30 02 06 29 69 97 93 71 40|90 09, 50 20 03 07 39 79 96 93 80 80 18,
        40 70 93 97 69 29 06 02 30 50|72 27, 41 23 25 38 58 76 73 51 41|90 09,
        52 33 35 47 57 65 63 52|80 19, 50 31 36 49 59 76 71 50|04 95,
        51 32 36 48 58 76 72 51|05 94, 51 22 26 48 68 86 82 51|60 39,
        52 23 26 48 68 86 83 52|50 59""",
    1: """23 50 50 59, 04 60 60 59, 12 33 60 60 69, 14 40 50 50 59, 05 70 70 69|49 99,
        23 50 50 59|29 89, 22 60 60 59|09 99, 50 59|29 89, 22 40 50 50 59 29""",
    4: "40 14 14 74 74 49, 30 05 05 75 75 59, 20 15 45 84 82 59",
    5: """13 14 54 87 69 08|30 90, 33 24 54 85 88 49 08|10 80,
        24 34 74 96 78 39 08|20 90, 23 34 64 96 88 49 08|31 81, 14 54 86 69 08|20 91""",
    6: "81 40 03 08 49 88 85 55 36, 81 40 03 08 49 88 85 45 27",
    7: """00 90 90 39|25 85, 02 00 00 90 90 49|35 95, 11 80 80 59|34 94,
        01 40 90 64 49|24 75""",
    8: """31 60 72 44 17 29 69 87 64 35, 11 23 54 86 69 29 17 35 63 81,
        81 50 23 54 86 69 28 26 45 63""",
    9: "60 21 24 54 73 71 76 69 28, 72 40 22 44 73 72 77 59 17",
}
# Never trained on: for measuring how a network reads a hand that is new to it.
UNSEEN = """70 92 96 59 17 13 40 80, 33 50 50 59|39 79, 13 40 82 56 07 19 58 99,
    10 90 90 54 85 97 59 18, 40 16 16 96|73 78, 91 31 24 54 85 78 39 09,
    40 03 08 59 87 64 25 07, 02 10 80 80 55 49|34 84,
    60 20 13 55 88 59 18 26 73 80 50, 71 30 13 35 73 81 88 59 27"""
UNSEEN = dict(enumerate(UNSEEN.split(",")))  # one for each digit
TRAIN_COUNTS = (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)  # MNIST's
TEST_COUNTS = (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009)


def draw_data_set(seed=0):
    """Draw a data set with MNIST's shapes, types and count of each digit.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        uint8 images ``(60000, 28, 28)`` and ``(10000, 28, 28)``, their digits.
    """
    styles = {d: f"{STYLES[d]}, {RARE[d]}" if d in RARE else STYLES[d] for d in STYLES}
    sets = []
    for part, counts in enumerate((TRAIN_COUNTS, TEST_COUNTS)):
        digits = np.repeat(np.arange(10, dtype=np.uint8), counts)
        np.random.default_rng([seed, part]).shuffle(digits)
        sets.append((draw_images(digits, [seed, part, 1], styles), digits))
    return tuple(sets)


def draw_images(digits, seed, styles=STYLES):
    """Draw an image of each digit: ``draw_images([7], 1, {7: "00 90 90 39"})``, say.

    Parameters
    ----------
    digits : (n,) integers that `styles` has
    seed : int or list of int
    styles : dict of str

    Returns
    -------
    (n, 28, 28) uint8, 0 paper to 255 ink.
    """
    images = np.zeros((len(digits), ink.SIZE, ink.SIZE), np.uint8)
    rng = np.random.default_rng(seed)
    for chosen, strokes in _write(digits, rng, styles):
        radius = np.exp(rng.normal(0.2, 0.3, (len(chosen), 1)))  # pixels
        points = np.concatenate(strokes, axis=1)
        scale, offset = ink.fit_to_box(points, radius)
        drawn = ink.draw(points * scale + offset, radius)
        images[chosen] = np.rint(ink.move_to_centre(drawn) * 255)
    return images


def draw_strokes(digits, seed, styles=UNSEEN):
    """Draw each digit as strokes, by default in styles no network was trained on.

    Parameters
    ----------
    digits, seed, styles : as `draw_images` takes them

    Returns
    -------
    list of list of (p, 2), the strokes of each drawing
    """
    drawings = [None] * len(digits)
    for chosen, strokes in _write(digits, np.random.default_rng(seed), styles):
        for i, position in enumerate(chosen):
            drawings[position] = [stroke[i] for stroke in strokes]
    return drawings


def _write(digits, rng, styles):
    """Yield positions among `digits`, and their strokes, each ``(n, p, 2)``."""
    digits = np.asarray(digits)
    luck = rng.random(len(digits))  # decides the style
    for digit in np.unique(digits).tolist():
        if digit not in styles:
            raise ValueError(f"there is no style for {digit}: expected {list(styles)}")
        lines = styles[digit].split(",")
        for i, style in enumerate(lines):
            chosen = np.flatnonzero((digits == digit) & (luck * len(lines) // 1 == i))
            for start in range(0, len(chosen), 200):
                few = chosen[start : start + 200]
                yield few, _hand(style, len(few), rng)


def _hand(style, n, rng):
    """Write a style `n` times: points, slant, turn and width a little off each time."""
    slant, turn = rng.normal(0.15, 0.25, n), rng.normal(0, 0.08, n)
    width, height = np.exp(rng.normal(-0.1, 0.22, n)), np.full(n, 1.35)
    hand = np.array([[width, turn * width], [slant * height, height]])
    strokes = []
    for line in style.split("|"):
        if not re.fullmatch(r"(\s*\b\d\d\b)+\s*", line):
            raise ValueError(f"{line!r} is no stroke: expected points, as 00 90 90 39")
        control = np.array([[int(x), int(y)] for x, y in line.split()], float)
        corner = np.r_[False, (np.diff(control, axis=0) == 0).all(axis=1)]
        wobble = rng.normal(0, 0.55, (n, *control.shape))
        wobble[:, corner] = wobble[:, np.flatnonzero(corner) - 1]  # stays a corner
        moved = control + wobble + rng.normal(0, 0.35, (n, 1, 2))
        strokes.append(_spline(control) @ moved @ hand.transpose(2, 0, 1))
    return strokes


def _spline(control):
    """Return the matrix ``(p, k)`` from `k` control points to even points on the curve.

    A uniform quadratic B-spline (de Boor, "A Practical Guide to Splines", 1978).
    """
    k = len(control)

    def basis(t):
        piece = np.minimum(t.astype(int), k - 1)
        s = t - piece
        rows = np.zeros((len(t), k))
        for step, weight in ((-1, (1 - s) ** 2), (0, 1 + 2 * s * (1 - s)), (1, s**2)):
            at = np.clip(piece + step, 0, k - 1)
            np.add.at(rows, (np.arange(len(t)), at), weight / 2)
        return rows

    t = np.linspace(0, k, 50 * k)
    along = np.r_[0, np.cumsum(np.hypot(*np.diff(basis(t) @ control, axis=0).T))]
    even = np.linspace(0, along[-1], int(along[-1] * 3) + 2)
    return basis(np.interp(even, along, t))
