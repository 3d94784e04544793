"""Strokes files: saved, loaded, merged, cleaned, and never spoilt or lost."""

import gzip
import json
import subprocess
import sys
import time

import numpy as np
import pytest

from digitkit import files, ink
from digitkit.drawings import (
    load_drawings,
    load_writers,
    merge_drawings,
    read_entries,
    remove_drawings,
    save_drawing,
)
from digitkit.stand_in import draw_strokes

ONE = [[(5, 0), (5, 10)]]
ENTRY = {"label": 1, "strokes": [[[5.0, 0.0], [5.0, 10.0]]]}


@pytest.fixture
def hand(tmp_path):
    """Write learners' files: n drawings each, of the digits in turn."""

    def write(*names, n=10):
        paths = [tmp_path / name for name in names]
        for path in paths:
            digits = np.arange(n) % 10
            made = draw_strokes(digits, seed=sum(path.name.encode()))
            for digit, strokes in zip(digits, made, strict=True):
                save_drawing(strokes, digit, path)
        return paths

    return write


# Saving and loading


@pytest.mark.parametrize("unit", [1e-9, 1, 560, 1e9])
def test_what_is_saved_is_loaded_in_any_unit(tmp_path, unit):
    path, made = tmp_path / "new folder/mine.json", draw_strokes(np.arange(10), seed=5)
    for digit, strokes in enumerate(made):
        scaled = [stroke * unit for stroke in strokes]
        assert save_drawing([[], *scaled], digit, path) == (path, digit + 1)
    numbers = 2 * sum(len(stroke) for strokes in made for stroke in strokes)
    assert path.stat().st_size < numbers * 15 + 500, "six figures"
    loaded, labels = load_drawings(path)
    assert labels.tolist() == [*range(10)]
    for before, after in zip(made, loaded, strict=True):
        for one, other in zip(before, after, strict=True):
            np.testing.assert_allclose(one * unit, other, rtol=1e-5)
        np.testing.assert_allclose(ink.to_image(before), ink.to_image(after), atol=1e-3)


def test_the_learners_drawings_are_in_the_work_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DIGITKIT_WORK", str(tmp_path / "work"))
    for use in (load_drawings, lambda: remove_drawings([0], tmp_path / "no.json")):
        with pytest.raises(FileNotFoundError, match=r"json does not exist: save a dr"):
            use()
    assert not list(tmp_path.iterdir())
    assert save_drawing(ONE, 1) == (tmp_path / "work/drawings.json", 1)
    assert load_drawings()[1].tolist() == [1]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("name", ["a.json", "a.gz"])
def test_gzip_is_told_by_the_content_and_what_else_is_there_is_kept(
    tmp_path, name, pack
):
    path, entry = tmp_path / name, ENTRY | {"writer": "ours/mia", "age": 12}
    path.write_bytes(pack(b"[]"))
    assert load_drawings(path)[1].tolist() == []
    path.write_bytes(pack(json.dumps([entry]).encode()))
    assert save_drawing(ONE, 7, path) == (path, 2)
    assert read_entries(path) == [entry, ENTRY | {"label": 7}]
    content = path.read_bytes()
    assert content.startswith(b"\x1f\x8b") == (name == "a.gz")
    if name == "a.gz":
        assert content[4:8] == bytes(4), "without the time: always alike"


@pytest.mark.parametrize(
    ("strokes", "digit", "says"),
    [
        *[(ONE, x, "a digit, 0 to 9") for x in (10, -1, 3.0, "3", None, np.bool(True))],
        ([[], []], 3, "nothing to save"),
        (7, 3, "list of strokes"),
        ([[(1, np.inf)]], 3, "finite"),
        ([[(1, 2, 3)]], 3, "finite"),
    ],
)
def test_only_drawings_of_digits_are_saved(tmp_path, strokes, digit, says):
    with pytest.raises(ValueError, match=says):
        save_drawing(strokes, digit, tmp_path / "a.json")
    assert not list(tmp_path.iterdir())


WHOLE = gzip.compress(json.dumps([ENTRY] * 99).encode())


