"""What hinders people who cannot see the page, or use no mouse: in JupyterLab."""

import importlib.resources
import shutil
import time
from types import SimpleNamespace

import pytest
from lab import (
    ROOT,
    SEVEN,
    contrast,
    draw,
    start_browser,
    start_lab,
    wait_until,
    write_notebook,
)
from nbformat.v4 import new_code_cell

pytestmark = pytest.mark.browser

LESSONS = sorted((ROOT / "notebooks").glob("0*.ipynb"))
WITH_PADS = {"00_start_here", "04_draw_your_own", "07_teach_it_your_hand"}
PADS = """
import digitkit as dk
pad = dk.DrawingPad(dk.predictor(dk.load_network("shipped")))
collecting = dk.CollectingPad()
display(pad, collecting)
"""
FIGURES = """
import matplotlib.pyplot as plt
(x_train, y_train), _ = dk.load_mnist()
dk.show_image(x_train[0], title="a digit")
plt.figure()
plt.plot([1, 2, 4], label="B & <b>")
plt.xlabel("epoch");
"""
AXE = """async () => {
    const {violations} = await axe.run({include: ['.digitkit']});
    return violations.map(rule => [rule.id, ...rule.nodes.map(node => node.html)]);
}"""
# axe's own rule of contrast checks nothing in JupyterLab: it takes all for hidden.
COLOURS = """() => {
    const parse = text => text.match(/[0-9.]+/g).map(Number);
    const over = ([r, g, b, alpha = 1], below) =>
        [r, g, b].map((x, i) => x * alpha + below[i] * (1 - alpha));
    const behind = element => element
        ? over(parse(getComputedStyle(element).backgroundColor),
               behind(element.parentElement))
        : [255, 255, 255];
    const found = [];
    for (const element of document.querySelectorAll('.digitkit *')) {
        const text = [...element.childNodes].filter(
            node => node.nodeType == 3 && node.data.trim());
        if (element.tagName == 'STYLE' || !text.length) continue;
        const paper = behind(element);
        const ink = over(parse(getComputedStyle(element).color), paper);
        found.push([ink, paper, element.textContent.trim()]);
    }
    return found;
}"""
RED = '.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"]'
FIGURES_STORED = """() => {
    const notebook = window.jupyterapp.shell.currentWidget.content.model.toJSON();
    const outputs = notebook.cells.flatMap(cell => cell.outputs ?? []);
    const html = outputs.map(output => output.data?.["text/html"] ?? "");
    return html.filter(text => text.startsWith("<img")).length;
}"""
FOCUS = """() => {
    const element = document.activeElement;
    const {outlineStyle, outlineWidth} = getComputedStyle(element);
    return [element.tagName + ' ' + element.textContent.trim().slice(0, 7),
            outlineStyle == 'none' ? 0 : parseFloat(outlineWidth)];
}"""


@pytest.fixture(scope="module")
def page(browser_path, tmp_path_factory):
    """Both pads, drawn on, and two figures."""
    folder, home = tmp_path_factory.mktemp("digitkit"), tmp_path_factory.mktemp("home")
    cells = new_code_cell(PADS.strip()), new_code_cell(FIGURES.strip())
    write_notebook(folder / "pads.ipynb", *cells)
    with start_browser(browser_path) as browser, start_lab(folder, home) as server:
        page = browser.new_page(viewport={"width": 1000, "height": 1600})
        server.open(page, "pads.ipynb")
        server.command(page, "notebook:run-all-cells")
        page.locator(".digitkit canvas").nth(1).wait_for(timeout=60_000)
        page.locator(".jp-OutputArea-output img").nth(1).wait_for(timeout=60_000)
        draw(page, page.locator(".digitkit canvas").first, SEVEN)
        answer = page.locator(".digitkit [role=status]").first
        answer.filter(has_text="This looks like a 7").wait_for()
        for summary in page.locator(".digitkit summary").all():
            summary.click()
        page.evaluate(axe_core())
        page.theme = lambda name: server.command(
            page, "apputils:change-theme", theme=f"JupyterLab {name}"
        )
        yield page


def axe_core():
    axe = importlib.resources.files("axe_playwright_python") / "axe.min.js"
    return axe.read_text("utf-8")


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_axe_finds_nothing_in_the_pads_and_all_text_can_be_read(page, theme):
    page.theme(theme)
    light = f"document.body.dataset.jpThemeLight == '{str(theme == 'Light').lower()}'"
    page.wait_for_function(light)
    time.sleep(1)  # the theme's style sheet comes a little later
    assert page.evaluate(AXE) == []
    colours = page.evaluate(COLOURS)
    found = [(contrast(ink, paper), text) for ink, paper, text in colours]
    assert len(found) > 40
    assert min(found)[0] > 4.5, min(found)


def test_figures_say_what_they_show(page):
    images = page.locator(".jp-OutputArea-output img:not(.digitkit img)")
    first, second = [image.get_attribute("alt") for image in images.all()]
    assert first.startswith("a digit; x axis: column; y axis: row; an image")
    assert second == "x axis: epoch; B & <b> from (0, 1) to (2, 4)"


def test_nothing_is_red(page):
    assert "Data: " in page.locator(".jp-OutputArea-output pre").all_inner_texts()[1]
    assert page.locator(RED).count() == 0


def test_tab_goes_through_the_pad_and_shows_where_it_is(page):
    page.theme("Light")
    page.locator(".digitkit canvas").first.focus()
    page.keyboard.press("ArrowLeft")  # the keys are in use: the focus is shown
    seen = []
    wait_until(lambda: page.evaluate(FOCUS)[1] >= 2, 5, "the canvas shows no focus")
    for _ in range(7):
        name, width = page.evaluate(FOCUS)
        assert width >= 2, f"{name} has the focus, and does not show it"
        seen.append(name)
        page.keyboard.press("Tab")
        wait_until(lambda: page.evaluate(FOCUS)[0] != seen[-1], 5, f"{name} keeps it")
    assert [name.split()[0] for name in seen] == [
        *("CANVAS", "BUTTON", "BUTTON", "BUTTON", "SELECT", "BUTTON", "SUMMARY")
    ]


@pytest.fixture(scope="module")
def lessons(browser_path, tmp_path_factory):
    """JupyterLab on a copy of the lessons."""
    folder, home = tmp_path_factory.mktemp("lessons"), tmp_path_factory.mktemp("home")
    shutil.copytree(ROOT / "notebooks", folder, dirs_exist_ok=True)
    with start_browser(browser_path) as browser, start_lab(folder, home) as server:
        yield SimpleNamespace(browser=browser, server=server)


@pytest.mark.soak
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_shows_nothing_red_and_hinders_nobody(lessons, path):
    page = lessons.browser.new_page(viewport={"width": 1000, "height": 1600})
    page.set_default_timeout(600_000)
    lessons.server.open(page, path.name)
    lessons.server.command(page, "notebook:run-all-cells")
    red = page.locator(RED).all_inner_texts()
    assert [text for text in red if "To see how errors look" not in text] == []
    figures = page.locator(".jp-OutputArea-output img:not(.digitkit img)")
    texts = [figure.get_attribute("alt") for figure in figures.all()]
    assert len(texts) == page.evaluate(FIGURES_STORED)
    assert all(texts) and "a figure" not in texts
    pads = page.locator(".digitkit canvas").count()
    assert pads == (path.stem in WITH_PADS)
    if pads:
        page.evaluate(axe_core())
        assert page.evaluate(AXE) == []
    page.close()
