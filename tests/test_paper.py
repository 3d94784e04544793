"""From a picture file to an image as MNIST's were made."""

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


def picture(
    strokes, size=400, width=26, paper=255, ink=0, mode="L", shift=(0, 0), part=0.6
):
    """Draw strokes with Pillow, their longer side `part` of the picture's."""
    flat = np.array([point for stroke in strokes for point in stroke], float)
    low, high = flat.min(axis=0), flat.max(axis=0)
    scale = part * size / (high - low).max()
    canvas = Image.new(mode, (size, size), paper)
    pen = ImageDraw.Draw(canvas)
    for stroke in strokes:
        middle = (np.array(stroke) - (low + high) / 2) * scale + size / 2 + shift
        pen.line([tuple(point) for point in middle], ink, width, joint="curve")
        for x, y in middle:
            pen.circle((x, y), width / 2, ink)
    return canvas


def read(canvas, tmp_path, name="digit.png", **options):
    canvas.save(tmp_path / name, **options)
    return picture_to_image(tmp_path / name)


def likeness(a, b):
    """Return how images correlate, the first moved by at most a pixel.

    Moving by whole pixels turns a hair's difference into a pixel's.
    """
    steps = (-1, 0, 1)
    moved = [np.roll(a, (i, j), axis=(0, 1)) for i in steps for j in steps]
    return max(np.corrcoef(image.ravel(), b.ravel())[0, 1] for image in moved)


@pytest.mark.parametrize("strokes", [ONE, SEVEN, NINE], ids=["1", "7", "9"])
@pytest.mark.parametrize("size", [100, 400, 2000])
def test_a_picture_of_a_drawing_gives_the_drawing_s_image(tmp_path, strokes, size):
    canvas = picture(strokes, size, round(size * 0.6 * 2.4 / 17.1))
    assert likeness(read(canvas, tmp_path), to_image(strokes)) > 0.9


@pytest.mark.parametrize("strokes", [ONE, SEVEN, NINE], ids=["1", "7", "9"])
def test_light_on_dark_is_read_as_dark_on_light(tmp_path, strokes):
    dark = read(picture(strokes), tmp_path)
    light = read(picture(strokes, paper=0, ink=255), tmp_path)
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
        ("P", 0, 1),
        ("CMYK", (0, 0, 0, 0), (0, 0, 0, 255)),
        ("I;16", 65535, 0),
    ],
)
def test_papers_and_inks(tmp_path, mode, paper, ink):
    canvas = picture(SEVEN, mode=mode, paper=paper, ink=ink)
    if mode == "P":
        canvas.putpalette([255, 255, 255, 0, 0, 0])
    name = "digit.tiff" if mode == "CMYK" else "digit.png"
    image = read(canvas, tmp_path, name)
    assert likeness(image, read(picture(SEVEN), tmp_path)) > 0.97


def test_a_jpeg_with_noise_and_shade(tmp_path):
    gray = np.asarray(picture(SEVEN, paper=225, ink=60), np.float32)
    shade = np.linspace(0, 25, 400)[:, None]
    noise = np.random.default_rng(0).normal(0, 4, gray.shape)
    canvas = Image.fromarray(np.clip(gray - shade + noise, 0, 255).astype(np.uint8))
    image = read(canvas, tmp_path, "digit.jpg", quality=40)
    clean = read(picture(SEVEN), tmp_path)
    assert likeness(image, clean) > 0.97
    assert image[clean == 0].mean() < 0.005  # the paper has become white


def test_what_lies_round_transparent_paper_does_not_matter(tmp_path):
    card = picture(SEVEN, mode="RGBA", paper="white", ink="black")
    cut_out = Image.new("RGBA", (600, 600))
    cut_out.paste(card, (100, 100))
    whole = Image.new("RGB", (600, 600), "white")
    whole.paste(cut_out, mask=cut_out)
    plain = read(whole, tmp_path)
    np.testing.assert_allclose(read(cut_out, tmp_path), plain, atol=0.02)


@pytest.mark.parametrize("light", [0.6, 0.3])
def test_uneven_light_is_no_ink(tmp_path, light):
    even = np.asarray(picture(SEVEN).convert("L"), float)
    shade = np.linspace(light, 1, even.shape[1])  # darker to the left
    noise = np.random.default_rng(0).normal(0, 3, even.shape)
    photo = Image.fromarray(np.uint8((even * shade + noise).clip(0, 255)))
    assert likeness(read(photo, tmp_path), read(picture(SEVEN), tmp_path)) > 0.9


