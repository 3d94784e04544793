"""A bundle: what is fetched for whom; made with a network, installed without one."""

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.markers import default_environment
from test_run import ROOT, load, pins, refused, run  # noqa: F401

PYTHON = ".venv/Scripts/python.exe" if sys.platform == "win32" else ".venv/bin/python"
NOWHERE = "http://127.0.0.1:9"  # the port at which nobody listens
TRUSTED = """
import nbformat, sys
from nbformat.sign import NotebookNotary
notebook = nbformat.read(sys.argv[1], as_version=4)
sys.exit(not NotebookNotary().check_signature(notebook))
"""
PINS = [f"package-{number}==1.0" for number in range(25)]
HERE = "macos with Python 3.13"
MARKERS = {  # what packaging must be told that these platforms are
    "linux": {"sys_platform": "linux", "os_name": "posix"},
    "linux-arm": {"sys_platform": "linux", "os_name": "posix"},
    "windows": {"sys_platform": "win32", "os_name": "nt"},
    "macos": {"sys_platform": "darwin", "os_name": "posix"},
}


@pytest.fixture
def mac(run, monkeypatch):  # noqa: F811
    """The launcher, on a Mac with Python 3.13; pip notes its words in `fetched`."""
    run.refusal = lambda: None
    run.this_machine = lambda: ("macos", "3.13")
    run.fetched = []
    run.pip = lambda python, *command, failure: run.fetched.append(command)
    monkeypatch.setitem(sys.modules, "run", run)
    run.bundle = load(ROOT / "tools/bundle.py")
    return run


@pytest.mark.parametrize("name", MARKERS)
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_the_pins_whose_markers_fit(mac, name, python):
    mac.ROOT = ROOT
    there = {**default_environment(), **MARKERS[name], "python_version": python}
    there.update(python_full_version=python + ".0", implementation_name="cpython")
    needed = mac.bundle.needed_pins(name, python)
    assert sorted(needed) == sorted(
        f"{pin.name}{pin.specifier}"
        for pin in pins().values()
        if not pin.name.startswith(("nvidia", "jupyterhub", "nodejs"))
        and (pin.marker is None or pin.marker.evaluate(there))
    )
    # What pip on Linux would forget for Windows, and the other way round.
    names = {pin.split("==")[0] for pin in needed}
    only = {"colorama", "pywinpty"} if name == "windows" else {"pexpect", "ptyprocess"}
    assert names & {"colorama", "pywinpty", "pexpect", "ptyprocess"} == only


def test_what_pip_is_asked_for(mac, capsys):
    (mac.ROOT / "constraints.txt").write_text("\n".join(["# why", *PINS]))
    mac.bundle.main()
    expected = ["download", "--dest", mac.WHEELS, "--no-deps"]
    expected += ["--only-binary", ":all:", "--python-version", "3.13"]
    expected += ["--platform", "macosx_12_0_arm64"]
    parts = [PINS[:10], PINS[10:20], PINS[20:]]
    assert mac.fetched == [(*expected, *part) for part in parts]
    assert HERE in capsys.readouterr().out
    for extras in [], ["test"]:
        assert mac.wheels_options(extras) == ["--no-index", "--find-links", mac.WHEELS]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("name", "processor"), [("linux", "x86_64"), ("linux-arm", "aarch64")]
)
def test_linux_takes_what_older_systems_run(mac, name, processor):
    mac.bundle.main("--platform", name)
    [words] = mac.fetched
    tags = [words[i + 1] for i, word in enumerate(words) if word == "--platform"]
    assert tags[0] == f"manylinux_2_28_{processor}"  # pip prefers the first
    assert tags[-2:] == [f"manylinux_2_17_{processor}", f"manylinux2014_{processor}"]


def test_bundles_share_a_folder_until_the_pins_change(mac, capsys):
    mac.bundle.main("--platform", "windows", "--python", "3.12")
    mac.bundle.main()
    both = ["windows with Python 3.12", HERE]
    assert list(mac.read_json(mac.NOTE, None)) == both
    (mac.ROOT / "constraints.txt").write_text("keras==3.15.2")
    capsys.readouterr()
    mac.bundle.main()
    assert list(mac.read_json(mac.NOTE, None)) == [HERE]
    assert "windows" not in capsys.readouterr().out


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit("no network")])
def test_interrupted_bundle_is_not_complete(mac, stop):
    def stopped(*words, failure):
        raise stop

    for _ in range(2):  # the second time it was complete before
        mac.pip, works = stopped, mac.pip
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            mac.bundle.main()
        assert mac.wheels_options([]) == []
        mac.pip = works
        mac.bundle.main()
        assert mac.wheels_options([])


