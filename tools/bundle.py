"""Fetch the packages that machines without a network need: ``python run.py bundle``.

They go to wheels/, from which ``run.py`` installs. It starts this in a temporary
environment that has pip alone, so that any machine can fetch for others: even one that
TensorFlow is not made for, or whose Python is old.
"""

import argparse
import sys

# pip's own copy of packaging: nothing else is installed here.
from pip._vendor.packaging.requirements import Requirement

import run

# Too large or of no use for a class without a network: GPUs and a server.
LEFT_OUT = ("nvidia-", "jupyterhub", "nodejs-")
PYTHONS = ("3.11", "3.12", "3.13")


def linux(machine):
    """Return what pip calls wheels for Linux with glibc 2.28 or later."""
    tags = [f"manylinux_2_{minor}_{machine}" for minor in range(28, 16, -1)]
    return [*tags, f"manylinux2014_{machine}"]  # which stands for older names too


def target(system, sys_platform, os_name, machine):
    """Return what the markers in constraints.txt see on a platform."""
    return {
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "platform_system": system,
        "platform_machine": machine,
        "sys_platform": sys_platform,
        "os_name": os_name,
    }


PLATFORMS = {  # our name: pip's names for its wheels, and what markers see
    "linux": (linux("x86_64"), target("Linux", "linux", "posix", "x86_64")),
    "linux-arm": (linux("aarch64"), target("Linux", "linux", "posix", "aarch64")),
    "windows": (["win_amd64"], target("Windows", "win32", "nt", "AMD64")),
    "macos": (["macosx_12_0_arm64"], target("Darwin", "darwin", "posix", "arm64")),
}


def main(*arguments):
    """Fetch the wheels for one platform and Python."""
    name, version = run.this_machine()
    parser = argparse.ArgumentParser("python run.py bundle", description=main.__doc__)
    parser.add_argument("--platform", choices=PLATFORMS, default=name)
    parser.add_argument("--python", choices=PYTHONS, default=version)
    wanted = parser.parse_args(arguments)
    message = run.refusal()
    if message and (wanted.platform, wanted.python) == (name, version):
        run.refuse(message)
    if wanted.python not in PYTHONS:  # the default, which argparse does not check
        parser.error(f"this is Python {version}: add, for example, --python 3.13")
    run.require_room(run.WHEELS, 2)
    run.WHEELS.mkdir(exist_ok=True)
    whom = f"{wanted.platform} with Python {wanted.python}"
    required = run.requirements()
    note = run.read_json(run.NOTE, damaged={})
    complete = {w: pins for w, pins in note.items() if pins == required and w != whom}
    run.write_json(run.NOTE, complete)  # until all is here, it is not complete
    fetch(needed_pins(wanted.platform, wanted.python), wanted)
    complete[whom] = required
    run.write_json(run.NOTE, complete)
    size = sum(path.stat().st_size for path in run.WHEELS.iterdir()) / 1e9
    print(f"wheels/ has {size:.1f} GB: all you need on", *complete, sep="\n  ")
    print("Copy this folder there, without .venv. Then: python run.py lab")


def needed_pins(name, version):
    """List the lines of constraints.txt that a platform and a Python need."""
    versions = {"python_version": version, "python_full_version": version + ".0"}
    there = {**PLATFORMS[name][1], **versions}
    needed = []
    for line in (run.ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith(("#", *LEFT_OUT)):
            continue
        pin = Requirement(line)
        if pin.marker is None or pin.marker.evaluate(there):
            needed.append(f"{pin.name}{pin.specifier}")
    return needed


def fetch(pins, wanted):
    """Download the wheels, ten at a time: if pip is stopped, it keeps none of them."""
    print(
        f"Fetching {len(pins)} wheels for {wanted.platform} with Python "
        f"{wanted.python}:",
        flush=True,
    )
    command = ["download", "--dest", run.WHEELS, "--no-deps", "--only-binary", ":all:"]
    command += ["--python-version", wanted.python]
    for tag in PLATFORMS[wanted.platform][0]:
        command += ["--platform", tag]
    failure = (
        "pip could not fetch everything: see above. Type the same again to go on; what "
        "is in wheels/\nis not fetched twice. Behind a proxy, set HTTPS_PROXY."
    )
    # What is there already, pip compares with the index's hash; it repairs damage.
    for first in range(0, len(pins), 10):
        run.pip(sys.executable, *command, *pins[first : first + 10], failure=failure)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
