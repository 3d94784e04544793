"""Feature maps, saliency and Grad-CAM, against Keras, by hand and by differences."""

import doctest

import numpy as np
import pytest

from digitkit import exercises, inside, networks
from digitkit.inside import feature_maps, grad_cam, saliency

pytestmark = pytest.mark.slow
IMAGE = np.random.default_rng(0).random((28, 28), np.float32)


def network(*options, shape=(28, 28, 1), end="softmax"):
    """Build an untrained network of convolutions or pools, and a dense layer."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input(shape)])
    for one in options:
        model.add((layers.Conv2D if "filters" in one else layers.MaxPooling2D)(**one))
    model.add(layers.Flatten())
    model.add(layers.Dense(10, end))
    return model


def conv(kernel_size, filters=1, **options):
    return {"kernel_size": kernel_size, "filters": filters, **options}


def test_feature_maps_are_those_of_keras():
    import keras

    model = networks.load_network("shipped")
    with_rows = [x for x in model.layers[1:] if len(x.output.shape) == 4]
    part = keras.Model(model.inputs[0], [x.output for x in with_rows])
    expected = part.predict_on_batch(IMAGE[None])
    maps = feature_maps(model, IMAGE.astype(np.float64))
    assert [*maps] == [x.name for x in with_rows]
    for found, wanted in zip(maps.values(), expected, strict=True):
        np.testing.assert_allclose(found, wanted[0], atol=1e-5)


def test_saliency_is_the_change_of_the_score():
    model = network(conv(3, filters=2, activation="tanh"))
    model.layers[-1].bias.assign(100 * np.eye(10)[4])  # it is sure of a 4
    kernel, start, weights, constant = (x.astype(float) for x in model.get_weights())

    def scores(image):
        windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3))
        values = np.tanh(np.einsum("rcij,ijk->rck", windows, kernel[:, :, 0]) + start)
        return values.ravel() @ weights + constant

    assert scores(IMAGE).argmax() == 4
    for digit in (7, 4):
        found = saliency(model, IMAGE, digit)
        assert found.shape == (28, 28)
        for row, column in [(0, 0), (3, 20), (14, 14), (27, 13)]:
            step = np.zeros((28, 28))
            step[row, column] = 1e-5
            change = (scores(IMAGE + step) - scores(IMAGE - step))[digit] / 2e-5
            assert found[row, column] == pytest.approx(change, abs=1e-4)
    np.testing.assert_array_equal(saliency(model, IMAGE), found)  # 4 is its own guess


def test_grad_cam_by_hand():
    model = network(conv(1, filters=2))
    model.layers[0].kernel.assign([[[[1, 2]]]])  # maps: the image, and its double
    weights = np.zeros((28, 28, 2, 10))
    weights[..., 0, 3] = 1  # the first map speaks for 3, and against 4
    weights[..., 0, 4] = -1
    weights[..., 0, 5], weights[..., 1, 5] = 1, -0.25  # together: half the image
    weights[:14, :, 0, 6], weights[14:, :, 0, 6] = 3, -1  # on average for 6
    weights[0, :, 0, 7], weights[1:, :, 0, 7] = 9, -1  # on average against 7
    model.layers[-1].kernel.assign(weights.reshape(-1, 10))
    for digit in (3, 5, 6):
        expected = IMAGE / IMAGE.max()
        np.testing.assert_allclose(grad_cam(model, IMAGE, digit), expected, atol=1e-5)
    for digit in (4, 7, 8):
        assert not grad_cam(model, IMAGE, digit).any()


@pytest.mark.parametrize(
    ("options", "rows", "columns"),
    [
        ([conv(5, strides=2)], [12], [16]),  # its cells look at pixels 2, 4, 6, ...
        ([conv(3, padding="same")], [0], [27]),
        ([conv(3, strides=2, padding="same")], [13], [17]),  # at 1, 3, 5, ...
        ([conv(5, strides=2), conv(3)], [12], [16]),
        ([conv(5, strides=(1, 2))], [11], [16]),
        # Pixel 11 is cell 10 of the convolution, whose pool holds the pixels 11 and 12.
        ([conv(3), {"pool_size": 2}], [11, 12], [11, 12]),
    ],
)
def test_grad_cam_stands_where_the_ink_is(options, rows, columns):
    model = network(*options)
    for layer in model.layers[: len(options)]:
        for kernel in layer.weights[:1]:  # it sees its middle pixel alone
            middle = np.zeros(kernel.shape)
            middle[kernel.shape[0] // 2, kernel.shape[1] // 2] = 1
            kernel.assign(middle)
    model.layers[-1].kernel.assign(np.ones(model.layers[-1].kernel.shape))
    dot = np.zeros((28, 28))
    dot[rows[0], columns[0]] = 1
    found = grad_cam(model, dot, 0)
    where = [[row, column] for row in rows for column in columns]
    assert np.argwhere(found == 1).tolist() == where
    assert found.max() == 1


def test_grad_cam_of_each_layer():
    model = networks.build_cnn()
    for name in feature_maps(model, IMAGE):
        found = grad_cam(model, IMAGE, 2, name)
        assert found.shape == (28, 28) and found.dtype == np.float32
        assert found.min() >= 0 and found.max() in (0, 1)
    np.testing.assert_array_equal(found, grad_cam(model, IMAGE, 2))  # the last layer's
    with pytest.raises(ValueError, match=r"among \['.+'\], received 'nine'"):
        grad_cam(model, IMAGE, 2, "nine")


@pytest.mark.parametrize("look", [feature_maps, saliency, grad_cam])
def test_what_cannot_be_looked_into_is_refused(look):
    import keras

    model, begin = network(conv(3)), keras.Input((28, 28, 1))
    for image in (IMAGE[:20], IMAGE[None], np.zeros((28, 28), np.uint8), "seven"):
        with pytest.raises(ValueError, match=r"an image \(28, 28\) of floats"):
            look(model, image)
    with pytest.raises(ValueError, match=r"keras\.Sequential, received a Functional"):
        look(keras.Model(begin, model(begin)), IMAGE)
    with pytest.raises(ValueError, match="expected a network with convolutions"):
        look(network(shape=(28, 28)), IMAGE)


@pytest.mark.parametrize("look", [saliency, grad_cam])
def test_what_has_no_score_is_refused(look):
    for digit in (10, -1, True, "3", 2.5):
        with pytest.raises(ValueError, match=f"0 to 9, received {digit!r}"):
            look(network(conv(3)), IMAGE, digit)
    with pytest.raises(ValueError, match="a dense layer with softmax"):
        look(network(conv(3), end="sigmoid"), IMAGE)


@pytest.mark.parametrize("room", [inside, exercises])
def test_the_examples(room):
    failed, attempted = doctest.testmod(room)
    assert attempted and not failed
