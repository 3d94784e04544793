"""Set up digitkit and start it. ``python run.py`` lists what you can type.

This file runs before anything is installed, so it uses only what comes with Python. It
keeps to the syntax of Python 3.8: someone with an old Python gets advice, not a
traceback. A command that needs more is a script in tools/ and one line in COMMANDS.
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
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
WINDOWS = sys.platform == "win32"
PYTHON = VENV / ("Scripts/python.exe" if WINDOWS else "bin/python")
STAMP = VENV / "digitkit.json"  # what is installed, or that it is not finished
WHEELS = ROOT / "wheels"
NOTE = WHEELS / "bundles.json"  # which machines wheels/ is complete for


# Can this computer run TensorFlow?


def refusal():
    """Return why TensorFlow can't be installed here and what to do, or None."""
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
            "This is a 32-bit Python. TensorFlow needs a 64-bit one.",
            "Install a 64-bit Python 3.13 from python.org.",
        ),
        (
            mac and "ARM64" in platform.version(),  # under Rosetta
            "This Mac has Apple silicon, but this Python is made for Intel.",
            "Install Python 3.13 from python.org, which works on both.",
        ),
        (
            mac,
            "TensorFlow is no longer made for Intel Macs.",
            "Use another computer, or a Linux virtual machine on this one.",
        ),
        (
            WINDOWS and sysconfig.get_platform() == "win-arm64",
            "TensorFlow is not made for Windows on ARM.",
            "Type once: wsl --install, then use digitkit in the Linux you now have.",
        ),
        (
            sys.platform == "linux" and platform.libc_ver()[0] != "glibc",
            "TensorFlow needs a Linux with glibc. This one (Alpine?) has another libc.",
            "Use Debian, Ubuntu or Fedora, for example in a container.",
        ),
        (
            machine not in ("x86_64", "amd64", "aarch64", "arm64"),
            f"TensorFlow is not made for {machine} processors.",
            "Use a computer with an x86-64 or a 64-bit ARM processor.",
        ),
    ]
    return next((f"{why}\n{remedy}" for met, why, remedy in cases if met), None)


def refuse(message):
    """End with a message and exit status 2."""
    print(message, file=sys.stderr)
    sys.exit(2)


def require_venv():
    """Refuse if this Python can't make environments."""
    if not (importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv")):
        refuse(
            "The part of Python that makes environments is missing.\nOn Debian and "
            f"Ubuntu type: sudo apt install python3.{sys.version_info[1]}-venv"
        )


def require_room(folder, needed):
    """Refuse if less than the `needed` GB are free."""
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < needed:
        refuse(
            f"Making {folder} needs {needed} GB, and only {free:.1f} GB are free.\n"
            "Make room, or move this folder to a larger disk."
        )


# The environment, .venv


def prepare(*extras):
    """Make sure that .venv has digitkit and the `extras` of pyproject.toml."""
    message = refusal()
    if message:
        refuse(message)
    stamp = read_json(STAMP, damaged={"unfinished": True})
    extras = sorted({*extras, *stamp.get("extras", [])})  # nothing is removed
    system = sysconfig.get_platform()
    finished = {"requirements": requirements(), "folder": str(ROOT)}
    finished.update(extras=extras, system=system)
    # A copied .venv can be for another processor, which pip does not notice.
    here = stamp.get("system", system) == system
    usable = here and venv_version() == list(sys.version_info[:2])
    if usable and stamp == finished:
        return
    # Without a stamp it is someone's own: we install into it, but never empty it.
    if not usable and not stamp and VENV.is_dir() and any(VENV.iterdir()):
        refuse(
            f"{VENV} was not made by run.py, or for another Python.\n"
            "Delete it or rename it, then try again."
        )
    if not usable or "unfinished" in stamp:
        make_venv(extras)
    install(extras)
    write_json(STAMP, finished)


def requirements():
    """Return a hash of what must be installed, the same on every machine."""
    digest = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt"):
        # As text, since git may change line endings.
        digest.update((ROOT / name).read_text(encoding="utf-8").encode())
    return digest.hexdigest()


def read_json(path, damaged):
    """Return the dict in a file: {} if there is none, `damaged` if it is no dict."""
    try:
        return dict(json.loads(path.read_text()))
    except OSError:
        return {}
    except (ValueError, TypeError):
        return damaged


def write_json(path, content):
    """Replace a file in one step, so that it is never half written."""
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(content))
    temporary.replace(path)


