"""Where files are kept, and how they are replaced in one step or not at all."""

import os
import sys
import time

import pytest

from digitkit import files
from digitkit.files import cache_folder, replacing, work_folder


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    for name in ("DIGITKIT_WORK", "DIGITKIT_CACHE"):
        monkeypatch.setenv(name, "")


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "net.keras"
    path.write_text("old")
    return path


@pytest.mark.parametrize(
    ("here", "named", "work"),
    [
        ("kit", "", "kit/work"),
        ("kit/notebooks/solutions", "", "kit/work"),
        ("kit/notebooks/copy/notebooks", "", "kit/notebooks/copy/work"),
        (".", "", "work"),  # no notebooks here
        ("kit", "mine/deep", "kit/mine/deep"),
    ],
)
def test_the_work_folder(tmp_path, monkeypatch, here, named, work):
    for name in ("solutions", "copy/notebooks"):
        (tmp_path / "kit/notebooks" / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / here)
    monkeypatch.setenv("DIGITKIT_WORK", named)
    assert work_folder() == tmp_path / work
    assert work_folder().is_dir()


def test_caches_are_where_the_platform_keeps_them(tmp_path, monkeypatch):
    platform = "platformdirs.user_cache_path"
    monkeypatch.setattr(platform, lambda name, **_: tmp_path / name)
    assert cache_folder() == tmp_path / "digitkit"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIGITKIT_CACHE", "mine")
    assert cache_folder() == tmp_path / "mine"
    assert list(tmp_path.iterdir()) == []  # nothing is made before it is needed


@pytest.mark.skipif(sys.platform == "win32", reason="an open file keeps its name there")
def test_a_reader_sees_the_whole_old_file_or_the_whole_new_one(path):
    with path.open() as reader:
        with replacing(path) as temporary:
            temporary.write_text("new and longer")
            assert path.read_text() == "old"
        assert reader.read() == "old"
    assert path.read_text() == "new and longer"


def test_replacing_makes_folders_and_keeps_the_suffix(tmp_path):
    path = tmp_path / "a/b/net.keras"
    with replacing(path) as temporary:
        assert temporary.parent == path.parent  # a rename is atomic there only
        assert temporary.suffix == ".keras"
        temporary.write_text("new")
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(path, error):
    with pytest.raises(error), replacing(path) as temporary:
        temporary.write_text("half of the ne")
        raise error
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_two_writers_do_not_share_a_temporary_file(path):
    with replacing(path) as first, replacing(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # the one that ended last
    assert list(path.parent.iterdir()) == [path]


def test_what_a_crash_left_is_deleted_a_day_later(path):
    fresh, old = (path.with_name(f".part-{name}.csv") for name in ("fresh", "old"))
    fresh.touch()
    old.touch()
    yesterday = time.time() - files.DAY - 60
    os.utime(old, (yesterday, yesterday))
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert fresh.exists() and not old.exists()
