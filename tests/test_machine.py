"""What the machine is, and the checks with a remedy for each fault."""

import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import namedtuple
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from digitkit import data, machine

PYPROJECT = Path(machine.__file__).parent.parent / "pyproject.toml"


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIGITKIT_WORK", str(tmp_path / "work"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    for name in ("DIGITKIT_DATA", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)


# describe_machine


def fake_keras(monkeypatch, devices, backend="tensorflow"):
    def list_devices():
        if devices is None:  # as Keras does on PyTorch
            raise AttributeError("'NoneType' object has no attribute 'list_devices'")
        return devices

    keras = SimpleNamespace(
        version=lambda: "3.15.1",
        backend=SimpleNamespace(backend=lambda: backend),
        distribution=SimpleNamespace(list_devices=list_devices),
    )
    monkeypatch.setitem(sys.modules, "keras", keras)


def test_a_machine_with_gpus(monkeypatch):
    fake_keras(monkeypatch, ["gpu:0", "gpu:1"])
    found = machine.describe_machine()
    assert found["device"] == "gpu:0"
    assert found["GPU"] == "gpu:0, gpu:1"
    assert found["Keras"] == "3.15.1 on tensorflow"
    assert found["processor cores"] == str(os.cpu_count())
    assert found["Python"] == sys.version.split()[0]


@pytest.mark.parametrize(
    ("backend", "devices", "device"),
    [("jax", ["cpu:0"], "cpu:0"), ("torch", None, "not known to Keras")],
)
def test_a_machine_with_another_backend(monkeypatch, backend, devices, device):
    fake_keras(monkeypatch, devices, backend)
    found = machine.describe_machine()
    assert found["device"] == device
    assert found["GPU"] == f"none: Keras on {backend} sees none"


@pytest.mark.parametrize(
    ("platform", "hidden", "driver", "libraries", "told"),
    [
        ("win32", None, True, True, "WSL2"),
        ("darwin", None, True, True, "macOS"),
        ("linux", "", True, True, "CUDA_VISIBLE_DEVICES"),
        ("linux", "-1", True, True, "CUDA_VISIBLE_DEVICES"),
        ("linux", None, False, False, "no NVIDIA driver"),
        ("linux", None, True, False, "python run.py lab --gpu"),
        ("linux", "0", True, True, "a newer NVIDIA driver"),
    ],
)
def test_without_a_gpu_it_says_why(
    monkeypatch, platform, hidden, driver, libraries, told
):
    fake_keras(monkeypatch, ["cpu:0"])
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/it" if driver else None)
    found = object() if libraries else None
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    found = machine.describe_machine()
    assert found["device"] == "cpu:0"
    assert found["GPU"].startswith("none: ")
    assert told in found["GPU"]


@pytest.mark.slow
def test_this_machine():
    found = machine.describe_machine()
    kind, _, number = found["device"].partition(":")
    assert kind in ("cpu", "gpu")
    assert number == "0"
    assert found["GPU"].startswith("none: " if kind == "cpu" else "gpu:0")
    assert all(isinstance(value, str) for value in found.values())


# check and print_results


def test_results_are_printed_in_words(capsys):
    results = [
        ("Python", True, "3.13.1 in /here", ""),
        ("work folder", False, "it is full", "make room there"),
        ("memory", True, "9.9 GB free", ""),
    ]
    assert machine.print_results(results) is False
    assert capsys.readouterr().out == (
        "pass  Python        3.13.1 in /here\n"
        "FAIL  work folder   it is full\n"
        "      what to do:   make room there\n"
        "pass  memory        9.9 GB free\n"
    )
    assert machine.print_results(results[:1]) is True


def test_long_results_are_wrapped_between_words(capsys):
    path = "/home/me/two-folders-of-digits"
    told = f"of all that is needed nothing lies where you said, {path}"
    machine.print_results([("data", False, told, "mend that, or unset it")])
    assert capsys.readouterr().out == (
        "FAIL  data          of all that is needed nothing lies where you said,\n"
        f"                    {path}\n"
        "      what to do:   mend that, or unset it\n"
    )


class Notebook(io.StringIO):
    """What a notebook's kernel prints to."""


Notebook.__module__ = "ipykernel.iostream"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stdout", "platform", "no_colour", "coloured"),
    [
        (Notebook, "linux", "", True),
        (Notebook, "win32", "", True),
        (Notebook, "linux", "1", False),
        (Terminal, "linux", "", True),
        (Terminal, "win32", "", False),
        (Terminal, "darwin", "1", False),
        (io.StringIO, "linux", "", False),
    ],
)
def test_colours_go_to_notebooks_and_terminals(
    monkeypatch, stdout, platform, no_colour, coloured
):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv("NO_COLOR", no_colour)
    monkeypatch.setattr(sys, "stdout", stdout())
    machine.print_results([("Python", True, "a", ""), ("data", False, "b", "c")])
    told = sys.stdout.getvalue()
    rows = re.findall(r"\x1b\[1;38;5;231;48;5;(\d+)m (.*?) *\x1b\[0m (.*)", told)
    green_and_red = [
        ("28", "pass  Python", "a"),
        ("160", "FAIL  data", "b"),
        ("160", "      what to do:", "c"),
    ]
    assert rows == (green_and_red if coloured else [])
    assert ("\x1b" in told) is coloured


