"""Feature maps, saliency and Grad-CAM, against Keras, by hand and by differences."""

import base64
import doctest
import io

import numpy as np
import pytest
from PIL import Image

from digitkit import inside, networks
from digitkit.ink import image_to_url
from digitkit.inside import feature_maps, grad_cam, saliency

slow = pytest.mark.slow
IMAGE = np.random.default_rng(0).random((28, 28), np.float32)


def dot(row, column):
    image = np.zeros((28, 28), np.float32)
    image[row, column] = 1
    return image


def network(*layers, shape=(28, 28, 1), outputs=10, end="softmax"):
    """Build an untrained network of some layers and a dense one."""
    import keras

    keras.utils.set_random_seed(1)
    layers = [*layers, keras.layers.Flatten(), keras.layers.Dense(outputs, end)]
    return keras.Sequential([keras.Input(shape), *layers])


def conv(filters, kernel_size, **options):
    from keras import layers

    return layers.Conv2D(filters, kernel_size, **options)


def look_through(layer):
    """Make a convolution's filters see their middle pixel alone."""
    kernel = np.zeros(layer.kernel.shape, np.float32)
    kernel[kernel.shape[0] // 2, kernel.shape[1] // 2] = 1
    layer.set_weights([kernel])


# Feature maps


@slow
@pytest.mark.parametrize("name", ["build_cnn", "build_classic_cnn"])
def test_feature_maps_are_those_of_keras(name):
    import keras

    model = getattr(networks, name)()
    with_rows = [x for x in model.layers[1:] if len(x.output.shape) == 4]
    part = keras.Model(model.inputs[0], [x.output for x in with_rows])
    expected = part.predict_on_batch(IMAGE[None])
    maps = feature_maps(model, IMAGE)
    assert [*maps] == [x.name for x in with_rows]
    for found, wanted in zip(maps.values(), expected, strict=True):
        np.testing.assert_allclose(found, wanted[0], atol=1e-5)


@slow
def test_feature_maps_of_the_shipped_network():
    maps = feature_maps(networks.load_network("shipped"), IMAGE.astype(np.float64))
    sizes = [len(x) for x in maps.values()]
    assert sizes == sorted(sizes, reverse=True)
    assert all(x.ndim == 3 and np.isfinite(x).all() for x in maps.values())


# Saliency


def scores_by_hand(model, image):
    """Return the scores of a network of one 3x3 convolution with tanh, in float64."""
    kernel, bias, weights, constant = (x.astype(float) for x in model.get_weights())
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3))
    values = np.tanh(np.einsum("rcij,ijk->rck", windows, kernel[:, :, 0]) + bias)
    return values.ravel() @ weights + constant


@slow
def test_saliency_is_the_change_of_the_score():
    model = network(conv(2, 3, activation="tanh"))
    found = saliency(model, IMAGE, 7)
    assert found.shape == (28, 28)
    for row, column in [(0, 0), (3, 20), (14, 14), (27, 13)]:
        step = 1e-5 * dot(row, column).astype(float)
        more, less = (scores_by_hand(model, IMAGE + x)[7] for x in (step, -step))
        assert found[row, column] == pytest.approx((more - less) / 2e-5, abs=1e-4)


@slow
def test_saliency_is_of_the_guess_if_no_digit_is_named():
    model = network(conv(2, 3, activation="tanh"))
    guess = scores_by_hand(model, IMAGE).argmax()
    np.testing.assert_array_equal(saliency(model, IMAGE), saliency(model, IMAGE, guess))
    others = saliency(model, IMAGE, (guess + 1) % 10)
    assert not np.allclose(saliency(model, IMAGE), others)


@slow
def test_saliency_does_not_fade_where_the_network_is_sure():
    model = network(conv(2, 3), shape=(28, 28, 1))
    before = saliency(model, IMAGE, 4)
    *others, kernel, bias = model.get_weights()
    model.set_weights([*others, 1000 * kernel, bias])
    assert model.predict_on_batch(IMAGE[None]).max() == 1
    np.testing.assert_allclose(saliency(model, IMAGE, 4), 1000 * before, rtol=1e-3)


# Grad-CAM


@slow
def test_grad_cam_by_hand():
    model = network(layer := conv(2, 1, use_bias=False))
    layer.set_weights([np.array([[[[1.0, 2.0]]]])])  # maps: the image, and its double
    weights, bias = model.layers[-1].get_weights()
    weights = np.zeros_like(weights).reshape(28, 28, 2, 10)
    weights[..., 0, 3] = 1  # the first map speaks for 3, and against 4
    weights[..., 0, 4] = -1
    weights[..., 0, 5], weights[..., 1, 5] = 1, -0.25  # together: half the image
    weights[:14, :, 0, 6], weights[14:, :, 0, 6] = 3, -1  # on average for 6
    weights[0, :, 0, 7], weights[1:, :, 0, 7] = 9, -1  # on average against 7
    model.layers[-1].set_weights([weights.reshape(-1, 10), bias])
    for digit in (3, 5, 6):
        expected = IMAGE / IMAGE.max()
        np.testing.assert_allclose(grad_cam(model, IMAGE, digit), expected, atol=1e-5)
    for digit in (4, 7, 8):
        assert not grad_cam(model, IMAGE, digit).any()


