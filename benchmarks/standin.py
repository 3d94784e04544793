"""What the stand-in teaches: ``standin.py [FILE] [--seeds N]``.

Trains the recipe `quick` on the stand-in alone, and prints for each seed how many it
reads of the stand-in's test images, of MNIST's, where there is MNIST, and, if FILE is
given, of its real pen drawings (its format: see pen_accuracy.py).
"""

import os
import tempfile
import time

import keras
import numpy as np
from pen_accuracy import ask
from training import as_text, read_arguments, shares_read, tests_of

from digitkit import data, stand_in, training


def main():
    """Print the table."""
    _, arguments = read_arguments(__doc__)
    os.environ["DIGITKIT_WORK"] = tempfile.mkdtemp()  # nothing of the learner's
    begun = time.process_time()
    drawn = stand_in.draw_data_set()
    print(f"70 000 images drawn in {time.process_time() - begun:.0f} s on one core")
    tests = {"itself": drawn[1]}
    mnist = data.load_mnist()
    if data.data_source() == "mnist":
        tests["MNIST"] = mnist[1]
    tests = tests_of(arguments, tests)
    rows = []
    for seed in range(arguments.seeds):
        keras.utils.set_random_seed(seed)
        model, kept = training.quick(drawn, seed=seed)
        kept.forget()
        rows.append(shares_read(lambda x, model=model: ask(model, x), tests))
        print(f"seed {seed}: {as_text(tests, rows[-1])}", flush=True)
    print(f"mean: {as_text(tests, np.mean(rows, axis=0))}")


if __name__ == "__main__":
    main()
