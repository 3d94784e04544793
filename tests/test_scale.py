"""Notebook 08: what it says without Dask, and a worker that is killed."""

import os
import signal
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
LESSON = nbformat.read(ROOT / "notebooks" / "08_scale_up.ipynb", as_version=4)


def test_without_dask_it_says_what_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    first = next(cell for cell in LESSON.cells if cell.cell_type == "code")
    with pytest.raises(ModuleNotFoundError, match=r"python run\.py lab --scale"):
        exec(first.source, {})


@pytest.mark.soak
def test_a_killed_worker_costs_nothing_but_time(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import scale  # the benchmark, which reads the functions of the lesson
    from dask.distributed import as_completed

    train, names, seeds = scale.lesson_functions()["train"], "AABBCC", [0, 1] * 3
    with scale.start_workers(2) as client:
        undisturbed = client.gather(client.map(train, names, seeds, pure=False))
        pids = client.run(os.getpid)
        runs = client.map(train, names, seeds, pure=False, retries=2)
        next(as_completed(runs))
        os.kill(pids.popitem()[1], getattr(signal, "SIGKILL", signal.SIGTERM))
        assert client.gather(runs) == undisturbed
        client.wait_for_workers(2, timeout=60)  # another has taken its place
        assert client.run(os.getpid).keys() - pids.keys(), "none was killed"
