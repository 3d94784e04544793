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
from ipykernel.iostream import OutStream

from digitkit import data, machine

PYPROJECT = Path(machine.__file__).parent.parent / "pyproject.toml"


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIGITKIT_WORK", str(tmp_path / "work"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    for name in ("DIGITKIT_DATA", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def child(monkeypatch):
    """What the process answers that tries TensorFlow: a fault, until it is changed."""
    answer = {"returncode": 1, "stdout": "", "stderr": "not in this test"}
    real = subprocess.run

    def run(command, **options):
        if command[0] != sys.executable:  # h5py asks `uname` when it is imported
            return real(command, **options)
        if answer["returncode"] == "hangs":
            raise subprocess.TimeoutExpired(command, options["timeout"])
        return subprocess.CompletedProcess(command, **answer)

    monkeypatch.setattr(subprocess, "run", run)
    return answer


@pytest.fixture
def passes(child):
    """See that one check passes, and says something."""

    def see(name, told):
        [(ok, detail, remedy)] = [rest for one, *rest in machine.check() if one == name]
        assert (ok, remedy) == (True, "")
        assert told in detail
        assert "\n" not in detail

    return see


@pytest.fixture
def fails(child):
    """See that one check fails, and says something and what to do."""

    def see(name, told, to_do):
        [(ok, detail, remedy)] = [rest for one, *rest in machine.check() if one == name]
        assert not ok
        assert told in detail
        assert to_do in remedy

    return see


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


@pytest.mark.parametrize(
    ("backend", "devices", "device", "gpu"),
    [
        ("tensorflow", ["gpu:0", "gpu:1"], "gpu:0", "gpu:0, gpu:1"),
        ("jax", ["cpu:0"], "cpu:0", "none: Keras on jax sees none"),
        ("torch", None, "not known to Keras", "none: Keras on torch sees none"),
    ],
)
def test_devices_are_those_of_keras(monkeypatch, backend, devices, device, gpu):
    fake_keras(monkeypatch, devices, backend)
    found = machine.describe_machine()
    assert (found["device"], found["GPU"]) == (device, gpu)
    assert found["Keras"] == f"3.15.1 on {backend}"
    assert found["Python"] == sys.version.split()[0]


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
    monkeypatch.setattr(shutil, "which", lambda name: driver)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: libraries)
    if hidden is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    found = machine.describe_machine()
    assert found["device"] == "cpu:0"
    assert told in found["GPU"]


# print_results


def test_results_are_printed_in_words_as_they_come(capsys):
    path = "/home/me/a/long/way/to/two-folders/of/digits/that/I/have/written"

    def results():
        yield "Python", True, "3.13.1 in /here", ""
        assert capsys.readouterr().out == "pass  Python        3.13.1 in /here\n"
        yield "data", False, f"nothing is where you said, {path}", "mend that"
        yield "memory", False, "", "close other programs"
        yield "widgets", True, "all", ""

    assert machine.print_results(results()) is False
    assert capsys.readouterr().out == (
        "FAIL  data          nothing is where you said,\n"
        f"                    {path}\n"
        "      what to do:   mend that\n"
        "FAIL  memory        -\n"
        "      what to do:   close other programs\n"
        "pass  widgets       all\n"
    )
    assert machine.print_results([("Python", True, "3.13.1", "")]) is True


class Notebook(io.StringIO):
    """What a notebook's kernel prints to."""


Notebook.__module__ = OutStream.__module__


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stdout", "platform", "no_colour", "coloured"),
    [
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
    rows = re.findall(r"\x1b\[1;38;5;231;48;5;(\d+)m.*?\x1b\[0m (.*)", told)
    assert rows == ([("28", "a"), ("160", "b"), ("160", "c")] if coloured else [])
    assert ("\x1b" in told) is coloured


# TensorFlow and GPU


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


def test_tensorflow_works(child, passes):
    found = {"Keras": "3.15.1 on tensorflow", "device": "gpu:0", "GPU": "gpu:0"}
    child.update(returncode=0, stdout=f"a warning\n{found}\n", stderr=NOISE)
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
        ("hangs", "", "not imported within", "try again"),
    ],
)
def test_each_fault_of_tensorflow_has_its_remedy(
    child, fails, passes, status, stderr, told, remedy
):
    child.update(returncode=status, stderr=stderr)
    fails("TensorFlow", told, remedy)
    passes("GPU", "not known")


# Python and packages


def test_python_versions_are_those_of_the_project(monkeypatch, passes, fails):
    project = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]
    assert project["requires-python"] == ">=3.11,<3.14"
    for minor in (10, 11, 13, 14):
        monkeypatch.setattr(sys, "version_info", (3, minor, 0, "final", 0))
        if minor in (11, 13):
            passes("Python", "")
        else:
            fails("Python", "", "3.13")


