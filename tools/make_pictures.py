"""Make the pictures in ``notebooks/images``: ``python tools/make_pictures.py``.

Those at the head of notebooks 01 to 03 are drawn by the stand-in's pen and from the
recorded runs. For those of the pad a digit is drawn with the mouse in a private
JupyterLab; this needs Chromium, Chrome or Edge, ``--browser PATH`` if it is not found.
"""

import argparse
import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
from matplotlib.patches import Rectangle
from PIL import Image

from digitkit.ink import to_image
from digitkit.places import replacing
from digitkit.plots import BLUE, GRAY, ORANGE, show_images
from digitkit.standin import RARE, STYLES, draw_images, draw_strokes
from tests.conftest import find_browser
from tests.lab import ROOT, draw, stable_ink, start_browser, start_lab

NOTEBOOKS = ROOT / "notebooks"
IMAGES = NOTEBOOKS / "images"
NAME = "draw_your_own.ipynb"
CELL = """import digitkit as dk

model = dk.load_network("shipped")
pad = dk.DrawingPad(dk.predictor(model))
pad"""
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
# Two arcs of a 3: centre, radii, and from where to where, in degrees.
ARCS = [
    ((0.48, 0.325), (0.19, 0.175), -160, 80),
    ((0.47, 0.68), (0.23, 0.185), -80, 150),
]
HIDE = ".jp-cell-toolbar, .jp-Collapser {visibility: hidden}"


def three():
    """Return a well-written 3 as one stroke ``(n, 2)``, from 0 to 1."""
    parts = []
    for centre, radii, begin, end in ARCS:
        angle = np.radians(np.linspace(begin, end, 35))[:, None]
        parts.append(np.hstack([np.cos(angle), np.sin(angle)]) * radii + centre)
    return np.concatenate(parts)


def photograph(page, lab):
    """Draw on the pad; return PNGs of the notebook's panel and of the pad alone."""
    lab.open(page, NAME)
    lab.command(page, "notebook:run-all-cells")
    lab.command(page, "notebook:enter-command-mode")
    page.add_style_tag(content=HIDE)
    canvas = page.locator(".digitkit canvas")
    canvas.wait_for()
    draw(page, canvas, [three()])
    stable_ink(canvas, least=0)
    page.mouse.move(2, 2)
    page.evaluate("document.activeElement.blur()")
    page.evaluate("document.fonts.ready")
    page.wait_for_timeout(500)
    return [page.locator(x).screenshot() for x in (".jp-NotebookPanel", ".digitkit")]


def digits():
    """Show four hands writing 0 to 9, the last of them in rare styles."""
    numbers = np.tile(np.arange(10), 3)
    rare = [draw_images([d], d, {**STYLES, **RARE}, 0.6)[0] for d in range(10)]
    return show_images([*draw_images(numbers, 12, jitter=0.6), *rare], size=0.7)


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
    """Make them all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--browser", default=find_browser(), help="a Chromium")
    path = parser.parse_args().browser
    if path is None:
        parser.error("no Chromium, Chrome or Edge found: name one with --browser PATH")
    cells = [
        nbformat.v4.new_markdown_cell("# Draw your own digit"),
        nbformat.v4.new_code_cell(CELL),
    ]
    with tempfile.TemporaryDirectory() as temporary:
        folder, home = Path(temporary, "notebooks"), Path(temporary, "home")
        folder.mkdir()
        notebook = nbformat.v4.new_notebook(cells=cells, metadata=KERNEL)
        nbformat.write(notebook, folder / NAME)
        with start_lab(folder, home) as lab, start_browser(path) as browser:
            page = browser.new_page(
                viewport={"width": 860, "height": 670},
                device_scale_factor=2,
                reduced_motion="reduce",
            )
            pngs = photograph(page, lab)
    for name, png in zip(("drawing_pad", "pad"), pngs, strict=True):
        with replacing(IMAGES / f"{name}.png") as made:
            made.write_bytes(png)
            with Image.open(made) as picture:
                picture.convert("P", palette=Image.Palette.ADAPTIVE).save(made)
    for make in (digits, network, curves):
        with replacing(IMAGES / f"{make.__name__}.png") as made:
            make().savefig(made, dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    main()
