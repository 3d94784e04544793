"""Make the network that is shipped: ``python tools/make_network.py``.

The network of notebook 02, trained for longer, on MNIST and on the stand-in's pen: its
rare styles and a share of all the others. About ten minutes on two cores. Chosen by the
last 5 000 training images; the test images are looked at once, at the end.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

from digitkit.augmentation import add_rare_styles, augmented_batches
from digitkit.data import data_source, load_mnist, to_unit
from digitkit.networks import build_cnn, save_network
from digitkit.places import SHIPPED_NETWORK
from digitkit.standin import draw_images
from digitkit.training import VALIDATION, one_cycle

SEED = 2024
EPOCHS = 24
ALL_STYLES = 6000  # images drawn in the stand-in's common styles


def main():
    """Train, print what it reads, save."""
    keras.utils.set_random_seed(SEED)
    (x_train, y_train), (x_test, y_test) = load_mnist()
    if data_source() != "mnist":
        raise SystemExit("the shipped network is trained on MNIST: set DIGITKIT_DATA")
    x_train, x_test = to_unit(x_train), to_unit(x_test)
    held_back = x_train[-VALIDATION:], y_train[-VALIDATION:]
    drawn = np.random.default_rng(SEED).integers(0, 10, ALL_STYLES).astype(np.uint8)
    images = np.concatenate(
        [x_train[:-VALIDATION], to_unit(draw_images(drawn, [SEED, 1]))]
    )
    digits = np.concatenate([y_train[:-VALIDATION], drawn])
    batches = augmented_batches(*add_rare_styles(images, digits, share=0.2, seed=SEED))
    model = build_cnn()
    model.compile(
        keras.optimizers.AdamW(one_cycle(EPOCHS * len(batches)), weight_decay=0.01),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=20,
    )
    model.fit(batches, epochs=EPOCHS, validation_data=held_back, verbose=2)
    loss, accuracy = model.evaluate(x_test, y_test, batch_size=500, verbose=0)
    save_network(model, SHIPPED_NETWORK)
    print(f"test loss {loss:.4f}, test accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
