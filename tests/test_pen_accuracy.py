"""The benchmark on pens: figures worked by hand, and the command as it is typed."""

import re
import runpy
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from digitkit import plots
from digitkit.drawings import write_entries
from digitkit.networks import UNSURE
from digitkit.stand_in import draw_strokes

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
TOOL = runpy.run_path(str(BENCHMARKS / "pen_accuracy.py"))
SURE, DOUBTFUL = 0.99, UNSURE - 0.01


def answers(*guesses):
    """Probabilities by their top digit and how sure it is."""
    probabilities = np.empty((len(guesses), 10))
    for row, (digit, top) in zip(probabilities, guesses, strict=True):
        row[:] = (1 - top) / 9
        row[digit] = top
    return probabilities


def report(digits, probabilities, writers):
    """Return the report's lines, each split into words."""
    with warnings.catch_warnings(action="error"):
        text = TOOL["report"](np.array(digits), probabilities, writers, "network: x")
    return [line.split() for line in text.splitlines()]


DIGITS = [0, 1, 1, 1, 7, 7, 7]
ANSWERS = answers(
    (0, SURE),
    (1, SURE),
    (1, DOUBTFUL),
    (7, SURE),
    (7, SURE),
    (1, DOUBTFUL),
    (2, DOUBTFUL),
)


def test_the_report():
    writers = ["b/mia", "b/leo", "a/ann", "b/mia", "a/ann", "a/bob", ""]
    lines = report(DIGITS, ANSWERS, writers)
    assert lines[:2] == ["accuracy 57.14 %".split(), "7 drawings, network: x".split()]
    for line in (
        "0 100.00 % of 1",
        "1 66.67 % of 3",
        "7 33.33 % of 3",
        "a 66.67 % of 3",
        "b 66.67 % of 3",
        "unnamed 0.00 % of 1",
        "1 0 2 0 0 0 0 0 1 0 0",  # the true digit, then how often it was read as each
        "7 0 1 1 0 0 0 0 1 0 0",
        "mean confidence: 86.50 % when right, 65.67 % when wrong",
        "unsure (less than 50 %): 3 drawings, 42.86 %; the most probable digit is "
        "right for 1, wrong for 2",
        "answered: 57.14 %, of these right: 75.00 %",
    ):
        assert line.split() in lines


@pytest.mark.parametrize(
    ("guess", "line"),
    [
        ((3, SURE), "mean confidence: 99.00 % when right, none when wrong"),
        ((3, DOUBTFUL), "answered: 0.00 %, of these right: none"),
        ((5, SURE), "mean confidence: none when right, 99.00 % when wrong"),
    ],
)
def test_what_does_not_occur_is_called_none(guess, line):
    lines = report([3], answers(guess), [""])
    assert line.split() in lines
    assert "by contributor".split() not in lines


def test_the_surest_mistakes_are_drawn_first(tmp_path, capsys, monkeypatch):
    images = np.random.default_rng(0).random((7, 28, 28), np.float32)
    out, drawn, show_images = tmp_path / "mistakes.png", [], plots.show_images

    def spy(images, titles, **style):
        drawn.extend([images, titles])
        return show_images(images, titles, **style)

    monkeypatch.setattr(plots, "show_images", spy)
    TOOL["draw_mistakes"](images, np.array(DIGITS), ANSWERS, out)
    assert drawn[1] == ["1 as 7, 99 %", "7 as 1, 49 %", "7 as 2, 49 %"]
    assert (drawn[0] == images[[3, 5, 6]]).all()
    assert Image.open(out).format == "PNG"
    out.unlink()
    TOOL["draw_mistakes"](images[:1], np.array([0]), ANSWERS[:1], out)
    assert "no mistakes to draw" in capsys.readouterr().out
    assert not out.exists()


def run(script, *arguments):
    return subprocess.run(
        [sys.executable, BENCHMARKS / script, *arguments],
        capture_output=True,
        text=True,
    )


def test_a_file_that_is_of_no_use_is_named(tmp_path):
    path = tmp_path / "pens.json"
    path.write_text("[]")
    done = run("pen_accuracy.py", path)
    assert done.returncode == 2
    assert re.search(r"error: .*pens\.json.*holds no drawings", done.stderr)


@pytest.mark.slow
def test_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("DIGITKIT_WORK", str(tmp_path))
    (tmp_path / "my_network.keras").write_text("is not asked for")
    digits = np.arange(40) % 10
    drawn = zip(digits.tolist(), draw_strokes(digits, seed=8), strict=True)
    entries = [{"label": d, "strokes": [s.tolist() for s in x]} for d, x in drawn]
    for entry in entries[:4]:  # four that are sure to be read wrongly
        entry["label"] = (entry["label"] + 5) % 10
    path, out = tmp_path / "pens.json.gz", tmp_path / "mistakes.png"
    write_entries(entries, path)
    done = run("pen_accuracy.py", path, "--png", out)
    assert done.returncode == 0, done.stderr
    first, second, *_ = done.stdout.splitlines()
    assert 80 <= float(re.fullmatch(r"accuracy (\d\d\.\d\d) %", first)[1]) <= 90
    assert second.startswith("40 drawings, network: shipped")
    assert out.exists()


@pytest.mark.slow
def test_the_other_benchmarks_find_what_they_share():
    assert run("standin.py", "--help").returncode == 0  # it imports training.py
