"""What the stand-in teaches: ``standin.py [FILE] [--seeds N]``.

Trains the recipe `quick` on the stand-in alone, and prints for each seed how many it
reads of the stand-in's test images, of MNIST's, where there is MNIST, and, if FILE is
given, of its real pen drawings (its format: see pen_accuracy.py).
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from pen_accuracy import read_drawings

from digitkit import data, standin, training


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    begun = time.process_time()
    drawn = standin.draw_data_set()
    print(f"70 000 images drawn in {time.process_time() - begun:.0f} s on one core")
    tests = {"itself": drawn[1]}
    mnist = data.load_mnist()
    if data.data_source() == "mnist":
        tests["MNIST"] = mnist[1]
    tests = {name: (data.to_unit(x), y) for name, (x, y) in tests.items()}
    if arguments.file:
        tests["pens"] = read_drawings(arguments.file)
    table = []
    for seed in range(arguments.seeds):
        keras.utils.set_random_seed(seed)
        model, _ = training.quick(drawn)
        table.append(
            [model.evaluate(*test, 500, verbose=0)[1] for test in tests.values()]
        )
        print(f"seed {seed}: {as_text(tests, table[-1])}", flush=True)
    print(f"mean:   {as_text(tests, np.mean(table, axis=0))}")


def as_text(names, accuracies):
    """Name each accuracy."""
    return ", ".join(f"{n} {a:.2%}" for n, a in zip(names, accuracies, strict=True))


if __name__ == "__main__":
    main()
