"""Set digitkit up and start it: ``python run.py`` says what can be typed.

This needs Python alone, and keeps to what Python 3.8 can read, so that an old Python
gets a remedy instead of a traceback.
"""

import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

USAGE = """\
python run.py lab [--gpu] [...]   open JupyterLab; the first time, set all up before
                                  (what follows goes to JupyterLab)
python run.py test                check everything: style, code, notebooks
python run.py soak                the long tests
python run.py notebooks [...]     run the notebooks, all or those named, and store
                                  their outputs anew"""
ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
WINDOWS = sys.platform == "win32"
PYTHON = VENV / ("Scripts/python.exe" if WINDOWS else "bin/python")
STAMP = VENV / "digitkit.json"  # what pip has installed, or that it has not finished
TESTS = (
    "ruff check .",
    "ruff format --check .",
    "pytest tests",
    "pytest --nbval notebooks",
)


def refusal():
    """Return why TensorFlow cannot be installed here, with a remedy, or None."""
    python = platform.python_implementation() + " " + platform.python_version()
    unusual = not python.startswith("CPython") or sysconfig.get_config_var(
        "Py_GIL_DISABLED"
    )
    machine = platform.machine().lower()
    mac = sys.platform == "darwin" and machine != "arm64"
    cases = [
        (
            unusual or not (3, 11) <= sys.version_info[:2] <= (3, 13),
            f"This is {python}. TensorFlow needs CPython 3.11, 3.12 or 3.13.",
            "Install Python 3.13 (from python.org, or your system's packages), then "
            f"type: {'py -3.13' if WINDOWS else 'python3.13'} run.py lab",
        ),
        (
            sys.maxsize < 2**32,
            "This Python has 32 bits. TensorFlow needs 64.",
            "Install a 64-bit Python 3.13 from python.org.",
        ),
        (
            mac and "ARM64" in platform.version(),  # under Rosetta
            "This Mac has Apple silicon, but this Python is made for Intel.",
            "Install Python 3.13 from python.org, which suits both.",
        ),
        (
            mac,
            "TensorFlow is no longer made for Intel Macs.",
            "Use another computer, or a Linux virtual machine on this one.",
        ),
        (
            WINDOWS and sysconfig.get_platform() == "win-arm64",
            "TensorFlow is not made for Windows on ARM.",
            "Type once: wsl --install, then run digitkit in the Linux that it brings.",
        ),
        (
            sys.platform == "linux" and platform.libc_ver()[0] != "glibc",
            "TensorFlow needs a Linux with glibc. This one (Alpine?) has another libc.",
            "Use Debian, Ubuntu or Fedora, for example in a container.",
        ),
        (
            machine not in ("x86_64", "amd64", "aarch64", "arm64"),
            f"TensorFlow is not made for processors of the kind {machine}.",
            "Use a computer with an x86-64 or a 64-bit ARM processor.",
        ),
    ]
    return next((f"{why}\n{remedy}" for met, why, remedy in cases if met), None)


def refuse(message):
    """End with a message and exit status 2."""
    print(message, file=sys.stderr)
    sys.exit(2)


def prepare(*extras):
    """Make .venv hold digitkit with `extras`; return at once where it does."""
    message = refusal()
    if message:
        refuse(message)
    stamp = read_stamp()
    extras = sorted({*extras, *stamp.get("extras", [])})  # nothing is taken away
    finished = {"inputs": inputs(), "extras": extras}
    usable = venv_version() == list(sys.version_info[:2])
    if usable and stamp == finished:
        return
    # Without a stamp it is somebody's own: installed into if it works, never wiped.
    if not usable and not stamp and VENV.is_dir() and any(VENV.iterdir()):
        refuse(
            f"{VENV} was not made by run.py, or for another Python.\n"
            "Delete it or give it another name, then try again."
        )
    if not usable or "unfinished" in stamp:
        make_venv(extras)
    install(extras)
    write_stamp(finished)


def inputs():
    """Return a hash of all that decides what pip installs."""
    digest = hashlib.sha256(f"{sys.version_info[:2]} {ROOT}".encode())
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def read_stamp():
    """Return what the stamp says, nothing where there is none."""
    try:
        return json.loads(STAMP.read_text())
    except OSError:
        return {}
    except ValueError:
        return {"unfinished": True}


def write_stamp(stamp):
    """Replace the stamp in one step, so that it is never half written."""
    temporary = STAMP.with_suffix(".part")
    temporary.write_text(json.dumps(stamp))
    temporary.replace(STAMP)


def venv_version():
    """Return the version of .venv's Python as a list, None where it does not work."""
    code = "import pip, sys; print(list(sys.version_info[:2]))"
    try:
        told = subprocess.run([PYTHON, "-c", code], capture_output=True, check=True)
        return json.loads(told.stdout)
    except (OSError, subprocess.CalledProcessError):
        return None


