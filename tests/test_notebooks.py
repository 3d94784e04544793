"""The stored lessons and answers: true, readable by all, and what the tools make."""

import ast
import base64
import io
import json
import re
import runpy
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image, ImageSequence

import digitkit
from digitkit import machine

ROOT = Path(__file__).parent.parent
LESSONS = sorted((ROOT / "notebooks").glob("0*.ipynb"))
DOOR = ROOT / "notebooks/00_start_here.ipynb"
SOLUTIONS = sorted((ROOT / "notebooks/solutions").glob("0*.ipynb"))
NOT_RUN = {"predict", "widget", "exercise"}
VARIES = "nbval-ignore-output"
LARGEST_FIGURE = 60_000  # bytes


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell):
    return set(cell.metadata.get("tags", []))


def figures(cell):
    """Return the PNG figures that a code cell has stored, as pairs: file, alt text."""
    for output in cell.outputs:
        if "image/png" in (data := output.get("data", {})):
            alt = re.search(r'<img alt="([^"]*)"', data.get("text/html", ""))
            yield base64.b64decode(data["image/png"]), alt and alt[1]


# What can be wrong with a notebook: each function yields a cell, or None, and why.


def names_that_digitkit_lacks(notebook):
    for cell in notebook.cells:
        for name in re.findall(r"\bdk\.(\w+)", cell.source):
            if name not in digitkit.__all__:
                yield cell, f"names dk.{name}"


