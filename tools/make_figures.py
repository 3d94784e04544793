"""Make the title pictures of notebooks 01 to 03: ``python tools/make_figures.py``.

They are drawn by the stand-in's pen and from the recorded runs; MNIST is not needed.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from digitkit.ink import to_image
from digitkit.places import replacing
from digitkit.plots import BLUE, GRAY, ORANGE, show_images
from digitkit.standin import RARE, STYLES, draw_images, draw_strokes

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def digits():
    """Show four hands writing 0 to 9, the last of them in rare styles."""
    numbers = np.tile(np.arange(10), 3)
    rare = [draw_images([d], d, RARE if d in RARE else STYLES)[0] for d in range(10)]
    return show_images([*draw_images(numbers, seed=12), *rare], size=0.7)


def network():
    """Show how an image shrinks, layer by layer, while its channels multiply."""
    fig, ax = plt.subplots(figsize=(8.5, 2.6))
    image = to_image(draw_strokes([4], seed=9)[0])
    ax.imshow(image, cmap="gray_r", extent=(0, 28, -14, 14))
    ax.add_patch(Rectangle((0, -14), 28, 28, fill=False, ec=GRAY))
    ax.text(14, -19, "image\n28x28", ha="center", va="top")
    stages = [
        ("32 filters\n5x5", 24, BLUE),
        ("pool\n2x2", 12, GRAY),
        ("64 filters\n3x3", 10, BLUE),
        ("64 filters\n3x3", 8, BLUE),
        ("pool\n2x2", 4, GRAY),
        ("128 filters\n3x3", 2, BLUE),
    ]
    left = 44
    for name, side, colour in stages:
        for back in (4, 2, 0):  # a few sheets stand for many
            corner = (left + back, -side / 2 + back)
            ax.add_patch(Rectangle(corner, side, side, fc=colour, ec="white", lw=1))
        middle = left + side / 2 + 2
        ax.text(middle, side / 2 + 6, f"{side}x{side}", ha="center", color="#444444")
        ax.text(middle, -19, name, ha="center", va="top")
        left += side + 18
    bars = [0.1, 0.05, 0.15, 0.1, 1, 0.1, 0.05, 0.2, 0.1, 0.3]
    for digit, height in enumerate(bars):
        colour = ORANGE if height == 1 else GRAY
        ax.add_patch(Rectangle((left + 3 * digit, -14), 2, 24 * height, fc=colour))
        ax.text(left + 3 * digit + 1, -14.8, digit, ha="center", va="top", fontsize=7)
    ax.text(left + 15, -19, "ten\nprobabilities", ha="center", va="top")
    ax.set(xlim=(-2, left + 34), ylim=(-34, 22))
    ax.set_aspect("equal")
    ax.axis("off")
    return fig


def curves():
    """Show the validation loss of the four recorded runs, without their names."""
    fig, axes = plt.subplots(1, 4, figsize=(8.5, 1.9))
    files = sorted((NOTEBOOKS / "recorded").glob("*.json"))
    for ax, file, letter in zip(axes, files, "ABCD", strict=True):
        history = json.loads(file.read_text())["history"]
        ax.plot(history["loss"])
        ax.plot(history["val_loss"], "--", color=ORANGE)
        ax.set(title=letter, xticks=[], yticks=[], xlabel="epochs")
    axes[0].set_ylabel("loss")
    return fig


def main():
    """Write each picture."""
    for make in (digits, network, curves):
        with replacing(NOTEBOOKS / "images" / f"{make.__name__}.png") as temporary:
            make().savefig(temporary, dpi=110, bbox_inches="tight")
        plt.close()


if __name__ == "__main__":
    main()