def make_venv(extras):
    """Make .venv anew, empty but for pip."""
    if not (importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv")):
        refuse(
            "This Python came without the parts that make environments.\nOn Debian and "
            f"Ubuntu type: sudo apt install python3.{sys.version_info[1]}-venv"
        )
    try:
        VENV.mkdir(exist_ok=True)
        write_stamp({"unfinished": True, "extras": extras})
        for entry in VENV.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry != STAMP:
                entry.unlink()
    except OSError as error:
        refuse(f"Cannot renew {VENV}: {error}\nClose what uses it, then try again.")
    # While it installs, pip keeps what it has fetched beside what it unpacks.
    needed = 15 if "gpu" in extras else 4.5
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < needed:
        refuse(
            f"{VENV} needs {needed} GB to be made, and {free:.1f} GB are free.\n"
            "Make room, or move this folder to a larger disk."
        )
    print(f"Making {VENV} with Python {platform.python_version()}", flush=True)
    # Not sys.executable: that is gone if it was the old .venv's.
    if call(getattr(sys, "_base_executable", sys.executable), "-m", "venv", VENV):
        sys.exit("Python could not make the environment: see its message above.")


def install(extras):
    """Install digitkit, editable, and `extras` in the versions tested together."""
    size = 3.6 if "gpu" in extras else 0.8
    print(f"Installing; the first time this downloads {size} GB:", flush=True)
    command = [PYTHON, "-m", "pip", "install", "--progress-bar", "off"]
    target = f".[{','.join(extras)}]" if extras else "."
    command += ["-c", "constraints.txt", "-e", target]
    options = {"text": True, "errors": "replace", "cwd": ROOT}
    options.update(stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    told = []
    with subprocess.Popen(command, **options) as pip:
        for line in pip.stdout:
            told.append(line)
            words = line.split()
            if words[:1] == ["Downloading"] and words[-1] in ("MB)", "GB)"):
                print("  " + " ".join(words), flush=True)
            elif line.startswith("Installing collected"):
                # From here on, whatever stops pip leaves .venv half made.
                write_stamp({"unfinished": True, "extras": extras})
                print("  Unpacking, a minute or two", flush=True)
    if pip.returncode:
        sys.exit(
            "".join(told[-20:]) + "pip could not install everything: see above.\n"
            "The first time needs a network. Behind a proxy, set HTTPS_PROXY."
        )
    # An untrusted notebook loses its drawing pad when the page is reloaded.
    lessons = sorted((ROOT / "notebooks").glob("**/0*.ipynb"))
    trust = [PYTHON, "-m", "jupyter", "trust", *lessons]
    subprocess.run(trust, capture_output=True, check=False)


def call(*command, cwd=None):
    """Run a command to its end; return its exit status."""
    with subprocess.Popen(command, cwd=cwd) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.wait()  # it had the Ctrl-C as well, and ends in its own way
            raise


def lab(*arguments):
    """Open JupyterLab on the first notebook."""
    gpu = "--gpu" in arguments
    if gpu and sys.platform != "linux":
        print("TensorFlow uses GPUs on Linux and in WSL2 only. Going on without.")
    prepare(*["gpu"] if gpu else [])
    first = "notebooks/00_start_here.ipynb"
    if not (ROOT / first).exists():
        first = "notebooks/01_meet_the_digits.ipynb"
    command = [str(PYTHON), "-m", "jupyterlab", f"--ServerApp.root_dir={ROOT}"]
    command += [f"--LabApp.default_url=/lab/tree/{first}"]
    command += ["--LanguageServerManager.autodetect=False"]  # less for it to say
    command += [word for word in arguments if word != "--gpu"]
    print("Leave this window open. Ctrl-C, twice, ends JupyterLab.", flush=True)
    if WINDOWS:
        return call(*command)
    # In our place: Ctrl-C and other signals are then JupyterLab's own affair.
    return os.execv(command[0], command)


def test():
    """Run all checks, each to its end; return 1 if any failed."""
    prepare("test")
    edited = edited_notebooks()
    if edited:
        print(
            "You have edited notebooks. Where their outputs differ from the stored "
            "ones, tests fail:",
            *edited,
            "The way back, which loses your edits: git checkout HEAD -- notebooks",
            sep="\n  ",
            flush=True,
        )
    results = []
    for step in TESTS:
        print(f"\n=== {step}", flush=True)
        start = time.time()
        failed = call(PYTHON, "-m", *step.split(), cwd=ROOT)
        results.append((failed, time.time() - start, step))
        if failed and edited is None and "nbval" in step:
            print("If you have edited a notebook, this is why: its outputs now differ.")
    print("\n=== summary")
    for failed, seconds, step in results:
        print(f"{'FAILED' if failed else 'passed'} {seconds:5.0f} s  {step}")
    return int(any(failed for failed, _, _ in results))


def edited_notebooks():
    """List what git says has changed in notebooks/; None where git cannot tell."""
    if not (ROOT / ".git").exists():  # git would answer for a repository around ours
        return None
    command = ["git", "status", "--porcelain", "--untracked-files=all", "notebooks"]
    try:
        told = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return [line[3:] for line in told.stdout.decode(errors="replace").splitlines()]


def soak():
    """Run the long tests."""
    prepare("test")
    return call(PYTHON, "-m", "pytest", "tests", "-m", "soak", cwd=ROOT)


def notebooks(*arguments):
    """Run the notebooks and store their outputs anew."""
    prepare("test")
    return call(PYTHON, ROOT / "tools" / "refresh_notebooks.py", *arguments)


def make_paths_absolute():
    """Make the paths in digitkit's variables absolute: kernels run in notebooks/."""
    for name in ("DATA", "PENS", "WORK", "CACHE"):
        path = os.environ.get("DIGITKIT_" + name)
        if path:
            os.environ["DIGITKIT_" + name] = str(Path(path).absolute())


COMMANDS = {"lab": lab, "test": test, "soak": soak, "notebooks": notebooks}


def main(command=None, *arguments):
    """Do what the command line asks; return the exit status."""
    if command in ("-h", "--help"):
        print(USAGE)
        return 0
    if command not in COMMANDS or (arguments and command in ("test", "soak")):
        refuse(USAGE)
    make_paths_absolute()
    return COMMANDS[command](*arguments)


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
