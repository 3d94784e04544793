"""Strokes files: saved, loaded, merged, cleaned, and never spoilt or lost."""

import gzip
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from digitkit import drawings, files, ink
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


def hand(path, seed, n=10):
    """Write a learner's file: n drawings, of the digits in turn."""
    digits = np.arange(n) % 10
    entries = [
        {"label": int(digit), "strokes": [stroke.round(4).tolist() for stroke in made]}
        for digit, made in zip(digits, draw_strokes(digits, seed), strict=True)
    ]
    drawings.write_entries(entries, path)
    return path


# Saving and loading


def test_what_is_saved_is_loaded(tmp_path):
    digits = np.arange(20) % 10
    path = tmp_path / "new folder/mine.json"
    made = draw_strokes(digits, seed=5)
    for i, (drawing, digit) in enumerate(zip(made, digits, strict=True)):
        assert save_drawing(drawing, digit, path) == (path, i + 1)
    loaded, labels = load_drawings(path)
    assert labels.tolist() == digits.tolist()
    for before, after in zip(made, loaded, strict=True):
        assert [stroke.dtype for stroke in after] == [np.float64] * len(before)
        for one, other in zip(before, after, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5)
        np.testing.assert_allclose(ink.to_image(before), ink.to_image(after), atol=1e-3)


def test_the_learners_drawings_are_in_the_work_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DIGITKIT_WORK", str(tmp_path / "work"))
    with pytest.raises(FileNotFoundError, match="save a drawing first"):
        load_drawings()
    assert not list(tmp_path.iterdir())
    path, _ = save_drawing(ONE, 1)
    assert path == tmp_path / "work/drawings.json"
    assert load_drawings()[1].tolist() == [1]


@pytest.mark.parametrize("unit", [1e-9, 560, 1e9])
def test_any_unit_is_kept_in_few_characters(tmp_path, unit):
    stroke = unit * np.random.default_rng(0).random((200, 2))
    path, _ = save_drawing([[], stroke, []], 3, tmp_path / "a.json")
    assert path.stat().st_size < 200 * 2 * 13 + 100
    [[loaded]], _ = load_drawings(path)  # strokes without points are left out
    np.testing.assert_allclose(loaded, stroke, rtol=1e-5)


@pytest.mark.parametrize("name", ["plain.json", "plain.gz", "packed.json", "packed.gz"])
def test_gzip_is_told_by_the_content(tmp_path, name):
    path, content = tmp_path / name, json.dumps([ENTRY]).encode()
    path.write_bytes(gzip.compress(content) if "packed" in name else content)
    assert load_drawings(path)[1].tolist() == [1]
    assert save_drawing(ONE, 7, path)[1] == 2
    assert load_drawings(path)[1].tolist() == [1, 7]


def test_a_file_named_gz_is_packed_always_alike(tmp_path):
    for name in ("a.json.gz", "b.json.gz"):
        drawings.write_entries([ENTRY] * 50, tmp_path / name)
    first, second = ((tmp_path / n).read_bytes() for n in ("a.json.gz", "b.json.gz"))
    assert first == second
    assert first[4:8] == bytes(4)  # the time that gzip notes
    assert json.loads(gzip.decompress(first)) == [ENTRY] * 50


def test_what_else_is_in_a_file_is_kept(tmp_path):
    entry = ENTRY | {"writer": "ours/mia", "age": 12}
    path = tmp_path / "a.json"
    path.write_text(json.dumps([entry]))
    save_drawing([[(0.5, 1)]], 8, path)
    assert read_entries(path)[0] == entry


def test_an_empty_list_holds_no_drawings(tmp_path):
    (tmp_path / "a.json").write_text("[]")
    loaded, digits = load_drawings(tmp_path / "a.json")
    assert loaded == [] and digits.shape == (0,) and digits.dtype.kind == "i"