def venv_version():
    """Return the version of .venv's Python as a list, or None if it doesn't work."""
    code = "import pip, sys; print(list(sys.version_info[:2]))"
    try:
        done = subprocess.run([PYTHON, "-c", code], capture_output=True, check=True)
        return json.loads(done.stdout)
    except (OSError, subprocess.CalledProcessError):
        return None


def make_venv(extras):
    """Make .venv from scratch, with nothing in it but pip."""
    require_venv()
    try:
        VENV.mkdir(exist_ok=True)
        # Not the new extras: there may be no room for them.
        before = read_json(STAMP, damaged={}).get("extras", [])
        write_json(STAMP, {"unfinished": True, "extras": before})
        for entry in VENV.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry != STAMP:
                entry.unlink()
    except OSError as error:
        refuse(
            f"Cannot empty {VENV}: {error}\nClose the programs that use it (a running "
            "JupyterLab?), then try again."
        )
    # While pip installs, it keeps its downloads next to what it unpacks.
    require_room(VENV, 15 if "gpu" in extras else 4.5)
    print(f"Making {VENV} with Python {platform.python_version()}", flush=True)
    fill_venv(VENV)


def fill_venv(folder):
    """Make an environment with pip in `folder`."""
    # Not sys.executable: that may be the old .venv's, which is deleted by now.
    if call(getattr(sys, "_base_executable", sys.executable), "-m", "venv", folder):
        sys.exit("Python could not make the environment: see its message above.")


def install(extras):
    """Install digitkit, editable, and `extras` in the versions tested together."""
    source = wheels_options(extras)
    if source:
        remedy = (
            "Is wheels/ damaged? Copy it again. Or, with a network, type\n"
            "python run.py bundle\nto repair it, or delete it to install without it."
        )
        print("Installing from wheels/, without the network:", flush=True)
    else:
        remedy = "The first time needs a network. Behind a proxy, set HTTPS_PROXY."
        size = 3.6 if "gpu" in extras else 0.8
        print(f"Installing; the first time this downloads {size} GB:", flush=True)

    def unpacking():  # if pip stops from here on, .venv is half made
        write_json(STAMP, {"unfinished": True, "extras": extras})
        print("  Unpacking, a minute or two", flush=True)

    target = f".[{','.join(extras)}]" if extras else "."
    command = ["install", *source, "-c", "constraints.txt", "-e", target]
    failure = f"pip could not install everything: see above.\n{remedy}"
    pip(PYTHON, *command, failure=failure, unpacking=unpacking)
    # JupyterLab hides the drawing pad of an untrusted notebook after a reload. Not
    # "jupyter trust": a moved .venv has lost that script.
    lessons = sorted((ROOT / "notebooks").glob("**/0*.ipynb"))
    trust = [PYTHON, "-m", "nbformat.sign", *lessons]
    subprocess.run(trust, capture_output=True, check=False)


