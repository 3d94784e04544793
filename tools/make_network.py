"""Make a network to be shipped: ``python tools/make_network.py``.

The recipe `best` on MNIST, with a fixed seed. Where it was interrupted, it goes on. The
one that is shipped reads pens better yet: an earlier script's, see digitkit/shipped.md.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from digitkit import callbacks, training
from digitkit.data import data_source, load_mnist, to_unit
from digitkit.files import SHIPPED_NETWORK, work_folder
from digitkit.networks import save_network

SEED = 2024


def main():
    """Train, save, print what it reads."""
    mnist = load_mnist()
    if data_source() != "mnist":
        raise SystemExit("the shipped network is trained on MNIST: set DIGITKIT_DATA")
    training.make_repeatable(SEED)
    bar = [callbacks.progress_bar("best")]
    unfinished = work_folder() / "shipped-unfinished.npz"
    model, kept = training.best(mnist, seed=SEED, callbacks=bar, path=unfinished)
    if kept.stopped:
        return
    save_network(model, SHIPPED_NETWORK)
    kept.forget()
    _, (x_test, y_test) = mnist
    guesses = model.predict(to_unit(x_test), batch_size=500, verbose=0).argmax(axis=1)
    print(f"test accuracy {np.mean(guesses == y_test):.4f}")


if __name__ == "__main__":
    main()
