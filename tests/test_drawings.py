"""Strokes files: what is saved is loaded again, and no file is ever spoilt."""

import doctest
import gzip
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from digitkit import drawings, files, ink
from digitkit.stand_in import draw_strokes

ONE = [[(5, 0), (5, 10)]]
ENTRY = {"label": 1, "strokes": [[[5.0, 0.0], [5.0, 10.0]]]}


def write(path, entries):
    path.write_text(json.dumps(entries), "utf-8")
    return path


def test_what_is_saved_is_loaded(tmp_path):
    digits = np.arange(20) % 10
    path = tmp_path / "new folder/mine.json"
    made = draw_strokes(digits, seed=5)
    for i, (drawing, digit) in enumerate(zip(made, digits, strict=True)):
        assert drawings.save_drawing(drawing, digit, path) == (path, i + 1)
    loaded, labels = drawings.load_drawings(path)
    assert labels.tolist() == digits.tolist()
    for before, after in zip(made, loaded, strict=True):
        assert [stroke.dtype for stroke in after] == [np.float64] * len(before)
        for one, other in zip(before, after, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5)
        np.testing.assert_allclose(ink.to_image(before), ink.to_image(after), atol=1e-3)


def test_the_learners_drawings_lie_in_the_work_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DIGITKIT_WORK", str(tmp_path / "work"))
    with pytest.raises(FileNotFoundError, match="save a drawing first"):
        drawings.load_drawings()
    assert not list(tmp_path.iterdir())
    path, _ = drawings.save_drawing(ONE, 1)
    assert path == tmp_path / "work/drawings.json"
    assert drawings.load_drawings()[1].tolist() == [1]


@pytest.mark.parametrize("unit", [1e-9, 1, 560, 1e9])
def test_any_unit_is_kept_in_few_characters(tmp_path, unit):
    stroke = unit * np.random.default_rng(0).random((200, 2))
    path, _ = drawings.save_drawing([stroke], 3, tmp_path / "a.json")
    assert path.stat().st_size < 200 * 2 * 13 + 100
    np.testing.assert_allclose(drawings.load_drawings(path)[0][0][0], stroke, rtol=1e-5)


def test_strokes_without_points_are_left_out(tmp_path):
    path, _ = drawings.save_drawing([[], *ONE, []], 1, tmp_path / "a.json")
    assert json.loads(path.read_bytes()) == [ENTRY]


@pytest.mark.parametrize("name", ["plain.json", "plain.gz", "packed.json", "packed.gz"])
def test_gzip_is_told_by_the_content(tmp_path, name):
    content = json.dumps([ENTRY]).encode()
    packed = name.startswith("packed")
    (tmp_path / name).write_bytes(gzip.compress(content) if packed else content)
    assert drawings.load_drawings(tmp_path / name)[1].tolist() == [1]
    assert drawings.save_drawing(ONE, 7, tmp_path / name)[1] == 2
    assert drawings.load_drawings(tmp_path / name)[1].tolist() == [1, 7]


def test_a_file_named_gz_is_packed_always_alike(tmp_path):
    for name in ("a.json.gz", "b.json.gz"):
        drawings.write_entries([ENTRY] * 50, tmp_path / name)
    first, second = ((tmp_path / n).read_bytes() for n in ("a.json.gz", "b.json.gz"))
    assert first == second
    assert first[4:8] == bytes(4)  # the time that gzip notes
    assert json.loads(gzip.decompress(first)) == [ENTRY] * 50


def test_what_else_stands_in_a_file_is_kept(tmp_path):
    entry = ENTRY | {"writer": "ours/mia", "age": 12}
    path = write(tmp_path / "a.json", [entry])
    drawings.save_drawing([[(0.5, 1)]], 8, path)
    assert json.loads(path.read_bytes())[0] == entry


