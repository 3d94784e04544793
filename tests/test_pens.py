"""UNIPEN files, written by hand in the archive's dialects, become a strokes file."""

import gzip
import io
import json
import os
import re
import runpy
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from digitkit.drawings import load_drawings

PENS = Path(__file__).parents[1] / "tools/pens.py"
TOOL = runpy.run_path(str(PENS))
ROOT = "CDROM/train_r01_v07"
HEADER = """.VERSION 1.0
.COMMENT   ### Data ###
\t.COORD and .PEN_DOWN mean nothing here
.COORD  \tX Y
"""
# Five components: pen down, pen up, down, down (a dot), down. Empty ones do not count.
INK = (
    ".WRITER_ID 7\n"
    ".PEN_DOWN\n1 10\n2 20\n3 30\n"
    ".PEN_UP\n4 40\n"
    ".PEN_UP\n.DT 930\n"
    ".PEN_DOWN\n\n\t6 60\n\t7 70\n\n"
    ".PEN_DOWN\n"
    ".PEN_DOWN\n0 0\n"
    ".PEN_UP\n"
    ".PEN_DOWN\n-8.5 -80\n9 1e2\n"
)
FIRST, THIRD = [[1, -10], [2, -20], [3, -30]], [[6, -60], [7, -70]]
DOT, LAST = [[0, 0]], [[-8.5, 80], [9, -100]]


def read(ink, *segments, header=HEADER, **more):
    """Return label and strokes of each entry of one writer, and the problems."""
    lines = [".INCLUDE aga/aga.doc", ".INCLUDE aga/data/ann.dat", *segments, ""]
    files = {
        "include/aga/aga.doc": header,
        "include/aga/data/ann.dat": ink,
        "data/1a/aga/ann.dat": "\n".join(lines),
        **more,
    }
    files = {f"{ROOT}/{name}": text.encode("latin-1") for name, text in files.items()}
    entries, problems = TOOL["digits_of"](files)
    assert all(entry["writer"] == "aga/ann" for entry in entries)
    return [(entry["label"], entry["strokes"]) for entry in entries], problems


def character(delineation, label="3"):
    return f'.SEGMENT CHARACTER {delineation} ? "{label}"'


# Segments, sets and ink


@pytest.mark.parametrize(
    ("delineation", "strokes"),
    [
        ("0", [FIRST]),
        ("0-2", [FIRST, THIRD]),  # with the pen lifted between
        ("1-2", [THIRD]),
        ("4,0", [LAST, FIRST]),  # a bar added later
        ("0,2-4", [FIRST, THIRD, DOT, LAST]),
        ("0:1", [FIRST[1:]]),
        ("0:1-0:1", [FIRST[1:2]]),
        ("0:2-2,4:1-4:1", [FIRST[2:], THIRD, LAST[1:]]),
    ],
)
def test_a_delineation_names_components_and_points(delineation, strokes):
    assert read(INK, character(delineation)) == ([(3, strokes)], Counter())


def test_the_definitions_own_example_of_a_delineation():
    ink = ""
    for component in range(8):
        numbers = [f"{component} {i}" for i in range(50)]
        ink += "\n".join([".PEN_DOWN", *numbers, ""])
    [(_, strokes)], _ = read(ink, character("1:40-3,5,6:0-6:12"))
    found = [(s[0][0], -s[0][1], -s[-1][1]) for s in strokes]
    assert found == [(1, 40, 49), (2, 0, 49), (3, 0, 49), (5, 0, 49), (6, 0, 12)]


@pytest.mark.parametrize(
    ("header", "numbers"),
    [
        ("", "1 2\r\n3 4"),
        (".COORD X Y P T\r\n", "1 2 55 900\r3 4 60 910"),
        (".COORD T P Y X\n", "900 55 2 1\n910 60 4 3"),
    ],
)
def test_other_coordinates_are_left_out_whatever_ends_a_line(header, numbers):
    entries, _ = read(f".PEN_DOWN\n{numbers}\n", character("0"), header=header)
    assert entries == [(3, [[[1, -2], [3, -4]]])]


