"""Many people's drawings in one file: none lost, none twice, no names unasked."""

import doctest
import gzip
import json
import os
import random
from pathlib import Path

import numpy as np
import pytest
from test_drawings import python, run_at_once

from digitkit import drawings
from digitkit.drawings import load_writers, merge_drawings, remove_drawings
from digitkit.stand_in import draw_strokes


def hand(path, seed, n=10):
    """Write a learner's file."""
    digits = np.arange(n) % 10
    entries = [
        {"label": int(digit), "strokes": [stroke.round(4).tolist() for stroke in made]}
        for digit, made in zip(digits, draw_strokes(digits, seed), strict=True)
    ]
    drawings.write_entries(entries, path)
    return path


def same(first, second):
    return [[s.tolist() for s in x] for x in first] == [
        [s.tolist() for s in x] for x in second
    ]


# Merging


def test_thirty_files_become_one_and_nothing_is_lost(tmp_path):
    files = [hand(tmp_path / f"{seed}.json", seed) for seed in range(30)]
    random.Random(0).shuffle(files)
    path = tmp_path / "class/class.json"
    assert merge_drawings(files, path) == (300, [])
    loaded, digits = drawings.load_drawings(path)
    parts = [drawings.load_drawings(file) for file in files]
    assert same(loaded, [drawing for part, _ in parts for drawing in part])
    assert digits.tolist() == [*range(10)] * 30
    writers = load_writers(path)
    assert writers.shape == (300,)
    assert writers[::10].tolist() == [f"learner {i}" for i in range(1, 31)]
    assert (writers.reshape(30, 10) == writers[::10, None]).all()


def test_no_name_is_kept_unless_asked_for(tmp_path):
    file, path = hand(tmp_path / "Mia Müller.json", 1), tmp_path / "class.json"
    merge_drawings([file], path)
    assert "Mia" not in path.read_text("utf-8")
    merge_drawings([file], path, names=True)
    assert set(load_writers(path)) == {"Mia Müller"}
    (tmp_path / "b").mkdir()
    other = hand(tmp_path / "b" / "Mia Müller.json", 2)
    merge_drawings([file, other], path, names=True)
    assert set(load_writers(path)) == {"Mia Müller", "Mia Müller (2)"}


def test_a_file_handed_in_twice_is_taken_once(tmp_path):
    mia, tom = hand(tmp_path / "mia.json", 1), hand(tmp_path / "tom.json", 2)
    copy = tmp_path / "mia (1).json.gz"
    copy.write_bytes(gzip.compress(json.dumps(json.loads(mia.read_text())).encode()))
    path = tmp_path / "class.json"
    count, problems = merge_drawings([mia, copy, tom], path)
    told = "mia (1).json.gz: 10 of 10 drawings are in mia.json, too, and taken once"
    assert (count, problems) == (20, [told])
    assert load_writers(path)[::10].tolist() == ["learner 1", "learner 2"]
    told = "mia.json: 10 of 10 drawings were handed in twice and taken once"
    assert merge_drawings([mia, mia, tom], path) == (20, [told])


def test_a_file_handed_in_again_with_more_is_the_same_learner(tmp_path):
    early, late = hand(tmp_path / "a.json", 1, 4), hand(tmp_path / "b.json", 1, 4)
    drawings.save_drawing([[(1, 2), (3, 4)]], 9, late)
    path = tmp_path / "class.json"
    count, problems = merge_drawings([early, late], path)
    assert count == 5 and "4 of 5 drawings are in a.json" in problems[0]
    assert set(load_writers(path)) == {"learner 1"}
    assert drawings.load_drawings(path)[1].tolist() == [0, 1, 2, 3, 9]


def test_bad_files_are_named_and_the_others_are_not_lost(tmp_path):
    good = hand(tmp_path / "good.json", 1)
    (tmp_path / "cut.json").write_bytes(good.read_bytes()[:-9])
    (tmp_path / "photo.json").write_bytes(b"\x89PNG\r\n")
    (tmp_path / "other.json").write_text('{"name": "Mia"}')
    (tmp_path / "empty.json").write_text("[]")
    (tmp_path / "folder.json").mkdir()
    names = ("cut", "photo", "other", "empty", "folder", "missing", "good")
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


