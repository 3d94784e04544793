"""Inside a network: what its layers make of an image, and where it looks.

In come a network and an image; out come feature maps, saliency or Grad-CAM as arrays,
which `digitkit.plots` shows. Lesson 06 uses it. This room alone names TensorFlow, for
gradients: Keras has no word for them that all its backends know.
"""

import numpy as np


def feature_maps(model, image):
    """Return what each layer makes of an image, as long as it still has rows.

    Parameters
    ----------
    model : keras.Sequential
        Reads 28x28 images.
    image : (28, 28), 0 paper to 1 ink

    Returns
    -------
    dict of (rows, columns, channels) float32
        By the layers' names, in their order.

    Raises
    ------
    ValueError
        If the image is none, or no layer gives rows, columns and channels.

    Examples
    --------
    >>> from digitkit import build_cnn
    >>> maps = feature_maps(build_cnn(), np.zeros((28, 28)))
    >>> [maps[name].shape for name in maps][-1]
    (3, 3, 96)
    """
    values, maps = _batch(model, image), {}
    for layer in _layers(model):
        values = layer(values, training=False)
        if _has_rows(layer):
            maps[layer.name] = np.asarray(values)[0]
    return maps


def saliency(model, image, digit=None):
    """Return how much ink at each pixel would change the score of a digit.

    The score is what goes into the softmax. Where the network is sure, a pixel
    hardly changes the probability, but still the score. The method is that of Simonyan,
    Vedaldi and Zisserman, "Deep inside convolutional networks" (2014), its signs kept.

    Parameters
    ----------
    model : keras.Sequential
        Ends in a dense layer with softmax.
    image : (28, 28), 0 paper to 1 ink
    digit : int, optional
        The network's own guess if left out.

    Returns
    -------
    (28, 28) float32
        The gradient: score per unit of ink. Positive where ink speaks for the digit.

    Raises
    ------
    ValueError
        If the image or the digit is none, or the network ends otherwise.
    """
    import tensorflow as tf

    batch = tf.convert_to_tensor(_batch(model, image))
    with tf.GradientTape() as tape:
        tape.watch(batch)
        score = _score(_layers(model), batch, digit)
    return tape.gradient(score, batch).numpy().reshape(28, 28)


def grad_cam(model, image, digit=None, layer=None):
    """Return which parts of an image speak for a digit, by Grad-CAM.

    Each map of a layer is weighted by the mean gradient of the digit's score, the maps
    are added up, and what is negative becomes zero: Selvaraju et al., "Grad-CAM"
    (2017). The coarse result is drawn where the layer's cells look. Stretching it to
    28x28, as is often done, would be wrong here: without padding, no cell has its
    centre near the border.

    Parameters
    ----------
    model : keras.Sequential
        Ends in a dense layer with softmax.
    image : (28, 28), 0 paper to 1 ink
    digit : int, optional
        The network's own guess if left out.
    layer : str, optional
        The name of a layer that gives rows and columns; the last one if left out.

    Returns
    -------
    (28, 28) float32
        From 0 to 1, the largest; all zeros if nothing speaks for the digit.

    Raises
    ------
    ValueError
        If there is no such image, digit or layer, or the network ends otherwise.
    """
    import tensorflow as tf

    layers = _layers(model)
    names = [one.name for one in layers if _has_rows(one)]
    layer = names[-1] if layer is None else layer
    if layer not in names:
        raise ValueError(f"expected a layer among {names}, received {layer!r}")
    behind = 1 + [one.name for one in layers].index(layer)
    maps = tf.convert_to_tensor(_batch(model, image))
    for one in layers[:behind]:
        maps = one(maps, training=False)
    with tf.GradientTape() as tape:
        tape.watch(maps)
        score = _score(layers[behind:], maps, digit)
    weights = tape.gradient(score, maps).numpy()[0].mean(axis=(0, 1))  # (channels,)
    coarse = np.maximum(maps.numpy()[0] @ weights, 0)  # (rows, columns)
    rows, columns = _where_cells_look(layers[:behind], coarse.shape)
    fine = rows @ coarse @ columns.T
    return (fine / fine.max() if fine.max() > 0 else fine).astype(np.float32)


def _layers(model):
    """Return the layers, each of which reads what the one before gives."""
    import keras

    if not isinstance(model, keras.Sequential):
        kind = type(model).__name__
        raise ValueError(f"expected a keras.Sequential, received a {kind}")
    if not any(map(_has_rows, model.layers)):
        raise ValueError(
            f"expected a network with convolutions, received {model.name!r}: none of "
            "its layers gives rows, columns and channels"
        )
    return model.layers


def _has_rows(layer):
    """Say whether a layer gives ``(n, rows, columns, channels)`` of its own."""
    return len(layer.output.shape) == 4 and type(layer).__name__ != "Reshape"


def _batch(model, image):
    """Return an image as the batch of one that the model reads."""
    image = np.asarray(image)
    if image.shape != (28, 28) or image.dtype.kind != "f":
        raise ValueError(
            "expected an image (28, 28) of floats from 0 (paper) to 1 (ink), received "
            f"{image.dtype} {image.shape}"
        )
    return image.reshape(1, *model.input_shape[1:]).astype(np.float32)


def _score(layers, values, digit):
    """Return the score of a digit: what the last layer gives before its softmax."""
    import tensorflow as tf

    *inner, last = layers
    activation = getattr(last, "activation", None)
    if not hasattr(last, "kernel") or activation.__name__ != "softmax":
        raise ValueError(
            "expected a network that ends in a dense layer with softmax, received one "
            f"that ends in {last.name!r}"
        )
    for layer in inner:
        values = layer(values, training=False)
    scores = tf.matmul(values, last.kernel)[0]
    if last.use_bias:
        scores += last.bias
    if digit is None:
        digit = int(tf.argmax(scores))
    if isinstance(digit, bool) or digit not in range(len(scores)):
        raise ValueError(f"expected a digit, 0 to 9, received {digit!r}")
    return scores[int(digit)]


def _where_cells_look(layers, shape):
    """Return, for rows and columns, how much each cell says of each pixel: (28, n).

    Most where a cell of the last layer looks, nothing one cell further on.
    """
    start, step = np.zeros(2), np.ones(2)
    for layer in layers:
        size = getattr(layer, "kernel_size", getattr(layer, "pool_size", None))
        if size is None:
            continue
        size, stride = np.array(size), np.array(layer.strides)
        start += (size - 1) / 2 * step
        if layer.padding == "same":
            cells = np.array(layer.output.shape[1:3])
            missing = (cells - 1) * stride + size - layer.input.shape[1:3]
            start -= np.maximum(missing, 0) // 2 * step
        step *= stride
    places = [start[i] + step[i] * np.arange(shape[i]) for i in (0, 1)]
    away = [abs(np.arange(28)[:, None] - places[i]) / step[i] for i in (0, 1)]
    return [np.maximum(1 - one, 0) for one in away]
