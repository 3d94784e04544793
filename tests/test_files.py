"""Where things lie, and files that are replaced whole or not at all."""

import os
import sys
import time

import pytest

from digitkit import files
from digitkit.files import cache_folder, replacing, work_folder


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    for name in ("DIGITKIT_WORK", "DIGITKIT_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("here", ["kit", "kit/notebooks", "kit/notebooks/solutions"])
def test_work_lies_beside_the_notebooks(tmp_path, monkeypatch, here):
    (tmp_path / "kit/notebooks/solutions").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / here)
    assert work_folder() == tmp_path / "kit/work"
    assert work_folder().is_dir()


def test_the_nearest_notebooks_count(tmp_path, monkeypatch):
    (tmp_path / "notebooks/copy/notebooks").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "notebooks/copy/notebooks")
    assert work_folder() == tmp_path / "notebooks/copy/work"


def test_work_lies_here_where_there_are_no_notebooks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert work_folder() == tmp_path / "work"


def test_the_variable_names_the_work_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIGITKIT_WORK", "mine/deep")
    assert work_folder() == tmp_path / "mine/deep"
    assert work_folder().is_dir()


def test_an_empty_variable_counts_as_unset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIGITKIT_WORK", "")
    monkeypatch.setenv("DIGITKIT_CACHE", "")
    assert work_folder() == tmp_path / "work"
    assert cache_folder().name == "digitkit"


def test_caches_are_where_the_platform_keeps_them(tmp_path, monkeypatch):
    monkeypatch.delenv("DIGITKIT_CACHE", raising=False)
    monkeypatch.setattr(
        "platformdirs.user_cache_path", lambda name, **_: tmp_path / name
    )
    assert cache_folder() == tmp_path / "digitkit"
    assert not cache_folder().exists()
    monkeypatch.setenv("DIGITKIT_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"


@pytest.mark.skipif(sys.platform == "win32", reason="an open file keeps its name there")
def test_a_reader_sees_the_whole_old_file_or_the_whole_new_one(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with (tmp_path / "a.txt").open() as reader:
        with replacing(tmp_path / "a.txt") as temporary:
            temporary.write_text("new and longer")
        assert reader.read() == "old"
    assert (tmp_path / "a.txt").read_text() == "new and longer"


def test_replacing_makes_folders_and_keeps_the_suffix(tmp_path):
    with replacing(tmp_path / "a/b/net.keras") as temporary:
        assert temporary.parent == tmp_path / "a/b"  # a rename is atomic there only
        assert temporary.suffix == ".keras"
        temporary.write_text("new")
    assert [path.name for path in (tmp_path / "a/b").iterdir()] == ["net.keras"]
    assert (tmp_path / "a/b/net.keras").read_text() == "new"


def test_readers_see_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "net.keras"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "net.keras"
    path.write_text("old")
    with pytest.raises(error), replacing(path) as temporary:
        temporary.write_text("half of the ne")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_do_not_share_a_temporary_file(tmp_path):
    path = tmp_path / "net.keras"
    with replacing(path) as first, replacing(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # the one that ended last
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_crash_left_is_swept_away_a_day_later(tmp_path):
    fresh, old = (tmp_path / f".part-{name}.csv" for name in ("fresh", "old"))
    for path in fresh, old:
        path.touch()
    yesterday = time.time() - files.DAY - 60
    os.utime(old, (yesterday, yesterday))
    with replacing(tmp_path / "history.csv") as temporary:
        temporary.write_text("new")
    assert fresh.exists() and not old.exists()