@slow
@pytest.mark.parametrize(
    ("options", "row", "column"),
    [
        ([{"kernel_size": 5, "strides": 2}], 12, 16),  # cells look at 2, 4, 6, ...
        ([{"kernel_size": 3, "padding": "same"}], 0, 27),
        ([{"kernel_size": 3, "strides": 2, "padding": "same"}], 13, 17),  # 1, 3, 5, ...
        ([{"kernel_size": 5, "strides": 2}, {"kernel_size": 3}], 12, 16),
        ([{"kernel_size": 5, "strides": (1, 2)}], 11, 16),
    ],
)
def test_grad_cam_stands_where_the_ink_is(options, row, column):
    layers = [conv(1, use_bias=False, **one) for one in options]
    model = network(*layers)
    for layer in layers:
        look_through(layer)
    weights, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([np.ones_like(weights), bias])
    found = grad_cam(model, dot(row, column), 0)
    assert np.unravel_index(found.argmax(), found.shape) == (row, column)
    assert found.max() == 1


@slow
def test_grad_cam_of_pooled_maps_stands_between_the_pixels():
    from keras import layers

    first = conv(1, 3, use_bias=False)
    model = network(first, layers.MaxPooling2D())
    look_through(first)
    weights, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([np.ones_like(weights), bias])
    # Pixel 11 is cell 10 of the convolution, whose pool holds the pixels 11 and 12.
    found = grad_cam(model, dot(11, 11), 0)
    assert {*map(tuple, np.argwhere(found == found.max()))} == {
        (row, column) for row in (11, 12) for column in (11, 12)
    }


@slow
def test_grad_cam_of_each_layer():
    model = networks.build_cnn()
    for name in feature_maps(model, IMAGE):
        found = grad_cam(model, IMAGE, 2, name)
        assert found.shape == (28, 28) and found.dtype == np.float32
        assert found.min() >= 0 and found.max() in (0, 1)
    np.testing.assert_array_equal(found, grad_cam(model, IMAGE, 2))  # the last layer's


# Wrong input


@slow
@pytest.mark.parametrize("look", [feature_maps, saliency, grad_cam])
@pytest.mark.parametrize(
    "image", [IMAGE[:20], IMAGE[None], np.zeros((28, 28), np.uint8), "seven"]
)
def test_what_is_no_image_is_refused(look, image):
    with pytest.raises(ValueError, match=r"expected an image \(28, 28\) of floats"):
        look(network(conv(1, 3)), image)


@slow
@pytest.mark.parametrize("look", [saliency, grad_cam])
@pytest.mark.parametrize("digit", [10, -1, True, "3", 2.5])
def test_what_is_no_digit_is_refused(look, digit):
    with pytest.raises(ValueError, match=f"0 to 9, received {digit!r}"):
        look(network(conv(1, 3)), IMAGE, digit)


@slow
@pytest.mark.parametrize("look", [feature_maps, saliency, grad_cam])
def test_networks_without_convolutions_are_refused(look):
    with pytest.raises(ValueError, match="expected a network with convolutions"):
        look(network(shape=(28, 28)), IMAGE)


@slow
@pytest.mark.parametrize("look", [feature_maps, saliency, grad_cam])
def test_networks_that_are_no_row_of_layers_are_refused(look):
    import keras

    begin = keras.Input((28, 28, 1))
    model = keras.Model(begin, network(conv(1, 3))(begin))
    with pytest.raises(ValueError, match=r"keras\.Sequential, received a Functional"):
        look(model, IMAGE)


@slow
@pytest.mark.parametrize("look", [saliency, grad_cam])
def test_networks_without_softmax_are_refused(look):
    with pytest.raises(ValueError, match="a dense layer with softmax"):
        look(network(conv(1, 3), end="sigmoid"), IMAGE)


@slow
def test_an_unknown_layer_is_refused():
    with pytest.raises(ValueError, match=r"among \['.+'\], received 'nine'"):
        grad_cam(network(conv(1, 3)), IMAGE, 3, "nine")


@slow
def test_the_example():
    assert doctest.testmod(inside).attempted
    assert not doctest.testmod(inside).failed


# Pictures for tooltips


def test_an_image_as_a_url():
    kind, _, text = image_to_url(dot(5, 9), scale=2).partition(",")
    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(text))) as picture:
        gray = np.asarray(picture.convert("L"))
    assert gray.shape == (56, 56)
    assert {*map(tuple, np.argwhere(gray < 255))} == {
        (row, column) for row in (10, 11) for column in (18, 19)
    }
    assert gray.min() == 0
