"""How well the network of notebook 02 reads: ``training.py [FILE] [--seeds N]``.

Trains the recipe `quick` on MNIST, and prints for each seed the seconds of training and
the accuracy on MNIST's test images and, if FILE is given, on its real pen drawings (its
format: see pen_accuracy.py), and the means. standin.py does the same without MNIST.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from pen_accuracy import read_drawings

from digitkit import data, training


def main():
    """Print the table."""
    parser, arguments = read_arguments(__doc__)
    mnist = data.load_mnist()
    if data.data_source() != "mnist":
        parser.error("MNIST is needed to test on: set DIGITKIT_DATA")
    report(mnist, {"MNIST": mnist[1]}, arguments)


def read_arguments(description):
    """Return the parser of the command line, and what it found there."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("file", nargs="?")
    parser.add_argument("--seeds", type=int, default=3)
    return parser, parser.parse_args()


def report(data_set, tests, arguments):
    """Train on a data set with each seed; print how many it reads of each test set."""
    tests = {name: (data.to_unit(x), y) for name, (x, y) in tests.items()}
    if arguments.file:
        tests["pens"] = read_drawings(arguments.file)
    table = []
    for seed in range(arguments.seeds):
        keras.utils.set_random_seed(seed)
        begun = time.perf_counter()
        model, _ = training.quick(data_set)
        seconds = time.perf_counter() - begun
        table.append([model.evaluate(*t, 500, verbose=0)[1] for t in tests.values()])
        print(f"seed {seed}: {seconds:.0f} s, {as_text(tests, table[-1])}", flush=True)
    print(f"mean: {as_text(tests, np.mean(table, axis=0))}")


def as_text(names, accuracies):
    """Name each accuracy."""
    return ", ".join(f"{n} {a:.2%}" for n, a in zip(names, accuracies, strict=True))


if __name__ == "__main__":
    main()
