"""Record the training runs that notebook 03 reads: ``python tools/record_runs.py``.

Each run is written to ``notebooks/recorded/NAME.json``: what was trained, on what, the
history that Keras returned, the test results. Name some runs to
record only these. All of them take about twenty minutes on two cores.
"""

import json
import os
import platform
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras

from digitkit.data import data_source, load_mnist, to_unit
from digitkit.files import replacing
from digitkit.networks import build_classic_cnn
from digitkit.training import halve_on_plateau, make_repeatable

RECORDED = Path(__file__).parent.parent / "notebooks" / "recorded"
SEED = 2024
RUNS = {
    "classic": {
        "what": "the classic tutorial: Adam, the rate halved when the training loss "
        "stops falling",
        "optimizer": ("Adam", 0.001),
        "plateau": True,
    },
    "adadelta": {
        "what": "the same network and data, Adadelta at Keras' default rate of 0.001",
        "optimizer": ("Adadelta", 0.001),
    },
    "few_images": {
        "what": "the same network without dropout on the first 1 000 images only",
        "optimizer": ("Adam", 0.001),
        "images": 1000,
        "epochs": 40,
        "dropout": False,
    },
    "high_rate": {
        "what": "the same network and data, Adam at a rate thirty times as high",
        "optimizer": ("Adam", 0.03),
        "epochs": 6,
    },
}


def say(epoch, logs):
    """Say on the terminal how it goes."""
    print(epoch + 1, {k: round(float(v), 5) for k, v in logs.items()}, flush=True)


def record(
    name, what, optimizer, images=60_000, epochs=16, dropout=True, plateau=False
):
    """Train once and write the JSON file of the run."""
    make_repeatable(SEED)
    (x_train, y_train), (x_test, y_test) = load_mnist()
    if data_source() != "mnist":
        raise SystemExit("notebook 03 reads runs on MNIST: set DIGITKIT_DATA")
    x_train, x_test = to_unit(x_train), to_unit(x_test)
    model = build_classic_cnn()
    if not dropout:
        kept = [x for x in model.layers if not isinstance(x, keras.layers.Dropout)]
        model = keras.Sequential([keras.Input((28, 28)), *kept])
    optimizer_name, rate = optimizer
    model.compile(
        getattr(keras.optimizers, optimizer_name)(rate),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    callbacks = [keras.callbacks.LambdaCallback(on_epoch_end=say)]
    if plateau:
        callbacks.append(halve_on_plateau())
    history = model.fit(
        x_train[:images],
        y_train[:images],
        batch_size=64,
        epochs=epochs,
        validation_data=(x_test, y_test),
        callbacks=callbacks,
        verbose=0,
    ).history
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    run = {
        "name": name,
        "what": what,
        "data": data_source(),
        "images": images,
        "parameters": model.count_params(),
        "batch_size": 64,
        "optimizer": optimizer_name,
        "learning_rate": rate,
        "seed": SEED,
        "keras": keras.version(),
        "backend": keras.backend.backend(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "test_loss": round(loss, 5),
        "test_accuracy": round(accuracy, 4),
        "history": {k: [round(float(v), 5) for v in vs] for k, vs in history.items()},
    }
    with replacing(RECORDED / f"{name}.json") as temporary:
        temporary.write_text(json.dumps(run, indent=1) + "\n")


if __name__ == "__main__":
    for name in sys.argv[1:] or RUNS:
        print(name, flush=True)
        record(name, **RUNS[name])
