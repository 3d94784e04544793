"""Paper: turn a picture of a written digit into an image as MNIST's were made.

In comes a picture file, dark on light or light on dark; out comes an image that a
network reads. What lies behind the ink is taken away first. The last steps are those
that `digitkit.ink` takes with strokes. The command line's ``predict`` uses it.
"""

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from .ink import BOX, RADIUS, SIZE, move_to_centre

LARGEST_PICTURE = 50_000_000  # pixels


def picture_to_image(path):
    """Read a picture of one digit, dark on light or light on dark, as an image.

    Parameters
    ----------
    path : path of a PNG, JPEG or any file that Pillow reads, of any size

    Returns
    -------
    ``(28, 28)`` float32, made as `to_image` makes its own; zeros if blank.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it is no picture, damaged or too large.
    """
    try:
        with Image.open(path) as picture:
            size = picture.size
            if size[0] * size[1] <= LARGEST_PICTURE:
                picture = ImageOps.exif_transpose(picture).convert("RGBA")
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist") from None
    except Exception as error:  # damaged bytes make Pillow raise nearly anything
        raise ValueError(
            f"{path} is no picture that can be read ({error}): save it as PNG or JPEG"
        ) from error
    if size[0] * size[1] > LARGEST_PICTURE:
        raise ValueError(
            f"{path} claims {size[0]} x {size[1]} pixels: expected at most "
            f"{LARGEST_PICTURE} in all; save it smaller"
        )
    picture.thumbnail((200, 200))
    # A small one is enlarged smoothly: its lines would be thickened to blocks.
    picture = ImageOps.contain(picture, (200, 200), Image.Resampling.LANCZOS)
    return _gray_to_image(_paper_and_ink(picture))


def _paper_and_ink(picture):
    """Return an ``(h, w)`` array from 0, paper, to 1, ink, of an RGBA picture."""
    opacity = np.asarray(picture.getchannel("A"), np.float32) / 255
    gray = np.asarray(picture.convert("L"), np.float32) / 255
    if opacity.min() < 0.5 < opacity.max() and np.ptp(gray[opacity > 0.5]) < 0.5:
        return opacity  # one colour on nothing: the ink is what is not transparent
    fill = np.median(gray[opacity > 0.5]) if (opacity > 0.5).any() else 1
    gray = gray * opacity + fill * (1 - opacity)
    border = np.median(np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]]))
    if gray.max() - border > border - gray.min():
        gray = 1 - gray  # light on dark
    # Paper is the lightest nearby, so that uneven light does not count as ink.
    paper = Image.fromarray(np.uint8(gray * 255)).reduce(4)
    paper = paper.filter(ImageFilter.MaxFilter(15)).filter(ImageFilter.BoxBlur(4))
    away = np.asarray(paper.resize(gray.shape[::-1]), np.float32) / 255 - gray
    if away.max() < 0.1:
        return np.zeros_like(gray)
    return np.clip((away / away.max() - 0.25) * 2, 0, 1)  # without noise


def _gray_to_image(gray):
    """Fit the ink of an ``(h, w)`` array to the box, as wide as MNIST's strokes."""
    rows, columns = (np.flatnonzero(gray.any(axis=i)) for i in (1, 0))
    if not rows.size:
        return np.zeros((SIZE, SIZE), np.float32)
    gray = gray[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    # A thin line would fade when shrunk: thicken it to the width of MNIST's.
    dark = np.pad(gray > 0.5, 1)
    edge = sum(np.count_nonzero(np.diff(dark, axis=i)) for i in (0, 1))
    width = 2.5 * dark.sum() / max(edge, 1)  # as notebook 01 measures it
    wanted = 2 * RADIUS * max(gray.shape) / BOX
    more = max(0, round((wanted - width) / 2))
    side = max(gray.shape) + 2 * more  # becomes BOX pixels
    picture = Image.fromarray(np.uint8(gray * 255))
    picture = ImageOps.expand(picture, more + round(0.7 * side))
    picture = picture.filter(ImageFilter.MaxFilter(2 * more + 1))
    whole = side * SIZE / BOX
    left, top = (picture.width - whole) / 2, (picture.height - whole) / 2
    box = (left, top, left + whole, top + whole)
    small = picture.resize((SIZE, SIZE), Image.Resampling.BOX, box=box)
    image = np.asarray(small, np.float32)[None]
    return move_to_centre(image / max(image.max(), 1))[0]
