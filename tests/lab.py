"""A private Jupyter server, and the drawing pad in notebooks open in a browser.

Shared by the browser tests and ``tools/make_pictures.py``. Settings, kernels and
workspaces lie in a temporary folder: neither the user's own nor a running JupyterLab
is touched.
"""

import contextlib
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import numpy as np
from jupyter_client import BlockingKernelClient

from digitkit import ink, networks

ROOT = Path(__file__).parent.parent
NOTEBOOK = ROOT / "notebooks" / "04_draw_your_own.ipynb"
TOKEN = secrets.token_hex(16)  # lets into the servers that this process starts
PAPER = 280  # pixels: as wide as the page shows the paper, where there is room
DASH = [[(0.3, 0.5), (0.5, 0.5), (0.7, 0.5)]]
SEVEN = [[(0.2 + 0.06 * i, 0.2) for i in range(11)]]
SEVEN[0] += [(0.8 - 0.04 * i, 0.2 + 0.07 * i) for i in range(1, 11)]
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
CORNER = "canvas => [...canvas.getContext('2d').getImageData(3, 3, 1, 1).data].join()"
WHITE = "255,255,255,255"


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


def start_lab(folder, home):
    """Start JupyterLab on `folder`, its own files under `home`; give a `Server`."""
    return start_server(
        home,
        *("jupyterlab", "--allow-root", "--ServerApp.ip=127.0.0.1"),
        *("--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}"),
        "--LabApp.expose_app_in_browser=True",
        "--LanguageServerManager.autodetect=False",
    )


@contextlib.contextmanager
def start_server(home, module, *options, packages=None):
    """Start a server of Jupyter's family, its own files under `home`; give a `Server`.

    Parameters
    ----------
    home : Path
    module : str
        As for ``python -m``.
    *options : str
        The port comes by itself.
    packages : Path, optional
        A folder that pip filled with what the environment lacks.
    """
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
        "JUPYTER_TOKEN": TOKEN,
        "DIGITKIT_WORK": str(home / "work"),
        "PYTHONPATH": str(ROOT),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    if packages:
        environment["PYTHONPATH"] += f"{os.pathsep}{packages}"
        environment["JUPYTER_PATH"] = str(packages / "share" / "jupyter")
    command = [sys.executable, "-m", module, "--no-browser", f"--port={port}", *options]
    home.mkdir(exist_ok=True)
    log = home / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT
        )

    def listens():
        with contextlib.suppress(OSError):
            return socket.create_connection(("127.0.0.1", port), 1).close() is None

    try:
        wait_until(listens, 60, f"{module} did not start: see {log}")
        yield Server(f"http://127.0.0.1:{port}", home / "runtime")
    finally:
        process.terminate()  # its kernels end with it
        process.wait(30)


class Server:
    """A running JupyterLab, or another of its family."""

    def __init__(self, url, runtime):
        self.url, self.runtime = url, runtime

    def address(self, path):
        return f"{self.url}/{path}?token={TOKEN}"

    def open(self, page, name, place=None):
        """Open a notebook of the folder and wait until its kernel is idle."""
        # A workspace of its own: the default one would reopen an earlier notebook.
        place = place or f"doc/workspaces/{secrets.token_hex(4)}/tree"
        page.goto(self.address(f"{place}/{name}"))
        page.wait_for_function(IDLE, timeout=60_000)

    def command(self, page, name, **arguments):
        """Do what an entry of JupyterLab's menus does, and wait until it is done."""
        page.evaluate(
            "([name, with_]) => window.jupyterapp.commands.execute(name, with_)",
            [name, arguments],
        )

    @contextlib.contextmanager
    def kernel(self, name):
        """Give the `Kernel` of an open notebook."""
        with urllib.request.urlopen(self.address("api/sessions"), timeout=5) as answer:
            sessions = json.load(answer)
        (number,) = [x["kernel"]["id"] for x in sessions if x["path"] == name]
        client = BlockingKernelClient()
        client.load_connection_file(str(self.runtime / f"kernel-{number}.json"))
        client.start_channels(iopub=False, stdin=False, hb=False)
        try:
            yield Kernel(client)
        finally:
            client.stop_channels()


class Kernel:
    """A notebook's kernel, asked beside the page."""

    def __init__(self, client):
        self.client = client

    def run(self, code):
        """Send code, as a cell does, and do not wait."""
        self.client.execute(code, store_history=False)

    def value(self, expression):
        """Return what an expression is."""
        answer = self.client.execute(
            "",
            silent=True,
            store_history=False,
            user_expressions={"v": f"__import__('json').dumps({expression})"},
            reply=True,
            timeout=60,
        )["content"]["user_expressions"]["v"]
        if answer["status"] != "ok":
            raise RuntimeError(f"{expression}: {answer['evalue']}")
        # The text is the repr of a JSON string.
        return json.loads(eval(answer["data"]["text/plain"]))