def test_merging_again_writes_the_same(tmp_path):
    files = [hand(tmp_path / f"{seed}.json", seed) for seed in range(3)]
    path = tmp_path / "class.json"
    merge_drawings(files, path)
    first = path.read_bytes()
    merge_drawings(files, path)
    assert path.read_bytes() == first
    merge_drawings(files[:1], path)
    assert len(load_writers(path)) == 10


def test_drawings_that_were_not_merged_are_never_replaced(tmp_path):
    mine, file = hand(tmp_path / "my_hand.json", 1), hand(tmp_path / "a.json", 2)
    before = mine.read_bytes()
    with pytest.raises(ValueError, match=r"my_hand\.json holds .*not merged"):
        merge_drawings([file], mine)
    with pytest.raises(ValueError, match="out of the list"):
        merge_drawings([file, mine], mine)
    assert mine.read_bytes() == before
    (tmp_path / "cut.json").write_text("[")
    with pytest.raises(ValueError, match=r"cut\.json is no strokes file"):
        merge_drawings([file], tmp_path / "cut.json")
    assert (tmp_path / "cut.json").read_text() == "["


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


def test_what_is_removed_is_gone_and_the_rest_stays(tmp_path):
    path = hand(tmp_path / "a.json", 1, 20)
    before = drawings.read_entries(path)
    assert remove_drawings([17, 3, np.int64(3)], path) == 18
    left = [entry for i, entry in enumerate(before) if i not in (3, 17)]
    assert drawings.read_entries(path) == left
    aside = tmp_path / "a.json.removed"
    assert drawings.read_entries(aside) == [before[3], before[17]]
    assert remove_drawings(iter([0]), path) == 17
    assert drawings.read_entries(aside) == [before[3], before[17], before[0]]
    assert not [x for x in tmp_path.glob("*.json") if x != path], "none to hand in"
    assert remove_drawings([], path) == 17
    assert remove_drawings(range(17), path) == 0
    assert drawings.load_drawings(path)[0] == []


def test_writers_stay_beside_their_drawings(tmp_path):
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


def test_a_missing_or_damaged_file_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.json does not exist"):
        remove_drawings([0], tmp_path / "no.json")
    assert not list(tmp_path.iterdir())
    path = tmp_path / "cut.json"
    path.write_text("[")
    with pytest.raises(ValueError, match=r"cut\.json is no strokes file"):
        remove_drawings([0], path)
    assert path.read_text() == "["


# What can fail while a file is written


def change(kind, path, other):
    return (
        merge_drawings([other], path) if kind == "merge" else remove_drawings([0], path)
    )


@pytest.mark.parametrize("kind", ["merge", "remove"])
@pytest.mark.parametrize("fault", ["full disk", "read-only folder"])
def test_a_fault_while_writing_spoils_nothing(tmp_path, monkeypatch, kind, fault):
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
            change(kind, path, other)
    finally:
        folder.chmod(0o755)
    assert path.read_bytes() == before
    assert not [*folder.glob(".part*")]


def test_a_file_with_drawings_of_ones_own_is_not_merged_over(tmp_path):
    mine = hand(tmp_path / "mine.json", 1)
    merge_drawings([mine], tmp_path / "class.json")
    drawings.save_drawing([[(0, 0), (9, 9)]], 7, tmp_path / "class.json")
    before = (tmp_path / "class.json").read_bytes()
    with pytest.raises(ValueError, match="not merged"):
        merge_drawings([mine], tmp_path / "class.json")
    assert (tmp_path / "class.json").read_bytes() == before


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
    run_at_once([python(program, path, x) for x in ("remove", "save", "remove")])
    left, _ = drawings.load_drawings(path)
    removed, _ = drawings.load_drawings(f"{path}.removed")
    assert (len(left), len(removed)) == (40, 40)


def test_the_examples_are_true(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = doctest.testmod(drawings)
    assert results.attempted >= 6 and not results.failed
