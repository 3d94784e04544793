"""Print how soon the pad answers: ``python benchmarks/latency.py [--model FILE]``.

Drawings of the stand-in's pen, in styles that no network has been trained on, are drawn
move by move on a `DrawingPad`. The clock runs while `pen_up` does: strokes to image,
image to ten probabilities, the paper redrawn, the answer's page made. What the browser
adds is not in it: `python -m pytest -m soak tests/test_browser.py` measures that.
"""

import argparse
import time

import numpy as np

from digitkit import ink
from digitkit.networks import load_network, predictor
from digitkit.pad.drawing_pad import DrawingPad
from digitkit.stand_in import draw_strokes

DRAWINGS = 300


def measure(pad, drawings):
    """Return the milliseconds that each `pen_up` took."""
    times = []
    for drawing in drawings:
        pad.clear()
        scale, offset = ink.fit_to_box(np.concatenate(drawing)[None])
        for stroke in drawing:
            points = (stroke * scale[0] + offset[0]) / ink.SIZE
            pad.pen_down(*points[0])
            for point in points[1:]:
                pad.pen_move(*point)
            begun = time.perf_counter()
            pad.pen_up()
            times.append(1000 * (time.perf_counter() - begun))
    return times


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="shipped", help="a .keras file")
    model = load_network(parser.parse_args().model)
    drawings = draw_strokes(np.arange(DRAWINGS) % 10, seed=0)
    times = measure(DrawingPad(predictor(model)), drawings)
    print(
        f"{len(times)} strokes, from pen-up to ten probabilities shown: "
        f"median {np.median(times):.1f} ms, "
        f"95 % within {np.quantile(times, 0.95):.1f} ms"
    )


if __name__ == "__main__":
    main()