def test_a_photo_is_turned_as_its_camera_says(tmp_path):
    turned = picture(SEVEN).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it by a quarter, clockwise, to see it upright
    image = read(turned, tmp_path, "digit.jpg", exif=exif, quality=95)
    assert likeness(image, read(picture(SEVEN), tmp_path)) > 0.98


@pytest.mark.parametrize("size", [400, 2000])
@pytest.mark.parametrize("width", [1, 4])
def test_thin_lines_keep_visible_ink(tmp_path, size, width):
    image = read(picture(SEVEN, size, width), tmp_path)
    assert likeness(image, to_image(SEVEN)) > 0.8
    assert image.sum() > 0.6 * to_image(SEVEN).sum()


def test_an_image_of_28_pixels_comes_back(tmp_path):
    # What a learner saves from MNIST, light on dark.
    image = to_image(SEVEN)
    canvas = Image.fromarray((image * 255).astype(np.uint8))
    assert likeness(read(canvas, tmp_path), image) > 0.9


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (3, 3), (400, 300)])
@pytest.mark.parametrize("paper", [0, 128, 255])
def test_blank_pictures_give_zeros(tmp_path, size, paper):
    image = read(Image.new("L", size, paper), tmp_path)
    assert image.shape == (28, 28)
    assert not image.any()


def test_noise_on_blank_paper_is_no_ink(tmp_path):
    noise = np.random.default_rng(0).normal(200, 3, (300, 300))
    assert not read(Image.fromarray(noise.astype(np.uint8)), tmp_path).any()


def test_a_large_picture_takes_no_minutes(tmp_path):
    picture(SEVEN, 5000, 5).save(tmp_path / "digit.png")
    begun = time.perf_counter()
    image = picture_to_image(tmp_path / "digit.png")
    assert time.perf_counter() - begun < 5
    assert likeness(image, to_image(SEVEN)) > 0.8


@pytest.mark.parametrize("size", [(1, 40), (40, 1), (2, 2), (5, 8)])
def test_tiny_pictures_give_an_image(tmp_path, size):
    canvas = Image.new("L", size, 255)
    canvas.putpixel((0, size[1] // 2), 0)
    image = read(canvas, tmp_path)
    assert image.shape == (28, 28)
    assert np.isfinite(image).all()
    assert 0 <= image.min() <= image.max() <= 1


def png_chunk(kind, content):
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


@pytest.mark.parametrize("side", [8_000, 50_000])
def test_a_claim_of_many_pixels_is_refused_at_once(tmp_path, side):
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(bytes(100_000)))
        + png_chunk(b"IEND", b"")
    )
    begun = time.perf_counter()
    with pytest.raises(ValueError, match=r"bomb\.png .*pixels") as caught:
        picture_to_image(path)
    assert time.perf_counter() - begun < 2
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0, 20, 60, 0.5, 0.9])
@pytest.mark.parametrize("name", ["digit.png", "digit.jpg", "digit.gif"])
def test_a_truncated_picture_is_an_error(tmp_path, name, keep):
    path = tmp_path / name
    picture(SEVEN).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: keep if keep >= 1 else int(keep * len(content))])
    with pytest.raises(ValueError, match="no picture that can be read") as caught:
        picture_to_image(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_picture_no_file_and_a_folder(tmp_path):
    (tmp_path / "digit.png").write_text("seven")
    for path in (tmp_path / "digit.png", tmp_path):
        with pytest.raises(ValueError, match="no picture that can be read"):
            picture_to_image(path)
    with pytest.raises(FileNotFoundError, match=r"none\.png does not exist"):
        picture_to_image(tmp_path / "none.png")


@settings(deadline=None)
@given(st.data())
def test_damaged_pictures_give_an_error_or_an_image(tmp_path_factory, draws):
    path = tmp_path_factory.mktemp("damaged") / "digit.png"
    picture(SEVEN, size=60, width=5).save(path)
    content = bytearray(path.read_bytes())
    content[draws.draw(st.integers(0, len(content) - 1))] ^= 1 << draws.draw(
        st.integers(0, 7)
    )
    path.write_bytes(content)
    try:
        image = picture_to_image(path)
    except ValueError as error:
        assert str(path) in str(error)
    else:
        assert image.shape == (28, 28)
        assert np.isfinite(image).all()
