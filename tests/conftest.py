"""What a machine may lack: MNIST, real pens, a browser, the package index.

A test that needs one of them is skipped where it is missing, and fails where
``DIGITKIT_REQUIRE`` names it: ``"mnist pens browser index"`` for all four.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from digitkit import data, drawings

KINDS = {"mnist", "pens", "browser", "index"}
COMMANDS = (
    "google-chrome",
    "google-chrome-stable",
    "chromium",
    "chromium-browser",
    "microsoft-edge",
)
MAC_BROWSERS = ("Google Chrome", "Chromium", "Microsoft Edge")
WINDOWS_BROWSERS = (
    "Google/Chrome/Application/chrome.exe",
    "Chromium/Application/chrome.exe",
    "Microsoft/Edge/Application/msedge.exe",
)


def required():
    return set(os.environ.get("DIGITKIT_REQUIRE", "").split())


def pytest_configure(config):
    unknown = required() - KINDS
    if unknown:  # a slip of the pen would require nothing
        raise pytest.UsageError(
            f"DIGITKIT_REQUIRE names {', '.join(sorted(unknown))}; "
            f"it may name {', '.join(sorted(KINDS))}"
        )


def without(kind, reason):
    if kind in required():
        pytest.fail(f"{reason}, and DIGITKIT_REQUIRE names {kind}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def mnist():
    """MNIST itself, as `load_mnist` returns it."""
    source = os.environ.get("DIGITKIT_DATA")
    if not source:
        without("mnist", "DIGITKIT_DATA is not set")
    arrays = data.load_mnist(source)
    if data.data_source() != "mnist":
        without("mnist", f"DIGITKIT_DATA={source} holds another data set")
    return arrays


@pytest.fixture(scope="session")
def pens():
    """Digits of real pens: a list of dicts with label and strokes."""
    path = os.environ.get("DIGITKIT_PENS")
    if not path:
        without("pens", "DIGITKIT_PENS is not set")
    pairs = zip(*drawings.load_drawings(path), strict=True)
    return [{"label": int(digit), "strokes": strokes} for strokes, digit in pairs]


def find_browser():
    """Return the path of a browser that playwright drives as Chromium, or None."""
    if sys.platform == "darwin":
        found = [
            folder / "Applications" / f"{name}.app" / "Contents/MacOS" / name
            for name in MAC_BROWSERS
            for folder in (Path("/"), Path.home())
        ]
    elif sys.platform == "win32":
        variables = ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA")
        folders = [os.environ[name] for name in variables if name in os.environ]
        found = [Path(folder) / name for name in WINDOWS_BROWSERS for folder in folders]
    else:
        found = [Path(path) for path in map(shutil.which, COMMANDS) if path]
    return next((str(path) for path in found if path.is_file()), None)


@pytest.fixture(scope="session")
def browser_path():
    """The path of Chrome, Chromium or Edge."""
    path = find_browser()
    if path is None:
        without("browser", "neither Chrome nor Chromium nor Edge is installed")
    return path


@pytest.fixture(scope="session")
def index(tmp_path_factory):
    """See that pip reaches a package index."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--timeout=5"]
    folder = tmp_path_factory.mktemp("index")
    command += ["--retries=2", "hatchling", "-d", folder]
    if subprocess.run(command, capture_output=True).returncode:
        without("index", "pip reaches no package index")
