"""A bundle as it is used: made with the network, copied, installed without one."""

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PYTHON = ".venv/Scripts/python.exe" if sys.platform == "win32" else ".venv/bin/python"
NOWHERE = "http://127.0.0.1:9"  # the port at which nobody listens
TRUSTED = """
import nbformat, sys
from nbformat.sign import NotebookNotary
notebook = nbformat.read(sys.argv[1], as_version=4)
sys.exit(not NotebookNotary().check_signature(notebook))
"""

pytestmark = pytest.mark.soak


@pytest.fixture
def place():
    """A folder that is emptied at once: pytest would keep some gigabytes of it."""
    # Beside the project, since a temporary folder can be a small disk in memory.
    beside = {"dir": ROOT.parent, "prefix": "digitkit-", "ignore_cleanup_errors": True}
    with tempfile.TemporaryDirectory(**beside) as folder:
        yield Path(folder)


def launch(folder, *words):
    """Run the launcher with the network; return what it said."""
    command = [sys.executable, "run.py", *words]
    told = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout


def without_network(folder, *words):
    """Run Python in `folder`, on a machine with no network and none of our caches."""
    home = folder.with_name(folder.name + " home")
    home.mkdir(exist_ok=True)
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PIP_", "JUPYTER", "IPYTHON", "KERAS_", "DIGITKIT_"))
    }
    for name in ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "XDG_CACHE_HOME"):
        ours[name] = str(home)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        ours[name] = ours[name.lower()] = NOWHERE
    ours.update(PIP_CONFIG_FILE=os.devnull, PIP_NO_CACHE_DIR="1", PIP_RETRIES="0")
    for wall in ["unshare", "-n"], ["unshare", "-rn"], []:  # not everyone may do so
        if not wall or shutil.which("unshare"):
            if not subprocess.run([*wall, sys.executable, "-c", ""]).returncode:
                break
    return subprocess.run(
        [*wall, *words], cwd=folder, env=ours, capture_output=True, text=True
    )


def test_machine_without_a_network(place, index):
    """From the teacher's copy to a laptop's, then to another place on that laptop."""
    teacher = place / "teacher"
    left = shutil.ignore_patterns(".*", "work", "wheels", "__pycache__")
    shutil.copytree(ROOT, teacher, ignore=left)
    lab = (sys.executable, "run.py", "lab", "--version")
    told = launch(teacher, "bundle")
    assert "all that is needed" in told

    # On a laptop, one wheel came without its end.
    laptop = place / "a laptop"
    teacher.rename(laptop)
    wheel = next(laptop.glob("wheels/keras-*.whl"))
    whole = wheel.read_bytes()
    wheel.write_bytes(whole[: len(whole) // 2])
    told = without_network(laptop, *lab)
    assert told.returncode == 1
    assert "wheels/ damaged" in told.stderr
    assert wheel.name in told.stderr
    launch(laptop, "bundle")
    assert wheel.read_bytes() == whole

    reach = (sys.executable, "-m", "pip", "download", "--no-deps", "hatchling")
    assert without_network(laptop, *reach).returncode, "there is a network after all"
    told = without_network(laptop, *lab)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "Installing from wheels/" in told.stdout
    assert told.stdout.split()[-1] == version("jupyterlab")
    check = (str(laptop / PYTHON), "-m", "digitkit", "check")
    told = without_network(laptop, *check)
    assert told.returncode == 0, told.stdout + told.stderr

    # Moved with its .venv: what was made for the old place is put right.
    moved = laptop.rename(place / "moved")
    told = without_network(moved, *lab)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "Installing from wheels/" in told.stdout
    assert "Making" not in told.stdout
    python = str(moved / PYTHON)
    code = "import digitkit; print(digitkit.__file__)"
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    told = without_network(elsewhere, python, "-c", code)
    assert str(moved) in told.stdout
    lesson = "notebooks/01_meet_the_digits.ipynb"
    assert not without_network(moved, python, "-c", TRUSTED, lesson).returncode