def second(**changed):
    """A file with one good entry and one that was changed."""
    entry = {key: x for key, x in (ENTRY | changed).items() if x is not ...}
    return json.dumps([ENTRY, entry]).encode()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "Expecting value"),
        (b"\x80\x04\x95", "decode"),  # how a pickle begins
        (WHOLE[:-20], "end-of-stream"),
        (WHOLE[:-4] + b"\0\0\0\0", "Incorrect length"),
        (b"[" * 100_000, "recursion"),
        (b"9" * 5000, "digits"),
        (b'{"label": 1}', "it holds no list"),
        (b"[3]", "entry 0, counted from 0, has no label and strokes"),
        (second(strokes=...), "entry 1, counted from 0, has no label and strokes"),
        (second(label=10), "entry 1, .*the label '10', not a digit"),
        (second(label=True), "entry 1, .*the label 'True', not a digit"),
        (second(writer=3), "entry 1, .*writer"),
        (second(strokes=[[]]), "entry 1, .*an empty stroke, or none"),
        (second(strokes=[[[1, 2], [3]]]), "entry 1, .*no drawing"),
        (second(strokes=[[[1, np.nan]]]), "entry 1, .*no drawing"),
        (second(strokes=[[[1, 10**400]]]), "entry 1, .*no drawing"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_a_damaged_file_is_named_and_stays(tmp_path, hand, content, says):
    path, other = tmp_path / "drawings.json", hand("a.json", n=1)
    path.write_bytes(content)
    expected = rf"(?s)drawings\.json is no strokes file: .*{says}.*move it away"
    for use in (
        lambda: load_drawings(path),
        lambda: save_drawing(ONE, 1, path),
        lambda: remove_drawings([0], path),
        lambda: merge_drawings(other, path),
    ):
        with pytest.raises(ValueError, match=expected):
            use()
    assert path.read_bytes() == content


# Merging


def test_many_files_become_one_without_names_and_nothing_is_lost(tmp_path, hand):
    paths = hand("tom.json", "Mia Müller.json", "ada.json.gz", n=2)
    path, other, both = (tmp_path / f"class/{x}.json" for x in ("a", "b", "all"))
    for _ in range(2):  # the second time over the first
        assert merge_drawings(paths, path) == (6, [])
        expected = [entry for file in paths for entry in read_entries(file)]
        assert [{k: x[k] for k in ENTRY} for x in read_entries(path)] == expected
    assert "Mia" not in path.read_text("utf-8")
    # Classes are merged learner by learner.
    merge_drawings(hand("b.json", n=2), other)
    assert merge_drawings([path, other], both) == (8, [])
    learners = np.repeat(["learner 1", "learner 2", "learner 3", "learner 4"], 2)
    assert load_writers(both).tolist() == learners.tolist()


def test_what_was_handed_in_twice_is_taken_once(tmp_path, hand):
    mia, tom = hand("mia.json", "tom.json", n=4)
    path, later = tmp_path / "class.json", tmp_path / "mia (1).json.gz"
    later.write_bytes(gzip.compress(mia.read_bytes()))
    save_drawing(ONE, 9, later)  # the same, and one more
    told = [
        "mia (1).json.gz: 4 of 5 drawings are in mia.json, too, and taken once",
        "tom.json: 4 of 4 drawings were handed in twice and taken once",
    ]
    assert merge_drawings([mia, later, tom, tom], path) == (9, told)
    assert load_writers(path).tolist() == ["learner 1"] * 5 + ["learner 2"] * 4


def test_names_are_kept_if_asked_for(tmp_path, hand):
    (tmp_path / "b").mkdir()
    paths, path = hand("Mia.json.gz", "b/Mia.json"), tmp_path / "class.json"
    (tmp_path / "b/Mia.json").write_text(json.dumps([ENTRY]))
    merge_drawings(paths, path, names=True)
    assert load_writers(path).tolist() == ["Mia"] * 10 + ["Mia (2)"]


def test_bad_files_are_named_and_the_others_are_not_lost(tmp_path, hand):
    names = ("cut", "empty", "folder", "missing", "good")
    files = [tmp_path / f"{name}.json" for name in names]
    files[0].write_text('[{"label": 1, "strokes": [[[5')
    files[1].write_text("[]")
    files[2].mkdir()
    hand("good.json")
    path = tmp_path / "class.json"
    count, problems = merge_drawings(files, path)
    assert count == 10
    assert [told.split(".json")[0] for told in problems] == [*names[:-1]]
    assert set(load_writers(path)) == {"learner 1"}, "bad files take no number"


def test_drawings_that_were_not_merged_are_never_replaced(tmp_path, hand):
    mine, file = hand("my_hand.json", "a.json")
    with_mine = tmp_path / "class.json"
    merge_drawings([file], with_mine)
    save_drawing(ONE, 7, with_mine)
    for path in (mine, with_mine):
        before = path.read_bytes()
        with pytest.raises(ValueError, match=rf"{path.name} holds .*not merged"):
            merge_drawings([file], path)
        with pytest.raises(ValueError, match="out of the list"):
            merge_drawings([file, path], path)
        assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("paths", "says"),
    [
        ([], "no file was named"),
        (["no.json"], r"no\.json is left out: .*does not exist"),
        ("no.json", "expected a list of files"),
    ],
)
def test_nothing_to_merge_is_told(tmp_path, paths, says):
    with pytest.raises(ValueError, match=says):
        merge_drawings(paths, tmp_path / "class.json")
    assert not list(tmp_path.iterdir())