def test_kernels_print_to_what_the_test_takes_for_a_notebook():
    from ipykernel.iostream import OutStream

    assert OutStream.__module__ == Notebook.__module__


def test_results_are_printed_as_they_come(capsys):
    def results():
        yield "Python", True, "3.13.1", ""
        assert "Python" in capsys.readouterr().out
        yield "data", True, "none", ""

    assert machine.print_results(results())


def test_everything_is_checked_in_order(monkeypatch):
    answer_of_child(monkeypatch, stdout=str(MACHINE))
    results = list(machine.check())
    assert [name for name, *_ in results] == [
        "Python",
        "packages",
        "TensorFlow",
        "GPU",
        "data",
        "widgets",
        "memory",
        "work folder",
    ]
    for _, ok, detail, remedy in results:
        assert ok is (remedy == "")
        assert detail
        assert "\n" not in detail


def result(name):
    """Return what `check` says about one thing, without the check of TensorFlow."""
    results = {name: rest for name, *rest in machine.check()}
    return results[name]


def fails(name, told, remedy):
    ok, detail, to_do = result(name)
    assert not ok
    assert told in detail
    assert remedy in to_do


def passes(name, told):
    ok, detail, remedy = result(name)
    assert ok
    assert told in detail
    assert remedy == ""


# TensorFlow and GPU

MACHINE = {"Keras": "3.15.1 on tensorflow", "device": "gpu:0", "GPU": "gpu:0"}
# What TensorFlow says at each start, whatever comes after.
NOISE = (
    "I0000 cpu_feature_guard.cc:227] This TensorFlow binary is optimized to use "
    "available CPU instructions.\nTo enable the following instructions: AVX2 FMA, in "
    "other operations, rebuild TensorFlow.\n"
)
NO_AVX = (
    "The TensorFlow library was compiled to use AVX instructions, but these aren't "
    "available on your machine.\n"
)


def answer_of_child(monkeypatch, returncode=0, stdout="", stderr=""):
    real = subprocess.run

    def run(command, **options):
        if command[0] != sys.executable:  # h5py asks `uname` when it is imported
            return real(command, **options)
        assert options["timeout"] == machine.SECONDS
        return subprocess.CompletedProcess(command, returncode, stdout, stderr)

    monkeypatch.setattr(subprocess, "run", run)


@pytest.fixture(autouse=True)
def no_child(monkeypatch):
    answer_of_child(monkeypatch, returncode=1, stderr="not in this test")


def test_tensorflow_works(monkeypatch):
    answer_of_child(monkeypatch, stdout=f"a warning\n{MACHINE}\n", stderr=NOISE)
    passes("TensorFlow", "works, with Keras 3.15.1 on tensorflow")
    passes("GPU", "gpu:0")


@pytest.mark.parametrize(
    ("status", "stderr", "told", "remedy"),
    [
        (-4, "", "AVX", "virtual machine"),
        (0xC000001D, "", "AVX", "virtual machine"),
        (-6, NO_AVX, "AVX", "virtual machine"),
        (1, "ImportError: DLL load failed while importing x", "Visual C++", "https://"),
        (1, NOISE + "ImportError: no such thing\n", "no such thing", ".venv"),
        (-11, "", "status -11", ".venv"),
    ],
)
def test_each_fault_of_tensorflow_has_its_remedy(
    monkeypatch, status, stderr, told, remedy
):
    answer_of_child(monkeypatch, status, stderr=stderr)
    fails("TensorFlow", told, remedy)
    passes("GPU", "not known")


def test_a_tensorflow_that_hangs(monkeypatch):
    def hang(command, timeout, **options):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", hang)
    fails("TensorFlow", f"within {machine.SECONDS} s", "try again")


# Python and packages


@pytest.mark.parametrize(
    ("version", "ok"),
    [((3, 10), False), ((3, 11), True), ((3, 13), True), ((3, 14), False)],
)
def test_python_versions(monkeypatch, version, ok):
    monkeypatch.setattr(sys, "version_info", (*version, 0, "final", 0))
    found, _, remedy = result("Python")
    assert found is ok
    assert ok or "3.13" in remedy


def test_the_python_versions_are_those_of_the_project():
    project = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]
    assert project["requires-python"] == ">=3.11,<3.14"


@pytest.fixture
def installed(monkeypatch):
    """Pretend what is needed and what is installed."""
    versions = {"numpy": "2.4.6", "keras": "3.15.1"}
    needed = ["numpy>=2.1", "keras<4,>=3.15", 'nbval>=0.11; extra == "test"']

    def version(name):
        if name not in versions:
            raise PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(machine, "requires", lambda name: needed)
    monkeypatch.setattr(machine, "version", version)
    return versions