def test_segments_may_come_before_their_ink_and_each_set_counts_from_zero():
    later = f".START_SET second\n.PEN_DOWN\n77 88\n{character('0', '8')}\n"
    entries, problems = read(character("0", "1") + "\n" + INK + later)
    assert entries == [(1, [FIRST]), (8, [[[77, -88]]])]
    assert not problems


@pytest.mark.parametrize(
    ("segment", "more", "says"),
    [
        (character("5"), "", "components that are not there"),
        (character("4-2"), "", "components that are not there"),
        (character("1"), "", "without ink"),
        (character("0:9-0:12"), "", "without ink"),
        (character("?"), "", r"the delineation \?"),
        (character("0-"), "", "the delineation 0-"),
        (character("0", "12"), "", 'a CHARACTER "12", no digit'),
        (character("0", "\xb2"), "", "no digit"),
        ('.SEGMENT WORD 0-2 OK "1"', "", 'a WORD "1", no digit'),
        (".SEGMENT CHARACTER 0 OK", "", "without delineation"),
        (character("5"), ".PEN_DOWN 1 2 3", "3 numbers for X Y"),
        (character("5"), ".COORD X T\n.PEN_DOWN 1 2", "2 numbers for X T"),
        (character("5"), ".PEN_DOWN 1 two", "no numbers"),
        (character("5"), ".PEN_DOWN 1e999 1", "not finite"),
    ],
)
def test_what_cannot_be_read_is_counted_and_costs_no_other_digit(segment, more, says):
    entries, problems = read(INK + more, segment, character("0", "7"), segment)
    assert entries == [(7, [FIRST])]
    assert list(problems.values()) == [2]
    assert re.search(says, *problems)


# Included files


@pytest.mark.parametrize("name", ["aga/data/inner/more.ink", "./inner/more.ink"])
def test_a_file_is_included_from_the_root_or_from_beside(name):
    more = {"include/aga/data/inner/more.ink": INK}
    ink = f".INCLUDE {name}\n.PEN_DOWN\n5 5\n"
    assert read(ink, character("5"), **more) == ([(3, [[[5, -5]]])], Counter())


@pytest.mark.parametrize(
    "name", ["aga/no.doc", "../../../../../etc/passwd", "/etc/passwd", "ann.dat"]
)
def test_a_file_that_is_missing_or_includes_itself_costs_no_digit(name):
    entries, problems = read(f".INCLUDE {name}\n" + INK, character("0"))
    assert entries == [(3, [FIRST])]
    assert f"ann.dat includes {name}, which is not there" in str(problems)


# Archives


ARCHIVE = {
    f"{ROOT}/{name}": text.encode()
    for name, text in {
        "data/1a/imp/imp0/b.a_s.dat": ".INCLUDE imp/data/b.dat\n" + character("2", "0"),
        "data/1a/aga/z.dat": ".INCLUDE imp/data/b.dat\n" + character("0", "9"),
        "data/1a/imp/imp0/a.dat": ".INCLUDE imp/data/b.dat\n" + character("0-2", "0"),
        "data/1b/aga/z.dat": ".INCLUDE imp/data/b.dat\n" + character("0", "5"),
        "include/imp/data/b.dat": ".INCLUDE ../imp.doc\n" + INK,
        "include/imp/imp.doc": HEADER,
        "README": "no ink",
    }.items()
}
EXPECTED = [
    {"label": 9, "writer": "aga/z", "strokes": [FIRST]},
    {"label": 0, "writer": "imp/a", "strokes": [FIRST, THIRD]},
    {"label": 0, "writer": "imp/b.a_s", "strokes": [THIRD]},
]


def unpacked(folder, files=ARCHIVE):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def zipped(path, files=ARCHIVE, before=""):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(before + name, content)
    return path