def broken_links(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            continue
        links = re.findall(r"(!?)\[([^]]*)\]\(([^)\s]+)[^)]*\)", cell.source)
        for img in re.findall(r"<img\b[^>]*>", cell.source):
            found = dict(re.findall(r'(\w+)="([^"]*)"', img))
            links.append(("!", found.get("alt", ""), found.get("src", "")))
        for picture, words, target in links:
            place = notebook.path.parent / unquote(target.partition("#")[0])
            if picture and not words.strip():
                yield cell, f"the picture {target} has no alt text"
            if not re.match(r"https?://|mailto:", target) and not place.exists():
                yield cell, f"{target} does not exist"


def code_that_runs_here_only(notebook):
    for cell in code(notebook):
        for node in ast.walk(ast.parse(cell.source)):  # an error for `!ls` and `%time`
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if re.match(r"/\w+/|[A-Z]:[/\\]", node.value):
                    yield cell, f"has the absolute path {node.value}"


def stored_otherwise_than_tagged(notebook):
    if notebook.metadata.kernelspec.name != "python3" or "widgets" in notebook.metadata:
        yield None, "has another kernel, or the state of widgets"
    expected = 1
    for cell in code(notebook):
        if unknown := tags(cell) - NOT_RUN - {VARIES, "raises-exception"}:
            yield cell, f"has the unknown tags {unknown}"
        if tags(cell) & NOT_RUN:
            if cell.execution_count or cell.outputs:
                yield cell, "is stored as run, its tag says not run"
            continue
        if cell.execution_count != expected:  # nbval compares no cell without a count
            yield cell, f"its count is {cell.execution_count}, expected {expected}"
        expected += 1
        if any(x.get("name") == "stderr" for x in cell.outputs):
            yield cell, "stores stderr, which is red"
        raised = any(x.output_type == "error" for x in cell.outputs)
        if raised != ("raises-exception" in tags(cell)):
            yield cell, "an error is stored if and only if tagged `raises-exception`"


def numbers_without_a_bound(notebook):
    cells = code(notebook)
    for i, cell in enumerate(cells):
        after = "".join(x.source for x in cells[i + 1 : i + 3])
        if VARIES in tags(cell) and "assert " not in after:
            yield cell, "varies: assert a bound in one of the next two code cells"


def figures_that_not_all_can_see(notebook):
    for cell in code(notebook):
        for content, alt in figures(cell):
            if len(content) > LARGEST_FIGURE:
                yield cell, f"its figure has {len(content)} bytes"
            if not alt or alt == "a figure":
                yield cell, f"its figure's alt text is {alt!r}"
            picture = Image.open(io.BytesIO(content)).convert("RGBA")
            if picture.getpixel((0, 0)) != (255, 255, 255, 255):
                yield cell, "its figure's edge is not white: the dark theme shows"


def exercises_without_answers(notebook):
    answers = notebook.path.parent / "solutions" / notebook.path.name
    answered = answers.read_text("utf-8") if answers.exists() else ""
    for cell, following in pairwise([*notebook.cells, new_markdown_cell()]):
        found = re.search(r"^### Exercise (\d+)", cell.source, re.MULTILINE)
        if cell.cell_type == "markdown" and found:
            if not re.search(rf"## Exercise {found[1]}\b", answered):
                yield cell, f"has no answer in solutions/{answers.name}"
            if "exercise" in tags(following):
                if f"answer_{found[1]} = ..." not in following.source:
                    yield following, f"has no `answer_{found[1]} = ...`"
                if f"answer_{found[1]} = " not in answered:
                    yield cell, f"is not answered in solutions/{answers.name}"


FAULTS = [
    names_that_digitkit_lacks,
    broken_links,
    code_that_runs_here_only,
    stored_otherwise_than_tagged,
    numbers_without_a_bound,
    figures_that_not_all_can_see,
    exercises_without_answers,
]


def read(path):
    notebook = nbformat.read(path, as_version=4)
    notebook.path = path
    return notebook


def said_of(notebook, faults=FAULTS):
    """Return a line for each fault: notebook, first words of the cell, message."""
    return [
        f"{notebook.path.name}, {' '.join(cell.source.split()[:6]) if cell else 'all'}:"
        f" {message} [{fault.__name__}]"
        for fault in faults
        for cell, message in fault(notebook)
    ]


@pytest.mark.parametrize("path", [*LESSONS, *SOLUTIONS], ids=lambda path: path.stem)
def test_notebooks_have_no_faults(path):
    found = said_of(read(path))
    assert not found, "\n".join(found)


STDERR = new_output("stream", name="stderr", text="I0000 ...")


@pytest.mark.parametrize(
    ("words", "change", "message"),
    [
        ("import digitkit", {"source": "dk.lode()"}, "names dk.lode"),
        ("# ", {"source": "[next](no.ipynb)"}, "no.ipynb does not exist"),
        ("# ", {"source": "![](images/digits.png)"}, "no alt text"),
        ("import digitkit", {"source": "open('/home/me/x')"}, "absolute path"),
        ("my_guess", {"execution_count": 3}, "tag says not run"),
        ("import digitkit", {"execution_count": None}, "its count is None"),
        ("import digitkit", {"outputs": [STDERR]}, "stores stderr"),
        (
            "import digitkit",
            {"metadata": {"tags": ["raises-exception"]}},
            "if and only",
        ),
        ("import digitkit", {"metadata": {"tags": ["slow"]}}, "unknown tags"),
        ("dk.print_open", {"metadata": {"tags": [VARIES]}}, "assert a bound"),
        ("dk.print_open", {}, None),
        ("answer_1 = ...", {"source": "one = ..."}, "has no `answer_1 = ...`"),
        ("### Exercise 1", {"source": "### Exercise 9"}, "has no answer in"),
    ],
)
def test_a_fault_is_found(words, change, message):
    notebook = read(ROOT / "notebooks/01_meet_the_digits.ipynb")
    next(x for x in notebook.cells if words in x.source).update(
        nbformat.from_dict(change)
    )
    found = said_of(notebook)
    assert any(message in line for line in found) if message else not found


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"image/png": base64.b64encode(bytes(60_001)).decode()}, "60001 bytes"),
        ({"text/html": '<img alt="">'}, "alt text is ''"),
        ({"text/html": "<b>"}, "alt text is None"),
    ],
)
def test_a_figure_s_fault_is_found(data, message):
    notebook = read(ROOT / "notebooks/01_meet_the_digits.ipynb")
    drawn = next(cell for cell in code(notebook) if any(figures(cell)))
    drawn.outputs[-1].data.update(data)
    found = figures_that_not_all_can_see(notebook)
    assert message in next(found)[1]


