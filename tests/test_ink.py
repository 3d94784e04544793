"""From strokes to an image as MNIST's were made."""

import base64
import io
import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

from digitkit.data import to_unit
from digitkit.ink import BOX, SIZE, image_to_url, move_to_centre, to_image

ONE = [[(5, 0), (5, 10)]]
CENTRE = 14  # in pixels from 0: where MNIST's images have theirs, see below

patient = settings(deadline=None)  # the machine may be busy with something else
whole = st.integers(-50, 50)
points = st.tuples(whole, whole)
drawings = st.lists(st.lists(points, min_size=1, max_size=8), min_size=1, max_size=4)
anywhere = st.floats(-1e9, 1e9, width=32, allow_subnormal=False)
pixels = st.tuples(st.integers(0, 27), st.integers(0, 27))


def inked_box(image):
    """Return top, bottom, left, right of the pixels with ink."""
    rows, columns = (np.flatnonzero(image.any(axis=i)) for i in (1, 0))
    return rows[0], rows[-1], columns[0], columns[-1]


def centre_of_mass(image):
    along = np.arange(SIZE)
    down, across = image.sum(axis=1) @ along, image.sum(axis=0) @ along
    return np.array([down, across]) / image.sum()


def test_a_line_and_a_dot_by_hand():
    # 17.1 long, so that it ends 1.7 (radius and half a soft edge) inside 20.5 pixels:
    # it runs from 4.95 to 22.05 on the column 13.5, between two columns of pixels.
    image = to_image(ONE, centre=False)
    np.testing.assert_allclose(image[14, 11:17], [0, 0.2, 1, 1, 0.2, 0], atol=0.01)
    assert inked_box(image) == (4, 23, 12, 15)
    end = 1.7 - math.hypot(0.95, 0.5)  # from (4, 13) to the end at (4.95, 13.5)
    np.testing.assert_allclose(image[[4, 23], 13], end, atol=0.01)
    dot = to_image([[(300, 40)]], centre=False)
    np.testing.assert_allclose(dot[13:15, 13:15], 1.7 - math.hypot(0.5, 0.5))
    assert inked_box(dot) == (12, 15, 12, 15)


def test_paper_and_ink_without_fitting():
    image = to_image([[(0.25, 0.25), (0.25, 0.5)]], fit=False, centre=False)
    assert inked_box(image) == (5, 15, 5, 8)  # 0.25 is the border of pixels 6 and 7
    moved = to_image([[(0.25, 0.25), (0.25, 0.5)]], fit=False)
    assert np.abs(centre_of_mass(moved) - CENTRE).max() < 0.51


@patient
@given(drawings)
def test_ink_fills_the_box_round_its_centre_of_mass(strokes):
    image = to_image(strokes)
    assert image.min() >= 0 and image.max() <= 1
    top, bottom, left, right = inked_box(image)
    dot = len({point for stroke in strokes for point in stroke}) == 1
    assert max(bottom - top, right - left) + 1 == (4 if dot else BOX)
    off = np.abs(centre_of_mass(image) - CENTRE)
    at_border = np.array([top == 0 or bottom == 27, left == 0 or right == 27])
    assert (at_border | (off < 0.51)).all()


def test_mnist_s_own_images_are_centred_already(mnist):
    images = to_unit(mnist[1][0][:2000])
    same = (move_to_centre(images) == images).all(axis=(1, 2))
    assert same.mean() > 0.99


@patient
@given(drawings, st.integers(-9, 9), whole, whole)
def test_place_size_and_doubled_points_do_not_change_an_image(strokes, power, x, y):
    scale = 2.0**power
    moved = [[(px * scale + x, py * scale + y) for px, py in s] for s in strokes]
    np.testing.assert_allclose(to_image(moved), to_image(strokes), atol=1e-4)
    doubled = [[point for point in stroke for _ in (0, 1)] for stroke in strokes]
    same = to_image(doubled + doubled)
    np.testing.assert_allclose(same, to_image(strokes), atol=1e-6)


@patient
@given(
    st.lists(st.lists(st.tuples(anywhere, anywhere), max_size=4), max_size=3),
    st.booleans(),
)
def test_any_finite_strokes_give_an_image_and_none_a_blank_one(strokes, fit):
    arrays = [np.array(stroke, float) for stroke in strokes]
    image = to_image(arrays, fit=fit)
    assert image.shape == (28, 28) and image.dtype == np.float32
    assert np.isfinite(image).all()
    if fit or not any(strokes):  # without fitting, ink may lie off the paper
        assert image.any() == any(strokes)
    for array, stroke in zip(arrays, strokes, strict=True):
        assert array.tolist() == [[*point] for point in stroke], "the caller's own"


@patient
@given(st.lists(pixels, min_size=1, max_size=30))
def test_moving_to_the_centre_loses_no_ink(inked):
    image = np.zeros((1, 28, 28), np.float32)
    for i, place in enumerate(inked, 1):
        image[0][place] = i / len(inked)
    (moved,) = move_to_centre(image)
    boxes = []
    for one in (image[0], moved):  # moved as a whole: the ink keeps its shape
        top, bottom, left, right = inked_box(one)
        boxes.append(one[top : bottom + 1, left : right + 1])
    np.testing.assert_array_equal(*boxes)


@pytest.mark.parametrize(
    "stroke",
    [
        [(0, math.nan), (1, 1)],
        [(math.inf, 1)],
        [(0, 0, 0.5)],
        [1, 2, 3],
        [(0, 0), (1,)],
        [("a", "b")],
        [None],
        "seven",
        {"x": 1},
    ],
)
def test_what_is_no_stroke_is_refused(stroke):
    with pytest.raises(ValueError, match=r"a stroke is a list of \(x, y\)") as caught:
        to_image([[(0, 0), (1, 1)], stroke])
    assert str(stroke)[:20] in str(caught.value)
    with pytest.raises(ValueError, match="expected a list of strokes, received 7"):
        to_image(7)


def test_an_image_as_a_url():
    marked = np.eye(10)
    url = image_to_url(marked, scale=2)
    png = base64.b64decode(url.removeprefix("data:image/png;base64,"))
    gray = np.asarray(Image.open(io.BytesIO(png)).convert("L"))
    np.testing.assert_array_equal(gray, np.kron(255 * (1 - marked), np.ones((2, 2))))
