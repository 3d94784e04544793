"""Execute the notebooks in place and normalise what they store.

``python run.py notebooks``, or ``python tools/notebooks.py [NOTEBOOK ...]``.
Stored outputs are made from MNIST, so ``DIGITKIT_DATA`` names it or a network gives
it. Whatever the notebooks save goes to one temporary folder: notebook 03 finds what 02
saved, and a learner's own work is left alone.
"""

import base64
import hashlib
import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from digitkit.data import data_source, load_mnist
from digitkit.files import replacing

ROOT = Path(__file__).resolve().parent.parent
NOT_RUN = {"predict", "widget", "exercise"}  # executed, but stored blank
LARGEST_FIGURE = 60_000  # bytes
SECONDS = 600  # for one cell, as when they are tested


def main(paths):
    """Refresh the notebooks named, or all, and return the number of problems."""
    require_mnist()
    folder = ROOT / "notebooks"
    paths = [Path(path).absolute() for path in paths] or [
        *sorted(folder.glob("0*.ipynb")),
        *sorted(folder.glob("solutions/*.ipynb")),
    ]
    problems = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as work:
        os.environ["DIGITKIT_WORK"] = work
        for path in paths:
            begun = time.perf_counter()
            problems += refresh(path)
            print(f"{path.name}: {time.perf_counter() - begun:.0f} s", flush=True)
    for problem in problems:
        print(problem, file=sys.stderr)
    return len(problems)


def require_mnist():
    """Exit unless the notebooks will find the real MNIST."""
    if named := os.environ.get("DIGITKIT_DATA"):
        # The kernels run in the notebooks' folders.
        os.environ["DIGITKIT_DATA"] = str(Path(named).absolute())
    try:
        load_mnist()
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    if data_source() != "mnist":
        sys.exit(
            f"expected MNIST, found the data set {data_source()!r}: stored outputs are "
            "made from MNIST. Set DIGITKIT_DATA to the folder of mnist.npz or of "
            "MNIST's four IDX files, or run this on a machine with a network"
        )


def refresh(path):
    """Execute one notebook, write it back normalised, return a list of problems.

    The file is left as it was if a cell fails that is not tagged
    ``raises-exception``; then the program ends.
    """
    notebook = nbformat.v4.reads(path.read_text(encoding="utf-8"))
    give_ids(notebook)
    execute(notebook, path)
    normalise(notebook)
    with replacing(path) as temporary:
        text = nbformat.writes(notebook).rstrip() + "\n"
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return [
        f"{path.name}, cell {number}: {problem}"
        for number, cell in enumerate(notebook.cells, 1)
        for problem in problems_of(cell)
    ]


def give_ids(notebook):
    """Give each cell without an id of its own one that every run would give it."""
    notebook.nbformat_minor = 5  # the first that has ids
    taken = set()
    for cell in notebook.cells:
        name = cell.get("id") or _short_hash(cell.source)
        while name in taken:
            name = _short_hash(name)
        taken.add(name)
        cell["id"] = name


def _short_hash(text):
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def execute(notebook, path):
    """Run all code cells in a new kernel in the notebook's folder."""
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=SECONDS,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
    )
    with client.setup_kernel():
        for number, cell in enumerate(notebook.cells, 1):
            if cell.cell_type != "code":
                continue
            cell.execution_count = None
            try:
                # What is stored blank is not counted: the others are 1, 2, 3.
                client.execute_cell(cell, number - 1, store_history=not blank(cell))
            except CellExecutionError as error:
                tail = "\n".join(str(error).strip().splitlines()[-12:])
                sys.exit(f"{path.name}, cell {number} failed:\n{tail}")


def blank(cell):
    """Say whether a code cell is stored as if it had not been run."""
    return not NOT_RUN.isdisjoint(cell.metadata.get("tags", []))


def normalise(notebook):
    """Drop what changes from one run, machine or editor to the next."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {
                "display_name": "Python 3",
                "language": "python",
                "name": "python3",
            },
            "language_info": {"name": "python"},
        }
    )
    for cell in notebook.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        if cell.cell_type != "code":
            continue
        if blank(cell):
            cell.execution_count, cell.outputs = None, []
        cell.outputs = [x for x in cell.outputs if x.get("name") != "stderr"]
        for output in cell.outputs:
            if "traceback" in output:
                output.traceback = [
                    line.replace(f"{ROOT}{os.sep}", "") for line in output.traceback
                ]


def problems_of(cell):
    """List what a cell's stored outputs must not hold."""
    problems = []
    private = {str(ROOT), tempfile.gettempdir(), os.environ.get("DIGITKIT_DATA", "")}
    for output in cell.get("outputs", []):
        texts = [output.get("text", ""), *output.get("traceback", [])]
        for kind, content in output.get("data", {}).items():
            if not kind.startswith("image/"):
                texts.append(str(content))
            elif (size := picture_bytes(kind, content)) > LARGEST_FIGURE:
                problems.append(
                    f"the figure has {size} bytes, at most {LARGEST_FIGURE} are "
                    "allowed: draw fewer or smaller pictures"
                )
        for place in private - {""}:
            if any(place in text for text in texts):
                problems.append(f"the output names {place}, a place on this machine")
    return problems


def picture_bytes(kind, content):
    """Return the size of a stored picture: text if it is SVG, else base64."""
    if kind == "image/svg+xml":
        return len(content.encode())
    return len(base64.b64decode(content))


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:]) else 0)
