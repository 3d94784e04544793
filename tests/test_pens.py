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
.HIERARCHY CHARACTER
"""
# Five components: pen down, pen up, down, down (a dot), down. Empty ones do not count.
INK = """.WRITER_ID 7
.PEN_DOWN
1 10
2 20
3 30
.PEN_UP
4 40
5 50
.PEN_UP
.DT 930
.PEN_DOWN

\t6 60
\t7 70

.PEN_DOWN
.PEN_DOWN
0 0
.PEN_UP
.PEN_DOWN
-8.5 -80
9 1e2
"""
FIRST = [[1, -10], [2, -20], [3, -30]]
THIRD = [[6, -60], [7, -70]]
DOT = [[0, 0]]
LAST = [[-8.5, 80], [9, -100]]


def read(ink, *segments, header=HEADER, **more):
    """Return the entries and the problems of one writer's files."""
    lines = [".VERSION 1.0", ".INCLUDE aga/aga.doc", ".INCLUDE aga/data/ann.dat"]
    files = {
        "include/aga/aga.doc": header,
        "include/aga/data/ann.dat": ink,
        "data/1a/aga/ann.dat": "\n".join([*lines, *segments, ""]),
        **more,
    }
    files = {f"{ROOT}/{name}": text.encode("latin-1") for name, text in files.items()}
    return TOOL["digits_of"](files)


def character(delineation, label="3", quality="?"):
    return f'.SEGMENT CHARACTER {delineation} {quality} "{label}"'


@pytest.mark.parametrize(
    ("delineation", "strokes"),
    [
        ("0", [FIRST]),
        ("3", [DOT]),
        ("2-4", [THIRD, DOT, LAST]),
        ("0-2", [FIRST, THIRD]),  # with the pen lifted between
        ("1-2", [THIRD]),
        ("0,2,4", [FIRST, THIRD, LAST]),
        ("4,0", [LAST, FIRST]),  # a bar added later
        ("0,2-4", [FIRST, THIRD, DOT, LAST]),
        ("0:0-0:1", [FIRST[:2]]),
        ("0:1-2:0", [FIRST[1:], THIRD[:1]]),
        ("0:2-2,4:1-4:1", [FIRST[2:], THIRD, LAST[1:]]),
        ("0:1", [FIRST[1:]]),
    ],
)
def test_delineations(delineation, strokes):
    entries, problems = read(INK, character(delineation))
    assert entries == [{"label": 3, "writer": "aga/ann", "strokes": strokes}]
    assert not problems


@pytest.mark.parametrize(
    ("coordinates", "numbers"),
    [
        ("X Y", "1 2\n3 4"),
        ("X Y", "1 2 3 4"),  # numbers may be broken into lines anyhow
        ("X Y P T", "1 2 55 900\n3 4 60 910"),
        ("T P Y X", "900 55 2 1\n910 60 4 3"),
    ],
)
def test_other_coordinates_are_left_out(coordinates, numbers):
    (entry,), _ = read(
        f".PEN_DOWN\n{numbers}\n", character("0"), header=f".COORD {coordinates}\n"
    )
    assert entry["strokes"] == [[[1, -2], [3, -4]]]


def test_segments_may_come_first_and_words_are_no_digits():
    ink = (
        character("0", "1")
        + '\n.SEGMENT WORD 0-2 OK "12"\n.SEGMENT TEXT 0 ? "1"\n'
        + INK
    )
    entries, problems = read(ink)
    assert [(e["label"], e["strokes"]) for e in entries] == [(1, [FIRST])]
    assert problems == Counter(
        {'aga: a WORD "12", no digit': 1, 'aga: a TEXT "1", no digit': 1}
    )


def test_each_set_counts_from_zero():
    later = ".START_SET second\n.PEN_DOWN\n77 88\n" + character("0", "8") + "\n"
    entries, problems = read(
        INK + character("0", "1") + "\n" + later, character("0", "9")
    )
    assert [(e["label"], e["strokes"]) for e in entries] == [
        (1, [FIRST]),
        (8, [[[77, -88]]]),
        (9, [[[77, -88]]]),
    ]
    assert not problems


