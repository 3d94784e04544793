"""Gather many people's drawings in one strokes file, and take bad ones out."""

import json
import operator
from pathlib import Path

import numpy as np

from .drawings import alone, read_entries, write_entries


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
    >>> from digitkit import save_drawing
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
    with alone(path):
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
    >>> from digitkit import save_drawing
    >>> _ = save_drawing([[(5, 0), (5, 10)]], 1, "mine.json")
    >>> path, _ = save_drawing([[(0, 0), (9, 9)]], 7, "mine.json")
    >>> remove_drawings([1], path)
    1
    """
    path = Path(path).absolute()
    read_entries(path)  # before a lock is made beside what is not there
    with alone(path):
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


def _content(entry):
    """Return what makes two drawings the same: the digit and each point."""
    return json.dumps([entry["label"], entry["strokes"]])


def _counts(number, entries):
    try:
        return type(number) is not bool and 0 <= operator.index(number) < len(entries)
    except TypeError:
        return False
