"""How many real pen drawings a network reads: ``pen_accuracy.py FILE [--model M]``.

FILE is a JSON list, gzipped or not, of ``{"label": 3, "strokes": [[[x, y], ...], ...]}``,
y downwards, in any unit. Each drawing takes the pad's road, `to_image`, and for
comparison the plain one: the drawing, as large as it was written beside the others of
the file, on a canvas shrunk to 28x28.
"""

import argparse
import gzip
import json
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from digitkit.ink import to_image
from digitkit.networks import load_network
from digitkit.scoring import accuracy_by_digit

MARGIN = 0.1  # of the canvas, left free on each side on the plain road


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--model", default="shipped", help="a .keras file")
    arguments = parser.parse_args()
    opened = gzip.open if arguments.file.suffix == ".gz" else open
    with opened(arguments.file, "rt", encoding="utf-8") as file:
        drawings = json.load(file)
    digits = np.array([drawing["label"] for drawing in drawings])
    strokes = [drawing["strokes"] for drawing in drawings]
    model = load_network(arguments.model)

    def read(images):
        batch = np.stack(images).reshape(-1, *model.input_shape[1:])
        return model.predict(batch, batch_size=500, verbose=0).argmax(axis=1)

    predicted = read([to_image(drawing) for drawing in strokes])
    plain = read(
        [to_image(on_canvas(drawing), fit=False, centre=False) for drawing in strokes]
    )
    print(f"accuracy {(predicted == digits).mean():.2%} of {len(digits)} drawings")
    print(f"the plain road: {(plain == digits).mean():.2%}")
    for digit, accuracy in enumerate(accuracy_by_digit(digits, predicted)):
        print(f"  {digit}: {accuracy:.2%}")


def on_canvas(drawing):
    """Place a drawing in the middle of a canvas from 0 to 1, as large as fits it."""
    points = np.concatenate(drawing)
    low, high = points.min(axis=0), points.max(axis=0)
    scale = (1 - 2 * MARGIN) / max((high - low).max(), 1e-9)
    return [(np.array(stroke) - (low + high) / 2) * scale + 0.5 for stroke in drawing]


if __name__ == "__main__":
    main()
