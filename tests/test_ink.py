"""From strokes, or a picture file, to an image as MNIST's were made."""

import math
import struct
import time
import zlib

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image, ImageDraw

from digitkit.data import to_unit
from digitkit.ink import BOX, SIZE, move_to_centre, to_image
from digitkit.paper import picture_to_image

ONE = [[(5, 0), (5, 10)]]
SEVEN = [[(0, 0), (6, 0), (3, 10)], [(1, 5), (6, 5)]]
LOOP = [(3 + 3 * math.cos(t / 9), 3 + 3 * math.sin(t / 9)) for t in range(57)]
NINE = [[*LOOP, (5, 10)]]
CENTRE = 14  # in pixels from 0: where MNIST's images have theirs, see below

patient = settings(deadline=None)  # the machine may be busy with something else
whole = st.integers(-50, 50)
points = st.tuples(whole, whole)
drawings = st.lists(st.lists(points, min_size=1, max_size=8), min_size=1, max_size=4)
anywhere = st.floats(-1e9, 1e9, width=32, allow_subnormal=False)


def inked_box(image):
    """Return top, bottom, left, right of the pixels with ink."""
    rows, columns = (np.flatnonzero(image.any(axis=i)) for i in (1, 0))
    return rows[0], rows[-1], columns[0], columns[-1]


def centre_of_mass(image):
    along = np.arange(SIZE)
    down, across = image.sum(axis=1) @ along, image.sum(axis=0) @ along
    return np.array([down, across]) / image.sum()


# Strokes


def test_a_vertical_line_by_hand():
    # 17.1 long, so that it ends 1.7 (radius and half a soft edge) inside 20.5 pixels:
    # it runs from 4.95 to 22.05 on the column 13.5, between two columns of pixels.
    image = to_image(ONE, centre=False)
    assert image.dtype == np.float32
    np.testing.assert_allclose(image[14, 11:17], [0, 0.2, 1, 1, 0.2, 0], atol=0.01)
    assert inked_box(image) == (4, 23, 12, 15)
    end = 1.7 - math.hypot(0.95, 0.5)  # from (4, 13) to the end at (4.95, 13.5)
    np.testing.assert_allclose(image[[4, 23], 13], end, atol=0.01)


def test_a_single_point_is_a_dot_in_the_middle():
    image = to_image([[(300, 40)]], centre=False)
    np.testing.assert_allclose(image[13:15, 13:15], 1.7 - math.hypot(0.5, 0.5))
    assert inked_box(image) == (12, 15, 12, 15)


def test_paper_and_ink_without_fitting():
    image = to_image([[(0.25, 0.25), (0.25, 0.5)]], fit=False, centre=False)
    assert inked_box(image) == (5, 15, 5, 8)  # 0.25 is the border of pixels 6 and 7
    moved = to_image([[(0.25, 0.25), (0.25, 0.5)]], fit=False)
    assert np.abs(centre_of_mass(moved) - CENTRE).max() < 0.51


@pytest.mark.parametrize("strokes", [[], [[]], [[], []]])
@pytest.mark.parametrize("fit", [True, False])
def test_a_blank_page_gives_zeros(strokes, fit):
    image = to_image(strokes, fit=fit)
    assert image.shape == (28, 28)
    assert image.dtype == np.float32
    assert not image.any()


@patient
@given(drawings)
def test_ink_fills_the_box_round_its_centre_of_mass(strokes):
    image = to_image(strokes)
    assert image.shape == (28, 28)
    assert image.min() >= 0
    assert image.max() <= 1
    top, bottom, left, right = inked_box(image)
    height, width = bottom - top + 1, right - left + 1
    dot = len({point for stroke in strokes for point in stroke}) == 1
    assert max(height, width) == (4 if dot else BOX)
    off = np.abs(centre_of_mass(image) - CENTRE)
    at_border = np.array([top == 0 or bottom == 27, left == 0 or right == 27])
    assert (at_border | (off < 0.51)).all()


def test_mnist_s_own_images_are_centred_already(mnist):
    _, (images, _) = mnist
    images = to_unit(images[:2000])
    same = (move_to_centre(images) == images).all(axis=(1, 2))
    assert same.mean() > 0.99


@patient
@given(drawings, st.integers(-9, 9), whole, whole)
def test_moving_and_scaling_a_drawing_does_not_change_its_image(strokes, power, x, y):
    scale = 2.0**power
    moved = [[(px * scale + x, py * scale + y) for px, py in s] for s in strokes]
    np.testing.assert_allclose(to_image(moved), to_image(strokes), atol=1e-4)


