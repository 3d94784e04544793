"""Networks: build, save and load them, ask one what it reads, and decide.

A network reads images ``(n, 28, 28)`` and gives ten probabilities for each. It is saved
to one ``.keras`` file without its optimizer. `predictor` makes a fast function of it,
which the pads and the command line ask; `decide` says "unsure" if no digit is likely.
"""

from pathlib import Path

import numpy as np

from .files import SHIPPED_NETWORK, replacing, work_folder

UNSURE = 0.5  # an answer is to be more likely right than wrong


def build_cnn(filters=(32, 48, 96), step=2):
    """Build the network of notebook 02, image to probabilities.

    Parameters
    ----------
    filters : sequence of int
        Of each convolution: the first is 5x5, the others 3x3; the last but one is
        followed by pooling. 65 450 parameters.
    step : int
        How many pixels the first moves at a time: 2, or 1 and pooling after it, which
        sees more and takes longer.

    Returns
    -------
    keras.Sequential
        Not compiled. Reads ``(n, 28, 28)`` float32 from 0 (paper) to 1 (ink), gives
        ``(n, 10)`` probabilities.
    """
    import keras
    from keras import layers

    model = keras.Sequential(
        [keras.Input((28, 28)), layers.Reshape((28, 28, 1))], name="cnn"
    )
    for i, patterns in enumerate(filters):
        size, stride = (3, 1) if i else (5, step)
        model.add(layers.Conv2D(patterns, size, stride, use_bias=False))
        if i == len(filters) - 2 or (i == 0 and step == 1):
            model.add(layers.MaxPooling2D())  # first: what follows has less to do
        model.add(layers.BatchNormalization(momentum=0.9))
        model.add(layers.ReLU())
    model.add(layers.Flatten())
    model.add(layers.Dense(10, activation="softmax"))
    return model


def build_classic_cnn():
    """Build the network of the classic tutorial: 2 380 938 parameters.

    Its shape is that of Keras' first MNIST example (``mnist_cnn.py``, 2015) with 256
    units in the dense layer; reads and gives what `build_cnn`'s does.
    """
    import keras
    from keras import layers

    return keras.Sequential(
        [
            keras.Input((28, 28)),
            layers.Reshape((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(256, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ],
        name="classic",
    )


def save_network(model, path=None):
    """Save a network uncompiled, so that it loads in any process.

    Optimizer state and schedules would triple the file, and break loading where
    they are not known.

    Parameters
    ----------
    model : keras.Model
    path : path, optional
        Ends in ``.keras``, or in ``.h5`` for older programs. The learner's own
        network, which the pad and `load_network` find, if left out.

    Returns
    -------
    pathlib.Path
        Where it was saved.
    """
    path = own_network() if path is None else Path(path).absolute()
    if path.suffix not in (".keras", ".h5"):
        raise ValueError(f"{path} should end in .keras (or .h5)")
    copy = type(model).from_config(model.get_config())
    copy.set_weights(model.get_weights())
    with replacing(path) as temporary:
        copy.save(temporary)
    return path


def load_network(path=None):
    """Load a network and print which one it is.

    Parameters
    ----------
    path : path, optional
        A ``.keras`` or ``.h5`` file; "shipped" for the one that comes with digitkit;
        if left out, the learner's own if there is one, else the shipped one.

    Returns
    -------
    keras.Model
        Not compiled; its name is that of the file.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it holds no network from images to ten digits.
    """
    import keras

    if path is None:
        path = own_network() if own_network().exists() else "shipped"
    path = SHIPPED_NETWORK if path == "shipped" else Path(path).absolute()
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: train a network first")
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a damaged file makes Keras raise nearly anything
        raise ValueError(
            f"{path} holds no Keras network that can be loaded safely "
            f"({type(error).__name__}): train and save it again"
        ) from error
    reads, gives = (getattr(model, f"{way}_shape", None) for way in ("input", "output"))
    if reads not in ((None, 28, 28), (None, 28, 28, 1)) or gives != (None, 10):
        raise ValueError(
            f"{path} reads {reads} and gives {gives}: expected 28x28 images and ten "
            "probabilities"
        )
    model.name = path.stem
    print(f"network: {path.stem} ({model.count_params():,} parameters)")
    return model


def predictor(model):
    """Return a function that reads one image, fast.

    Parameters
    ----------
    model : keras.Model
        From ``(n, 28, 28)`` or ``(n, 28, 28, 1)`` to ``(n, 10)`` probabilities.

    Returns
    -------
    predict : function, (28, 28) -> (10,)
        From an image of floats, 0 paper to 1 ink, to ten probabilities.
        ``predict.network`` is the name of the network.
    """

    def predict(image):
        image = np.asarray(image)
        fits = image.shape == (28, 28) and image.dtype.kind == "f"
        if not fits or not (image.min() >= -0.01 and image.max() <= 1.01):
            raise ValueError(
                "expected an image (28, 28) of floats from 0 (paper) to 1 (ink), "
                f"received {image.dtype} {image.shape}"
                + (f" from {image.min()} to {image.max()}" if fits else "")
            )
        batch = image.reshape(1, *model.input_shape[1:]).astype(np.float32)
        return np.asarray(model.predict_on_batch(batch))[0]

    answer = predict(np.zeros((28, 28), np.float32))  # the first call compiles
    if answer.min() < -0.01 or abs(answer.sum() - 1) > 0.01:
        raise ValueError(
            "expected ten probabilities that add up to 1: end it with softmax"
        )
    predict.network = model.name
    return predict


def decide(probabilities):
    """Return the most probable digit; None if it is less probable than `UNSURE`.

    Parameters
    ----------
    probabilities : (10,)
    """
    digit = int(np.argmax(probabilities))
    return digit if probabilities[digit] >= UNSURE else None


def own_network():
    """Return the path of the learner's own network, whether there is one or not."""
    return work_folder(make=False) / "my_network.keras"