@pytest.mark.parametrize("digit", [10, -1, 3.0, "3", None, True, np.bool(True)])
def test_only_digits_are_saved(tmp_path, digit):
    with pytest.raises(ValueError, match=r"expected a digit, 0 to 9, received"):
        drawings.save_drawing(ONE, digit, tmp_path / "a.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("strokes", "says"),
    [
        ([], "nothing to save"),
        ([[], []], "nothing to save"),
        (7, "list of strokes"),
        ([(1, 2)], "finite"),
        ([[(1, np.nan)]], "finite"),
        ([[(1, np.inf)]], "finite"),
        ([[(1, 2, 3)]], "finite"),
        ("abc", "finite"),
    ],
)
def test_only_drawings_are_saved(tmp_path, strokes, says):
    with pytest.raises(ValueError, match=says):
        drawings.save_drawing(strokes, 3, tmp_path / "a.json")
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
        (b"\xff" * 100, "decode"),
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
        (second(label="1"), "entry 1, .*not a digit"),
        (second(label=None), "entry 1, .*not a digit"),
        (second(writer=3), "entry 1, .*writer"),
        (second(strokes=[]), "entry 1, .*an empty stroke, or none"),
        (second(strokes=[[]]), "entry 1, .*an empty stroke, or none"),
        (second(strokes="abc"), "entry 1, .*an empty stroke, or none"),
        (second(strokes={"a": 1}), "entry 1, .*an empty stroke, or none"),
        (second(strokes=[[[1, 2, 3]]]), "entry 1, .*no drawing"),
        (second(strokes=[[[1, 2], [3]]]), "entry 1, .*no drawing"),
        (second(strokes=[[[1, None]]]), "entry 1, .*no drawing"),
        (second(strokes=[[[1, "x"]]]), "entry 1, .*no drawing"),
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
    with pytest.raises(ValueError, match=expected):
        drawings.load_drawings(path)
    with pytest.raises(ValueError, match=expected):
        drawings.save_drawing(ONE, 1, path)
    assert path.read_bytes() == content


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.json does not exist: save a dr"):
        drawings.load_drawings(tmp_path / "no.json")


def test_an_empty_list_holds_no_drawings(tmp_path):
    loaded, digits = drawings.load_drawings(write(tmp_path / "a.json", []))
    assert loaded == []
    assert digits.shape == (0,)
    assert digits.dtype.kind == "i"


def test_a_full_disk_spoils_nothing(tmp_path, monkeypatch):
    path, _ = drawings.save_drawing(ONE, 1, tmp_path / "a.json")
    before = path.read_bytes()

    def fail(self, content):
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fail)
        with pytest.raises(OSError, match="no space"):
            drawings.save_drawing(ONE, 2, path)
    assert path.read_bytes() == before
    assert drawings.save_drawing(ONE, 2, path)[1] == 2


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


def run_at_once(kernels):
    for kernel in kernels:
        kernel.stdin.write("go\n")
        kernel.stdin.flush()
    for kernel in kernels:
        kernel.communicate(timeout=60)
        assert kernel.returncode == 0


def test_kernels_that_save_at_once_lose_nothing(tmp_path):
    path = tmp_path / "drawings.json"
    program = (
        "print('ready', flush=True); sys.stdin.readline()\n"
        "for i in range(40):\n"
        "    drawings.save_drawing([[(i, 0), (i, 10)]], int(sys.argv[2]), sys.argv[1])"
    )
    run_at_once([python(program, path, digit) for digit in (1, 2, 3)])
    loaded, digits = drawings.load_drawings(path)
    for digit in (1, 2, 3):
        mine = [d for d, label in zip(loaded, digits, strict=True) if label == digit]
        assert [drawing[0][0, 0] for drawing in mine] == list(range(40))


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
        drawings.save_drawing(ONE, 1, path)
    assert 0.4 <= time.monotonic() - begun < 20
    assert not path.exists()
    kernel.kill()
    kernel.communicate()
    assert drawings.save_drawing(ONE, 1, path)[1] == 1


def test_the_examples_are_true(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = doctest.testmod(drawings)
    assert results.attempted >= 5
    assert not results.failed


def test_real_pens_are_strokes_files(pens):
    assert len(pens) > 1000
    assert {drawing["label"] for drawing in pens} == set(range(10))
