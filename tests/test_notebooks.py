"""The notebooks keep the rules, the rules catch who does not, the tools work."""

import base64
import io
import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import notebook_rules as rules
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from digitkit import machine

ROOT = Path(__file__).parent.parent
LESSONS = sorted((ROOT / "notebooks").glob("0*.ipynb"))
DOOR = ROOT / "notebooks/00_start_here.ipynb"
SOLUTIONS = sorted((ROOT / "notebooks/solutions").glob("0*.ipynb"))


def report(notebook, rule):
    """Return a line for each problem: notebook, cell, first words, message, rule."""
    told = []
    for cell, message in rule(notebook):
        where = notebook.path.name
        if cell is not None:
            number = next(i for i, x in enumerate(notebook.cells, 1) if x is cell)
            where += f", cell {number} ({' '.join(cell.source.split()[:6])} ...)"
        told.append(f"{where}: {message} [{rule.__name__}]")
    return "\n".join(told)


def name(x):
    return x.stem if isinstance(x, Path) else getattr(x, "__name__", None)


@pytest.mark.parametrize("rule", rules.FOR_LESSONS, ids=name)
@pytest.mark.parametrize("path", LESSONS, ids=name)
def test_lessons(path, rule):
    notebook = nbformat.read(path, as_version=4)
    notebook.path = path
    if problems := report(notebook, rule):
        pytest.fail(problems, pytrace=False)


@pytest.mark.parametrize("rule", rules.FOR_ALL, ids=name)
@pytest.mark.parametrize("path", SOLUTIONS, ids=name)
def test_solutions(path, rule):
    test_lessons(path, rule)


# The first notebook


def rows_of_the_map(path):
    """Return (notebook, what you do, minutes) of each row of a table of the course."""
    row = r"^\| \[(\w+)\]\((?:notebooks/)?\1\.ipynb\) \| (.+) \| ([\d.]+) \|$"
    source = path.read_text("utf-8")
    if path.suffix == ".ipynb":
        source = "\n".join(x.source for x in nbformat.reads(source, 4).cells)
    return re.findall(row, source, re.MULTILINE)


def test_the_map_of_the_course_is_that_of_the_readme():
    mapped = rows_of_the_map(DOOR)
    assert [name for name, *_ in mapped] == [path.stem for path in LESSONS[1:]]
    in_readme = rows_of_the_map(ROOT / "README.md")
    assert mapped == [row for row in in_readme if row[0] != DOOR.stem]


def test_the_first_notebook_shows_a_failure_as_it_is_printed(capsys):
    prose = "\n".join(x.source for x in nbformat.read(DOOR, as_version=4).cells)
    shown = re.search(r"^```\n(.*?)^```", prose, re.DOTALL | re.MULTILINE)[1]
    name, detail, remedy = re.match(
        r"FAIL  (.{12})  (.+)\n      what to do:   (.+)\n", shown
    ).groups()
    machine.print_results([(name.strip(), False, detail, remedy)])
    assert capsys.readouterr().out == shown


# A notebook that keeps all rules, and one for each way to break them

PROSE = "Words that say what there is to see. " * 12


def png(colour):
    file = io.BytesIO()
    Image.new("RGBA", (2, 2), colour).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


PIXEL, CLEAR = png("white"), png((255, 255, 255, 0))
HEAD = """**What you'll do.** Look.

**What you'll learn:**
- to load
- to look
- to count

**What you'll need.** Two minutes."""


REMINDER = "dk.print_open_exercises(globals(), 2)"
ANSWERS = "## Exercise 1\nanswer_1 = 1\n## Exercise 2\nanswer_2 = 2\n## Exercise 3"


