"""Make the pictures in ``notebooks/images``: ``python tools/make_pictures.py``.

Those at the head of notebooks 01 to 03 are drawn by the stand-in's pen and from the
recorded runs. For those of the pad, and the film of it, the mouse draws in a private
JupyterLab; this needs Chromium, Chrome or Edge, ``--browser PATH`` if it is not found.
"""

import argparse
import csv
import io
import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
from matplotlib.patches import Rectangle
from PIL import Image

from digitkit import stand_in
from digitkit.data import to_unit
from digitkit.files import replacing
from digitkit.ink import to_image
from digitkit.inside import feature_maps, grad_cam, saliency
from digitkit.networks import load_network
from digitkit.plots import BLUE, GRAY, ORANGE, show_images
from digitkit.stand_in import RARE, STYLES, draw_images, draw_strokes
from tests.conftest import find_browser
from tests.lab import (
    IDLE,
    ROOT,
    Pad,
    draw,
    on_paper,
    stable_ink,
    start_browser,
    start_lab,
    write_notebook,
)

NOTEBOOKS = ROOT / "notebooks"
IMAGES = NOTEBOOKS / "images"
NAME = "draw_your_own.ipynb"
CELL = """import digitkit as dk

model = dk.load_network("shipped")
pad = dk.DrawingPad(dk.predictor(model))
pad"""
HIDE = ".jp-cell-toolbar, .jp-Collapser {visibility: hidden}"
PANEL = ".jp-NotebookPanel"
THREE, EIGHT = (on_paper(draw_strokes([d], s, STYLES)[0]) for d, s in ((3, 24), (8, 0)))
SCRIBBLE = on_paper(stand_in.draw_non_digits("scribbles", 1, 7, unseen=True)[0])
SCENES = [  # of the film: the drawing, what the pad says, what takes it away
    (THREE, "looks like a 3", "Clear"),
    (EIGHT, "looks like an 8", "Clear"),
    (SCRIBBLE, "Unsure", "Undo"),  # another network may need another scribble
]
STEP, HOLD = 50, 2000  # milliseconds that a movement is seen, and an answer
# Screenshots lack the mouse's pointer, so the page shows one.
POINTER = """() => {
    const arrow = document.createElement('div');
    arrow.innerHTML = `<svg width="16" height="22" stroke="white">
        <path d="M1 1v16l4-4 3 7 3-1-3-7h6z"/></svg>`;
    arrow.style = 'position: fixed; z-index: 99999; pointer-events: none';
    document.body.append(arrow);
    addEventListener('mousemove', event => {
        arrow.style.left = event.clientX - 1 + 'px';
        arrow.style.top = event.clientY - 1 + 'px';
    }, true);
}"""


def open_pad(page, lab):
    """Open the notebook, run it, and return its pad."""
    lab.open(page, NAME)
    lab.command(page, "notebook:run-all-cells")
    lab.command(page, "notebook:enter-command-mode")
    page.add_style_tag(content=HIDE)
    pad = Pad(page, kernel=None)
    pad.show()
    return pad


def photograph(page, pad):
    """Draw on the pad; return PNGs of the notebook's panel and of the pad alone."""
    draw(page, pad.canvas, THREE)
    pad.wait_for_status("looks like a 3")
    stable_ink(pad.canvas, least=0)
    page.mouse.move(2, 2)
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(500)
    pngs = [page.locator(part).screenshot() for part in (PANEL, ".digitkit")]
    pad.press("Undo")
    return pngs


def film(page, pad):
    """Draw on the pad; return PNGs, and for how many milliseconds each is to be seen.

    Each waits until the page is at rest, so that a slow machine makes the same film.
    It begins with an answer: those who switched animations off see only that picture.
    """
    pngs, times = [], []

    def shoot(milliseconds=STEP):
        page.wait_for_function(IDLE)
        stable_ink(pad.canvas)
        pngs.append(page.locator(PANEL).screenshot())
        times.append(milliseconds)

    def go(points, pictures):
        for part in np.array_split(points, pictures):
            for point in part.tolist():
                page.mouse.move(*point)
            shoot()

    def middle(button):
        box = pad.box.get_by_role("button", name=button).bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    page.evaluate(POINTER)
    at = middle("Undo")
    for strokes, words, button in SCENES:
        for stroke in strokes:
            box = pad.canvas.bounding_box()
            points = stroke * box["width"] + [box["x"], box["y"]]
            go(np.linspace(at, points[0], 5)[1:], 4)
            page.mouse.down()
            go(points, 24)
            page.mouse.up()
            at = points[-1]
        pad.wait_for_status(words)
        shoot(HOLD)
        go(np.linspace(at, middle(button), 5)[1:], 4)
        page.mouse.down()
        shoot()
        page.mouse.up()
        pad.wait_for_status("Draw a digit")
        shoot(5 * STEP)
        at = middle(button)
    first = times.index(HOLD)
    return pngs[first:] + pngs[:first], times[first:] + times[:first]


def few_colours(pngs):
    """Return pictures of 128 colours, those of the first; white stays white."""
    pictures = (Image.open(io.BytesIO(png)).convert("RGB") for png in pngs)
    with Image.open(io.BytesIO(pngs[0])) as first:
        method = Image.Quantize.MAXCOVERAGE
        palette = first.convert("RGB").quantize(128, method, kmeans=2)
    return [x.quantize(palette=palette, dither=Image.Dither.NONE) for x in pictures]