# Removing


def test_what_is_removed_is_put_aside_and_the_rest_stays(tmp_path, hand):
    path = tmp_path / "class.json"
    merge_drawings(hand("a.json", "b.json"), path)
    before = read_entries(path)
    assert remove_drawings([17, 3, np.int64(3)], path) == 18
    left = [entry for i, entry in enumerate(before) if i not in (3, 17)]
    assert read_entries(path) == left, "with their writers"
    assert remove_drawings(iter([0]), path) == 17
    aside = tmp_path / "class.json.removed"
    assert read_entries(aside) == [before[3], before[17], before[0]]
    assert remove_drawings(range(17), path) == remove_drawings([], path) == 0
    assert load_drawings(path)[0] == []
    with pytest.raises(ValueError, match="has the drawings none"):
        remove_drawings([0], path)


@pytest.mark.parametrize("wrong", [20, -1, 1.0, "3", None, True, [3]])
def test_a_wrong_number_removes_nothing(tmp_path, hand, wrong):
    (path,) = hand("a.json", n=20)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"drawings 0 to 19, received \[.*nothing was"):
        remove_drawings([3, wrong], path)
    assert path.read_bytes() == before
    assert not (tmp_path / "a.json.removed").exists()


# What can fail while a file is written, and several kernels


@pytest.mark.parametrize("step", ["write_bytes", "replace"])
@pytest.mark.parametrize(
    "change",
    [
        lambda path, others: save_drawing(ONE, 2, path),
        lambda path, others: merge_drawings(others, path),
        lambda path, others: remove_drawings([0], path),
    ],
    ids=["save", "merge", "remove"],
)
def test_a_full_disk_spoils_nothing(tmp_path, monkeypatch, hand, change, step):
    def fail(*_):
        raise OSError(28, "No space left on device")

    path, others = tmp_path / "class.json", hand("a.json", "b.json")
    merge_drawings(others[:1], path)
    before = path.read_bytes()
    monkeypatch.setattr(f"pathlib.Path.{step}", fail)
    with pytest.raises(OSError, match="No space left"):
        change(path, others)
    assert path.read_bytes() == before
    assert not [*tmp_path.glob(".part*")]


def start(program, *arguments):
    """Start a program; it says when it is ready, and waits for a line."""
    program = "import sys\nfrom digitkit import drawings, files\n" + program
    process = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def test_kernels_that_remove_and_save_at_once_lose_nothing(hand):
    (path,) = hand("a.json", n=60)
    program = (
        "print('ready', flush=True); sys.stdin.readline()\n"
        "for i in range(20):\n"
        "    if sys.argv[2] == 'remove':\n"
        "        drawings.remove_drawings([0], sys.argv[1])\n"
        "    else:\n"
        "        drawings.save_drawing([[(i, 0), (i, 10)]], 1, sys.argv[1])"
    )
    kernels = [start(program, path, x) for x in ("remove", "save", "remove", "save")]
    for kernel in kernels:
        kernel.stdin.write("go\n")
        kernel.stdin.flush()
    for kernel in kernels:
        kernel.communicate(timeout=60)
        assert kernel.returncode == 0
    left, removed = read_entries(path), read_entries(f"{path}.removed")
    assert (len(left), len(removed)) == (60, 40)
    saved = [x["strokes"][0][1][0] for x in left + removed if len(x["strokes"]) == 1]
    assert all(saved.count(i) >= 2 for i in range(20))


def test_a_kernel_that_hangs_is_waited_for_and_one_that_dies_lets_go(
    tmp_path, monkeypatch
):
    path = tmp_path / "drawings.json"
    program = (
        "from pathlib import Path\n"
        "with files.locked(Path(sys.argv[1])):\n"
        "    print('ready', flush=True); sys.stdin.readline()"
    )
    kernel = start(program, path)
    monkeypatch.setattr(files, "PATIENCE", 0.5)
    begun = time.monotonic()
    with pytest.raises(OSError, match=r"drawings\.json cannot be locked.*try again"):
        save_drawing(ONE, 1, path)
    assert 0.4 <= time.monotonic() - begun < 20
    assert not path.exists()
    kernel.kill()
    kernel.communicate()
    assert save_drawing(ONE, 1, path)[1] == 1
