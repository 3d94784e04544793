"""Run all checks, even after a failure: ``python run.py test`` and ``soak``."""

import shlex
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from run import ROOT, call

# Side by side, two steps take little more than half the time: while one waits for a
# browser, a process or a download, the other computes.
TIMED = "their_time or no_time or 15_seconds"  # nothing else may run beside these
CHECKS = {  # modules with arguments; the last two run side by side
    "test": (
        "ruff check .",
        "ruff format --check .",
        "pytest tests",
        "pytest --nbval notebooks",
    ),
    "soak": (
        f"pytest tests -m soak -k '{TIMED}'",
        f"pytest tests -m 'soak and not browser' -k 'not ({TIMED})'",
        f"pytest tests -m 'soak and browser' -k 'not ({TIMED})'",
    ),
}


def main(name):
    """Run all checks of a name; return 1 if any failed."""
    edited = edited_notebooks()
    if edited:
        print(
            "You have edited notebooks. If their outputs now differ from the stored "
            "ones, tests fail:",
            *edited,
            "To undo your edits (they are lost): git checkout HEAD -- notebooks",
            sep="\n  ",
        )
    *alone, front, back = CHECKS[name]
    results = [check(step) for step in alone]
    with tempfile.TemporaryFile() as output, ThreadPoolExecutor() as background:
        later = background.submit(check, back, stdout=output, stderr=subprocess.STDOUT)
        results.append(check(front))
        print(f"\n=== {back}", flush=True)
        results.append(later.result())
        output.seek(0)
        print(output.read().decode(errors="replace"))
    if results[-1][0] and edited is None:
        print("If you have edited a notebook, this is why: its outputs now differ.")
    print("=== summary")
    for failed, seconds, step in results:
        print(f"{'FAILED' if failed else 'passed'} {seconds:5.0f} s  {step}")
    return int(any(failed for failed, _, _ in results))


def check(step, **options):
    """Run one check; return its exit status, its seconds and its name."""
    if not options:  # else it is printed when it ends
        print(f"\n=== {step}", flush=True)
    begun = time.perf_counter()
    command = [sys.executable, "-m", *shlex.split(step)]
    failed = call(*command, cwd=ROOT, **options)
    return failed, time.perf_counter() - begun, step


def edited_notebooks():
    """List the notebooks that git says were edited, or None if git can't say."""
    if not (ROOT / ".git").exists():  # else git may find a repository around ours
        return None
    command = ["git", "status", "--porcelain", "--untracked-files=all", "notebooks"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return [line[3:] for line in done.stdout.decode(errors="replace").splitlines()]


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit(f"python run.py {sys.argv[1]} runs all: nothing may follow it")
    try:
        sys.exit(main(sys.argv[1]))
    except KeyboardInterrupt:
        sys.exit(130)