def write(name, text):
    return lambda mac: (mac.ROOT / name).write_text(text)


def be(*machine):
    return lambda mac: setattr(mac, "this_machine", lambda: machine)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda mac: mac.NOTE.unlink(), f"for nobody yet, not for {HERE}"),
        (write("wheels/bundles.json", '{"macos with'), "for nobody"),
        (write("wheels/bundles.json", "[1]"), "for nobody"),
        (write("wheels/bundles.json", "null"), "for nobody"),
        (write("constraints.txt", "keras==3.15.2"), "other versions than those in"),
        (write("pyproject.toml", "needs = ['another']"), "other versions"),
        (be("linux-arm", "3.13"), f"for {HERE}, not for linux-arm with Python 3.13"),
        (be("macos", "3.11"), f"for {HERE}, not for macos with Python 3.11"),
    ],
)
def test_a_bundle_that_does_not_fit_is_not_used(mac, capsys, change, why):
    mac.bundle.main()
    change(mac)
    capsys.readouterr()
    assert mac.wheels_options([]) == []
    [told] = capsys.readouterr().out.splitlines()
    assert why in told
    # What it says to type helps, on whatever machine it is typed.
    here, mac.this_machine = mac.this_machine, lambda: ("windows", "3.12")
    _, command, *words = told[told.index("run.py") :].split()
    assert command == "bundle"
    mac.bundle.main(*words)
    mac.this_machine = here
    assert mac.wheels_options([])


@pytest.mark.parametrize("extra", ["gpu", "class"])
def test_bundles_are_not_for_gpus_and_servers(mac, capsys, extra):
    assert mac.wheels_options([extra]) == []
    assert capsys.readouterr().out == ""  # no bundle is not worth a word
    mac.bundle.main()
    assert mac.wheels_options([extra, "test"]) == []
    assert "nothing for GPUs" in capsys.readouterr().out


def test_other_line_ends_are_the_same_requirements(mac):
    hashes = []
    for text in b"keras\nnumpy\n", b"keras\r\nnumpy\r\n", b"keras\nscipy\n":
        (mac.ROOT / "constraints.txt").write_bytes(text)
        hashes.append(mac.requirements())
    assert hashes[0] == hashes[1] != hashes[2]


def test_no_room(mac, monkeypatch, capsys):
    usage = SimpleNamespace(free=1_940_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert "1.9 GB are free" in refused(capsys, mac.bundle.main)
    assert not mac.fetched and not mac.WHEELS.exists()


@pytest.mark.parametrize("words", [["--platform", "solaris"], ["--python", "3.10"]])
def test_bundles_that_cannot_be(mac, capsys, words):
    assert words[1] in refused(capsys, mac.bundle.main, *words)
    assert not mac.fetched


def test_a_machine_without_tensorflow_fetches_for_others(mac, capsys):
    mac.refusal = lambda: "This is CPython 3.14.0."
    mac.this_machine = lambda: ("linux", "3.14")
    assert "CPython 3.14.0" in refused(capsys, mac.bundle.main)
    told = refused(capsys, mac.bundle.main, "--platform", "windows")
    assert "--python 3.13" in told
    assert not mac.fetched
    mac.bundle.main("--python", "3.13")
    assert mac.fetched
    assert list(mac.read_json(mac.NOTE, None)) == ["linux with Python 3.13"]


@pytest.mark.slow
def test_it_is_started_with_pip_alone(tmp_path):
    """On this machine, as it is typed, in an environment that is gone afterwards."""
    command = [sys.executable, ROOT / "run.py", "bundle", "--python", "2.7"]
    places = {**os.environ, "TMPDIR": str(tmp_path), "TEMP": str(tmp_path)}
    done = subprocess.run(command, env=places, capture_output=True, text=True)
    assert done.returncode == 2
    assert "invalid choice: '2.7'" in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


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
    theirs = ("PIP_", "PYTHON", "JUPYTER", "IPYTHON", "KERAS_", "DIGITKIT_")
    ours = {x: y for x, y in os.environ.items() if not x.startswith(theirs)}
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


@pytest.mark.soak
def test_machine_without_a_network(place, index):
    """From the teacher's copy to a laptop's, then to another place on that laptop."""
    teacher = place / "teacher"
    left = shutil.ignore_patterns(".*", "work", "wheels", "__pycache__")
    shutil.copytree(ROOT, teacher, ignore=left)
    lab = (sys.executable, "run.py", "lab", "--version")
    told = launch(teacher, "bundle")
    assert "all you need" in told

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