def pip(python, *command, failure, unpacking=None):
    """Run pip and print what it downloads; end with `failure` if it fails."""
    command = [python, "-m", "pip", *command, "--progress-bar", "off"]
    options = {"text": True, "errors": "replace", "cwd": ROOT}
    options.update(stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    printed = []
    with subprocess.Popen(command, **options) as process:
        for line in process.stdout:
            printed.append(line)
            words = line.split()
            if words[:1] == ["Downloading"] and words[-1] in ("MB)", "GB)"):
                print("  " + " ".join(words), flush=True)
            elif line.startswith("Installing collected"):
                unpacking()
    if process.returncode:
        sys.exit("".join(printed[-20:]) + failure)


def call(*command, **options):
    """Run a command to its end; return its exit status."""
    with subprocess.Popen(command, **options) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.wait()  # it got the Ctrl-C too, and ends in its own way
            raise


# wheels/: what `bundle` fetched, for machines without a network


def this_machine():
    """Return the name of this platform and the version of its Python."""
    arm = platform.machine().lower() in ("aarch64", "arm64")
    name = {"win32": "windows", "darwin": "macos"}.get(sys.platform)
    version = ".".join(map(str, sys.version_info[:2]))
    return name or ("linux-arm" if arm else "linux"), version


def wheels_options(extras):
    """Return pip's options to install from wheels/, or none if it can't."""
    if not WHEELS.exists():
        return []
    name, version = this_machine()
    complete, whom = read_json(NOTE, damaged={}), f"{name} with Python {version}"
    remedy = f"With a network, type: python run.py bundle --platform {name}"
    remedy += f" --python {version}"
    if {"gpu", "class"} & set(extras):
        why = "has nothing for GPUs and for a class server."
    elif whom not in complete:
        why = f"is for {', '.join(complete) or 'nobody yet'}, not for {whom}. {remedy}"
    elif complete[whom] != requirements():
        why = f"has other versions than those in constraints.txt. {remedy}"
    else:
        return ["--no-index", "--find-links", WHEELS]
    print(f"Not installing from wheels/, which {why}", flush=True)
    return []


# The commands


def lab(*arguments):
    """Open JupyterLab on the first notebook."""
    ours = {"--gpu": "gpu", "--scale": "scale"}
    extras = {ours[word] for word in arguments if word in ours}
    if "gpu" in extras and sys.platform != "linux":
        print("TensorFlow uses GPUs on Linux and in WSL2 only. Going on without.")
        extras.remove("gpu")
    prepare(*sorted(extras))
    command = [str(PYTHON), "-m", "jupyterlab", f"--ServerApp.root_dir={ROOT}"]
    command += ["--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb"]
    command += ["--LanguageServerManager.autodetect=False"]  # fewer messages
    command += [word for word in arguments if word not in ours]
    print("Leave this window open. To end JupyterLab, press Ctrl-C twice.", flush=True)
    if WINDOWS:
        return call(*command)
    # It takes our place, so it gets Ctrl-C and other signals itself.
    return os.execv(command[0], command)


def bundle(*arguments):
    """Start tools/bundle.py, also on machines that digitkit can't be installed on."""
    require_venv()
    with tempfile.TemporaryDirectory(prefix="digitkit-") as folder:
        fill_venv(folder)
        python = Path(folder) / PYTHON.relative_to(VENV)
        return call(python, "-m", "tools.bundle", *arguments, cwd=ROOT)


def tool(words, *extras):
    """Return a command that starts a script of tools/ where `extras` are installed."""
    script, *first = words.split()

    def start(*arguments):
        prepare(*extras)
        return call(PYTHON, ROOT / "tools" / script, *first, *arguments)

    return start


COMMANDS = {  # each with a line that says what it does and what may follow it
    "lab": (lab, "open JupyterLab [its options; --gpu or --scale install more]"),
    "test": (tool("checks.py test", "test", "scale"), "check style, code, notebooks"),
    "soak": (
        tool("checks.py soak", "test", "scale", "grade", "class"),
        "run the tests that take minutes each",
    ),
    "notebooks": (
        tool("notebooks.py", "test", "scale"),
        "run the notebooks and store their outputs [NOTEBOOK ...]",
    ),
    "bundle": (bundle, "fetch packages for machines without a network [--help]"),
    "assignment": (tool("assignment.py", "grade"), "make an nbgrader course [FOLDER]"),
}


def usage():
    """Return what can be typed, a line for each command."""
    lines = [f"python run.py {name:<12}{text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(lines)


def main(name="--help", *arguments):
    """Do what the command line asks; return the exit status."""
    if name in ("-h", "--help"):
        print(usage())
        return 0
    if name not in COMMANDS:
        refuse(f"There is no command {name}. You can type:\n{usage()}")
    for variable in ("DATA", "PENS", "WORK", "CACHE"):  # kernels run in notebooks/
        path = os.environ.get("DIGITKIT_" + variable)
        if path:
            os.environ["DIGITKIT_" + variable] = str(Path(path).absolute())
    function, _ = COMMANDS[name]
    return function(*arguments)


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
