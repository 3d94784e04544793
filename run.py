"""Set digitkit up and start it: ``python run.py`` says what can be typed.

This needs Python alone, and keeps to what Python 3.8 can read, so that an old Python
gets a remedy instead of a traceback.
"""

import argparse
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
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

USAGE = """\
python run.py lab [...]           open JupyterLab; the first time, set all up before
                                  (what follows goes to JupyterLab; but --gpu adds
                                  what GPUs need, --scale what notebook 08 needs)
python run.py test                check everything: style, code, notebooks
python run.py soak                the long tests
python run.py notebooks [...]     run the notebooks, all or those named, and store
                                  their outputs anew
python run.py bundle [...]        fetch all that machines without a network need; this
                                  folder, copied there, then sets itself up
                                  (for others than this one: --platform, --python)
python run.py assignment [FOLDER] make an nbgrader course of the exercises, with
                                  answers for you and a version to hand out"""
ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
WINDOWS = sys.platform == "win32"
PYTHON = VENV / ("Scripts/python.exe" if WINDOWS else "bin/python")
STAMP = VENV / "digitkit.json"  # what pip has installed, or that it has not finished
WHEELS = ROOT / "wheels"
NOTE = WHEELS / "bundles.json"  # for whom all is there, and from which pins
TESTS = (
    "ruff check .",
    "ruff format --check .",
    "pytest tests",
    "pytest --nbval notebooks",
)


def linux(machine):
    """Return pip's names for the Linux wheels that run with glibc 2.28 or later."""
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(28, 16, -1)]
    return [*tags, f"manylinux2014_{machine}"]  # which, to pip, takes in older names


# What a teacher calls it: pip's names for its wheels, and what markers see there.
PLATFORMS = {
    "linux": (linux("x86_64"), {"sys_platform": "linux", "os_name": "posix"}),
    "linux-arm": (linux("aarch64"), {"sys_platform": "linux", "os_name": "posix"}),
    "windows": (["win_amd64"], {"sys_platform": "win32", "os_name": "nt"}),
    "macos": (["macosx_12_0_arm64"], {"sys_platform": "darwin", "os_name": "posix"}),
}
PYTHONS = ("3.11", "3.12", "3.13")


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
    system = sysconfig.get_platform()
    finished = {"inputs": inputs(), "extras": extras, "system": system}
    # A .venv that was copied along can be for another processor, which pip overlooks.
    here = stamp.get("system", system) == system
    usable = here and venv_version() == list(sys.version_info[:2])
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
    place = f"{sys.version_info[:2]} {ROOT} {requirements()}"
    return hashlib.sha256(place.encode()).hexdigest()


def requirements():
    """Return a hash of what the packages are, the same on every machine."""
    digest = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt"):
        text = (ROOT / name).read_text(encoding="utf-8")  # git may change line ends
        digest.update(text.encode())
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
    """Replace the stamp."""
    write_json(STAMP, stamp)


def write_json(path, content):
    """Replace a file in one step, so that it is never half written."""
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(content))
    temporary.replace(path)


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
    require_venv()
    try:
        VENV.mkdir(exist_ok=True)
        before = read_stamp().get("extras", [])  # there may be no room for more
        write_stamp({"unfinished": True, "extras": before})
        for entry in VENV.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry != STAMP:
                entry.unlink()
    except OSError as error:
        refuse(f"Cannot renew {VENV}: {error}\nClose what uses it, then try again.")
    # While it installs, pip keeps what it has fetched beside what it unpacks.
    require_room(VENV, 15 if "gpu" in extras else 4.5)
    print(f"Making {VENV} with Python {platform.python_version()}", flush=True)
    fill_venv(VENV)


