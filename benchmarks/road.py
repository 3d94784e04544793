"""What each step from hand to digit is worth: ``python benchmarks/road.py FILE``.

The steps are switched on one after the other. FILE holds real pen drawings (its format
is told in pen_accuracy.py). Each is put somewhere on a canvas, at 30 to 80 per cent of
its size; from the second step on this makes no difference. Networks are trained as the
recipe `quick` trains, without what is not yet switched on. ``--seeds N``: means of N.
"""

import argparse
import contextlib
import os
import tempfile
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from pen_accuracy import ask, to_images

from digitkit import data, training
from digitkit.drawings import load_drawings


def unchanged(images, digits, **how_much):
    """Add nothing."""
    return images, digits


SWITCHES = {  # what stands where a step of the recipe is left out
    "augmentation": (training, "augment", lambda images, rng: images),
    "rare styles": (training, "add_rare_styles", unchanged),
    "non-digits": (training, "add_non_digits", unchanged),
}


def main():
    """Print the table."""
    os.environ["DIGITKIT_WORK"] = tempfile.mkdtemp()  # nothing of the learner's
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    mnist = data.load_mnist()
    drawings, digits = load_drawings(arguments.file)
    rng = np.random.default_rng(0)
    drawings = [place(drawing, rng) for drawing in drawings]
    roads = {
        "canvas shrunk": (False, False),
        "fitted to 20x20": (True, False),
        "centred": (True, True),
    }
    images = {step: to_images(drawings, *road) for step, road in roads.items()}
    *_, ready = images.values()
    rows = {}
    for seed in range(arguments.seeds):
        for n in range(len(SWITCHES) + 1):
            model = train(mnist, seed, [*SWITCHES][n:])
            tests = images if n == 0 else {[*SWITCHES][n - 1]: ready}
            on_mnist = accuracy(model, data.to_unit(mnist[1][0]), mnist[1][1])
            for step, drawn in tests.items():
                row = rows.setdefault(step, [])
                row.append((accuracy(model, drawn, digits), on_mnist))
    print(f"{'':18}     pens    gain   {data.data_source()}")
    before = None
    for step, row in rows.items():
        pens, on_mnist = np.mean(row, axis=0)
        gain = "" if before is None else f"{100 * (pens - before):+.2f}"
        print(f"{step:18} {pens:8.2%} {gain:>7} {on_mnist:8.2%}")
        before = pens


def place(drawing, rng):
    """Put a drawing somewhere on the canvas, which goes from 0 to 1."""
    points = np.concatenate(drawing)
    low, size = points.min(axis=0), rng.uniform(0.3, 0.8)
    scale = size / (np.ptp(points, axis=0).max() or 1)
    corner = rng.uniform(0.05, 0.95 - size, 2)
    return [(stroke - low) * scale + corner for stroke in drawing]


def train(mnist, seed, left_out):
    """Train the recipe `quick` without the steps named."""
    keras.utils.set_random_seed(seed)
    with contextlib.ExitStack() as switched:
        for step in left_out:
            switched.enter_context(mock.patch.object(*SWITCHES[step]))
        model, kept = training.quick(mnist)
    kept.forget()
    return model


def accuracy(model, images, digits):
    """Return the share that is read right."""
    return (ask(model, images).argmax(axis=1) == digits).mean()


if __name__ == "__main__":
    main()
