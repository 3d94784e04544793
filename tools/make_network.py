"""Make the network that is shipped: ``python tools/make_network.py``.

The network of notebook 02, half as wide again and trained for longer, on MNIST and on
the stand-in's pen: its rare styles, a share of all the others, and what is no digit.
About twenty minutes on two cores. All 60 000 training images are used: the recipe
was chosen with the last 5 000 held back.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

from digitkit.augmentation import add_non_digits, add_rare_styles, augmented_batches
from digitkit.data import data_source, load_mnist, to_unit
from digitkit.networks import build_cnn, save_network
from digitkit.places import SHIPPED_NETWORK
from digitkit.standin import draw_images
from digitkit.training import one_cycle

SEED = 2024
EPOCHS = 20
FILTERS = 48
ALL_STYLES = 6000  # images drawn in the stand-in's common styles
SMOOTHING = 0.05  # of the labels: what a network may leave to the other digits


def main():
    """Train, print what it reads, save."""
    keras.utils.set_random_seed(SEED)
    (x_train, y_train), (x_test, y_test) = load_mnist()
    if data_source() != "mnist":
        raise SystemExit("the shipped network is trained on MNIST: set DIGITKIT_DATA")
    drawn = np.random.default_rng(SEED).integers(0, 10, ALL_STYLES).astype(np.uint8)
    images = to_unit(np.concatenate([x_train, draw_images(drawn, [SEED, 1])]))
    digits = np.concatenate([y_train, drawn])
    images, digits = add_rare_styles(images, digits, share=0.2, seed=SEED)
    images, digits = add_non_digits(images, digits, share=0.08, seed=SEED)
    batches = augmented_batches(images, digits, seed=SEED)
    model = build_cnn(FILTERS)
    model.compile(
        keras.optimizers.AdamW(one_cycle(EPOCHS * len(batches)), weight_decay=0.01),
        smoothed_crossentropy,
        metrics=["accuracy"],
        steps_per_execution=20,
    )
    model.fit(batches, epochs=EPOCHS, verbose=2)
    images = to_unit(x_test)
    guesses = model.predict(images, batch_size=500, verbose=0).argmax(axis=1)
    save_network(model, SHIPPED_NETWORK)
    print(f"test accuracy {(guesses == y_test).mean():.4f}")


def smoothed_crossentropy(digits, probabilities):
    """Crossentropy with smoothed labels, which Keras offers for one-hot ones only."""
    alone = keras.losses.sparse_categorical_crossentropy(digits, probabilities)
    log = keras.ops.log(keras.ops.maximum(probabilities, keras.config.epsilon()))
    return (1 - SMOOTHING) * alone - SMOOTHING * keras.ops.mean(log, axis=-1)


if __name__ == "__main__":
    main()