@patient
@given(drawings)
def test_points_given_twice_change_nothing(strokes):
    doubled = [[point for point in stroke for _ in (0, 1)] for stroke in strokes]
    np.testing.assert_allclose(
        to_image(doubled + doubled), to_image(strokes), atol=1e-6
    )


@patient
@given(st.lists(st.lists(st.tuples(anywhere, anywhere), max_size=4), max_size=3))
def test_any_finite_strokes_give_an_image(strokes):
    image = to_image(strokes)
    assert np.isfinite(image).all()
    assert image.any() == any(strokes)


@patient
@given(
    st.lists(st.tuples(st.integers(0, 27), st.integers(0, 27)), min_size=1, max_size=30)
)
def test_moving_to_the_centre_loses_no_ink(pixels):
    image = np.zeros((1, 28, 28), np.float32)
    for i, (row, column) in enumerate(pixels):
        image[0, row, column] = (i + 1) / len(pixels)
    (moved,) = move_to_centre(image)
    assert sorted(moved.ravel()) == sorted(image.ravel())
    # Moved as a whole: the ink keeps its shape.
    top, bottom, left, right = inked_box(image[0])
    new_top, new_bottom, new_left, new_right = inked_box(moved)
    np.testing.assert_array_equal(
        moved[new_top : new_bottom + 1, new_left : new_right + 1],
        image[0, top : bottom + 1, left : right + 1],
    )


def test_moving_a_blank_image_leaves_it_blank():
    assert not move_to_centre(np.zeros((2, 28, 28), np.float32)).any()


def test_a_fast_hand_leaves_no_gaps():
    image = to_image([[(0, 0), (100, 100)]])
    assert (np.diag(image)[5:23] > 0.9).all()


def test_a_scribble_of_20_000_points():
    walk = np.random.default_rng(0).normal(size=(20_000, 2)).cumsum(axis=0)
    begun = time.perf_counter()
    image = to_image([walk.tolist()])
    assert time.perf_counter() - begun < 5
    assert image.max() == 1


def test_the_caller_keeps_the_strokes():
    strokes = [np.array(stroke, np.float64) for stroke in SEVEN]
    to_image(strokes)
    for stroke, before in zip(strokes, SEVEN, strict=True):
        np.testing.assert_array_equal(stroke, before)


@pytest.mark.parametrize(
    "stroke",
    [
        [(0, math.nan), (1, 1)],
        [(0, 0), (math.inf, 1)],
        [(0, 0, 0.5)],
        [1, 2, 3],
        [(0, 0), (1,)],
        [("a", "b")],
        [None],
        "seven",
        {"x": 1},
    ],
)
def test_what_is_no_stroke(stroke):
    with pytest.raises(ValueError, match=r"a stroke is a list of \(x, y\)") as caught:
        to_image([[(0, 0), (1, 1)], stroke])
    assert str(stroke)[:20] in str(caught.value)


@pytest.mark.parametrize("strokes", [7, None, [1, 2], [None]])
def test_what_is_no_drawing(strokes):
    with pytest.raises(ValueError, match="stroke"):
        to_image(strokes)


# Pictures


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


def test_place_and_size_on_the_paper_do_not_matter(tmp_path):
    middle = read(picture(SEVEN), tmp_path)
    corner = read(picture(SEVEN, part=0.3, width=13, shift=(-120, 110)), tmp_path)
    assert likeness(corner, middle) > 0.97


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


def test_a_fully_transparent_picture_is_blank(tmp_path):
    assert not read(Image.new("RGBA", (50, 50)), tmp_path).any()


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


def test_a_picture_with_a_damaged_header_is_an_error(tmp_path):
    path = tmp_path / "digit.png"
    picture(SEVEN).save(path)
    content = bytearray(path.read_bytes())
    content[11] = 12  # the length of the header, which is 13
    path.write_bytes(content)
    with pytest.raises(ValueError, match="no picture that can be read") as caught:
        picture_to_image(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"seven", b"\x89PNG\r\n\x1a\n", bytes(999)])
def test_what_is_no_picture(tmp_path, content):
    path = tmp_path / "digit.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="no picture that can be read") as caught:
        picture_to_image(path)
    assert str(path) in str(caught.value)


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.png does not exist"):
        picture_to_image(tmp_path / "none.png")
    with pytest.raises(ValueError, match="no picture that can be read"):
        picture_to_image(tmp_path)


@patient
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