@pytest.mark.parametrize(
    ("versions", "told"),
    [
        ({"keras": "3.15.1"}, "numpy is not installed"),
        ({"numpy": "2.4.6", "keras": "3.9.0"}, "keras<4,>=3.15 is needed, 3.9.0"),
        ({}, "digitkit is not installed"),
    ],
)
def test_packages_that_are_missing_or_too_old(monkeypatch, fails, versions, told):
    installed(monkeypatch, versions)
    fails("packages", told, "python run.py lab")


def test_all_packages_are_there(monkeypatch, passes):
    installed(monkeypatch, {"numpy": "2.4.6", "keras": "3.15.1"})
    passes("packages", "numpy 2.4.6, keras 3.15.1")


def installed(monkeypatch, versions):
    def version(name):
        if name not in versions:
            raise PackageNotFoundError(name)
        return versions[name]

    def requires(name):
        if not versions:
            raise PackageNotFoundError(name)
        return ["numpy>=2.1", "keras<4,>=3.15", 'nbval>=0.11; extra == "test"']

    monkeypatch.setattr(machine, "requires", requires)
    monkeypatch.setattr(machine, "version", version)


# Data


def test_no_data_is_no_fault(passes):
    passes("data", "without a network, the stand-in")


def test_data_that_is_named(tmp_path, monkeypatch, passes, fails):
    images, digits = np.zeros((2, 28, 28), np.uint8), np.arange(2, dtype=np.uint8)
    path = tmp_path / "my.npz"
    monkeypatch.setenv("DIGITKIT_DATA", str(path))
    fails("data", str(path), "DIGITKIT_DATA")
    np.savez(path, x_train=images, y_train=digits, x_test=images, y_test=digits)
    passes("data", f"yours, from {path}")


def test_a_damaged_cache_is_no_fault(tmp_path, monkeypatch, passes):
    def refused():
        raise ConnectionError("no network")

    monkeypatch.setattr(data, "_mnist", refused)
    nothing = np.zeros((1, 28, 28), np.uint8), np.zeros(1, np.uint8)
    monkeypatch.setattr(data, "_stand_in", lambda: ((*nothing, *nothing), ""))
    cached = tmp_path / "keras" / "datasets" / "mnist.npz"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"half of MNIST")
    passes("data", "the stand-in, digits that a program draws")


def test_a_cache_that_may_not_be_entered_is_no_fault(monkeypatch):
    def forbidden(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", forbidden)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    _, remedy = machine._check_data()
    assert not remedy


# Widgets


@pytest.mark.parametrize("missing", ["ipywidgets", "ipycanvas", "jupyter_core.paths"])
def test_a_widget_package_is_missing(monkeypatch, fails, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    fails("widgets", missing, "python run.py lab")


def test_jupyterlab_lacks_an_extension(tmp_path, monkeypatch, passes, fails):
    monkeypatch.setattr("jupyter_core.paths.jupyter_path", lambda name: [str(tmp_path)])
    for extension in ("@jupyter-widgets/jupyterlab-manager", "ipycanvas"):
        (tmp_path / extension).mkdir(parents=True)
        fails("widgets", extension, "python run.py lab")
        (tmp_path / extension / "package.json").touch()
    passes("widgets", "in JupyterLab")


# Memory and the work folder


@pytest.mark.parametrize(
    ("available", "told"),
    [
        (9_876_543, "9.9 GB free"),
        (1_500_000, "1.5 GB free; training wants 2: close other programs"),
        (None, "not measured on this system"),
    ],
)
def test_little_memory_is_remarked(monkeypatch, available, told):
    meminfo = f"MemTotal: 16000000 kB\nMemAvailable: {available} kB\nHugePages: 0\n"
    monkeypatch.setattr(Path, "exists", lambda path: available)
    monkeypatch.setattr(Path, "read_text", lambda path: meminfo)
    assert machine._check_memory() == (told, "")


def test_the_work_folder(tmp_path, monkeypatch, passes, fails):
    passes("work folder", str(tmp_path / "work"))
    assert list((tmp_path / "work").iterdir()) == []
    usage = namedtuple("usage", "total used free")(10**12, 10**12, 10**7)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    fails("work folder", "0.0 GB free", "make room")
    (tmp_path / "file").touch()
    monkeypatch.setenv("DIGITKIT_WORK", str(tmp_path / "file" / "work"))
    fails("work folder", str(tmp_path / "file"), "DIGITKIT_WORK")
