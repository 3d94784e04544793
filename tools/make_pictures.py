"""Make the picture of the pad for the README: ``python tools/make_pictures.py``.

Opens a small notebook in a private JupyterLab, draws a digit on its pad with the
mouse, waits for the answer, and writes ``notebooks/images/drawing_pad.png``. Needs
Chromium, Chrome or Edge; ``--browser PATH`` if it is not found.
"""

import argparse
import tempfile
from pathlib import Path

import nbformat
import numpy as np
from PIL import Image

from digitkit.places import replacing
from tests.conftest import find_browser
from tests.lab import ROOT, draw, stable_ink, start_browser, start_lab

PICTURE = ROOT / "notebooks" / "images" / "drawing_pad.png"
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
    """Draw on the pad and return the PNG of the notebook's panel."""
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
    return page.locator(".jp-NotebookPanel").screenshot()


def main():
    """Make the picture."""
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
        # TensorFlow's remarks on the machine would fill the picture.
        profile = home / "ipython" / "profile_default" / "ipython_kernel_config.py"
        profile.parent.mkdir(parents=True)
        profile.write_text("c.IPKernelApp.capture_fd_output = False\n")
        with start_lab(folder, home) as lab, start_browser(path) as browser:
            page = browser.new_page(
                viewport={"width": 860, "height": 670},
                device_scale_factor=2,
                reduced_motion="reduce",
            )
            png = photograph(page, lab)
    with replacing(PICTURE) as made:
        made.write_bytes(png)
        with Image.open(made) as picture:
            picture.convert("P", palette=Image.Palette.ADAPTIVE).save(made)
    print(f"{PICTURE}: {PICTURE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
