"""The map of notebook 06, in a JupyterLab without a network: point at a digit."""

from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from lab import CORNER, ROOT, WHITE, start_browser, start_lab, write_notebook
from nbformat.v4 import new_code_cell

pytestmark = pytest.mark.browser

NAME = "map.ipynb"
SET_UP = """import altair as alt
import numpy as np
import digitkit as dk

alt.renderers.enable("mimetype")
places = np.array([[1.0, 1.0], [3.0, 3.0], [0.0, 4.0], [4.0, 0.0]])
digits, probabilities = np.array([3, 8, 0, 0]), np.eye(10)[[3, 9, 0, 0]]
images = dk.to_unit(dk.draw_images(digits, 1))"""


@pytest.fixture(scope="module")
def lab(browser_path, tmp_path_factory):
    """JupyterLab on the lesson's own cell, and before it four digits, not 2 000."""
    folder, home = tmp_path_factory.mktemp("digitkit"), tmp_path_factory.mktemp("home")
    path = Path(ROOT, "notebooks", "06_look_inside.ipynb")
    lesson = nbformat.read(path, as_version=4)
    assert 'alt.renderers.enable("mimetype")' in lesson.cells[2].source
    (chart,) = [x for x in lesson.cells if "widget" in x.metadata.get("tags", [])]
    cells = [new_code_cell(SET_UP), new_code_cell(chart.source)]
    write_notebook(folder / NAME, *cells)
    with start_browser(browser_path) as browser, start_lab(folder, home) as server:
        yield SimpleNamespace(browser=browser, server=server)


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_pointing_at_a_digit_shows_its_image(lab, theme):
    outside = []

    def block(route):
        outside.append(route.request.url)
        route.abort()

    page = lab.browser.new_page(viewport={"width": 1000, "height": 1000})
    page.route(lambda url: "//127.0.0.1" not in url, block)
    lab.server.open(page, NAME)
    lab.server.command(page, "apputils:change-theme", theme=theme)
    lab.server.command(page, "notebook:run-all-cells")
    chart = page.locator(".vega-embed canvas")
    chart.wait_for(timeout=60_000)
    chart.scroll_into_view_if_needed()
    assert chart.evaluate(CORNER) == WHITE
    words = page.locator(".vega-embed [role=graphics-document]")
    assert words.get_attribute("aria-label").startswith("digits on a map")
    tip = page.locator("#vg-tooltip-element.visible")
    box = chart.bounding_box()
    for part, told in ((0.25, ["3", "3"]), (0.75, ["8", "9"])):  # digit, read as
        # Both axes run from 0 to 4, within 5 pixels of margin and 12 of padding.
        x = box["x"] + 17 + part * (box["width"] - 34)
        y = box["y"] + 17 + (1 - part) * (box["height"] - 34)
        page.mouse.move(x, y)
        page.mouse.move(x + 1, y)
        tip.wait_for(timeout=10_000)
        assert tip.locator("td.value").all_inner_texts() == told
        picture = tip.locator("img")
        assert picture.evaluate("image => image.naturalWidth") == 84
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        tip.wait_for(state="hidden", timeout=10_000)
    page.close()
    assert not [url for url in outside if not url.startswith(("data:", "blob:"))]