class Pad:
    """The pad on the page, and the same pad, named `pad`, in the kernel."""

    def __init__(self, page, kernel):
        self.page, self.kernel = page, kernel
        self.box = page.locator(".digitkit").first
        self.canvas = self.box.locator("canvas")
        self.status = self.box.locator("[role=status]")
        self.errors = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def show(self):
        self.canvas.wait_for(timeout=60_000)
        self.canvas.scroll_into_view_if_needed()

    def press(self, name):
        self.box.get_by_role("button", name=name).click()

    def clear(self):
        """Take blank paper."""
        self.show()
        self.press("Clear")
        self.wait_for_status("Draw a digit")
        assert self.strokes() == []

    def strokes(self):
        return self.kernel.value("pad.strokes")

    def points(self):
        """Return how many points the kernel has."""
        return self.kernel.value("sum(map(len, pad.strokes))")

    def draw(self, strokes, tool="mouse"):
        """Draw, and wait until the kernel has every point."""
        wanted = self.points() + sum(map(len, strokes))
        draw(self.page, self.canvas, strokes, tool)
        wait_until(lambda: self.points() == wanted, 15, "the kernel lacks points")

    def wait_for_status(self, wanted, seconds=15):
        wait_until(
            lambda: re.search(wanted, self.status.inner_text()),
            seconds,
            f"the page should say {wanted}",
        )

    def answer(self, strokes):
        """Return what the page should say of strokes: the kernel's road without it."""
        image = f"__import__('digitkit').to_image({json.dumps(strokes)})"
        probabilities = np.array(self.kernel.value(f"pad.predict({image}).tolist()"))
        sure = networks.decide(probabilities) is not None
        digit, part = probabilities.argmax(), probabilities.max()
        words = "This looks like" if sure else "Unsure: perhaps"
        return f"{words} {'an' if digit == 8 else 'a'} {digit}, {100 * part:.0f} %"


def write_pad_notebook(path):
    """Write a notebook with nothing but the pad, by the code of notebook 04."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    tags = [cell.metadata.get("tags", []) for cell in cells]
    notebook.cells = cells[: 1 + tags.index(["widget"])]
    nbformat.write(notebook, path)


def write_notebook(path, *cells):
    """Write a notebook of some cells, for this Python's kernel."""
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    notebook = nbformat.v4.new_notebook(cells=list(cells), metadata=kernel)
    nbformat.write(notebook, path)


def on_paper(strokes):
    """Fit a drawing in any unit to the paper, its aspect kept: points from 0 to 1."""
    strokes = [ink.as_points(stroke) for stroke in strokes]
    scale, offset = ink.fit_to_box(np.concatenate(strokes)[None])
    return [(stroke * scale[0] + offset[0]) / ink.SIZE for stroke in strokes]


def draw(page, canvas, strokes, tool="mouse"):
    """Draw on the canvas as a hand does: points from 0 to 1; mouse, pen or finger."""
    page.bring_to_front()  # a page behind another moves the mouse very slowly
    canvas.scroll_into_view_if_needed()
    for stroke in strokes:
        box = canvas.bounding_box()
        points = np.add(np.multiply(stroke, box["width"]), [box["x"], box["y"]])
        TOOLS[tool](page, points.tolist())


def with_mouse(page, points):
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point)
    page.mouse.up()


def with_pen(page, points):
    browser = page.context.new_cdp_session(page)

    def send(kind, point, **more):
        event = {"type": kind, "x": point[0], "y": point[1], **more}
        browser.send("Input.dispatchMouseEvent", {"pointerType": "pen", **event})

    send("mouseMoved", points[0])
    send("mousePressed", points[0], button="left", buttons=1, clickCount=1)
    for point in points[1:]:
        send("mouseMoved", point, button="left", buttons=1, force=0.5)
    send("mouseReleased", points[-1], button="left", clickCount=1)
    browser.detach()


def with_finger(page, points):
    browser = page.context.new_cdp_session(page)

    def send(kind, *fingers):
        fingers = [{"x": x, "y": y} for x, y in fingers]
        event = {"type": kind, "touchPoints": fingers}
        browser.send("Input.dispatchTouchEvent", event)

    send("touchStart", points[0])
    for point in points[1:]:
        send("touchMove", point)
    send("touchEnd")
    browser.detach()


TOOLS = {"mouse": with_mouse, "pen": with_pen, "finger": with_finger}


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


def contrast(*colours):
    """Return the contrast of two colours as WCAG 2.2 defines it, from 1 to 21."""
    part = np.array(colours) / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    low, high = sorted(linear @ (0.2126, 0.7152, 0.0722))
    return (high + 0.05) / (low + 0.05)


def wait_until(condition, seconds, complaint):
    """Ask again and again; raise TimeoutError if `condition` does not come true."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(complaint)
        time.sleep(0.05)
