"""Keep drawings with their true digits: strokes files.

A strokes file is a JSON list of ``{"label": 3, "strokes": [[[x, y], ...], ...]}``,
gzipped or not, y downwards, in any unit; ``"writer": "class/name"`` may stand beside.
"""

import contextlib
import gzip
import json
import operator
import sqlite3
import zlib
from pathlib import Path

import numpy as np

from . import ink
from .places import replacing, work_folder

FORMAT = '[{"label": 3, "strokes": [[[x, y], ...], ...]}, ...]'
DAMAGED = (gzip.BadGzipFile, EOFError, zlib.error, RecursionError)
PATIENCE = 10  # seconds to wait for another kernel that saves; it needs some 0.01


def save_drawing(strokes, digit, path=None):
    """Add a drawing with its true digit to a strokes file.

    Coordinates are rounded to six figures. Any number of kernels may save to the same
    file at the same time. A file that cannot be read is left as it is.

    Parameters
    ----------
    strokes : list of list of (x, y)
        y downwards, any unit.
    digit : int
        What it shows, 0 to 9.
    path : path, optional
        ``drawings.json`` in the `digitkit.places.work_folder` if left out; a name that
        ends in ``.gz`` is written gzipped.

    Returns
    -------
    path : pathlib.Path
        Where it was saved.
    count : int
        How many drawings are there now.

    Raises
    ------
    ValueError
        If the drawing is blank or no list of finite (x, y), if the digit is none, or if
        the file is there but is no strokes file.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> path, count = save_drawing([[(5, 0), (5, 10)]], 1, "ones.json")
    >>> path.name, count
    ('ones.json', 1)
    """
    try:
        label = -1 if isinstance(digit, bool) else operator.index(digit)
    except TypeError:
        label = -1
    if not 0 <= label <= 9:
        raise ValueError(f"expected a digit, 0 to 9, received {digit!r}")
    try:
        strokes = [ink.as_points(stroke).tolist() for stroke in strokes]
    except TypeError:
        raise ValueError(f"expected a list of strokes, received {strokes}") from None
    rounded = [[[float(f"{v:.6g}") for v in xy] for xy in s] for s in strokes if s]
    if not rounded:
        raise ValueError("there is nothing to save: draw a digit first")
    path = _default() if path is None else Path(path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    with alone(path):
        entries = read_entries(path) if path.exists() else []
        entries.append({"label": label, "strokes": rounded})
        write_entries(entries, path)
    return path, len(entries)


def load_drawings(path=None):
    """Load the drawings of a strokes file and their true digits.

    Parameters
    ----------
    path : path, optional
        Gzipped or not; the file that `save_drawing` writes if left out.

    Returns
    -------
    drawings : list of list of numpy.ndarray
        Each drawing is a list of strokes ``(n, 2)``, float64, y downwards.
    digits : (m,) integers from 0 to 9

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it is no strokes file.

    Examples
    --------
    >>> _ = save_drawing([[(1, 0), (0, 4), (2, 4)], [(1, 3), (1, 6)]], 4, "four.json")
    >>> drawings, digits = load_drawings("four.json")
    >>> len(drawings[0]), drawings[0][0].shape, int(digits[0])
    (2, (3, 2), 4)
    """
    entries = read_entries(_default() if path is None else path)
    drawings = [[ink.as_points(s) for s in entry["strokes"]] for entry in entries]
    return drawings, np.array([entry["label"] for entry in entries], np.int64)


def read_entries(path):
    """Return the list of a strokes file as it stands there, or raise ValueError."""
    path = Path(path).absolute()
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: save a drawing first")
    try:
        content = path.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
        entries = json.loads(content)
        if not isinstance(entries, list):
            raise ValueError(f"it holds no list but {str(entries)[:40]}")
        for i, entry in enumerate(entries):
            if wrong := _fault(entry):
                raise ValueError(f"entry {i}, counted from 0, {wrong}")
    except (ValueError, *DAMAGED) as error:
        raise ValueError(
            f"{path} is no strokes file: {error}. Expected {FORMAT}. Repair it, or "
            "move it away and begin a new one"
        ) from error
    return entries


def write_entries(entries, path):
    """Write a strokes file in one step, gzipped if it is named so."""
    content = json.dumps(entries, separators=(",", ":"), allow_nan=False).encode()
    if Path(path).suffix == ".gz":
        content = gzip.compress(content, mtime=0)  # the same drawings, the same file
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _fault(entry):
    """Say what is wrong with an entry of a strokes file, or return None."""
    if not isinstance(entry, dict) or not {"label", "strokes"} <= set(entry):
        return f"has no label and strokes: {str(entry)[:40]}"
    label, strokes = entry["label"], entry["strokes"]
    if type(label) is not int or not 0 <= label <= 9:
        return f"has the label {str(label)[:40]!r}, not a digit"
    if not isinstance(strokes, list) or not strokes or not all(strokes):
        return f"has an empty stroke, or none: {str(strokes)[:40]}"
    if not isinstance(entry.get("writer", ""), str):
        return f"has a writer without a name: {str(entry['writer'])[:40]}"
    try:
        for stroke in strokes:
            ink.as_points(stroke)
    except ValueError as error:
        return f"is no drawing: {error}"
    return None


@contextlib.contextmanager
def alone(path):
    """Let one process at a time work on a file.

    SQLite locks an empty file beside it: on every system, and a process that dies
    lets go.
    """
    lock = path.with_name(f".{path.name}.lock")
    try:
        connection = sqlite3.connect(lock, timeout=PATIENCE, isolation_level=None)
        with contextlib.closing(connection):
            connection.execute("BEGIN EXCLUSIVE")
            yield
    except sqlite3.Error as error:
        raise OSError(
            f"{path} cannot be locked ({error}): try again, or save to another folder"
        ) from error


def _default():
    return work_folder(make=False) / "drawings.json"