@pytest.mark.parametrize(
    ("segment", "says"),
    [
        (character("5"), "components that are not there"),
        (character("2-9"), "components that are not there"),
        (character("4-2"), "components that are not there"),
        (character("1"), "without ink"),
        (character("0:9-0:12"), "without ink"),
        (character("?"), r"the delineation \?"),
        (character("0-"), "the delineation 0-"),
        (character("0 - 2"), "without delineation"),
        (character("-1"), "the delineation -1"),
        (character("0", "a"), 'a CHARACTER "a", no digit'),
        (character("0", "12"), 'a CHARACTER "12", no digit'),
        (character("0", "\xb2"), "no digit"),
        (character("0", r"\""), "no digit"),
        (".SEGMENT CHARACTER", "without delineation"),
        (".SEGMENT CHARACTER 0 OK", "without delineation"),
    ],
)
def test_what_cannot_be_read_is_counted(segment, says):
    entries, problems = read(INK, segment, character("0", "7"), segment)
    assert [entry["label"] for entry in entries] == [7]
    assert list(problems.values()) == [2]
    assert re.search(says, *problems)


@pytest.mark.parametrize(
    ("header", "numbers", "says"),
    [
        (".COORD X Y", "1 2 3", "3 numbers for X Y"),
        (".COORD X Y T", "1 2 3 4", "4 numbers for X Y T"),
        (".COORD X T", "1 2", "2 numbers for X T"),
        (".COORD X Y", "1 two", "no numbers"),
        (".COORD X Y", "1 nan", "not finite"),
        (".COORD X Y", "1e999 1", "not finite"),
    ],
)
def test_damaged_ink_costs_only_its_own_segments(header, numbers, says):
    ink = f".PEN_DOWN\n{numbers}\n.PEN_DOWN\n" + "1 2 " * 6 + "\n"
    entries, problems = read(
        ink, character("0"), character("1", "7"), header=f"{header}\n"
    )
    readable = [] if header == ".COORD X T" else [7]
    assert [entry["label"] for entry in entries] == readable
    assert any(says in problem for problem in problems)


# Included files


@pytest.mark.parametrize(
    "name",
    [
        "aga/inner/more.ink",
        "inner/more.ink",
        "./inner/more.ink",
        "../data/inner/more.ink",
    ],
)
def test_included_files_are_found_and_include_others(name):
    entries, problems = read(
        f".INCLUDE {name}\n.PEN_DOWN\n5 5\n",
        character("5", "2"),
        **{"include/aga/data/inner/more.ink": INK}
        if "aga" not in name
        else {"include/aga/inner/more.ink": INK},
    )
    assert entries == [{"label": 2, "writer": "aga/ann", "strokes": [[[5, -5]]]}]
    assert not problems


@pytest.mark.parametrize(
    "name", ["aga/no.doc", "../../../../../../etc/passwd", "/etc/passwd", "..", ""]
)
def test_a_file_that_is_not_there_is_told_and_costs_no_digit(name):
    entries, problems = read(f".INCLUDE {name}\n" + INK, character("0"))
    assert len(entries) == 1
    (problem,) = problems
    assert f"aga/data/ann.dat includes {name}, which is not there" in problem


def test_files_that_include_each_other_end():
    entries, problems = read(".INCLUDE aga/data/ann.dat\n" + INK, character("0"))
    assert len(entries) == 1
    assert problems.total() == 1


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


def zipped(path, files=ARCHIVE):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tarred(path, files=ARCHIVE, before=""):
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(before + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def run(*arguments):
    return subprocess.run(
        [sys.executable, PENS, *arguments], capture_output=True, text=True
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: unpacked(folder / "unpacked"),
        lambda folder: unpacked(folder / "unpacked") / ROOT,
        lambda folder: zipped(folder / "a.zip"),
        lambda folder: tarred(folder / "a.tar"),
        lambda folder: tarred(folder / "a.tgz"),
        lambda folder: tarred(folder / "a.tar.gz", before="./"),
        lambda folder: zipped(folder / "no_suffix"),
    ],
)
def test_every_kind_of_archive(tmp_path, make):
    files = TOOL["read_archive"](make(tmp_path))
    assert len(files) == 5  # neither README nor category 1b
    assert TOOL["digits_of"](files) == (EXPECTED, Counter())


