"""The benchmark on pens: figures worked by hand, and the command as it is typed."""

import re
import runpy
import subprocess
import sys
import warnings
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from digitkit import plots
from digitkit.drawings import write_entries
from digitkit.networks import UNSURE
from digitkit.stand_in import draw_strokes

TOOL = Path(__file__).parents[1] / "benchmarks" / "pen_accuracy.py"
TOOLS = runpy.run_path(str(TOOL))
SURE, DOUBTFUL = 0.99, UNSURE - 0.01


def answers(*guesses):
    """Probabilities by their top digit and how sure it is."""
    probabilities = [np.full(10, (1 - top) / 9) for _, top in guesses]
    for row, (digit, top) in zip(probabilities, guesses, strict=True):
        row[digit] = top
    return np.array(probabilities)


DIGITS = np.array([0, 1, 1, 1, 7, 7, 7])
GUESSES = [(0, SURE), (1, SURE), (1, DOUBTFUL), (7, SURE)]  # of the first four
GUESSES += [(7, SURE), (1, DOUBTFUL), (2, DOUBTFUL)]  # of the sevens
WRITERS = ["b/mia", "b/leo", "a/ann", "b/mia", "a/ann", "a/bob", ""]
WHOLE = """\
accuracy 57.14 %
7 drawings, network: x
0 100.00 % of 1
1 66.67 % of 3
7 33.33 % of 3
a 66.67 % of 3
b 66.67 % of 3
unnamed 0.00 % of 1
1 0 2 0 0 0 0 0 1 0 0
7 0 1 1 0 0 0 0 1 0 0
mean confidence: 86.50 % when right, 65.67 % when wrong
unsure (less than 50 %): 3 drawings, 42.86 %; the most probable digit is right for 1, \
wrong for 2
answered: 57.14 %, of these right: 75.00 %"""


@pytest.mark.parametrize(
    ("digits", "guesses", "writers", "expected"),
    [
        (DIGITS, GUESSES, WRITERS, WHOLE),
        (
            [3],
            [(3, SURE)],
            [""],
            "mean confidence: 99.00 % when right, none when wrong",
        ),
        ([3], [(3, DOUBTFUL)], [""], "answered: 0.00 %, of these right: none"),
        (
            [3],
            [(5, SURE)],
            [""],
            "mean confidence: none when right, 99.00 % when wrong",
        ),
    ],
)
def test_the_report_as_worked_by_hand(digits, guesses, writers, expected):
    digits = np.array(digits)
    with warnings.catch_warnings(action="error"):
        text = TOOLS["report"](digits, answers(*guesses), writers, "network: x")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert set(expected.splitlines()) <= set(lines)
    assert ("by contributor" in lines) == any(writers)
    assert lines[0].startswith("accuracy ")


def test_the_surest_mistakes_are_drawn_first(tmp_path, capsys, monkeypatch):
    images = np.random.default_rng(0).random((7, 28, 28), np.float32)
    out, show_images = tmp_path / "mistakes.png", Mock(wraps=plots.show_images)
    monkeypatch.setattr(plots, "show_images", show_images)
    TOOLS["draw_mistakes"](images, DIGITS, answers(*GUESSES), out)
    shown, titles = show_images.call_args.args
    assert titles == ["1 as 7, 99 %", "7 as 1, 49 %", "7 as 2, 49 %"]
    assert (shown == images[[3, 5, 6]]).all()
    assert Image.open(out).format == "PNG"
    TOOLS["draw_mistakes"](images[:1], DIGITS[:1], answers(GUESSES[0]), out)
    assert "no mistakes to draw" in capsys.readouterr().out


def run(*arguments):
    command = [sys.executable, TOOL, *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_file_that_is_of_no_use_is_named(tmp_path):
    path = tmp_path / "pens.json"
    path.write_text("[]")
    done = run(path)
    assert done.returncode == 2
    assert re.search(r"error: .*pens\.json.*holds no drawings", done.stderr)


@pytest.mark.slow
def test_the_command_asks_the_shipped_network(tmp_path, monkeypatch):
    monkeypatch.setenv("DIGITKIT_WORK", str(tmp_path))
    (tmp_path / "my_network.keras").write_text("is not asked for")
    digits = np.arange(40) % 10
    drawn = zip(digits.tolist(), draw_strokes(digits, seed=8), strict=True)
    entries = [{"label": d, "strokes": [s.tolist() for s in x]} for d, x in drawn]
    for entry in entries[:4]:  # four that are sure to be read wrongly
        entry["label"] = (entry["label"] + 5) % 10
    path, out = tmp_path / "pens.json.gz", tmp_path / "mistakes.png"
    write_entries(entries, path)
    done = run(path, "--png", out)
    assert done.returncode == 0, done.stderr
    first, second, *_ = done.stdout.splitlines()
    assert 80 <= float(re.fullmatch(r"accuracy (\d\d\.\d\d) %", first)[1]) <= 90
    assert second.startswith("40 drawings, network: shipped")
    assert out.exists()


@pytest.mark.slow
def test_the_other_benchmarks_find_what_they_share(monkeypatch):
    monkeypatch.syspath_prepend(TOOL.parent)
    runpy.run_path(str(TOOL.with_name("standin.py")))
