"""Training: augmented batches, and the recipes that train a network.

In comes a data set as `load_mnist` returns it; rare styles and non-digits by the
stand-in's pen are mixed in, and each batch is augmented. Out come a trained model and
its history. The lesson 02 builds the recipe `quick` step by step; the command line runs
all three: `quick`, `best` and `classic`.
"""

import functools
import zlib

import numpy as np

from . import networks, stand_in
from .callbacks import checkpoint
from .data import to_unit

NO_DIGIT = 10  # the label of what is none: in each batch it becomes a random digit
VALIDATION = 5000  # training images held back to choose by, never trained on
SMOOTHING = 0.05  # of the labels: what a network may leave to the other digits


def augment(images, rng):
    """Turn, slant, stretch and shift each image a little, each in its own way.

    Parameters
    ----------
    images : (n, 28, 28) float32
    rng : numpy.random.Generator

    Returns
    -------
    (n, 28, 28) float32, resampled bilinearly in one go by Keras'
    ``ops.image.affine_transform``.
    """
    import keras

    n = len(images)
    turn, slant = rng.normal(0, 0.12, n), rng.normal(0, 0.15, n)  # radians, tangent
    width, height = np.exp(rng.normal(0, 0.1, (2, n)))
    cos, sin = np.cos(turn), np.sin(turn)
    across = np.stack([cos * width, (cos * slant - sin) * height], axis=1)
    down = np.stack([sin * width, (sin * slant + cos) * height], axis=1)
    middle = (images.shape[1] - 1) / 2
    shift = middle + rng.normal(0, 0.4, (n, 2))  # pixels; they are centred already
    across = np.c_[across, shift[:, 0] - across.sum(axis=1) * middle]
    down = np.c_[down, shift[:, 1] - down.sum(axis=1) * middle]
    transforms = np.c_[across, down, np.zeros((n, 2))].astype(np.float32)
    moved = keras.ops.image.affine_transform(images[..., None], transforms)
    return keras.ops.convert_to_numpy(moved)[..., 0]


def add_rare_styles(images, digits, share=0.15, seed=0):
    """Add digits that the stand-in's pen drew in styles that MNIST hardly has.

    Parameters
    ----------
    images : (n, 28, 28) float32, digits : (n,)
    share : float
        How many are added, as a share of `n`.
    seed : int

    Returns
    -------
    images, digits
        Longer arrays, the new ones last.
    """
    rng = np.random.default_rng(seed)
    by_style = [
        digit for digit, styles in stand_in.RARE.items() for _ in styles.split(",")
    ]
    rare = rng.choice(by_style, round(share * len(images)))
    drawn = to_unit(stand_in.draw_images(rare, seed, stand_in.RARE))
    return (
        np.concatenate([images, drawn]),
        np.concatenate([digits, rare.astype(digits.dtype)]),
    )


def add_non_digits(images, digits, share=0.1, seed=0):
    """Add scribbles, letters, two digits at once: labelled `NO_DIGIT`.

    Parameters
    ----------
    images, digits, share, seed : as `add_rare_styles` takes them

    Returns
    -------
    images, digits
        Longer arrays, the new ones last.
    """
    drawn = stand_in.draw_non_digit_images(round(share * len(images)), seed)
    return (
        np.concatenate([images, drawn]),
        np.append(digits, np.full(len(drawn), NO_DIGIT, digits.dtype)),
    )


