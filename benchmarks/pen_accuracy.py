"""How many real pen drawings a network reads: ``pen_accuracy.py FILE [--model M]``.

FILE is a JSON list, gzipped or not, of ``{"label": 3, "strokes": [[[x, y], ...]]}``, y
downwards, in any unit. Each drawing takes the pad's road, `to_image`.
"""

import argparse
import gzip
import json
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from digitkit.ink import to_image
from digitkit.networks import load_network
from digitkit.scoring import accuracy_by_digit


def read_drawings(path):
    """Return the images ``(n, 28, 28)`` and the digits ``(n,)`` of a strokes file."""
    opened = gzip.open if str(path).endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8") as file:
        drawings = json.load(file)
    images = [to_image(drawing["strokes"]) for drawing in drawings]
    return np.stack(images), np.array([drawing["label"] for drawing in drawings])


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--model", default="shipped", help="a .keras file")
    arguments = parser.parse_args()
    images, digits = read_drawings(arguments.file)
    model = load_network(arguments.model)
    batch = images.reshape(-1, *model.input_shape[1:])
    predicted = model.predict(batch, batch_size=500, verbose=0).argmax(axis=1)
    print(f"accuracy {(predicted == digits).mean():.2%} of {len(digits)} drawings")
    for digit, accuracy in enumerate(accuracy_by_digit(digits, predicted)):
        print(f"  {digit}: {accuracy:.2%}")


if __name__ == "__main__":
    main()
