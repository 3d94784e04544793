"""Make a strokes file of real pens: ``python tools/pens.py ARCHIVE OUT.json.gz``.

ARCHIVE is UNIPEN train_r01_v07 (International Unipen Foundation, 1999; Zenodo record
1195803, CC BY 4.0; cite Guyon et al., ICPR 1994): a .zip, a .tar, a .tar.gz or a folder
that it was unpacked to. Its isolated digits, category 1a, become the strokes file that
`benchmarks/pen_accuracy.py` reads. What is read is held in memory: half a gigabyte.

Written from UNIPEN's own definition of its format (``unipen.def``, version 1.0, 1994)
and the archive's README, compared by eye with a few of its files, and tested on small
files made by hand: it has not met the whole archive yet. The README counts 15 953
digits in 634 files; whatever this script does not read, it counts and names.
"""

import argparse
import math
import posixpath
import re
import tarfile
import zipfile
import zlib
from collections import Counter
from pathlib import Path

from digitkit.drawings import write_entries

DIGITS = re.compile(r"(?:(.*)/)?data/1a/([^/]+)/(?:.+/)?([^/]+)\.dat")
STATEMENT = re.compile(r"^\.(?=[A-Z])", re.MULTILINE)
DAMAGED = (ValueError, EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile)
SEGMENT = re.compile(r'(\S+)\s+(\S+)\s+(\S+)\s+"((?:\\.|[^"\\])*)"', re.DOTALL)
RANGE = re.compile(r"(\d+)(?::(\d+))?(?:-(\d+)(?::(\d+))?)?")