def augmented_batches(images, digits, batch_size=128, seed=0, augmented=True):
    """Return shuffled batches for ``model.fit``, augmented anew in each epoch.

    Parameters
    ----------
    images : (n, 28, 28) float32, digits : (n,)
        Where a digit is `NO_DIGIT` the network is told another one each time: so it
        learns to give no digit a high probability.
    batch_size, seed : int
    augmented : bool
        False leaves the images as they are.

    Returns
    -------
    keras.utils.PyDataset
        Batches ``(batch_size, 28, 28)`` and ``(batch_size,)``, the last one smaller.
        What each holds depends on the seed, on ``epoch`` and on its number alone, so a
        training that goes on later sees what it would have seen.
    """
    import keras

    @functools.lru_cache(maxsize=1)
    def order_in(epoch):
        return np.random.default_rng([seed, epoch]).permutation(len(images))

    class Batches(keras.utils.PyDataset):
        def __init__(self):
            # Two threads: with Keras' default of none, the batches come through a pool
            # of TensorFlow's that on two cores often leaves one of them idle.
            super().__init__(workers=2, max_queue_size=40)
            self.epoch = 0

        @property
        def identity(self):  # asked for only where progress is kept
            content = zlib.crc32(np.ascontiguousarray(digits))
            content = zlib.crc32(np.ascontiguousarray(images), content)
            return [len(images), content, batch_size, seed, augmented]

        def __len__(self):
            return -(-len(images) // batch_size)

        def __getitem__(self, i):
            rng = np.random.default_rng([seed, self.epoch, i])
            chosen = order_in(self.epoch)[i * batch_size : (i + 1) * batch_size]
            told, any_digit = digits[chosen], rng.integers(10, size=len(chosen))
            told = np.where(told == NO_DIGIT, any_digit, told)
            few = images[chosen]
            return augment(few, rng) if augmented else few, told

        def on_epoch_end(self):
            self.epoch += 1

    return Batches()


def make_repeatable(seed):
    """Make what follows come out the same, to the last digit, whenever it is run.

    On one machine's CPU, with the same versions. It sets all seeds, and forbids
    TensorFlow what is quick but comes out a little different each time.
    """
    import keras

    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def one_cycle(steps, peak=0.004):
    """Return a learning rate that climbs for a quarter of the steps, then falls.

    After Smith and Topin, "Super-Convergence" (2018).

    Parameters
    ----------
    steps : int
        Batches in the whole training.
    peak : float

    Returns
    -------
    keras.optimizers.schedules.CosineDecay
    """
    import keras

    return keras.optimizers.schedules.CosineDecay(
        peak / 10, steps - steps // 4, warmup_target=peak, warmup_steps=steps // 4
    )


def smoothed_crossentropy(digits, probabilities):
    """Return the cross-entropy with labels smoothed by `SMOOTHING`, ``(n,)``.

    It asks for 95.5 %, not all, so no network becomes too sure of itself (Szegedy et
    al., "Rethinking the Inception architecture", 2016). Keras has it for one-hot
    labels only.

    Parameters
    ----------
    digits : (n,), probabilities : (n, 10)
    """
    import keras

    alone = keras.losses.sparse_categorical_crossentropy(digits, probabilities)
    log = keras.ops.log(keras.ops.maximum(probabilities, keras.config.epsilon()))
    return (1 - SMOOTHING) * alone - SMOOTHING * keras.ops.mean(log, axis=-1)


def halve_on_plateau():
    """Return the callback by which the classic halves its learning rate.

    It does so whenever the training loss falls by less than 0.002 in an epoch.
    """
    import keras

    return keras.callbacks.ReduceLROnPlateau(
        "loss", factor=0.5, patience=1, min_delta=0.002
    )


def quick(data, epochs=3, seed=0, callbacks=(), path=None):
    """Train `networks.build_cnn` in a minute, to read MNIST and drawings.

    Parameters
    ----------
    data : as `load_mnist` returns it
        The last 5 000 training images are held back for validation; the test images
        are not used.
    epochs : int
        How often each image is shown; the learning rate's schedule stretches with it.
    seed : int
        Of the order of the images and of what is drawn; `keras.utils.set_random_seed`
        sets that of the network.
    callbacks : sequence of keras.callbacks.Callback
    path : path, optional
        Where progress is kept, see `checkpoint`.

    Returns
    -------
    model : keras.Sequential
        With the weights of its best epoch.
    kept : keras.callbacks.Callback
        As `checkpoint` returns it; ``kept.history``, by epoch: loss, accuracy,
        val_loss, val_accuracy, learning_rate.
    """
    import keras

    x_train, y_train, held_back = _hold_back(data)
    images, digits = add_rare_styles(x_train, y_train, share=0.15, seed=seed)
    images, digits = add_non_digits(images, digits, share=0.1, seed=seed)
    batches = augmented_batches(images, digits, seed=seed)
    model = networks.build_cnn()
    rate = one_cycle(epochs * len(batches))
    _compile(model, keras.optimizers.Adam(rate), smoothed_crossentropy)
    return _fit(model, batches, epochs, held_back, callbacks, path)


def best(data, epochs=28, seed=0, callbacks=(), path=None):
    """Train a larger network for longer, for what one small network can reach.

    Parameters and returns are those of `quick`.
    """
    import keras

    x_train, y_train, held_back = _hold_back(data)
    images, digits = add_rare_styles(x_train, y_train, share=0.1, seed=seed)
    images, digits = add_non_digits(images, digits, share=0.05, seed=seed)
    batches = augmented_batches(images, digits, seed=seed)
    model = networks.build_cnn((32, 64, 64, 128), step=1)
    rate = one_cycle(epochs * len(batches))
    optimizer = keras.optimizers.AdamW(rate, weight_decay=0.01)
    _compile(model, optimizer, smoothed_crossentropy)
    return _fit(model, batches, epochs, held_back, callbacks, path)


def classic(data, epochs=16, seed=0, callbacks=(), path=None):
    """Train `networks.build_classic_cnn` as the classic tutorial does.

    Batches of 64, Adam at 0.001, halved when the training loss stops falling. As in
    the tutorial the validation images are the test images; nothing is chosen by them,
    the best epoch is that of least training loss.
    Parameters and returns are those of `quick`.
    """
    import keras

    (x_train, y_train), (x_test, y_test) = data
    batches = augmented_batches(to_unit(x_train), y_train, 64, seed, augmented=False)
    model = networks.build_classic_cnn()
    _compile(model, keras.optimizers.Adam(0.001), "sparse_categorical_crossentropy")
    test = to_unit(x_test), y_test
    callbacks = [halve_on_plateau(), *callbacks]
    return _fit(model, batches, epochs, test, callbacks, path, "loss")


RECIPES = {"quick": quick, "best": best, "classic": classic}


def _hold_back(data):
    (x_train, y_train), _ = data
    if len(x_train) <= VALIDATION:
        raise ValueError(
            f"received {len(x_train)} training images, expected more than "
            f"{VALIDATION}: the last {VALIDATION} are held back"
        )
    x_train = to_unit(x_train)
    held_back = x_train[-VALIDATION:], y_train[-VALIDATION:]
    return x_train[:-VALIDATION], y_train[:-VALIDATION], held_back


def _compile(model, optimizer, loss):
    # Twenty batches in one go: less to and fro between Python and the machine.
    model.compile(optimizer, loss, metrics=["accuracy"], steps_per_execution=20)


def _fit(model, batches, epochs, validation, callbacks, path, monitor="val_loss"):
    import keras

    log_rate = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logs.setdefault(
            "learning_rate", float(model.optimizer.learning_rate)
        )
    )
    kept = checkpoint(model, batches, epochs, path, monitor, told=callbacks)
    model.fit(
        batches,
        initial_epoch=kept.epoch,
        epochs=epochs,
        validation_data=validation,
        validation_batch_size=500,
        callbacks=[log_rate, *callbacks, kept],
        shuffle=False,  # the batches are, and Keras' own order would not come again
        verbose=0,
    )
    return model, kept