def test_all_packages_are_there(installed):
    passes("packages", "numpy 2.4.6, keras 3.15.1")


def test_a_package_is_missing(installed):
    del installed["keras"]
    fails("packages", "keras is not installed", "python run.py lab")


def test_a_package_is_too_old(installed):
    installed["keras"] = "3.9.0"
    fails("packages", "3.9.0 is installed", "python run.py lab")
    assert "keras<4,>=3.15" in result("packages")[1]


def test_digitkit_is_not_installed(monkeypatch):
    def requires(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(machine, "requires", requires)
    fails("packages", "digitkit is not installed", "python run.py lab")


# Data


def test_no_data_is_no_fault():
    passes("data", "without a network, the stand-in")


def test_data_that_is_named(tmp_path, monkeypatch):
    images, digits = np.zeros((2, 28, 28), np.uint8), np.arange(2, dtype=np.uint8)
    path = tmp_path / "my.npz"
    np.savez(path, x_train=images, y_train=digits, x_test=images, y_test=digits)
    monkeypatch.setenv("DIGITKIT_DATA", str(path))
    passes("data", f"yours, from {path}")


def test_data_that_is_named_but_not_there(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DIGITKIT_DATA", str(tmp_path / "nowhere"))
    fails("data", str(tmp_path / "nowhere"), "DIGITKIT_DATA")
    assert capsys.readouterr().err == ""


def test_damaged_data_in_the_cache_are_no_failure(tmp_path, monkeypatch):
    def refused():
        raise ConnectionError("no network")

    monkeypatch.setattr(data, "_mnist", refused)
    nothing = np.zeros((1, 28, 28), np.uint8), np.zeros(1, np.uint8)
    monkeypatch.setattr(data, "_stand_in", lambda: ((*nothing, *nothing), ""))
    cached = tmp_path / "keras" / "datasets" / "mnist.npz"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"half of MNIST")
    passes("data", "the stand-in, digits that a program draws")


def test_mnist_is_named(mnist, monkeypatch):
    monkeypatch.undo()  # back to the machine's own DIGITKIT_DATA
    answer_of_child(monkeypatch, 1)
    passes("data", "MNIST")


# Widgets


def test_the_widgets_are_there():
    passes("widgets", "in JupyterLab")


@pytest.mark.parametrize("missing", ["ipywidgets", "ipycanvas", "jupyter_core.paths"])
def test_a_widget_package_is_missing(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    fails("widgets", missing, "python run.py lab")


def test_jupyterlab_lacks_a_part(tmp_path, monkeypatch):
    monkeypatch.setattr("jupyter_core.paths.jupyter_path", lambda name: [str(tmp_path)])
    for extension in ("@jupyter-widgets/jupyterlab-manager", "ipycanvas"):
        fails("widgets", extension, "python run.py lab")
        (tmp_path / extension).mkdir(parents=True)
        fails("widgets", extension, "python run.py lab")
        (tmp_path / extension / "package.json").touch()
    passes("widgets", "in JupyterLab")


# Memory and the work folder


@pytest.mark.parametrize(
    ("available", "told"), [(9_876_543, "9.9 GB free"), (1_500_000, "1.5 GB free; ")]
)
def test_memory_is_read_and_little_is_remarked(monkeypatch, available, told):
    meminfo = f"MemTotal: 16000000 kB\nMemAvailable: {available} kB\nHugePages: 0\n"
    monkeypatch.setattr(Path, "exists", lambda path: True)
    monkeypatch.setattr(Path, "read_text", lambda path: meminfo)
    detail, remedy = machine._check_memory()
    assert detail.startswith(told)
    assert ("close other programs" in detail) is (available < 2_000_000)
    assert remedy == ""


def test_where_memory_cannot_be_read_it_says_so(monkeypatch):
    monkeypatch.setattr(Path, "exists", lambda path: False)
    assert machine._check_memory() == ("not measured on this system", "")


def test_the_work_folder_is_there_and_left_clean(tmp_path):
    passes("work folder", str(tmp_path / "work"))
    assert list((tmp_path / "work").iterdir()) == []


def test_the_work_folder_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("DIGITKIT_WORK", str(tmp_path / "file" / "work"))
    fails("work folder", str(tmp_path / "file"), "DIGITKIT_WORK")


def test_the_disk_is_full(monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**12, 10**12, 10**7))
    fails("work folder", "0.0 GB free", "make room")


def test_paths_are_not_broken_and_no_failure_is_lost(capsys):
    path = (
        "/home/somebody/with/a/very/long/way/to/the/folder/of/this/course/of/digitkit"
    )
    assert not machine.print_results(
        [("Python", True, f"3.13 in {path}", ""), ("data", False, "", "mend it")]
    )
    told = capsys.readouterr().out
    assert path in told
    assert "FAIL  data" in told


def test_a_cache_that_may_not_be_entered_stops_nothing(monkeypatch):
    def forbidden(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.delenv("DIGITKIT_DATA", raising=False)
    monkeypatch.setattr(Path, "exists", forbidden)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    _, remedy = machine._check_data()
    assert not remedy