def rows_of_the_map(path):
    """Return (notebook, what you do, minutes) of each row of a table of the course."""
    row = r"^\| \[(\w+)\]\((?:notebooks/)?\1\.ipynb\) \| (.+) \| ([\d.]+) \|$"
    source = path.read_text("utf-8")
    if path.suffix == ".ipynb":
        source = "\n".join(x.source for x in read(path).cells)
    return re.findall(row, source, re.MULTILINE)


def test_the_map_of_the_course_is_that_of_the_readme():
    mapped = rows_of_the_map(DOOR)
    assert [name for name, *_ in mapped] == [path.stem for path in LESSONS[1:]]
    in_readme = rows_of_the_map(ROOT / "README.md")
    assert mapped == [row for row in in_readme if row[0] != DOOR.stem]


def test_the_first_notebook_shows_a_failure_as_it_is_printed(capsys):
    prose = "\n".join(x.source for x in read(DOOR).cells)
    shown = re.search(r"^```\n(.*?)^```", prose, re.DOTALL | re.MULTILINE)[1]
    name, detail, remedy = re.match(
        r"FAIL  (.{12})  (.+)\n      what to do:   (.+)\n", shown
    ).groups()
    machine.print_results([(name.strip(), False, detail, remedy)])
    assert capsys.readouterr().out == shown


# The pictures in the prose


def test_pictures_are_light():
    sizes = {
        x.name: x.stat().st_size for x in (ROOT / "notebooks/images").glob("*.png")
    }
    assert sizes and max(sizes.values()) < LARGEST_FIGURE, sizes


def test_the_film_is_light_and_still_where_nothing_happens():
    path = ROOT / "notebooks/images/session.gif"
    assert path.stat().st_size < 400_000
    with Image.open(path) as film:
        assert film.info["loop"] == 0  # for ever
        times, tops = [], []
        for frame in ImageSequence.Iterator(film):
            times.append(frame.info["duration"])
            tops.append(np.asarray(frame.convert("RGB"))[: film.height // 3])
    assert times[0] == max(times)  # an answer: all that is seen of a stopped film
    assert all((top == tops[0]).all() for top in tops)  # toolbar and code: no flicker


# The tool that makes what is stored

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
    ("print('Data: MNIST')", []),
    ("open(os.environ['DIGITKIT_WORK'] + '/here.txt', 'w').close()\n2 + 2", []),
]


@pytest.fixture
def refresh(tmp_path, monkeypatch):
    monkeypatch.setenv("DIGITKIT_WORK", str(tmp_path))
    return runpy.run_path(str(ROOT / "tools/notebooks.py"))["refresh"]


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
    notebook = read(path)
    assert not said_of(notebook, [stored_otherwise_than_tagged])
    assert not notebook.cells[0].metadata
    assert [x.data for x in notebook.cells[4].outputs] == [{"text/plain": "'2 of 2'"}]
    first = path.read_text()
    assert first.endswith("}\n")
    assert refresh(path) == []
    assert path.read_text() == first
    for name in ("conftest.py", "pyproject.toml"):  # with nbval's options
        shutil.copy(ROOT / name, tmp_path)
    # A changed result fails, and what JupyterLab paints red; the data may differ.
    path.write_text(first.replace("2 + 2", "2 + 3").replace("Data: M", "Data: N"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval", "-q", "notebooks"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert f"2 failed, {len(CELLS) - 2} passed" in done.stdout, done.stdout
    assert "Unexpected output fields from running code: {'stderr'}" in done.stdout


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
        stored = recorded[name]
        assert stored["what"] == run["what"]
        assert [stored["optimizer"], stored["learning_rate"]] == [*run["optimizer"]]
        assert len(stored["history"]["loss"]) == run.get("epochs", 16)
        assert stored["images"] == run.get("images", 60_000)
