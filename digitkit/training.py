"""Train: augmentation, and the recipes."""

import numpy as np

from . import networks, standin
from .data import to_unit

VALIDATION = 5000  # training images held back to choose by, never trained on


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
    shift = middle + rng.normal(0, 1, (n, 2))  # pixels
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
        digit for digit, styles in standin.RARE.items() for _ in styles.split(",")
    ]
    rare = rng.choice(by_style, round(share * len(images)))
    drawn = to_unit(standin.draw_images(rare, seed, standin.RARE))
    return (
        np.concatenate([images, drawn]),
        np.concatenate([digits, rare.astype(digits.dtype)]),
    )


def augmented_batches(images, digits, batch_size=128, seed=0):
    """Return shuffled batches for ``model.fit``, augmented anew in each epoch.

    Returns
    -------
    keras.utils.PyDataset
        Batches ``(batch_size, 28, 28)`` and ``(batch_size,)``; the rest of an epoch
        that fills no batch is left out.
    """
    import keras

    class Batches(keras.utils.PyDataset):
        def __init__(self):
            super().__init__()
            self.rng = np.random.default_rng(seed)
            self.on_epoch_end()

        def __len__(self):
            return len(images) // batch_size

        def __getitem__(self, i):
            chosen = self.order[i * batch_size : (i + 1) * batch_size]
            return augment(images[chosen], self.rng), digits[chosen]

        def on_epoch_end(self):
            self.order = self.rng.permutation(len(images))

    return Batches()


def one_cycle(steps, peak=0.004):
    """Return a rate that climbs to `peak` for a quarter of `steps`, then falls.

    After Smith and Topin, "Super-Convergence" (2018); with Keras' `CosineDecay`.
    """
    import keras

    return keras.optimizers.schedules.CosineDecay(
        peak / 10, steps - steps // 4, warmup_target=peak, warmup_steps=steps // 4
    )


def quick(data, epochs=2, callbacks=()):
    """Train `networks.build_cnn` in a minute, to read MNIST and drawings.

    Parameters
    ----------
    data : as `load_mnist` returns it
        The last 5 000 training images are held back for validation; the test images
        are not used.
    epochs : int
        How often each image is shown; the learning rate's schedule stretches with it.
    callbacks : sequence of keras.callbacks.Callback

    Returns
    -------
    model : keras.Sequential
    history : dict of list of float
        By epoch: loss, accuracy, val_loss, val_accuracy, learning_rate.
    """
    (x_train, y_train), _ = data
    x_train = to_unit(x_train)
    held_back = x_train[-VALIDATION:], y_train[-VALIDATION:]
    batches = augmented_batches(
        *add_rare_styles(x_train[:-VALIDATION], y_train[:-VALIDATION])
    )
    import keras

    model = networks.build_cnn()
    model.compile(
        keras.optimizers.Adam(one_cycle(epochs * len(batches))),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=20,
    )
    history = model.fit(
        batches,
        epochs=epochs,
        validation_data=held_back,
        validation_batch_size=500,
        callbacks=[_log_rate(model), *callbacks],
        verbose=0,
    )
    return model, history.history


def classic(data, epochs=16, callbacks=()):
    """Train `networks.build_classic_cnn` as the classic tutorial does.

    Batches of 64, Adam at 0.001, halved when the training loss stops falling. As in
    the tutorial the validation images are the test images; nothing is chosen by them.
    Parameters and returns are those of `quick`.
    """
    import keras

    (x_train, y_train), (x_test, y_test) = data
    model = networks.build_classic_cnn()
    model.compile(
        keras.optimizers.Adam(0.001),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    slower = keras.callbacks.ReduceLROnPlateau(
        "loss", factor=0.5, patience=1, min_delta=0.002
    )
    history = model.fit(
        to_unit(x_train),
        y_train,
        batch_size=64,
        epochs=epochs,
        validation_data=(to_unit(x_test), y_test),
        validation_batch_size=500,
        callbacks=[_log_rate(model), slower, *callbacks],
        verbose=0,
    )
    return model, history.history


RECIPES = {"quick": quick, "classic": classic}


def _log_rate(model):
    import keras

    return keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logs.update(
            learning_rate=float(model.optimizer.learning_rate)
        )
    )