def digits():
    """Show four hands writing 0 to 9, the last of them in rare styles."""
    numbers = np.tile(np.arange(10), 3)
    styles = {**STYLES, **RARE}
    rare = [draw_images([d], 150 + d, styles, jitter=0.6)[0] for d in range(10)]
    return show_images([*draw_images(numbers, 12, jitter=0.6), *rare], size=0.7)


def network():
    """Show how an image shrinks, layer by layer, while its channels multiply."""
    fig, ax = plt.subplots(figsize=(8.5, 2.6))
    image = to_image(draw_strokes([4], seed=9)[0])
    ax.imshow(image, cmap="gray_r", extent=(0, 28, -14, 14))
    ax.add_patch(Rectangle((0, -14), 28, 28, fill=False, ec=GRAY))
    ax.text(14, -19, "image\n28x28", ha="center", va="top")
    stages = [
        ("32 filters\n5x5", 12, BLUE),
        ("48 filters\n3x3", 10, BLUE),
        ("pool\n2x2", 5, GRAY),
        ("96 filters\n3x3", 3, BLUE),
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


def mistakes():
    """Show eight digits of a wild hand that the shipped network takes for two."""
    drawn = to_unit(draw_images(np.arange(3000) % 10, 5, jitter=1.3))
    network = load_network("shipped")
    probabilities = network.predict(drawn, batch_size=500, verbose=0)
    second, first = np.argsort(probabilities, axis=1)[:, -2:].T
    shared = np.sort(probabilities, axis=1)[:, -2]  # high: two digits share it all
    shown = {}
    for i in np.argsort(-shared, kind="stable"):
        pair = sorted((first[i], second[i]))
        shown.setdefault("{} or {}?".format(*pair), drawn[i])
    titles, images = zip(*[*shown.items()][:8], strict=True)
    return show_images(images, titles, columns=8, size=1)


def hands():
    """Show ten sevens on a foot, and ten twos that look much the same."""
    sevens = draw_images([7] * 10, 7, {7: "00 90 90 29 29 99"}, jitter=0.6)
    twos = draw_images([2] * 10, 3, {2: "10 80 80 09 09 99"}, jitter=0.6)
    return show_images([*sevens, *twos], size=0.7)


def inside():
    """Show a drawing, a map of each of three layers, the gradient and Grad-CAM."""
    network = load_network("shipped")
    image = to_image(draw_strokes([4], seed=9)[0])
    maps = feature_maps(network, image)
    shown = {"a drawing": image}
    for name, place in (("re_lu", "first"), ("re_lu_1", "middle"), ("re_lu_3", "last")):
        strongest = maps[name].sum(axis=(0, 1)).argmax()
        shown[f"{place} layer"] = maps[name][:, :, strongest]
    shown |= {
        "gradient": saliency(network, image),
        "Grad-CAM": grad_cam(network, image),
    }
    fig, axes = plt.subplots(1, len(shown), figsize=(8.5, 1.8))
    for ax, (title, numbers) in zip(axes, shown.items(), strict=True):
        most = abs(numbers).max()
        low = -most if numbers.min() < 0 else 0
        ax.imshow(numbers, cmap="gray_r", vmin=low, vmax=most)
        ax.set(title=title, xticks=[], yticks=[])
        ax.spines[["top", "right"]].set_visible(True)
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


def luck():
    """Show what three networks read in eight runs each, as notebook 08 draws it."""
    runs = {}
    with (NOTEBOOKS / "recorded" / "scale.csv").open(encoding="utf-8") as file:
        for what, _, value in csv.reader(file):
            if what.startswith("accuracy of "):
                runs.setdefault(what[-1], []).append(100 * float(value))
    fig, ax = plt.subplots(figsize=(8.5, 1.9))
    for row, read in enumerate(runs.values()):
        ax.plot(read, [row] * len(read), "o", color=BLUE, alpha=0.5)
        ax.plot(np.mean(read), row, "|", color=ORANGE, ms=24, mew=3)
    ax.set(yticks=range(3), yticklabels=runs, ylim=(2.5, -0.5), xlabel="accuracy, %")
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
        write_notebook(folder / NAME, *cells)
        with start_lab(folder, home) as lab, start_browser(path) as browser:
            page = browser.new_page(
                viewport={"width": 860, "height": 745},
                device_scale_factor=2,
                reduced_motion="reduce",
            )
            pad = open_pad(page, lab)
            pngs = photograph(page, pad)
            scenes, times = film(page, pad)
    for name, png in zip(("drawing_pad", "pad"), pngs, strict=True):
        with replacing(IMAGES / f"{name}.png") as made:
            few_colours([png])[0].save(made)
    first, *rest = few_colours(scenes)
    with replacing(IMAGES / "session.gif") as made:
        first.save(made, save_all=True, append_images=rest, duration=times, loop=0)
    for make in (digits, network, mistakes, inside, curves, hands, luck):
        with replacing(IMAGES / f"{make.__name__}.png") as made:
            make().savefig(made, dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    main()
