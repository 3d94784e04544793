"""What the machine is, and the checks with a remedy for each fault."""

import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from ipykernel.iostream import OutStream

from digitkit import machine


@pytest.fixture(autouse=True)
def child(tmp_path, monkeypatch):
    """Be alone, and say what the process answers that tries TensorFlow."""
    monkeypatch.setenv("DIGITKIT_WORK", str(tmp_path / "work"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("DIGITKIT_DATA", raising=False)
    child = Mock(return_value=Mock(returncode=1, stderr=""))
    real = subprocess.run

    def run(command, **options):  # h5py asks `uname` when it is imported
        ours = command[0] == sys.executable
        return child(**options) if ours else real(command, **options)

    monkeypatch.setattr(subprocess, "run", run)
    return child


def see(name, told, to_do=""):
    """See what one check says; it passes if there is nothing to do, else it fails."""
    [(ok, detail, remedy)] = [rest for one, *rest in machine.check() if one == name]
    assert told in detail
    assert "\n" not in detail
    assert to_do in remedy
    assert ok == (not remedy) == (not to_do)


@pytest.mark.parametrize(
    ("settings", "device", "gpu"),
    [
        ({"devices": ["gpu:0", "gpu:1"]}, "gpu:0", "gpu:0, gpu:1"),
        ({"backend": "jax"}, "cpu:0", "none: Keras on jax sees none"),
        (
            {"backend": "torch", "devices": AttributeError},
            "not known to Keras",
            "torch",
        ),
        ({"platform": "win32"}, "cpu:0", "WSL2"),
        ({"platform": "darwin"}, "cpu:0", "on macOS"),
        ({"hidden": ""}, "cpu:0", "CUDA_VISIBLE_DEVICES"),
        ({"hidden": "-1"}, "cpu:0", "CUDA_VISIBLE_DEVICES"),
        ({"driver": None}, "cpu:0", "no NVIDIA driver"),
        ({"libraries": None}, "cpu:0", "python run.py lab --gpu"),
        ({}, "cpu:0", "a newer NVIDIA driver"),
    ],
)
def test_the_gpu_or_why_there_is_none(monkeypatch, settings, device, gpu):
    keras = Mock()
    keras.backend.backend.return_value = settings.get("backend", "tensorflow")
    keras.distribution.list_devices.side_effect = [settings.get("devices", ["cpu:0"])]
    monkeypatch.setitem(sys.modules, "keras", keras)
    monkeypatch.setattr(sys, "platform", settings.get("platform", "linux"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", settings.get("hidden", "0"))
    driver, libraries = settings.get("driver", "x"), settings.get("libraries", "x")
    monkeypatch.setattr(shutil, "which", lambda name: driver)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: libraries)
    found = machine.describe_machine()
    assert found["device"] == device
    assert gpu in found["GPU"]


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


NOTEBOOK = type("Notebook", (io.StringIO,), {"__module__": OutStream.__module__})
TERMINAL = type("Terminal", (io.StringIO,), {"isatty": lambda self: True})


@pytest.mark.parametrize(
    ("stdout", "platform", "no_colour", "colours"),
    [
        (NOTEBOOK, "win32", "", ["28", "160", "160"]),
        (NOTEBOOK, "linux", "1", []),
        (TERMINAL, "linux", "", ["28", "160", "160"]),
        (TERMINAL, "win32", "", []),
    ],
)
def test_colours_where_they_show(monkeypatch, stdout, platform, no_colour, colours):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv("NO_COLOR", no_colour)
    monkeypatch.setattr(sys, "stdout", stdout())
    machine.print_results([("Python", True, "a", ""), ("data", False, "b", "c")])
    told = sys.stdout.getvalue()
    assert re.findall(r"\x1b\[1;38;5;231;48;5;(\d+)m", told) == colours
    assert told.count("\x1b") == 2 * len(colours)


# The last line of what TensorFlow says at each start, and what it says without AVX.
NOISE = "instructions: AVX2 FMA, in other operations, rebuild TensorFlow.\n"
NO_AVX = (
    "The TensorFlow library was compiled to use AVX instructions, but these aren't\n"
)


@pytest.mark.parametrize(
    ("status", "stderr", "told", "remedy"),
    [
        (0, NOISE, "works, with Keras 3.15.1", ""),
        (-4, "", "AVX", "virtual machine"),
        (0xC000001D, "", "AVX", "virtual machine"),
        (-6, NO_AVX, "AVX", "virtual machine"),
        (1, "ImportError: DLL load failed while importing x", "Visual C++", "https://"),
        (1, NOISE + "ImportError: no such thing\n", "no such thing", ".venv"),
        (-11, "", "status -11", ".venv"),
    ],
)
def test_each_fault_of_tensorflow_has_its_remedy(child, status, stderr, told, remedy):
    found = {"Keras": "3.15.1 on tensorflow", "device": "gpu:0", "GPU": "gpu:0"}
    child.return_value = Mock(returncode=status, stderr=stderr, stdout=f"oh\n{found}\n")
    see("TensorFlow", told, remedy)
    see("GPU", "gpu:0" if status == 0 else "not known")


def test_a_tensorflow_that_hangs(child):
    child.side_effect = subprocess.TimeoutExpired("python", 120)
    see("TensorFlow", "not imported within 120 s", "try again")
    assert child.call_args.kwargs["timeout"] == 120


def test_python_versions_are_those_of_the_project(monkeypatch):
    pyproject = Path(machine.__file__).parent.parent / "pyproject.toml"
    assert 'requires-python = ">=3.11,<3.14"' in pyproject.read_text("utf-8")
    for minor, to_do in [(10, "3.13"), (11, ""), (13, ""), (14, "3.13")]:
        monkeypatch.setattr(sys, "version_info", (3, minor, 0, "final", 0))
        see("Python", sys.prefix, to_do)


@pytest.mark.parametrize(
    ("changed", "told", "remedy"),
    [
        ({}, "numpy 2.4.6, keras 3.15.1", ""),
        ({"numpy": None}, "numpy is not installed", "python run.py lab"),
        ({"keras": "3.9.0"}, "keras<4,>=3.15 is needed, 3.9.0", "python run.py lab"),
        ({"digitkit": None}, "digitkit is not installed", "python run.py lab"),
    ],
)
def test_packages_that_are_missing_or_too_old(monkeypatch, changed, told, remedy):
    versions = {"digitkit": "1", "numpy": "2.4.6", "keras": "3.15.1"} | changed
    needed = ["numpy>=2.1", "keras<4,>=3.15", 'nbval>=0.11; extra == "test"']

    def version(name):
        if versions[name] is None:
            raise PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(machine, "version", version)
    monkeypatch.setattr(machine, "requires", lambda name: version(name) and needed)
    see("packages", told, remedy)


def test_data_that_is_named(tmp_path, monkeypatch):
    see("data", "without a network, the stand-in")
    path = tmp_path / "my.npz"
    monkeypatch.setenv("DIGITKIT_DATA", str(path))
    see("data", str(path), "DIGITKIT_DATA")
    images, digits = np.zeros((2, 28, 28), np.uint8), np.arange(2, dtype=np.uint8)
    np.savez(path, x_train=images, y_train=digits, x_test=images, y_test=digits)
    see("data", f"yours, from {path}")


def test_a_cache_that_may_not_be_entered_is_no_fault(monkeypatch):
    monkeypatch.setattr(Path, "exists", Mock(side_effect=PermissionError))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert machine._check_data()[1] == ""


@pytest.mark.parametrize("missing", ["ipywidgets", "ipycanvas", "jupyter_core.paths"])
def test_a_widget_package_is_missing(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    see("widgets", missing, "python run.py lab")


def test_jupyterlab_lacks_an_extension(tmp_path, monkeypatch):
    monkeypatch.setattr("jupyter_core.paths.jupyter_path", lambda name: [str(tmp_path)])
    for extension in ("@jupyter-widgets/jupyterlab-manager", "ipycanvas"):
        (tmp_path / extension).mkdir(parents=True)
        see("widgets", extension, "python run.py lab")
        (tmp_path / extension / "package.json").touch()
    see("widgets", "in JupyterLab")


def test_little_memory_is_remarked(monkeypatch):
    for available, told in [
        (9_876_543, "9.9 GB free"),
        (1_500_000, "1.5 GB free; training wants 2: close other programs"),
        (None, "not measured on this system"),
    ]:
        text = f"MemTotal: 16000000 kB\nMemAvailable: {available} kB\nHugePages: 0\n"
        monkeypatch.setattr(Path, "exists", Mock(return_value=available))
        monkeypatch.setattr(Path, "read_text", Mock(return_value=text))
        assert machine._check_memory() == (told, "")


def test_the_work_folder_is_tried(tmp_path, monkeypatch):
    see("work folder", str(tmp_path / "work"))
    assert list((tmp_path / "work").iterdir()) == []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Mock(free=10**7))
    see("work folder", "0.0 GB free", "make room")
    (tmp_path / "file").touch()
    monkeypatch.setenv("DIGITKIT_WORK", str(tmp_path / "file" / "work"))
    see("work folder", str(tmp_path / "file"), "DIGITKIT_WORK")
