"""Ink: turn strokes into an image as MNIST's were made.

MNIST's images were fitted to a 20x20 box with their aspect kept, anti-aliased, and
placed with their centre of mass at the centre of 28x28 pixels (LeCun, Cortes and
Burges, "The MNIST database of handwritten digits", 1998). A network trained on them
reads a drawing well only if the drawing takes the same road. The pads, the stand-in's
pen and `digitkit.paper` all end here; this room uses no other.
"""

import base64
import io

import numpy as np
from PIL import Image

SIZE = 28  # pixels on each side of an image
BOX = 20  # pixels on each side of the box that the ink is fitted to
CENTRE = 14  # row and column of the centre of mass: measured on MNIST (notebook 01)
RADIUS = 1.2  # of the pen, in pixels: gives the mean ink of MNIST's images
SPACING = 0.25  # pixels between the points that a stroke is drawn with


def to_image(strokes, fit=True, centre=True):
    """Draw strokes as a 28x28 image, as MNIST's were made.

    Parameters
    ----------
    strokes : list of list of (x, y)
        y downwards. Any unit and place, unless `fit` is false.
    fit : bool
        Fit the ink to the 20x20 box. If false, `strokes` are taken to lie on a
        canvas from 0 to 1 that is plainly shrunk to 28x28.
    centre : bool
        Move the centre of mass to the centre of the image, by whole pixels.

    Returns
    -------
    numpy.ndarray
        ``(28, 28)`` float32, 0 paper to 1 ink; all zeros if there are no points.

    Raises
    ------
    ValueError
        If a stroke is not a list of finite ``(x, y)``.

    Examples
    --------
    >>> image = to_image([[(5, 0), (5, 10)]])  # a 1
    >>> image.shape, float(image[14, 14]), float(image[14, 2])
    ((28, 28), 1.0, 0.0)
    """
    try:
        strokes = [as_points(stroke) for stroke in strokes]
    except TypeError:
        raise ValueError(f"expected a list of strokes, received {strokes}") from None
    strokes = [stroke for stroke in strokes if len(stroke)]
    if not strokes:
        return np.zeros((SIZE, SIZE), np.float32)
    if fit:
        scale, offset = fit_to_box(np.concatenate(strokes)[None])
        strokes = [stroke * scale[0] + offset[0] for stroke in strokes]
    else:
        # What lies far off the canvas is not seen, and would need many points.
        strokes = [stroke.clip(-1, 2) * SIZE - 0.5 for stroke in strokes]
    points = np.concatenate([resample(stroke) for stroke in strokes])
    images = draw(points[None])
    return (move_to_centre(images) if centre else images)[0]


def image_to_url(image, scale=3):
    """Return an image as a ``data:`` URL, a picture written as text: for a page.

    Parameters
    ----------
    image : (h, w) from 0, paper, to 1, ink
    scale : int
        How many pixels wide each of its pixels is shown.

    Returns
    -------
    str
        A PNG in base64, black on white.

    Examples
    --------
    >>> image_to_url(np.zeros((28, 28)))[:22]
    'data:image/png;base64,'
    """
    gray = np.uint8(255 - 255 * np.clip(image, 0, 1))
    file = io.BytesIO()
    Image.fromarray(gray.repeat(scale, axis=0).repeat(scale, axis=1)).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def as_points(stroke):
    """Return one stroke as ``(n, 2)`` float64, or raise ValueError."""
    try:
        points = np.asarray(stroke, np.float64)
    except (TypeError, ValueError, OverflowError):
        points = np.empty(())
    if points.shape == (0,):
        points = points.reshape(0, 2)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(
            "a stroke is a list of (x, y) with finite numbers, as [(0, 0), (3, 4)]; "
            f"received {str(stroke)[:60]}"
        )
    return points


def fit_to_box(points, radius=RADIUS):
    """Find the scale and offset that fit drawings to the 20x20 box.

    Parameters
    ----------
    points : (n, p, 2), any unit
    radius : float or (n, 1), pixels

    Returns
    -------
    scale : (n, 1, 1), offset : (n, 1, 2)
        ``points * scale + offset`` are pixels.
    """
    low, high = points.min(axis=1), points.max(axis=1)
    side = (high - low).max(axis=1, keepdims=True)
    room = BOX - 0.5 - 2 * radius  # half a pixel for the soft edge
    scale = room / np.where(side > 0, side, np.inf)
    offset = (SIZE - 1) / 2 - (low + high) / 2 * scale
    return scale[:, None], offset[:, None]


def resample(stroke, spacing=SPACING):
    """Return points along a stroke ``(n, 2)``, at most `spacing` apart."""
    steps = np.hypot(*np.diff(stroke, axis=0).T)
    along = np.concatenate([[0], np.cumsum(steps)])
    even = np.linspace(0, along[-1], int(np.ceil(along[-1] / spacing)) + 1)
    return np.stack([np.interp(even, along, stroke[:, i]) for i in (0, 1)], axis=1)


def draw(points, radius=RADIUS):
    """Draw points as ink: each pixel by its distance to the nearest point.

    Parameters
    ----------
    points : (n, p, 2), pixels; the centre of the first pixel is (0, 0)
    radius : float or (n, 1), pixels

    Returns
    -------
    (n, 28, 28) float32, 0 to 1, with a soft edge one pixel wide.
    """
    pixels = np.arange(SIZE, dtype=np.float32)
    points = points.astype(np.float32)
    across = (points[..., :1] - pixels) ** 2  # (n, p, 28): by column
    down = (points[..., 1:] - pixels) ** 2  # (n, p, 28): by row
    nearest = np.full((len(points), SIZE, SIZE), np.inf, np.float32)
    step = max(1, 2**18 // nearest.size)  # what fits the processor's cache
    for i in range(0, points.shape[1], step):
        few = slice(i, i + step)
        squared = down[:, few, :, None] + across[:, few, None, :]
        np.minimum(nearest, squared.min(axis=1), out=nearest)
    edge = np.reshape(np.float32(radius) + 0.5, (-1, 1, 1))
    return np.clip(edge - np.sqrt(nearest), 0, 1)


def move_to_centre(images):
    """Shift images ``(n, 28, 28)`` by whole pixels, the centre of mass to (14, 14).

    No shift pushes ink over the border; blank images stay as they are.
    """
    moved = np.zeros_like(images)
    pixels = np.arange(SIZE)
    for image, target in zip(images, moved, strict=True):
        if not image.any():
            continue
        shifts = []
        for profile in (image.sum(axis=1), image.sum(axis=0)):  # rows, then columns
            inked = np.flatnonzero(profile)
            off = CENTRE - profile @ pixels / profile.sum()
            # An even drawing is off by just half a pixel: always round that down.
            shift = round(off - 1e-3)
            shifts.append(int(np.clip(shift, -inked[0], SIZE - 1 - inked[-1])))
        target[:] = np.roll(image, shifts, axis=(0, 1))
    return moved