@pytest.mark.parametrize("digit", [10, -1, 3.0, "3", None, True, np.bool(True)])
def test_only_digits_are_saved(tmp_path, digit):
    with pytest.raises(ValueError, match=r"expected a digit, 0 to 9, received"):
        save_drawing(ONE, digit, tmp_path / "a.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("strokes", "says"),
    [
        ([], "nothing to save"),
        ([[], []], "nothing to save"),
        (7, "list of strokes"),
        ([(1, 2)], "finite"),
        ([[(1, np.inf)]], "finite"),
        ([[(1, 2, 3)]], "finite"),
        ("abc", "finite"),
    ],
)
def test_only_drawings_are_saved(tmp_path, strokes, says):
    with pytest.raises(ValueError, match=says):
        save_drawing(strokes, 3, tmp_path / "a.json")
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
        (b'[{"label": 1, "strokes": [[[5', "Expecting"),
        (b"\x80\x04\x95", "decode"),  # how a pickle begins
        (WHOLE[:-20], "end-of-stream"),
        (WHOLE[:40] + b"\0\0\0\0" + WHOLE[44:], ""),
        (WHOLE[:-4] + b"\0\0\0\0", "Incorrect length"),
        (b"\x1f\x8b", ""),
        (b"[" * 100_000, "recursion"),
        (b"9" * 5000, "digits"),
        (b'{"label": 1}', "it holds no list"),
        (b"[3]", "entry 0, counted from 0, has no label and strokes"),
        (second(label=...), "entry 1, counted from 0, has no label and strokes"),
        (second(strokes=...), "entry 1, counted from 0, has no label and strokes"),
        (second(label=10), "entry 1, .*the label '10', not a digit"),
        (second(label=True), "entry 1, .*the label 'True', not a digit"),
        (second(label=1.0), "entry 1, .*the label '1.0', not a digit"),
        (second(label=None), "entry 1, .*not a digit"),
        (second(writer=3), "entry 1, .*writer"),
        (second(strokes=[]), "entry 1, .*an empty stroke, or none"),
        (second(strokes=[[]]), "entry 1, .*an empty stroke, or none"),
        (second(strokes="abc"), "entry 1, .*an empty stroke, or none"),
        (second(strokes=[[[1, 2], [3]]]), "entry 1, .*no drawing"),
        (second(strokes=[[[1, None]]]), "entry 1, .*no drawing"),
        (second(strokes=[[[1, np.nan]]]), "entry 1, .*no drawing"),
        (second(strokes=[[[1, 10**400]]]), "entry 1, .*no drawing"),
        (second(strokes=[{"x": 1}]), "entry 1, .*no drawing"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_a_damaged_file_is_named_and_stays(tmp_path, content, says):
    path = tmp_path / "drawings.json"
    path.write_bytes(content)
    expected = rf"(?s)drawings\.json is no strokes file: .*{says}.*move it away"
    for use in (
        lambda: load_drawings(path),
        lambda: save_drawing(ONE, 1, path),
        lambda: remove_drawings([0], path),
        lambda: merge_drawings([hand(tmp_path / "a.json", 1)], path),
    ):
        with pytest.raises(ValueError, match=expected):
            use()
    assert path.read_bytes() == content


# Merging


def test_thirty_files_become_one_and_nothing_is_lost(tmp_path):
    paths = [hand(tmp_path / f"{seed}.json", seed) for seed in range(30)]
    random.Random(0).shuffle(paths)
    path = tmp_path / "class/class.json"
    assert merge_drawings(paths, path) == (300, [])
    merged = read_entries(path)
    expected = [entry for file in paths for entry in read_entries(file)]
    assert [{k: x[k] for k in ENTRY} for x in merged] == expected
    names = [f"learner {1 + i // 10}" for i in range(300)]
    assert load_writers(path).tolist() == names
    before = path.read_bytes()
    merge_drawings(paths, path)  # again
    assert path.read_bytes() == before


def test_no_name_is_kept_unless_asked_for(tmp_path):
    file, path = hand(tmp_path / "Mia Müller.json", 1), tmp_path / "class.json"
    merge_drawings([file], path)
    assert "Mia" not in path.read_text("utf-8")
    (tmp_path / "b").mkdir()
    other = hand(tmp_path / "b" / "Mia Müller.json", 2)
    merge_drawings([file, other], path, names=True)
    assert set(load_writers(path)) == {"Mia Müller", "Mia Müller (2)"}


def test_what_was_handed_in_twice_is_taken_once(tmp_path):
    mia, tom = hand(tmp_path / "mia.json", 1, 4), hand(tmp_path / "tom.json", 2, 4)
    later = tmp_path / "mia (1).json.gz"  # the same, and one more
    later.write_bytes(gzip.compress(mia.read_bytes()))
    save_drawing(ONE, 9, later)
    path = tmp_path / "class.json"
    told = "mia (1).json.gz: 4 of 5 drawings are in mia.json, too, and taken once"
    assert merge_drawings([mia, later, tom], path) == (9, [told])
    assert load_writers(path).tolist() == ["learner 1"] * 5 + ["learner 2"] * 4
    told = "mia.json: 4 of 4 drawings were handed in twice and taken once"
    assert merge_drawings([mia, mia, tom], path) == (8, [told])


def test_bad_files_are_named_and_the_others_are_not_lost(tmp_path):
    good = hand(tmp_path / "good.json", 1)
    (tmp_path / "cut.json").write_bytes(good.read_bytes()[:-9])
    (tmp_path / "photo.json").write_bytes(b"\x89PNG\r\n")
    (tmp_path / "empty.json").write_text("[]")
    (tmp_path / "folder.json").mkdir()
    names = ("cut", "photo", "empty", "folder", "missing", "good")
    path = tmp_path / "class.json"
    count, problems = merge_drawings([tmp_path / f"{x}.json" for x in names], path)
    assert count == 10
    assert [told.split(".json")[0] for told in problems] == [*names[:-1]]
    assert set(load_writers(path)) == {"learner 1"}, "bad files take no number"


def test_classes_are_merged_learner_by_learner(tmp_path):
    ours, theirs, all_ = (tmp_path / f"{x}.json" for x in ("ours", "theirs", "all"))
    merge_drawings([hand(tmp_path / f"{i}.json", i) for i in (1, 2)], ours)
    merge_drawings([hand(tmp_path / f"{i}.json", i) for i in (3, 4)], theirs)
    assert merge_drawings([ours, theirs], all_) == (40, [])
    assert load_writers(all_)[::10].tolist() == [f"learner {i}" for i in range(1, 5)]


def test_drawings_that_were_not_merged_are_never_replaced(tmp_path):
    mine, file = hand(tmp_path / "my_hand.json", 1), hand(tmp_path / "a.json", 2)
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


def test_nothing_to_merge_is_told(tmp_path):
    path = tmp_path / "class.json"
    with pytest.raises(ValueError, match="no file was named"):
        merge_drawings([], path)
    with pytest.raises(ValueError, match=r"a\.json is left out: .*does not exist"):
        merge_drawings([tmp_path / "a.json"], path)
    with pytest.raises(ValueError, match="expected a list of files"):
        merge_drawings(str(path), path)
    assert not path.exists()


# Removing


def test_what_is_removed_is_put_aside_and_the_rest_stays(tmp_path):
    path = hand(tmp_path / "a.json", 1, 20)
    before = read_entries(path)
    assert remove_drawings([17, 3, np.int64(3)], path) == 18
    left = [entry for i, entry in enumerate(before) if i not in (3, 17)]
    assert read_entries(path) == left
    aside = tmp_path / "a.json.removed"
    assert remove_drawings(iter([0]), path) == 17
    assert read_entries(aside) == [before[3], before[17], before[0]]
    assert not [x for x in tmp_path.glob("*.json") if x != path], "none to hand in"
    assert remove_drawings([], path) == 17
    assert remove_drawings(range(17), path) == 0
    assert load_drawings(path)[0] == []


def test_writers_stay_with_their_drawings(tmp_path):
    path = tmp_path / "class.json.gz"
    merge_drawings([hand(tmp_path / f"{i}.json", i, 3) for i in (1, 2)], path)
    remove_drawings([1], path)
    assert load_writers(path).tolist() == ["learner 1"] * 2 + ["learner 2"] * 3


@pytest.mark.parametrize("wrong", [20, -1, 1.0, "3", None, True, [3]])
def test_a_wrong_number_removes_nothing(tmp_path, wrong):
    path = hand(tmp_path / "a.json", 1, 20)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"drawings 0 to 19, received \[.*nothing was"):
        remove_drawings([3, wrong], path)
    assert path.read_bytes() == before
    assert not (tmp_path / "a.json.removed").exists()


