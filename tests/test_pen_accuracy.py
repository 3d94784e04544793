"""The benchmark on pens: figures worked by hand, and the command as it is typed."""

import re
import runpy
import subprocess
import sys
import warnings
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest
from PIL import Image

from digitkit import plots
from digitkit.drawings import write_entries
from digitkit.networks import UNSURE
from digitkit.plots import show_images
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


def report(digits, probabilities, writers=None):
    writers = writers or [""] * len(digits)
    return TOOL["report"](np.array(digits), probabilities, writers, "network: x")


def rows(text, headline):
    """Return the lines under a headline, each split into words."""
    block = text.split(f"{headline}", 1)[1].split("\n\n")[0]
    return [line.split() for line in block.splitlines()[1:]]


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
WRITERS = ["b/mia", "b/leo", "a/ann", "b/mia", "a/ann", "a/bob", ""]


def test_the_accuracy_stands_alone_on_the_first_line():
    first, second, *_ = report(DIGITS, ANSWERS).splitlines()
    assert first == "accuracy 57.14 %"  # 4 of 7, whatever is unsure
    assert second == "7 drawings, network: x"


def test_accuracy_by_digit_and_by_contributor():
    text = report(DIGITS, ANSWERS, WRITERS)
    assert rows(text, "by digit") == [
        "0 100.00 % of 1".split(),
        "1 66.67 % of 3".split(),
        "7 33.33 % of 3".split(),
    ]
    assert rows(text, "by contributor") == [
        "a 66.67 % of 3".split(),
        "b 66.67 % of 3".split(),
        "unnamed 0.00 % of 1".split(),
    ]


def test_contributors_are_left_out_where_nobody_is_named():
    assert "contributor" not in report(DIGITS, ANSWERS)


def test_the_confusion_has_true_digits_on_rows():
    head, *table = rows(report(DIGITS, ANSWERS), "confusion")
    assert head == [str(digit) for digit in range(10)]
    assert [row[0] for row in table] == head
    assert table[1][1:] == "0 2 0 0 0 0 0 1 0 0".split()
    assert table[7][1:] == "0 1 1 0 0 0 0 1 0 0".split()


def test_what_the_pad_would_answer():
    *_, confidence, unsure, answered = report(DIGITS, ANSWERS).splitlines()
    when_right = (3 * SURE + DOUBTFUL) / 4
    when_wrong = (SURE + 2 * DOUBTFUL) / 3
    assert confidence == (
        f"mean confidence: {100 * when_right:.2f} % when right, "
        f"{100 * when_wrong:.2f} % when wrong"
    )
    assert unsure == (
        f"unsure (less than {100 * UNSURE:g} %): 3 drawings, 42.86 %; the most "
        "probable digit is right for 1, wrong for 2"
    )
    assert answered == "answered: 57.14 %, of these right: 75.00 %"


@pytest.mark.parametrize(
    ("guesses", "says"),
    [
        ([(3, SURE)], ["accuracy 100.00 %", "none when wrong", "0 drawings, 0.00 %"]),
        ([(3, DOUBTFUL)], ["answered: 0.00 %, of these right: none"]),
        ([(5, SURE)], ["accuracy 0.00 %", "none when right"]),
    ],
)
def test_what_does_not_occur_is_called_none(guesses, says):
    with warnings.catch_warnings(action="error"):
        text = report([3], answers(*guesses))
    assert all(words in text for words in says)


def test_the_surest_mistakes_are_drawn_first(tmp_path, capsys, monkeypatch):
    images = np.random.default_rng(0).random((7, 28, 28), np.float32)
    out = tmp_path / "mistakes.png"
    drawn = []

    def spy(images, titles, **style):
        drawn.extend([images, titles])
        return show_images(images, titles, **style)

    monkeypatch.setattr(plots, "show_images", spy)
    TOOL["draw_mistakes"](images, np.array(DIGITS), ANSWERS, out)
    doubtful = f"{100 * DOUBTFUL:.0f} %"
    assert drawn[1] == ["1 as 7, 99 %", f"7 as 1, {doubtful}", f"7 as 2, {doubtful}"]
    assert (drawn[0] == images[[3, 5, 6]]).all()
    assert Image.open(out).format == "PNG"
    assert f"{out}: 3 mistakes" in capsys.readouterr().out
    TOOL["draw_mistakes"](images[:1], np.array([0]), ANSWERS[:1], tmp_path / "no.png")
    assert "no mistakes to draw" in capsys.readouterr().out
    assert not (tmp_path / "no.png").exists()


def run(script, *arguments):
    return subprocess.run(
        [sys.executable, BENCHMARKS / script, *arguments],
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [("[]", "holds no drawings"), ("[3]", "is no strokes file"), (None, "not exist")],
)
def test_a_file_that_is_of_no_use_is_named(tmp_path, content, says):
    path = tmp_path / "pens.json"
    if content:
        path.write_text(content)
    done = run("pen_accuracy.py", path)
    assert done.returncode == 2
    assert re.search(rf"error: .*pens\.json.*{says}", done.stderr)


@pytest.mark.slow
def test_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("DIGITKIT_WORK", str(tmp_path))
    (tmp_path / "my_network.keras").write_text("is not asked for")
    digits = np.arange(40) % 10
    drawn = zip(digits.tolist(), draw_strokes(digits, seed=8), strict=True)
    entries = [{"label": d, "strokes": [s.tolist() for s in x]} for d, x in drawn]
    entries[0]["writer"] = "ours/mia"
    for entry in entries[:4]:  # four that are sure to be read wrongly
        entry["label"] = (entry["label"] + 5) % 10
    path, out = tmp_path / "pens.json.gz", tmp_path / "mistakes.png"
    write_entries(entries, path)
    done = run("pen_accuracy.py", path, "--png", out)
    assert done.returncode == 0, done.stderr
    first, second, *_ = done.stdout.splitlines()
    assert re.fullmatch(r"accuracy \d\d\.\d\d %", first)
    assert 80 <= float(first.split()[1]) <= 90
    assert second.startswith("40 drawings, network: shipped")
    assert rows(done.stdout, "by contributor")[0][0] == "ours"
    assert out.exists()
    done = run("pen_accuracy.py", path, "--model", tmp_path / "no.keras")
    assert done.returncode == 2
    assert "no.keras does not exist" in done.stderr


@pytest.mark.slow
def test_the_other_benchmarks_find_what_they_share():
    assert run("standin.py", "--help").returncode == 0  # it imports training.py