@pytest.fixture
def good(tmp_path):
    """Return a notebook that keeps all rules, in a folder with all that it names."""
    counts = iter(range(1, 99))

    def run(source, *tags, data=None):
        cell = new_code_cell(source, execution_count=next(counts))
        cell.metadata.tags = list(tags)
        cell.outputs = [new_output("display_data", data or {"text/plain": "4"})]
        return cell

    def not_run(source, tag):
        return new_code_cell(source, metadata={"tags": [tag]})

    def predict(question):
        return [
            new_markdown_cell(f"**Predict.** {question}"),
            not_run("my_guess = 3", "predict"),
            not_run("2 + 2", "predict"),
            new_markdown_cell("**What happened.** Four."),
        ]

    say = new_markdown_cell
    cells = [
        say("# Look at digits\n\nClosely.\n\n![a seven](images/seven.png)"),
        say(HEAD),
        run("import keras\nimport digitkit as dk\n\nkeras.utils.set_random_seed(7)"),
        say(f"## First\n\n{PROSE}"),
        run("dk.load_mnist"),
        *predict("How much is it?"),
        run("plt.plot(x);", data={"image/png": PIXEL}),
        say("The curve falls."),
        say(f"## Second\n\n{PROSE}"),
        run("model.fit(x)", "nbval-ignore-output"),
        say(f"Your numbers will differ a little. {PROSE}"),
        run("assert accuracy > 0.99, 'train longer'"),
        *predict("And how much now?"),
        say(f"## Third\n\n{PROSE}"),
        run("x.shape"),
        say(PROSE),
        run("y.shape"),
        say(f"## Check yourself\n\n{PROSE}"),
        run(f"assert x.ndim == 3, 'load the images'\n{REMINDER}"),
        say(f"## Exercises\n\n{PROSE}\n\n### Exercise 1: change a number\n\nNow."),
        not_run("answer_1 = ...", "exercise"),
        say(f"### Exercise 2: write three lines\n\n{PROSE}"),
        not_run("two = 2\nanswer_2 = ...  # how many", "exercise"),
        say("### Exercise 3: explain\n\nWhy?"),
        say("## Summary\n- One.\n- Two.\n- Three.\n\n[Onward](02_next.ipynb)"),
    ]
    notebook = new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    notebook.path = tmp_path / "01_good.ipynb"
    for place in ("images/seven.png", "solutions/01_good.ipynb", "02_next.ipynb"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_text(ANSWERS)
    return notebook


def cell_with(notebook, words):
    return next(cell for cell in notebook.cells if words in cell.source)


def edit(old, new):
    def change(notebook):
        cell = cell_with(notebook, old)
        cell.source = cell.source.replace(old, new)

    return change


def drop(words):
    return lambda notebook: notebook.cells.remove(cell_with(notebook, words))


def tag(words, *tags):
    return lambda notebook: cell_with(notebook, words).metadata.update(tags=list(tags))


def store(words, **fields):
    return lambda notebook: cell_with(notebook, words).update(fields)


def clear(cells):
    for cell in cells:
        cell.outputs = []


PICTURE = base64.b64encode(bytes(60_001)).decode()
BIG = new_output("display_data", {"image/png": PICTURE})
STDERR = new_output("stream", name="stderr", text="I0000 ...")
ERROR = new_output("error", ename="ValueError", evalue="no", traceback=[])
CHANGES = [  # a rule, a change to the good notebook, what the rule then says or None
    ("cells_and_words", edit("Closely.", PROSE * 10), "words, expected 600 to 1 300"),
    ("cells_and_words", lambda nb: nb.cells.extend(nb.cells[:9]), "has 40 cells"),
    ("cells_and_words", edit("x.shape", "x\n" * 150), "expected 8 a line"),
    ("short_code_cells", edit("x.shape", "x\n" * 16), "16 lines of code"),
    ("prose_between_code", drop("Your numbers"), None),
    ("prose_between_code", drop("**What happened"), "third code cell in a row"),
    ("opening", edit("# Look", "Look"), "expected a title"),
    ("opening", edit("![a seven](images/seven.png)", ""), "expected a picture"),
    ("opening", edit("What you'll need", "Needed"), "in this order"),
    ("opening", edit("- to look\n", ""), "lists 2 actions"),
    ("one_set_up_cell", edit("x.shape", "import numpy"), "all imports stand in"),
    ("one_set_up_cell", edit("import keras\nimport digitkit as dk", ""), "the imports"),
    ("one_set_up_cell", edit("keras.utils.set_random_seed(7)", ""), "the one keras"),
    ("one_set_up_cell", edit("x.shape", "set_random_seed(8)"), "the one keras"),
    ("sections", edit("## Check yourself", "## Check"), "ends with the sections"),
    ("sections", edit("## Third", "### Third"), "has 2 sections"),
    ("heading_levels", edit("## First", "### First"), "skips a level"),
    ("heading_levels", edit("## First", "# First"), "second title"),
    ("heading_levels", edit("## First", "```\n# no title\n```\n\n## First"), None),
    ("check_yourself", edit("assert x.ndim == 3, 'load", "print('load"), "of asserts"),
    ("check_yourself", edit(", 'load the images'", ""), "has no message"),
    ("exercises", edit("Exercise 2:", "Exercise 3:"), "has the exercises [1, 3, 3]"),
    ("exercises", edit("### Exercise 3", "### Task"), "has the exercises [1, 2]"),
    ("exercises", tag("two = 2"), "tagged `exercise`"),
    ("exercises", edit("Exercise 3: explain", "Exercise 3: do"), "tagged `exercise`"),
    ("exercises", edit("answer_1", "one"), "expected `answer_1 = ...`"),
    ("exercises", edit(", 2)", ", 3)"), f"expected `{REMINDER}`"),
    ("exercises", edit("Exercise 3:", "Exercise 4:"), "has no `## Exercise 4`"),
    ("summary", edit("- Two.\n- Three.", ""), "has 2 lines"),
    ("summary", edit("[Onward](02_next.ipynb)", "Onward."), "no link onward"),
    ("predict", edit("much is it?", "much."), "ends in a question"),
    ("predict", edit("my_guess", "guess"), "expected `my_guess = ...`"),
    ("predict", tag("2 + 2"), "expected the revealing cell"),
    ("predict", edit("**What happened.** ", ""), "expected `What happened`"),
    ("predict", tag("x.shape", "predict"), "no prediction goes before"),
    ("predict", drop("**Predict.**"), "asks for 1 predictions"),
    ("plain_python", edit("x.shape", "!ls"), "is no plain Python"),
    ("plain_python", edit("x.shape", "%time x"), "is no plain Python"),
    ("plain_python", edit("x.shape", "open('/home/me/x')"), "'/home/me/x'"),
    ("plain_python", edit("x.shape", "open('C:/x')"), "'C:/x'"),
    ("plain_python", edit("x.shape", "def f():\n    global x"), "`global`"),
    ("plain_python", edit("x.shape", "sys.path.append(x)"), "uses sys.path"),
    ("plain_python", edit("x.shape", "# NBVAL_SKIP"), "uses NBVAL_SKIP"),
    (
        "seen_in_the_dark_too",
        lambda nb: (
            cell_with(nb, "plt.plot").outputs[0].data.update({"image/png": CLEAR})
        ),
        "expected white",
    ),
    ("nothing_by_colour_alone", edit("The curve", "The blue curve"), "'The blue'"),
    ("nothing_by_colour_alone", edit("The curve", "A curve"), None),
    ("names_of_digitkit", edit("dk.load_mnist", "dk.load"), "names dk.load,"),
    ("names_of_digitkit", edit("Closely.", "`dk.lode()`"), "names dk.lode,"),
    ("metadata", lambda nb: nb.metadata.kernelspec.update(name="me"), "kernel is 'me'"),
    ("metadata", lambda nb: nb.metadata.update(widgets={}), "state of widgets"),
    ("stored_as_its_tag_says", tag("x.shape", "slow"), "unknown tags {'slow'}"),
    ("stored_as_its_tag_says", store("answer_1 =", execution_count=9), "says not run"),
    ("stored_as_its_tag_says", store("two =", outputs=[STDERR]), "says not run"),
    ("stored_as_its_tag_says", store("x.shape", execution_count=None), "count is None"),
    ("stored_as_its_tag_says", store("x.shape", execution_count=1), "count is 1"),
    ("stored_as_its_tag_says", store("x.shape", outputs=[STDERR]), "stores stderr"),
    ("stored_as_its_tag_says", store("x.shape", outputs=[ERROR]), "an error is stored"),
    (
        "stored_as_its_tag_says",
        tag("x.shape", "raises-exception"),
        "an error is stored",
    ),
    ("enough_is_compared", drop("x.shape"), None),
    ("enough_is_compared", lambda nb: clear(nb.cells[2:6]), "compares 5 cells"),
    ("what_varies_is_said_and_bounded", edit("differ a", "be a"), "differ a little'"),
    ("what_varies_is_said_and_bounded", edit("assert accuracy", "print"), "a bound"),
    ("small_figures", store("x.shape", outputs=[BIG]), "has 60001 bytes"),
    ("figures_end_and_are_told", edit("(x);", "(x)"), "ends with `;`"),
    ("figures_end_and_are_told", edit("The curve falls.", "## Curve"), "say in words"),
    ("figures_end_and_are_told", drop("The curve falls."), "say in words"),
    ("links_and_pictures", edit("02_next", "03_next"), "03_next.ipynb does not exist"),
    ("links_and_pictures", edit("![a seven]", "![]"), "has no alt text"),
    (
        "links_and_pictures",
        edit("images/seven.png", "seven.png"),
        "in notebooks/images",
    ),
    ("links_and_pictures", edit("Look at", '<img src="images/x.png">'), "x.png"),
]


@pytest.mark.parametrize("rule", rules.FOR_LESSONS, ids=name)
def test_a_good_notebook_breaks_no_rule(good, rule):
    assert not report(good, rule)


@pytest.mark.parametrize(("rule", "change", "message"), CHANGES)
def test_a_rule_catches(good, rule, change, message):
    change(good)
    told = report(good, getattr(rules, rule))
    assert (message in told) if message else not told
    assert not told or (good.path.name in told and rule in told)


def test_each_rule_has_a_notebook_that_breaks_it():
    broken = {rule for rule, _, message in CHANGES if message}
    assert broken == {rule.__name__ for rule in rules.FOR_LESSONS}


# The tools that make and compare what is stored

CELLS = [
    ("import os, sys, time\nimport matplotlib.pyplot as plt", []),
    ("print(time.time(), file=sys.stderr)\nprint('seen')", []),
    ("my_guess = 1", ["predict"]),
    ("time.time()", ["predict"]),
    (
        "shown = display('0 of 2', display_id=True)\n"
        "shown.update('1 of 2')\nshown.update('2 of 2')",
        ["nbval-ignore-output"],
    ),
    ("1 / 0", ["raises-exception"]),
    ("plt.plot([0, 1]);", []),
    ("open(os.environ['DIGITKIT_WORK'] + '/here.txt', 'w').close()\n2 + 2", []),
]


@pytest.fixture
def refresh(tmp_path, monkeypatch):
    monkeypatch.setenv("DIGITKIT_WORK", str(tmp_path))
    return runpy.run_path(str(ROOT / "tools/refresh_notebooks.py"))["refresh"]


def write(path, cells):
    cells = [new_code_cell(x, metadata={"tags": y, "scrolled": True}) for x, y in cells]
    path.parent.mkdir(exist_ok=True)
    notebook = new_notebook(cells=cells, metadata={"widgets": {}})
    path.write_text(nbformat.v4.writes(notebook))
    return path


@pytest.mark.slow
def test_refreshed_notebooks_are_normalised_and_pass_nbval(tmp_path, refresh):
    path = write(tmp_path / "notebooks/lesson.ipynb", CELLS)
    assert refresh(path) == []
    assert (tmp_path / "here.txt").exists()
    notebook = nbformat.read(path, as_version=4)
    notebook.path = path
    for rule in (rules.metadata, rules.stored_as_its_tag_says):
        assert not report(notebook, rule)
    assert not notebook.cells[0].metadata
    assert [x.data for x in notebook.cells[4].outputs] == [{"text/plain": "'2 of 2'"}]
    first = path.read_text()
    assert first.endswith("}\n")
    assert refresh(path) == []
    assert path.read_text() == first
    shutil.copy(ROOT / "notebooks/conftest.py", path.parent)
    # Only a cell that is changed fails, in a run of all.
    path.write_text(first.replace("2 + 2", "2 + 3"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-q"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert f"1 failed, {len(CELLS) - 1} passed" in done.stdout


def test_a_failing_cell_stops_and_leaves_the_notebook(tmp_path, refresh):
    path = write(tmp_path / "lesson.ipynb", [("1", []), ("seven / 2", [])])
    before = path.read_bytes()
    with pytest.raises(
        SystemExit, match=r"(?s)lesson\.ipynb, cell 2 .*NameError.*seven"
    ):
        refresh(path)
    assert path.read_bytes() == before


def test_what_must_not_be_stored_is_reported(tmp_path, refresh):
    big = "display({'image/png': 'A' * 90_000}, raw=True)"
    private = "import tempfile\ntempfile.gettempdir() + '/x'"
    path = write(tmp_path / "lesson.ipynb", [(big, []), (private, [])])
    figure, place = refresh(path)
    assert "lesson.ipynb, cell 1: the figure has 67500 bytes, at most 60000" in figure
    assert "lesson.ipynb, cell 2: the output names /" in place


def test_nothing_is_stored_from_other_data_than_mnist(tmp_path, refresh, monkeypatch):
    require_mnist = refresh.__globals__["require_mnist"]
    monkeypatch.setenv("DIGITKIT_DATA", str(tmp_path))
    with pytest.raises(SystemExit, match=r"expected mnist\.npz"):
        require_mnist()
    arrays = {"x_train": np.zeros((1, 28, 28), np.uint8), "y_train": np.zeros(1, int)}
    arrays |= {"x_test": arrays["x_train"], "y_test": arrays["y_train"]}
    np.savez(tmp_path / "mnist.npz", **arrays)
    with pytest.raises(SystemExit, match=r"'other'.* Set DIGITKIT_DATA to the folder"):
        require_mnist()


@pytest.mark.slow
def test_recorded_runs_are_those_of_the_tool():
    runs = runpy.run_path(str(ROOT / "tools/record_runs.py"))["RUNS"]
    recorded = {
        path.stem: json.loads(path.read_text("utf-8"))
        for path in (ROOT / "notebooks/recorded").glob("*.json")
    }
    assert recorded.keys() == runs.keys()
    for name, run in runs.items():
        told = recorded[name]
        assert told["what"] == run["what"]
        assert [told["optimizer"], told["learning_rate"]] == [*run["optimizer"]]
        assert len(told["history"]["loss"]) == run.get("epochs", 16)
        assert told["images"] == run.get("images", 60_000)
