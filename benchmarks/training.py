"""How well the network of notebook 02 reads: ``training.py [FILE] [--seeds N]``.

Trains the recipe `quick` on MNIST, and prints for each seed the seconds of training and
the accuracy on MNIST's test images and, if FILE is given, on its real pen drawings (its
format: see pen_accuracy.py). standin.py does the same without MNIST.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
from pen_accuracy import read_drawings

from digitkit import data, training


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    mnist = data.load_mnist()
    if data.data_source() != "mnist":
        parser.error("MNIST is needed to test on: set DIGITKIT_DATA")
    x_test, y_test = mnist[1]
    tests = {"MNIST": (data.to_unit(x_test), y_test)}
    if arguments.file:
        tests["pens"] = read_drawings(arguments.file)
    for seed in range(arguments.seeds):
        keras.utils.set_random_seed(seed)
        begun = time.perf_counter()
        model, _ = training.quick(mnist)
        line = f"seed {seed}: {time.perf_counter() - begun:.0f} s"
        for name, (images, digits) in tests.items():
            _, accuracy = model.evaluate(images, digits, 500, verbose=0)
            line += f", {name} {accuracy:.2%}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
