"""What a network refuses: ``python benchmarks/unsure.py [--model M] [--pens FILE]``.

For each threshold of the top probability: how many true digits are lost below it
(MNIST's test images and, with FILE, real pens: its format is told in pen_accuracy.py),
and how many of each kind of non-digit are refused: drawn by the stand-in's pen in
styles and letters that no network is trained on and, with FILE, two real drawings laid
together.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from pen_accuracy import ask, to_images

from digitkit import data, stand_in
from digitkit.drawings import load_drawings
from digitkit.networks import UNSURE, load_network

DRAWINGS = 1000  # of each kind


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="shipped", help="a .keras file")
    parser.add_argument("--pens", metavar="FILE", help="strokes of true digits")
    arguments = parser.parse_args()
    model = load_network(arguments.model)
    _, (images, _) = data.load_mnist()
    digits = {data.data_source(): data.to_unit(images)}
    others = {
        kind: stand_in.draw_non_digits(kind, DRAWINGS, i, unseen=True)
        for i, kind in enumerate(stand_in.NON_DIGITS)
    }
    if arguments.pens:
        drawings, labels = load_drawings(arguments.pens)
        digits["pens"] = to_images(drawings)
        others |= real_pairs(drawings, labels)
    lost = {name: ask(model, images).max(axis=1) for name, images in digits.items()}
    refused = {
        kind: ask(model, to_images(drawings)).max(axis=1)
        for kind, drawings in others.items()
    }
    for threshold in sorted({0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, UNSURE}):
        mark = "  <- UNSURE" if threshold == UNSURE else ""
        print(f"below {threshold:.2f}{mark}")
        print("  digits lost:", shares(lost, threshold, 2))
        mean = np.mean([(top < threshold).mean() for top in refused.values()])
        print(f"  non-digits refused: {mean:.1%}:", shares(refused, threshold, 0))


def real_pairs(drawings, labels):
    """Lay two real drawings of different digits together, `DRAWINGS` times a kind."""
    rng = np.random.default_rng(0)
    pairs = {"pens side by side": [], "pens laid over": []}
    for kind, lay in zip(pairs, (stand_in.lay_beside, stand_in.lay_over), strict=True):
        while len(pairs[kind]) < DRAWINGS:
            one, other = rng.integers(len(drawings), size=2)
            if labels[one] != labels[other]:
                pairs[kind].append(lay(drawings[one], drawings[other], rng))
    return pairs


def shares(confidences, threshold, places):
    """Name the share of each that lies below the threshold."""
    return ", ".join(
        f"{name} {(top < threshold).mean():.{places}%}"
        for name, top in confidences.items()
    )


if __name__ == "__main__":
    main()