def tarred(path, files=ARCHIVE, before="", link=None):
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(before + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        if link:
            member = tarfile.TarInfo(link[0])
            member.type, member.linkname = tarfile.SYMTYPE, str(link[1])
            archive.addfile(member)
    return path


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: unpacked(folder / "unpacked"),
        lambda folder: unpacked(folder / "unpacked") / ROOT,
        lambda folder: zipped(folder / "no_suffix", before="../"),
        lambda folder: tarred(folder / "a.tar"),
        lambda folder: tarred(folder / "a.tar.gz", before="./"),
    ],
)
def test_every_kind_of_archive_is_read_and_none_unpacked(tmp_path, make):
    files = TOOL["read_archive"](make(tmp_path))
    assert len(files) == 5  # neither README nor category 1b
    assert TOOL["digits_of"](files) == (EXPECTED, Counter())
    (only,) = tmp_path.iterdir()
    assert only.name in {"unpacked", "no_suffix", "a.tar", "a.tar.gz"}


def test_the_command_writes_a_strokes_file_and_says_what_is_in_it(tmp_path):
    broken = {f"{ROOT}/data/1a/aga/z2.dat": character("0", "1").encode()}
    archive = tarred(tmp_path / "unipen.tgz", ARCHIVE | broken)
    command = [sys.executable, PENS, archive, tmp_path / "out.json.gz"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert rows == [
        "0 1 2 3 4 5 6 7 8 9 all",
        "aga 0 0 0 0 0 0 0 0 0 1 1",
        "imp 2 0 0 0 0 0 0 0 0 0 2",
        "all 2 0 0 0 0 0 0 0 0 1 3",
        "3 digits of 3 writers",
        "1 problems",
        "1 aga: a segment of components that are not there",
    ]
    content = gzip.decompress((tmp_path / "out.json.gz").read_bytes())
    assert json.loads(content) == EXPECTED
    assert load_drawings(tmp_path / "out.json.gz")[1].tolist() == [9, 0, 0]


def cut(folder):
    path = tarred(folder / "cut.tgz", ARCHIVE | {f"{ROOT}/include/x": os.urandom(9999)})
    path.write_bytes(path.read_bytes()[:-3000])
    return path


def damaged(folder):
    path = zipped(folder / "damaged.zip")
    path.write_bytes(path.read_bytes().replace(b"2 20", b"2 21"))
    return path


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (cut, "cut.tgz cannot be read"),
        (damaged, "damaged.zip cannot be read: Bad CRC"),
        (lambda folder: PENS, "pens.py cannot be read"),
        (lambda folder: folder / "no.zip", "no.zip cannot be read: .*No such file"),
        (lambda folder: zipped(folder / "b.zip", {"a": b""}), "b.zip holds no digits"),
    ],
)
def test_what_is_no_archive_is_named_and_nothing_is_written(
    tmp_path, monkeypatch, capsys, make, says
):
    out = tmp_path / "out.json"
    out.write_text("[]")
    monkeypatch.setattr(sys, "argv", ["pens.py", str(make(tmp_path)), str(out)])
    with pytest.raises(SystemExit) as caught:
        TOOL["main"]()
    assert caught.value.code == 2
    assert re.search(says, capsys.readouterr().err)
    assert out.read_text() == "[]"


def test_links_are_not_followed(tmp_path):
    secret = tmp_path / "secret.dat"
    secret.write_text(INK)
    own = b".INCLUDE aga/z.dat\n" + character("0").encode()
    data = {f"{ROOT}/data/1a/aga/z.dat": own}
    link = f"{ROOT}/include/aga/z.dat"
    archives = [tarred(tmp_path / "a.tar", data, link=(link, secret))]
    if sys.platform != "win32":  # where few may make links
        folder = unpacked(tmp_path / "unpacked", data)
        (folder / link).parent.mkdir(parents=True)
        (folder / link).symlink_to(secret)
        archives.append(folder)
    for archive in archives:
        entries, problems = TOOL["digits_of"](TOOL["read_archive"](archive))
        assert not entries and problems