def main():
    """Read the archive, write the strokes file, print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("out", type=Path, help="ends in .json.gz or .json")
    arguments = parser.parse_args()
    try:
        files = read_archive(arguments.archive)
    except (OSError, *DAMAGED) as error:
        parser.error(f"{arguments.archive} cannot be read: {error}")
    entries, problems = digits_of(files)
    if not entries:
        parser.error(
            f"{arguments.archive} holds no digits that can be read: expected UNIPEN's "
            f"train_r01_v07, with data/1a and include. {as_text(problems)}"
        )
    write_entries(entries, arguments.out)
    print(table(entries))
    print(as_text(problems))


def read_archive(path):
    """Return the bytes of the files that matter, by their names in the archive.

    Nothing is unpacked, and links are left out: no other file is ever opened.
    """
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.is_file() and not p.is_symlink())
        names = {p.relative_to(path.parent).as_posix(): p for p in found}
        files = {name: p.read_bytes() for name, p in names.items() if matters(name)}
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            files = {n: archive.read(n) for n in archive.namelist() if matters(n)}
    else:
        with tarfile.open(path) as archive:
            members = (m for m in archive if m.isfile() and matters(m.name))
            files = {m.name: archive.extractfile(m).read() for m in members}
    return {posixpath.normpath(name): content for name, content in files.items()}


def matters(name):
    """Tell whether a file holds digits, or may be included by one that does."""
    return bool(DIGITS.fullmatch(name)) or "include/" in name


def digits_of(files):
    """Return the entries of the strokes file, and a Counter of what was not read."""
    entries, problems = [], Counter()
    found = [match for match in map(DIGITS.fullmatch, files) if match]
    for match in sorted(found, key=lambda match: match.group(2, 3)):
        root, contributor, name = match.groups("")
        for components, segments in sets_of(match.group(), root, files, problems):
            for segment in segments:
                try:
                    label, strokes = read_segment(segment, components)
                except ValueError as error:
                    problems[f"{contributor}: {error}"] += 1
                    continue
                writer = f"{contributor}/{name}"
                entries.append({"label": label, "writer": writer, "strokes": strokes})
    return entries, problems


def sets_of(name, root, files, problems):
    """Return the sets of a file: their components and their segments.

    Components are numbered from zero in each set, empty ones are not counted, and
    segments name them by number. One set is all that a file without .START_SET holds.
    """
    sets = [([], [])]
    coordinates = ["X", "Y"]
    for keyword, rest in statements(name, root, files, problems):
        if keyword == "COORD":
            coordinates = rest.split()
        elif keyword in ("PEN_DOWN", "PEN_UP") and rest.split():
            sets[-1][0].append((keyword, rest.split(), coordinates))
        elif keyword == "SEGMENT":
            sets[-1][1].append(rest.strip())
        elif keyword == "START_SET":
            sets.append(([], []))
    return sets


def statements(name, root, files, problems, outer=()):
    """Yield each keyword and what follows it, included files in their place."""
    text = b"\n".join(files[name].splitlines()).decode("latin-1")
    for statement in STATEMENT.split(text)[1:]:
        keyword, rest = (*statement.split(None, 1), "")[:2]
        if keyword != "INCLUDE":
            yield keyword, rest
            continue
        # From the folder `include`, or else from where the including file lies.
        folders = (posixpath.join(root, "include"), posixpath.dirname(name))
        paths = [posixpath.normpath(posixpath.join(f, rest.strip())) for f in folders]
        included = next((path for path in paths if path in files), None)
        if included is None or included in (name, *outer):
            problems[f"{name} includes {rest.strip()}, which is not there"] += 1
        else:
            yield from statements(included, root, files, problems, (name, *outer))


def read_segment(segment, components):
    """Return the digit and the strokes of a segment, or raise ValueError."""
    match = SEGMENT.match(segment)
    if not match:
        raise ValueError("a segment without delineation, quality or label")
    level, delineation, _, label = match.groups()
    if level != "CHARACTER" or not re.fullmatch(r"\d", label):
        raise ValueError(f'a {level} "{label}", no digit')
    strokes = []
    for part in delineation.split(","):
        where = RANGE.fullmatch(part)
        if not where:
            raise ValueError(f"the delineation {delineation}")
        first, start, last, end = (n and int(n) for n in where.groups())
        last = first if last is None else last
        if not first <= last < len(components):
            raise ValueError("a segment of components that are not there")
        for i in range(first, last + 1):
            keyword, numbers, coordinates = components[i]
            if keyword == "PEN_DOWN":
                points = read_points(numbers, coordinates)
                begin = start if i == first and start else 0
                stop = end + 1 if i == last and end is not None else None
                strokes.append(points[begin:stop])
    if not strokes or not all(strokes):
        raise ValueError("a segment without ink")
    return int(label), strokes


def read_points(numbers, coordinates):
    """Return points as (x, y), y downwards; a tablet's goes upwards."""
    width = len(coordinates)
    if not {"X", "Y"} <= set(coordinates) or len(numbers) % width:
        raise ValueError(f"{len(numbers)} numbers for {' '.join(coordinates)}")
    try:
        x = [float(n) for n in numbers[coordinates.index("X") :: width]]
        y = [-float(n) for n in numbers[coordinates.index("Y") :: width]]
    except ValueError:
        raise ValueError("coordinates that are no numbers") from None
    if not all(map(math.isfinite, x + y)):
        raise ValueError("coordinates that are not finite")
    return [list(point) for point in zip(x, y, strict=True)]


def table(entries):
    """Return how many of each digit there are by contributor, as text."""
    counts = Counter((e["writer"].split("/")[0], e["label"]) for e in entries)
    counts.update(("all", entry["label"]) for entry in entries)
    names = sorted({name for name, _ in counts} - {"all"})
    lines = ["".join(f"{head:>7}" for head in ("", *range(10), "all"))]
    for name in (*names, "all"):
        row = [counts[name, digit] for digit in range(10)]
        lines.append("".join(f"{cell:>7}" for cell in (name, *row, sum(row))))
    writers = len({entry["writer"] for entry in entries})
    return "\n".join([*lines, f"{len(entries)} digits of {writers} writers"])


def as_text(problems):
    """Return what was not read, the most frequent first."""
    lines = [f"{n:>7} {what}" for what, n in problems.most_common()]
    return "\n".join([f"{problems.total()} problems", *lines])


if __name__ == "__main__":
    main()