def test_a_missing_file_is_named(tmp_path):
    for use in (load_drawings, lambda path: remove_drawings([0], path)):
        with pytest.raises(FileNotFoundError, match=r"no\.json does not exist"):
            use(tmp_path / "no.json")
    assert not list(tmp_path.iterdir())


# What can fail while a file is written


@pytest.mark.parametrize("fault", ["full disk", "read-only folder"])
@pytest.mark.parametrize(
    "change",
    [
        lambda path, other: save_drawing(ONE, 2, path),
        lambda path, other: merge_drawings([other], path),
        lambda path, other: remove_drawings([0], path),
    ],
    ids=["save", "merge", "remove"],
)
def test_a_fault_while_writing_spoils_nothing(tmp_path, monkeypatch, change, fault):
    folder = tmp_path / "folder"
    folder.mkdir()
    other, path = hand(tmp_path / "b.json", 2), folder / "class.json"
    merge_drawings([hand(tmp_path / "a.json", 1)], path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    if fault == "full disk":
        monkeypatch.setattr(Path, "write_bytes", fail)
    else:
        folder.chmod(0o555)
        if os.access(
            folder, os.W_OK
        ):  # the superuser and Windows may write all the same
            monkeypatch.setattr(Path, "replace", fail)
    try:
        with pytest.raises(OSError):
            change(path, other)
    finally:
        folder.chmod(0o755)
    assert path.read_bytes() == before
    assert not [*folder.glob(".part*")]


# Several kernels


def python(program, *arguments):
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


def test_kernels_that_remove_and_save_at_once_lose_nothing(tmp_path):
    path = hand(tmp_path / "a.json", 1, 60)
    program = (
        "print('ready', flush=True); sys.stdin.readline()\n"
        "for i in range(20):\n"
        "    if sys.argv[2] == 'remove':\n"
        "        drawings.remove_drawings([0], sys.argv[1])\n"
        "    else:\n"
        "        drawings.save_drawing([[(i, 0), (i, 10)]], 1, sys.argv[1])"
    )
    kernels = [python(program, path, x) for x in ("remove", "save", "remove", "save")]
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
    kernel = python(program, path)
    monkeypatch.setattr(files, "PATIENCE", 0.5)
    begun = time.monotonic()
    with pytest.raises(OSError, match=r"drawings\.json cannot be locked.*try again"):
        save_drawing(ONE, 1, path)
    assert 0.4 <= time.monotonic() - begun < 20
    assert not path.exists()
    kernel.kill()
    kernel.communicate()
    assert save_drawing(ONE, 1, path)[1] == 1


def test_real_pens_are_strokes_files(pens):
    assert len(pens) > 1000
    assert {drawing["label"] for drawing in pens} == set(range(10))
