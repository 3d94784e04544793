"""From a picture file to an image as MNIST's were made."""

import io
import math
import struct
import time
import zlib

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image, ImageDraw

from digitkit.ink import to_image
from digitkit.paper import picture_to_image

ONE = [[(5, 0), (5, 10)]]
SEVEN = [[(0, 0), (6, 0), (3, 10)], [(1, 5), (6, 5)]]
LOOP = [(3 + 3 * math.cos(t / 9), 3 + 3 * math.sin(t / 9)) for t in range(57)]
NINE = [[*LOOP, (5, 10)]]


def picture(strokes, size=400, width=26, paper=255, ink=0, mode="L"):
    """Draw strokes with Pillow, their longer side 0.6 of the picture's."""
    flat = np.array([point for stroke in strokes for point in stroke], float)
    low, high = flat.min(axis=0), flat.max(axis=0)
    scale = 0.6 * size / (high - low).max()
    canvas = Image.new(mode, (size, size), paper)
    pen = ImageDraw.Draw(canvas)
    for stroke in strokes:
        middle = (np.array(stroke) - (low + high) / 2) * scale + size / 2
        pen.line([tuple(point) for point in middle], ink, width, joint="curve")
        for x, y in middle:
            pen.circle((x, y), width / 2, ink)
    return canvas


@pytest.fixture
def read(tmp_path):
    """Save a picture, and read it."""

    def save_and_read(canvas, name="digit.png", **options):
        canvas.save(tmp_path / name, **options)
        return picture_to_image(tmp_path / name)

    return save_and_read


def likeness(a, b):
    """Return how images correlate, the first moved by at most a pixel.

    Moving by whole pixels turns a hair's difference into a pixel's.
    """
    steps = (-1, 0, 1)
    moved = [np.roll(a, (i, j), axis=(0, 1)) for i in steps for j in steps]
    return max(np.corrcoef(image.ravel(), b.ravel())[0, 1] for image in moved)


@pytest.mark.parametrize("strokes", [ONE, SEVEN, NINE], ids=["1", "7", "9"])
@pytest.mark.parametrize("size", [100, 2000])
def test_a_picture_of_a_drawing_gives_the_drawing_s_image(read, strokes, size):
    width = round(size * 0.6 * 2.4 / 17.1)
    dark = read(picture(strokes, size, width))
    assert likeness(dark, to_image(strokes)) > 0.9
    light = read(picture(strokes, size, width, paper=0, ink=255))
    np.testing.assert_allclose(light, dark, atol=0.02)


@pytest.mark.parametrize(
    ("mode", "paper", "ink"),
    [
        ("RGBA", (0, 0, 0, 0), (0, 0, 0, 255)),
        ("RGBA", (255, 255, 255, 0), (255, 255, 255, 255)),
        ("RGBA", (0, 0, 0, 0), (200, 30, 30, 255)),
        ("LA", (0, 0), (0, 255)),
        ("RGB", (250, 245, 230), (20, 30, 120)),
        ("RGB", (20, 60, 30), (240, 240, 200)),
        ("1", 1, 0),
        ("CMYK", (0, 0, 0, 0), (0, 0, 0, 255)),
        ("I;16", 65535, 0),
    ],
)
def test_every_paper_and_ink_is_read(read, mode, paper, ink):
    image = read(picture(SEVEN, mode=mode, paper=paper, ink=ink), "digit.tiff")
    assert likeness(image, read(picture(SEVEN))) > 0.97


@pytest.mark.parametrize("light", [1, 0.6, 0.3])
def test_noise_and_uneven_light_are_no_ink(read, light):
    shade = np.linspace(light, 1, 400)  # darker to the left
    noise = np.random.default_rng(0).normal(0, 4, (400, 400))
    gray = np.asarray(picture(SEVEN, paper=250, ink=60), float) * shade + noise
    photo = Image.fromarray(np.uint8(gray.clip(0, 255)))
    image, clean = read(photo, "digit.jpg", quality=40), read(picture(SEVEN))
    assert likeness(image, clean) > 0.9
    assert image[clean == 0].mean() < 0.01, "the paper is white"