def test_the_command_writes_a_strokes_file_and_says_what_is_in_it(tmp_path):
    broken = {f"{ROOT}/data/1a/aga/z2.dat": character("0", "1").encode()}
    archive = tarred(tmp_path / "unipen.tgz", ARCHIVE | broken)
    done = run(archive, tmp_path / "out.json.gz")
    assert done.returncode == 0, done.stderr
    head, aga, imp, both, total, *rest = map(str.split, done.stdout.splitlines())
    assert head == [*map(str, range(10)), "all"]
    assert aga == ["aga", *"0000000001", "1"]
    assert imp == ["imp", *"2000000000", "2"]
    assert both == ["all", *"2000000001", "3"]
    assert total == "3 digits of 3 writers".split()
    assert rest[0] == ["1", "problems"]
    assert " ".join(rest[1]) == "1 aga: a segment of components that are not there"
    content = (tmp_path / "out.json.gz").read_bytes()
    assert json.loads(gzip.decompress(content)) == EXPECTED
    _, digits = load_drawings(tmp_path / "out.json.gz")
    assert digits.tolist() == [9, 0, 0]
    run(archive, tmp_path / "again.json.gz")
    assert (tmp_path / "again.json.gz").read_bytes() == content


def cut(folder):
    path = tarred(folder / "cut.tgz", ARCHIVE | {f"{ROOT}/include/x": os.urandom(9999)})
    path.write_bytes(path.read_bytes()[:-3000])
    return path


def damaged(folder):
    path = zipped(folder / "damaged.zip")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"2 20", b"2 21"))
    return path


def text(folder):
    (folder / "notes.txt").write_text("no archive")
    return folder / "notes.txt"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (cut, "cut.tgz cannot be read"),
        (damaged, "damaged.zip cannot be read: Bad CRC"),
        (text, "notes.txt cannot be read"),
        (lambda folder: folder / "no.zip", "no.zip cannot be read: .*No such file"),
        (
            lambda folder: zipped(folder / "b.zip", {"a.txt": b""}),
            "b.zip holds no digits",
        ),
        (lambda folder: unpacked(folder / "c", {"a.txt": b""}), "c holds no digits"),
    ],
)
def test_what_is_no_archive_is_told_and_nothing_is_written(tmp_path, make, says):
    out = tmp_path / "out.json"
    out.write_text("[]")
    done = run(make(tmp_path), out)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert re.search(says, done.stderr)
    assert out.read_text() == "[]"


# Nothing but the archive is read, nothing but the output is written


def test_links_are_not_followed(tmp_path):
    secret = tmp_path / "secret.dat"
    secret.write_text(INK)
    data = {
        f"{ROOT}/data/1a/aga/z.dat": b".INCLUDE aga/z.dat\n" + character("0").encode()
    }
    link = f"{ROOT}/include/aga/z.dat"
    path = tarred(tmp_path / "a.tar", data)
    with tarfile.open(path, "a") as archive:
        member = tarfile.TarInfo(link)
        member.type, member.linkname = tarfile.SYMTYPE, str(secret)
        archive.addfile(member)
    folder = unpacked(tmp_path / "unpacked", data)
    (folder / link).parent.mkdir(parents=True)
    try:
        (folder / link).symlink_to(secret)
    except OSError:
        pytest.skip("this system lets nobody make links")
    for archive in (path, folder):
        entries, problems = TOOL["digits_of"](TOOL["read_archive"](archive))
        assert not entries
        assert problems


def test_no_member_is_unpacked(tmp_path):
    names = [f"../{ROOT}/data/1a/aga/z.dat", "/data/1a/aga/z.dat"]
    content = (HEADER + INK + character("0")).encode()
    zipped(tmp_path / "a.zip", dict.fromkeys(names, content))
    done = run(tmp_path / "a.zip", tmp_path / "out.json")
    assert "2 digits of 1 writers" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "out.json"]
