"""Machine: what this computer is, and whether all that the lessons need works on it.

`describe_machine` says what computes; `check` tries one thing after the other and
yields what it finds, with a remedy for each fault; `print_results` shows that. The
lesson 00 and ``python -m digitkit check`` use it. It looks into all other rooms.
"""

import ast
import contextlib
import importlib.util
import io
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import textwrap
from importlib.metadata import requires, version
from pathlib import Path

INSTALL = "delete the folder .venv, then type: python run.py lab"
SECONDS = 120  # for importing TensorFlow the first time, on a slow disk
WHOLE_WORDS = {"break_long_words": False, "break_on_hyphens": False}  # as paths are


def describe_machine():
    """Return a description of this machine, a dict of str: its GPU or why it has none.

    Examples
    --------
    >>> describe_machine()["device"]  # doctest: +SKIP
    'cpu:0'
    """
    import keras

    backend = keras.backend.backend()
    try:
        devices = keras.distribution.list_devices()  # GPUs alone, if there are any
    except AttributeError:  # Keras cannot list them on PyTorch
        devices = ["not known to Keras"]
    gpus = devices if devices[0].startswith("gpu") else []
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "Python": platform.python_version(),
        "processor cores": str(os.cpu_count()),
        "Keras": f"{keras.version()} on {backend}",
        "device": devices[0],
        "GPU": ", ".join(gpus) or f"none: {_why_no_gpu(backend)}",
    }


def _why_no_gpu(backend):
    if backend != "tensorflow":
        return f"Keras on {backend} sees none"
    if sys.platform == "win32":
        return "on Windows TensorFlow uses GPUs inside WSL2 only (wsl --install)"
    if sys.platform == "darwin":
        return "on macOS TensorFlow uses the processor alone, which is enough here"
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return "CUDA_VISIBLE_DEVICES hides it"
    if not shutil.which("nvidia-smi"):
        return "no NVIDIA driver is installed"
    if not importlib.util.find_spec("nvidia"):
        return "NVIDIA's libraries are missing: python run.py lab --gpu"
    return "TensorFlow cannot use it: a newer NVIDIA driver may help"


def check():
    """Check what digitkit needs; yield what is found, as it is found.

    Yields
    ------
    name, ok, detail, remedy : str, bool, str, str
        `ok` is false only for what stops the lessons; `remedy` then says what to do.
    """
    machine = {}  # filled by the check of TensorFlow
    checks = {
        "Python": _check_python,
        "packages": _check_packages,
        "TensorFlow": lambda: _check_tensorflow(machine),
        "GPU": lambda: (machine.get("GPU", "not known without TensorFlow"), ""),
        "data": _check_data,
        "widgets": _check_widgets,
        "memory": _check_memory,
        "work folder": _check_work_folder,
    }
    for name, one_check in checks.items():
        detail, remedy = one_check()  # the remedy is empty where all is well
        yield name, not remedy, " ".join(detail.split()), remedy


def print_results(results):
    """Return whether all is well, and print a line for each of `check`'s results.

    Parameters
    ----------
    results : iterable of what `check` yields
    """
    notebook = type(sys.stdout).__module__ == "ipykernel.iostream"
    terminal = sys.stdout.isatty() and sys.platform != "win32"  # old ones show codes
    colours = (notebook or terminal) and not os.environ.get("NO_COLOR")
    paint = "\x1b[1;38;5;231;48;5;{}m {:<18}\x1b[0m" if colours else "{1:<19}"
    all_well = True
    for name, ok, detail, remedy in results:
        word, colour = ("pass", 28) if ok else ("FAIL", 160)  # white on green or red
        told = (f"{word}  {name}", detail or "-"), ("      what to do:", remedy)
        for label, text in told:
            for line in textwrap.wrap(text, 58, **WHOLE_WORDS):
                print(paint.format(colour, label), line, flush=True)
                label = ""
        all_well &= ok
    return all_well


def _check_python():
    found = f"{platform.python_version()} in {sys.prefix}"
    supported = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return found, "" if supported else "with Python 3.13: " + INSTALL


def _check_packages():
    try:
        from packaging.requirements import Requirement

        needed = [Requirement(r) for r in requires("digitkit") if "extra" not in r]
        found = [(r, version(r.name)) for r in needed]
    except ImportError as error:
        return f"{error.name} is not installed", INSTALL
    for requirement, installed in found:
        if installed not in requirement.specifier:
            return f"{requirement} is needed, {installed} is installed", INSTALL
    return ", ".join(f"{r.name} {installed}" for r, installed in found), ""


def _check_tensorflow(machine):
    # In a process of its own: where the processor lacks AVX the import kills it.
    code = "import tensorflow, digitkit.machine as m; print(m.describe_machine())"
    how = {"capture_output": True, "text": True, "errors": "replace"}
    try:
        child = subprocess.run([sys.executable, "-c", code], timeout=SECONDS, **how)
    except subprocess.TimeoutExpired:
        return f"not imported within {SECONDS} s", "close other programs, try again"
    if child.returncode == 0:
        machine.update(ast.literal_eval(child.stdout.splitlines()[-1]))
        return f"works, with Keras {machine['Keras']}", ""
    # An illegal instruction ends with signal 4, on Windows with 0xC000001D.
    if "compiled to use AVX" in child.stderr or child.returncode in (-4, 0xC000001D):
        remedy = "use a computer made after 2011; in a virtual machine, switch AVX on"
        return "this processor lacks the AVX instructions that it needs", remedy
    if "DLL load failed" in child.stderr:
        remedy = "install https://aka.ms/vs/17/release/vc_redist.x64.exe"
        return "Microsoft's Visual C++ runtime is missing or too old", remedy
    last = child.stderr.strip().rpartition("\n")[2]
    return f"exit status {child.returncode}: {last}", INSTALL


def _check_data():
    from . import data

    named = os.environ.get("DIGITKIT_DATA")
    if not named and not os.access(data.keras_cache(), os.R_OK):
        return "MNIST is downloaded at first use; without a network, the stand-in", ""
    try:
        with contextlib.redirect_stdout(io.StringIO()) as words:
            data.load_mnist()
    except (OSError, ValueError) as error:
        return str(error), "fix that, or unset DIGITKIT_DATA"
    return words.getvalue().removeprefix("Data: "), ""


def _check_widgets():
    try:
        import ipycanvas  # noqa: F401
        import ipywidgets  # noqa: F401
        from jupyter_core.paths import jupyter_path
    except ImportError as error:
        return str(error), INSTALL
    folders = [Path(folder) for folder in jupyter_path("labextensions")]
    for name in ("@jupyter-widgets/jupyterlab-manager", "ipycanvas"):
        if not any((folder / name / "package.json").exists() for folder in folders):
            return f"JupyterLab lacks the extension {name}", INSTALL
    return "ipywidgets and ipycanvas, in Python and in JupyterLab", ""


def _check_memory():
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return "not measured on this system", ""
    free = int(meminfo.read_text().split("MemAvailable:")[1].split()[0]) / 1e6
    remark = "" if free >= 2 else "; training wants 2: close other programs"
    return f"{free:.1f} GB free{remark}", ""


def _check_work_folder():
    from .files import work_folder

    try:
        folder = work_folder()
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        return f"no file can be made: {error}", "set DIGITKIT_WORK to another folder"
    free = shutil.disk_usage(folder).free / 1e9
    return f"{free:.1f} GB free in {folder}", "" if free >= 0.1 else "make room there"
