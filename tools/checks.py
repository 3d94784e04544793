"""Run every check, even after a failure: ``python run.py test``."""

import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from run import ROOT, call

CHECKS = (
    "ruff check .",
    "ruff format --check .",
    "pytest tests",
    "pytest --nbval notebooks",
)


def main():
    """Run all checks; return 1 if any failed."""
    edited = edited_notebooks()
    if edited:
        print(
            "You have edited notebooks. If their outputs now differ from the stored "
            "ones, tests fail:",
            *edited,
            "To undo your edits (they are lost): git checkout HEAD -- notebooks",
            sep="\n  ",
        )
    *steps, last = CHECKS
    with tempfile.TemporaryFile() as output, ThreadPoolExecutor() as background:
        # Side by side they take little more than half the time: the tests wait for
        # browsers and processes while the notebooks train.
        later = background.submit(check, last, stdout=output, stderr=subprocess.STDOUT)
        results = []
        for step in steps:
            print(f"\n=== {step}", flush=True)
            results.append(check(step))
        print(f"\n=== {last}, which ran at the same time", flush=True)
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
    begun = time.perf_counter()
    command = [sys.executable, "-m", *step.split()]
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
    if sys.argv[1:]:
        sys.exit("python run.py test runs every check: nothing may follow it")
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