def require_venv():
    """Refuse where this Python cannot make environments."""
    if not (importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv")):
        refuse(
            "This Python came without the parts that make environments.\nOn Debian and "
            f"Ubuntu type: sudo apt install python3.{sys.version_info[1]}-venv"
        )


def require_room(folder, needed):
    """Refuse where fewer than the `needed` GB are free."""
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < needed:
        refuse(
            f"{folder} needs {needed} GB to be made, and {free:.1f} GB are free.\n"
            "Make room, or move this folder to a larger disk."
        )


def fill_venv(folder):
    """Make an environment in `folder` that holds pip."""
    # Not sys.executable: that is gone if it was the old .venv's.
    if call(getattr(sys, "_base_executable", sys.executable), "-m", "venv", folder):
        sys.exit("Python could not make the environment: see its message above.")


def install(extras):
    """Install digitkit, editable, and `extras` in the versions tested together."""
    source = bundle_options(extras)
    if source:
        remedy = (
            "Is wheels/ damaged? Copy it here anew or, where there is a network, type "
            "python run.py bundle\nto mend it, or delete it to install without."
        )
        print("Installing from wheels/, without the network:", flush=True)
    else:
        remedy = "The first time needs a network. Behind a proxy, set HTTPS_PROXY."
        size = 3.6 if "gpu" in extras else 0.8
        print(f"Installing; the first time this downloads {size} GB:", flush=True)

    def unpacking():  # from here on, whatever stops pip leaves .venv half made
        write_stamp({"unfinished": True, "extras": extras})
        print("  Unpacking, a minute or two", flush=True)

    target = f".[{','.join(extras)}]" if extras else "."
    command = ["install", *source, "-c", "constraints.txt", "-e", target]
    failure = f"pip could not install everything: see above.\n{remedy}"
    pip(PYTHON, *command, failure=failure, unpacking=unpacking)
    # An untrusted notebook loses its drawing pad when the page is reloaded.
    lessons = sorted((ROOT / "notebooks").glob("**/0*.ipynb"))
    # Not "jupyter trust", which starts a script that a moved .venv has lost.
    trust = [PYTHON, "-m", "nbformat.sign", *lessons]
    subprocess.run(trust, capture_output=True, check=False)


def pip(python, *command, failure, unpacking=None):
    """Run pip, telling what it downloads; end with `failure` if it fails."""
    command = [python, "-m", "pip", *command, "--progress-bar", "off"]
    options = {"text": True, "errors": "replace", "cwd": ROOT}
    options.update(stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    told = []
    with subprocess.Popen(command, **options) as process:
        for line in process.stdout:
            told.append(line)
            words = line.split()
            if words[:1] == ["Downloading"] and words[-1] in ("MB)", "GB)"):
                print("  " + " ".join(words), flush=True)
            elif line.startswith("Installing collected"):
                unpacking()
    if process.returncode:
        sys.exit("".join(told[-20:]) + failure)


def call(*command, **options):
    """Run a command to its end; return its exit status."""
    with subprocess.Popen(command, **options) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.wait()  # it had the Ctrl-C as well, and ends in its own way
            raise


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
    command += ["--LanguageServerManager.autodetect=False"]  # less for it to say
    command += [word for word in arguments if word not in ours]
    print("Leave this window open. Ctrl-C, twice, ends JupyterLab.", flush=True)
    if WINDOWS:
        return call(*command)
    # In our place: Ctrl-C and other signals are then JupyterLab's own affair.
    return os.execv(command[0], command)


def test():
    """Run all checks, each to its end; return 1 if any failed."""
    prepare("test", "scale")
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
    *steps, last = TESTS
    with tempfile.TemporaryFile() as told, ThreadPoolExecutor() as beside:
        # Together they take little more than half of the time one after the other:
        # tests wait for browsers and processes, notebooks train.
        pipes = {"stdout": told, "stderr": subprocess.STDOUT}
        later = beside.submit(check, last, **pipes)
        results = []
        for step in steps:
            print(f"\n=== {step}", flush=True)
            results.append(check(step))
        print(f"\n=== {last}, which began beside them", flush=True)
        results.append(later.result())
        told.seek(0)
        print(told.read().decode(errors="replace"))
    if results[-1][0] and edited is None:
        print("If you have edited a notebook, this is why: its outputs now differ.")
    print("=== summary")
    for failed, seconds, step in results:
        print(f"{'FAILED' if failed else 'passed'} {seconds:5.0f} s  {step}")
    return int(any(failed for failed, _, _ in results))


def check(step, **options):
    """Run one check; return its exit status, its seconds and itself."""
    start = time.time()
    failed = call(PYTHON, "-m", *step.split(), cwd=ROOT, **options)
    return failed, time.time() - start, step


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
    prepare("test", "scale", "grade", "class")
    return call(PYTHON, "-m", "pytest", "tests", "-m", "soak", cwd=ROOT)


def notebooks(*arguments):
    """Run the notebooks and store their outputs anew."""
    prepare("test", "scale")
    return call(PYTHON, ROOT / "tools" / "refresh_notebooks.py", *arguments)


def assignment(*arguments):
    """Make an nbgrader course of the exercises."""
    prepare("grade")
    return call(PYTHON, ROOT / "tools" / "make_assignment.py", *arguments)


def bundle(*arguments):
    """Fetch what `lab` and `test` install on machines without a network."""
    name, version = this_machine()
    parser = argparse.ArgumentParser("python run.py bundle", description=bundle.__doc__)
    parser.add_argument("--platform", choices=PLATFORMS, default=name)
    parser.add_argument("--python", choices=PYTHONS, default=version)
    wanted = parser.parse_args(arguments)
    message = refusal()  # which stops nobody from fetching for others
    if message and (wanted.platform, wanted.python) == (name, version):
        refuse(message)
    if wanted.python not in PYTHONS:
        parser.error(f"this is Python {version}: say for which, as --python 3.13")
    whom = f"{wanted.platform} with Python {wanted.python}"
    pins = needed_pins(wanted.platform, wanted.python)
    require_venv()
    require_room(WHEELS, 2)
    WHEELS.mkdir(exist_ok=True)
    required = requirements()
    whole = {w: hashed for w, hashed in read_note().items() if hashed == required}
    whole.pop(whom, None)
    write_json(NOTE, whole)
    print(f"Fetching {len(pins)} wheels for {whom}:", flush=True)
    command = ["download", "--dest", WHEELS, "--no-deps", "--only-binary", ":all:"]
    command += ["--python-version", wanted.python]
    for tag in PLATFORMS[wanted.platform][0]:
        command += ["--platform", tag]
    failure = (
        "pip could not fetch everything: see above. What has come stays in wheels/;\n"
        "type the same again to go on. Behind a proxy, set HTTPS_PROXY."
    )
    with tempfile.TemporaryDirectory(prefix="digitkit-") as folder:
        fill_venv(folder)
        python = Path(folder) / PYTHON.relative_to(VENV)
        # Ten at a time, since pip keeps none of them when it is stopped. What is there
        # already it compares with the index's hash, and fetches if damaged.
        for first in range(0, len(pins), 10):
            pip(python, *command, *pins[first : first + 10], failure=failure)
    whole[whom] = required
    write_json(NOTE, whole)
    size = sum(path.stat().st_size for path in WHEELS.iterdir()) / 1e9
    print(f"wheels/ holds {size:.1f} GB, all that is needed on", *whole, sep="\n  ")
    print("Copy this folder there, without .venv. Then: python run.py lab")
    return 0


def this_machine():
    """Return the name of this platform and its Python's version."""
    arm = platform.machine().lower() in ("aarch64", "arm64")
    name = {"win32": "windows", "darwin": "macos"}.get(sys.platform)
    version = ".".join(map(str, sys.version_info[:2]))
    return name or ("linux-arm" if arm else "linux"), version


def needed_pins(name, version):
    """List the pins that a platform and a version need, without GPUs and a server."""
    known = {"python_full_version": version + ".0", "implementation_name": "cpython"}
    known.update(PLATFORMS[name][1])
    needed = []
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        pin, _, marker = line.partition(";")
        if not pin or pin.startswith(("#", "nvidia-", "jupyterhub", "nodejs-")):
            continue
        # To pip, markers speak of this machine only. They read as Python.
        if not marker or eval(marker, {"__builtins__": {}}, known):
            needed.append(pin.strip())
    return needed


def read_note():
    """Return for whom wheels/ is whole, with the hash of what they require."""
    try:
        return dict(json.loads(NOTE.read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def bundle_options(extras):
    """Return pip's options to install from wheels/, none where it does not serve."""
    if not WHEELS.exists():
        return []
    name, version = this_machine()
    whole, whom = read_note(), f"{name} with Python {version}"
    remedy = f"With a network, type: python run.py bundle --platform {name}"
    remedy += f" --python {version}"
    if {"gpu", "class"} & set(extras):
        why = "has nothing for GPUs and for a class server."
    elif whom not in whole:
        why = f"is whole for {', '.join(whole) or 'nobody'}, not for {whom}. {remedy}"
    elif whole[whom] != requirements():
        why = f"has other versions than those in constraints.txt. {remedy}"
    else:
        return ["--no-index", "--find-links", WHEELS]
    print(f"Not installing from wheels/, which {why}", flush=True)
    return []


def make_paths_absolute():
    """Make the paths in digitkit's variables absolute: kernels run in notebooks/."""
    for name in ("DATA", "PENS", "WORK", "CACHE"):
        path = os.environ.get("DIGITKIT_" + name)
        if path:
            os.environ["DIGITKIT_" + name] = str(Path(path).absolute())


COMMANDS = {
    "lab": lab,
    "test": test,
    "soak": soak,
    "notebooks": notebooks,
    "bundle": bundle,
    "assignment": assignment,
}


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
