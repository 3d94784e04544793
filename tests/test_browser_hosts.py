"""The pad in Notebook 7 and in Voila, neither of which digitkit depends on."""

import subprocess
import sys

import pytest
from lab import (
    CORNER,
    SEVEN,
    TOKEN,
    WHITE,
    Pad,
    draw,
    stable_ink,
    start_browser,
    start_server,
    wait_until,
    write_pad_notebook,
)

pytestmark = [pytest.mark.browser, pytest.mark.soak]

NAME = "pad.ipynb"
# Notebook 7.6 is of JupyterLab 4.6, which constraints.txt pins. Only Voila needs
# websockets; all else that the two need comes with JupyterLab.
PACKAGES = ("notebook==7.6.*", "voila==0.5.*", "websockets")


@pytest.fixture(scope="module")
def packages(index, tmp_path_factory):
    """A folder with Notebook and Voila, apart from the environment."""
    folder = tmp_path_factory.mktemp("packages")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*command, "--target", folder, *PACKAGES], check=True)
    return folder


@pytest.fixture
def page(browser_path):
    with start_browser(browser_path) as browser:
        yield browser.new_page(viewport={"width": 1000, "height": 800})


def test_notebook_7(page, packages, tmp_path):
    write_pad_notebook(tmp_path / NAME)
    server = start_server(
        tmp_path / "home",
        *("notebook", "--allow-root", "--ServerApp.ip=127.0.0.1"),
        *("--ServerApp.port_retries=0", f"--ServerApp.root_dir={tmp_path}"),
        "--JupyterNotebookApp.expose_app_in_browser=True",
        packages=packages,
    )
    with server as notebook:
        notebook.open(page, NAME, "notebooks")
        notebook.command(page, "notebook:run-all-cells")
        with notebook.kernel(NAME) as kernel:
            pad = Pad(page, kernel)
            pad.show()
            pad.draw(SEVEN)
            pad.wait_for_status("looks like a 7")
            assert pad.status.inner_text() == pad.answer(pad.strokes())
            pad.clear()
            assert stable_ink(pad.canvas) == 0 and pad.errors == []


def test_voila(page, packages, tmp_path):
    write_pad_notebook(tmp_path / NAME)
    server = start_server(
        tmp_path / "home",
        *("voila", str(tmp_path / NAME), "--Voila.ip=127.0.0.1"),
        *("--Voila.port_retries=0", f"--token={TOKEN}"),
        packages=packages,
    )
    with server as voila:
        page.goto(voila.address(""), timeout=60_000)
        pad = Pad(page, kernel=None)  # Voila keeps its kernels to itself
        pad.show()
        wait_until(lambda: pad.canvas.evaluate(CORNER) == WHITE, 5, "no white paper")
        draw(page, pad.canvas, SEVEN)
        pad.wait_for_status("looks like a 7")
        assert stable_ink(pad.canvas, least=0.03) < 0.2
        pad.press("Undo")
        pad.wait_for_status("Draw a digit")
        assert stable_ink(pad.canvas) == 0 and pad.errors == []
