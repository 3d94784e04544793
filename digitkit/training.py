"""Train: the recipes."""

from . import networks
from .augmentation import add_non_digits, add_rare_styles, augmented_batches
from .checkpoint import keep_progress
from .data import to_unit

VALIDATION = 5000  # training images held back to choose by, never trained on
SMOOTHING = 0.05  # of the labels: what a network may leave to the other digits


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
        Where progress is kept, see `keep_progress`.

    Returns
    -------
    model : keras.Sequential
        With the weights of its best epoch.
    kept : keras.callbacks.Callback
        As `keep_progress` returns it; ``kept.history``, by epoch: loss, accuracy,
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
    kept = keep_progress(model, batches, epochs, path, monitor, told=callbacks)
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