def test_what_lies_round_a_card_does_not_matter(read):
    sheet = Image.new("RGBA", (600, 600))
    sheet.paste(picture(SEVEN, mode="RGBA", paper="white", ink="black"), (100, 100))
    white = Image.new("RGBA", sheet.size, "white")
    plain = read(Image.alpha_composite(white, sheet))
    np.testing.assert_allclose(read(sheet), plain, atol=0.02)


def test_a_photo_is_turned_as_its_camera_says(read):
    turned = picture(SEVEN).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it by a quarter, clockwise, to see it upright
    image = read(turned, "digit.jpg", exif=exif, quality=95)
    assert likeness(image, read(picture(SEVEN))) > 0.98


# The last is as small as an image that a learner saves from MNIST.
@pytest.mark.parametrize(("size", "width"), [(400, 1), (400, 4), (5000, 5), (28, 1)])
def test_lines_of_any_width_keep_visible_ink(read, size, width):
    image = read(picture(SEVEN, size, width))
    assert likeness(image, to_image(SEVEN)) > 0.8
    assert image.sum() > 0.6 * to_image(SEVEN).sum()


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (3, 3), (400, 300)])
@pytest.mark.parametrize(("paper", "noise"), [(0, 0), (255, 0), (200, 3)])
def test_blank_paper_gives_zeros(read, size, paper, noise):
    gray = np.random.default_rng(0).normal(paper, noise, size)
    image = read(Image.fromarray(np.uint8(gray)))
    assert image.shape == (28, 28) and not image.any()


@pytest.mark.parametrize("size", [(1, 40), (40, 1), (2, 2), (5, 8)])
def test_a_tiny_picture_gives_an_image(read, size):
    canvas = Image.new("L", size, 255)
    canvas.putpixel((0, size[1] // 2), 0)
    assert 0 <= read(canvas).min() <= read(canvas).max() <= 1


# What is no picture


def claim(side):
    """A small PNG whose header claims very many pixels."""
    file = io.BytesIO()
    Image.new("L", (99, 99)).save(file, "PNG")
    content = bytearray(file.getvalue())
    struct.pack_into(">II", content, 16, side, side)
    struct.pack_into(">I", content, 29, zlib.crc32(content[12:29]))
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (claim(8_000), "claims 8000 x 8000 pixels"),
        (claim(50_000), "pixels"),
        (b"", "no picture that can be read"),
        (b"seven", "no picture that can be read"),
        (b"GIF89a", "no picture that can be read"),
    ],
)
def test_what_is_no_picture_is_refused_at_once(tmp_path, content, says):
    path = tmp_path / "digit.png"
    path.write_bytes(content)
    begun = time.perf_counter()
    with pytest.raises(ValueError, match=rf"digit\.png .*{says}") as caught:
        picture_to_image(path)
    assert time.perf_counter() - begun < 2
    assert "\n" not in str(caught.value)


def test_a_folder_or_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match="no picture that can be read"):
        picture_to_image(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"none\.png does not exist"):
        picture_to_image(tmp_path / "none.png")


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_half_a_picture_is_refused(tmp_path, kind, part):
    path = tmp_path / f"digit.{kind}"
    picture(SEVEN).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(ValueError, match=r"digit\..* no picture that can be read"):
        picture_to_image(path)


@settings(deadline=None)
@given(st.data())
def test_a_damaged_picture_gives_an_error_or_an_image(tmp_path_factory, draws):
    path = tmp_path_factory.mktemp("damaged") / "digit.png"
    picture(SEVEN, size=60, width=5).save(path)
    content = bytearray(path.read_bytes())
    place = draws.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << draws.draw(st.integers(0, 7))
    path.write_bytes(content)
    try:
        image = picture_to_image(path)
    except ValueError as error:
        assert str(path) in str(error)
    else:
        assert image.shape == (28, 28) and np.isfinite(image).all()
