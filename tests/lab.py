"""A private JupyterLab, and notebooks open in it in a browser.

Shared by the browser tests and ``tools/make_pictures.py``. Settings, kernels and
workspaces lie in a temporary folder: neither the user's own nor a running JupyterLab
is touched.
"""

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
from jupyter_client import BlockingKernelClient

from digitkit import ink

ROOT = Path(__file__).parent.parent
IDLE = """() => {
    const session = window.jupyterapp?.shell.currentWidget?.context?.sessionContext;
    const kernel = session?.session?.kernel;
    return kernel?.connectionStatus === 'connected' && kernel.status === 'idle';
}"""
INK = """canvas => {
    const {width, height} = canvas;
    const pixels = canvas.getContext('2d').getImageData(0, 0, width, height).data;
    let dark = 0;
    for (let i = 0; i < pixels.length; i += 4)
        dark += pixels[i + 3] > 128 && pixels[i] + pixels[i + 1] + pixels[i + 2] < 384;
    return dark / (width * height);
}"""


@contextlib.contextmanager
def start_browser(path):
    """Start the Chromium at `path`, without a window; give playwright's browser."""
    from playwright.sync_api import sync_playwright

    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=quiet)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def start_lab(folder, home):
    """Start JupyterLab on `folder`, its own files under `home`; give a `Lab`."""
    token = secrets.token_hex(16)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_TOKEN": token,
        "DIGITKIT_WORK": str(home / "work"),
        "PYTHONPATH": str(ROOT),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
        *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}"),
        *("--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}"),
        "--LabApp.expose_app_in_browser=True",
        "--LanguageServerManager.autodetect=False",
    ]
    log = home / "log.txt"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    lab = Lab(f"http://127.0.0.1:{port}", token, home / "runtime")
    try:
        wait_until(
            lambda: lab.get("status"), 60, f"JupyterLab did not start: see {log}"
        )
        yield lab
    finally:
        server.terminate()  # its kernels end with it
        server.wait(30)


class Lab:
    """A running JupyterLab."""

    def __init__(self, url, token, runtime):
        self.url, self.token, self.runtime = url, token, runtime

    def get(self, what):
        """Ask the server's REST interface; None where nothing answers yet."""
        url = f"{self.url}/api/{what}?token={self.token}"
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.load(answer)

    def open(self, page, name):
        """Open a notebook of the folder and wait until its kernel is idle."""
        # A workspace of its own: the default one would reopen an earlier notebook.
        workspace = secrets.token_hex(4)
        page.goto(
            f"{self.url}/doc/workspaces/{workspace}/tree/{name}?token={self.token}"
        )
        page.wait_for_function(IDLE, timeout=60_000)

    def command(self, page, name, **arguments):
        """Do what an entry of JupyterLab's menus does, and wait until it is done."""
        page.evaluate(
            "([name, with_]) => window.jupyterapp.commands.execute(name, with_)",
            [name, arguments],
        )

    @contextlib.contextmanager
    def kernel(self, name):
        """Give a function that returns what an expression is in a notebook's kernel."""
        (kernel,) = [
            session["kernel"]["id"]
            for session in self.get("sessions")
            if session["path"] == name
        ]
        client = BlockingKernelClient()
        client.load_connection_file(str(self.runtime / f"kernel-{kernel}.json"))
        client.start_channels()

        def value(expression):
            answer = client.execute_interactive(
                "",
                silent=True,
                store_history=False,
                user_expressions={"v": f"__import__('json').dumps({expression})"},
                timeout=60,
            )["content"]["user_expressions"]["v"]
            if answer["status"] != "ok":
                raise RuntimeError(f"{expression}: {answer['evalue']}")
            # The text is the repr of a JSON string.
            return json.loads(eval(answer["data"]["text/plain"]))

        try:
            yield value
        finally:
            client.stop_channels()


def on_paper(strokes):
    """Fit a drawing in any unit to the paper, its aspect kept: points from 0 to 1."""
    strokes = [ink.as_points(stroke) for stroke in strokes]
    scale, offset = ink.fit_to_box(np.concatenate(strokes)[None])
    return [(stroke * scale[0] + offset[0]) / ink.SIZE for stroke in strokes]


def draw(page, canvas, strokes):
    """Draw on the canvas with the mouse as a hand does: points from 0 to 1."""
    canvas.scroll_into_view_if_needed()
    for stroke in strokes:
        box = canvas.bounding_box()
        points = np.add(np.multiply(stroke, box["width"]), [box["x"], box["y"]])
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point)
        page.mouse.up()


def stable_ink(canvas, least=-1, seconds=15):
    """Return the part of the canvas that is dark, once it stopped changing.

    The kernel knows a stroke before the page has painted it.

    Parameters
    ----------
    canvas : playwright Locator
    least : float
        Wait for more than this.
    """
    end = time.monotonic() + seconds
    dark, since = -1, time.monotonic()
    while time.monotonic() < end:
        now = canvas.evaluate(INK)
        if now != dark:
            dark, since = now, time.monotonic()
        if dark > least and time.monotonic() - since > 0.4:
            return dark
        time.sleep(0.05)
    raise TimeoutError(f"no stable ink: {dark} of the canvas is dark")


def wait_until(condition, seconds, complaint):
    """Ask again and again; raise TimeoutError if `condition` does not come true."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(complaint)
        time.sleep(0.05)
