"""How well a network reads real pens: ``pen_accuracy.py FILE [--model M] [--png OUT]``.

FILE is a strokes file, as `digitkit.drawings` and ``tools/pens.py`` write it. Each
drawing takes the pad's road: `to_image`, the network, `decide`. Accuracy counts the
most probable digit, however unsure; what the pad would answer stands in the last lines.
"""

import argparse
import contextlib
import io
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from digitkit.drawings import read_entries
from digitkit.files import replacing
from digitkit.ink import to_image
from digitkit.networks import UNSURE, decide, load_network
from digitkit.scoring import confusion, worst_mistakes

SHOWN = 400  # mistakes at most in one picture


def main():
    """Print the report; draw the mistakes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--model", default="shipped", help="a .keras file")
    parser.add_argument("--png", type=Path, help="draw the mistakes here")
    arguments = parser.parse_args()
    network = io.StringIO()  # its name is printed on loading; the accuracy comes first
    try:
        images, digits, writers = read_all(arguments.file)
        with contextlib.redirect_stdout(network):
            model = load_network(arguments.model)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    probabilities = ask(model, images)
    print(report(digits, probabilities, writers, network.getvalue().strip()))
    if arguments.png:
        draw_mistakes(images, digits, probabilities, arguments.png)


def read_drawings(path):
    """Return the images ``(n, 28, 28)`` and the digits ``(n,)`` of a strokes file."""
    return read_all(path)[:2]


def read_all(path):
    """Return images, digits and the names of the writers, "" where there is none."""
    entries = read_entries(path)
    if not entries:
        raise ValueError(f"{path} holds no drawings")
    digits = np.array([entry["label"] for entry in entries])
    writers = [entry.get("writer", "") for entry in entries]
    return to_images(entry["strokes"] for entry in entries), digits, writers


def to_images(drawings, *steps):
    """Draw each as the pad does, or with the `steps` of `to_image`: (n, 28, 28)."""
    return np.stack([to_image(drawing, *steps) for drawing in drawings])


def ask(model, images):
    """Return the probabilities ``(n, 10)``; some networks want a channel axis."""
    batch = images.reshape(-1, *model.input_shape[1:])
    return model.predict(batch, batch_size=500, verbose=0)


def report(digits, probabilities, writers, network):
    """Return the report as text: the accuracy, alone on its line, then the rest."""
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    right = predicted == digits
    unsure = np.array([decide(row) is None for row in probabilities])
    lines = [f"accuracy {percent(right)}", f"{len(digits)} drawings, {network}"]
    lines += ["", "by digit", *shares(digits, right)]
    names = np.array([writer.split("/")[0] or "unnamed" for writer in writers])
    if any(writers):
        lines += ["", "by contributor", *shares(names, right)]
    lines += ["", "confusion: rows are the true digits, columns the most probable"]
    table = np.column_stack([range(10), confusion(digits, predicted)])
    lines += ["".join(f"{n:>6}" for n in row) for row in [["", *range(10)], *table]]
    lines += [
        "",
        f"mean confidence: {percent(confidence[right])} when right, "
        f"{percent(confidence[~right])} when wrong",
        f"unsure (less than {100 * UNSURE:g} %): {unsure.sum()} drawings, "
        f"{percent(unsure)}; the most probable digit is right for "
        f"{(unsure & right).sum()}, wrong for {(unsure & ~right).sum()}",
        f"answered: {percent(~unsure)}, of these right: {percent(right[~unsure])}",
    ]
    return "\n".join(lines)


def shares(groups, right):
    """Return a line for each group that occurs: the share that was read rightly."""
    return [
        f"{name:>8}  {percent(right[groups == name]):>8} of {(groups == name).sum()}"
        for name in np.unique(groups).astype(object)
    ]


def percent(values):
    """Return the mean of values from 0 to 1 as text."""
    return f"{100 * np.mean(values):.2f} %" if len(values) else "none"


def draw_mistakes(images, digits, probabilities, path):
    """Draw what was read wrongly, the surest first."""
    from digitkit.plots import show_images

    worst = worst_mistakes(digits, probabilities, SHOWN)
    if not len(worst):
        print("no mistakes to draw")
        return
    shown = zip(digits[worst], probabilities[worst], strict=True)
    titles = [f"{true} as {p.argmax()}, {100 * p.max():.0f} %" for true, p in shown]
    fig = show_images(images[worst], titles, columns=12, size=1.1)
    with replacing(path) as temporary:
        fig.savefig(temporary, dpi=100)
    print(f"{path}: {len(worst)} mistakes: true digit, what it was read as, how surely")


if __name__ == "__main__":
    main()
