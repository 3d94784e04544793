"""Train: the recipes."""

from . import networks
from .augmentation import add_non_digits, add_rare_styles, augmented_batches
from .data import to_unit

VALIDATION = 5000  # training images held back to choose by, never trained on


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


def quick(data, epochs=3, callbacks=()):
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
    import keras

    (x_train, y_train), _ = data
    if len(x_train) <= VALIDATION + 128:  # a batch must be left to train on
        raise ValueError(
            f"received {len(x_train)} training images, expected more than "
            f"{VALIDATION + 128}: the last {VALIDATION} are held back"
        )
    x_train = to_unit(x_train)
    held_back = x_train[-VALIDATION:], y_train[-VALIDATION:]
    seen = add_rare_styles(x_train[:-VALIDATION], y_train[:-VALIDATION])
    batches = augmented_batches(*add_non_digits(*seen))
    model = networks.build_cnn()
    model.compile(
        keras.optimizers.Adam(one_cycle(epochs * len(batches))),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=20,
    )
    log_rate = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logs.update(
            learning_rate=float(model.optimizer.learning_rate)
        )
    )
    history = model.fit(
        batches,
        epochs=epochs,
        validation_data=held_back,
        validation_batch_size=500,
        callbacks=[log_rate, *callbacks],
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
        callbacks=[slower, *callbacks],
        verbose=0,
    )
    return model, history.history


RECIPES = {"quick": quick, "classic": classic}
