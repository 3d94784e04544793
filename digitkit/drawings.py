"""Drawings: a collection of handwriting in a strokes file, each with its true digit.

A strokes file is a JSON list of ``{"label": 3, "strokes": [[[x, y], ...], ...]}``,
gzipped or not, y downwards, in any unit; it may also name a ``"writer": "class/name"``.
The pads save to such files. Lessons load them, merge those of a whole class, and remove
what is wrong. Nothing is lost if several kernels write at the same time.
"""

import gzip
import json
import operator
import zlib
from pathlib import Path

import numpy as np

from . import ink
from .files import locked, replacing, work_folder

FORMAT = '[{"label": 3, "strokes": [[[x, y], ...], ...]}, ...]'
DAMAGED = (gzip.BadGzipFile, EOFError, zlib.error, RecursionError)


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
        ``drawings.json`` in the `digitkit.work_folder` if left out; a name that
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
    with locked(path):
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


def merge_drawings(paths, path, names=False):
    """Write the drawings of many strokes files into one.

    Beside each drawing stands its writer: "learner 1" for the first file, and so on,
    in the order of `paths` (shuffle them if the order of names tells who is who). What
    was handed in twice is taken once; a file that shares drawings with an earlier one
    is the same learner's. Files that cannot be read are left out and named.

    Parameters
    ----------
    paths : sequence of path
        Strokes files, one for each learner; or merged ones, of several classes.
    path : path
        The file to write. If it is there, it must be one that this function wrote: it
        is made anew.
    names : bool
        Call the writers as their files are called, without the suffix.

    Returns
    -------
    count : int
        How many drawings are in `path` now.
    problems : list of str
        One for each file that could not be read, or that was handed in before.

    Raises
    ------
    ValueError
        If `path` is one of `paths`, holds drawings that were not merged, or no file of
        `paths` could be read.
    OSError
        If `path` cannot be written.

    Examples
    --------
    >>> _ = save_drawing([[(5, 0), (5, 10)]], 1, "mia.json")
    >>> merge_drawings(["mia.json"], "class.json")
    (1, [])
    >>> load_writers("class.json").tolist()
    ['learner 1']
    """
    if isinstance(paths, str | Path):
        raise ValueError(f"expected a list of files, received one: {paths}")
    paths, path = [Path(x).absolute() for x in paths], Path(path).absolute()
    if path in paths:
        raise ValueError(f"{path} is to be written: take it out of the list of files")
    merged, owners, problems, writers = [], {}, [], 0
    for file in paths:
        try:
            entries = read_entries(file)
        except (OSError, ValueError) as error:
            problems.append(f"{file.name} is left out: {error}")
            continue
        if not entries:
            problems.append(f"{file.name} holds no drawings")
        for old in dict.fromkeys(entry.get("writer", "") for entry in entries):
            mine = [entry for entry in entries if entry.get("writer", "") == old]
            known = [owners[key] for key in map(_content, mine) if key in owners]
            if known:
                writer, origin = known[0]
                where = f"are in {origin}, too,"
                if origin == file.name:
                    where = "were handed in twice"
                problems.append(
                    f"{file.name}: {len(known)} of {len(mine)} drawings {where} "
                    "and taken once"
                )
            else:
                writers += 1
                writer = f"learner {writers}"
                if names:
                    writer = old or file.name.removesuffix(".gz").removesuffix(".json")
                    if not old and writer in {taken for taken, _ in owners.values()}:
                        writer += f" ({writers})"  # of another folder, another person
            for entry in mine:
                if (key := _content(entry)) not in owners:
                    owners[key] = writer, file.name
                    kept = {"label": entry["label"], "strokes": entry["strokes"]}
                    merged.append({**kept, "writer": writer})
    if not merged:
        told = "\n".join(problems) or "no file was named, or they hold no drawings"
        raise ValueError(f"there is nothing to merge: {told}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path):
        before = read_entries(path) if path.exists() else []
        if any("writer" not in entry for entry in before):
            raise ValueError(
                f"{path} holds drawings that were not merged: name another file"
            )
        write_entries(merged, path)
    return len(merged), problems


def load_writers(path):
    """Load who wrote each drawing of a strokes file.

    Parameters
    ----------
    path : path
        As `merge_drawings` writes it.

    Returns
    -------
    (m,) str
        In the order of `digitkit.load_drawings`; "" where no writer is named.
    """
    return np.array([entry.get("writer", "") for entry in read_entries(path)], str)


def remove_drawings(numbers, path):
    """Take drawings out of a strokes file.

    They are kept in a file beside it, named with ``.removed`` at its end: if the wrong
    ones were named, nothing is lost.

    Parameters
    ----------
    numbers : sequence of int
        Which, counted from 0 as `digitkit.load_drawings` returns them. What follows
        moves up: look again before you remove more.
    path : path

    Returns
    -------
    int
        How many drawings are left.

    Raises
    ------
    ValueError
        If a number is none of a drawing, or the file is no strokes file. Nothing is
        removed then.
    OSError
        If there is no such file, or it cannot be written.

    Examples
    --------
    >>> _ = save_drawing([[(5, 0), (5, 10)]], 1, "mine.json")
    >>> path, _ = save_drawing([[(0, 0), (9, 9)]], 7, "mine.json")
    >>> remove_drawings([1], path)
    1
    """
    path = Path(path).absolute()
    read_entries(path)  # before a lock is made beside what is not there
    with locked(path):
        entries, numbers = read_entries(path), [*numbers]  # walked twice
        wrong = [number for number in numbers if not _counts(number, entries)]
        if wrong:
            there = f"0 to {len(entries) - 1}" if entries else "none"
            raise ValueError(
                f"{path.name} has the drawings {there}, received {wrong}: nothing was "
                "removed"
            )
        out = {operator.index(number) for number in numbers}
        kept_aside = path.with_name(f"{path.name}.removed")
        removed = read_entries(kept_aside) if kept_aside.exists() else []
        write_entries([*removed, *(entries[i] for i in sorted(out))], kept_aside)
        entries = [entry for i, entry in enumerate(entries) if i not in out]
        write_entries(entries, path)
    return len(entries)


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


def _content(entry):
    """Return what makes two drawings the same: the digit and each point."""
    return json.dumps([entry["label"], entry["strokes"]])


def _counts(number, entries):
    try:
        return type(number) is not bool and 0 <= operator.index(number) < len(entries)
    except TypeError:
        return False


def _default():
    return work_folder(make=False) / "drawings.json"
