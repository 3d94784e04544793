"""The exercises as an nbgrader assignment: built, handed out, handed in, graded."""

import ast
import builtins
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
TOOL = runpy.run_path(str(ROOT / "tools/assignment.py"))
SOLUTIONS = sorted((ROOT / "notebooks/solutions").glob("0*.ipynb"))


def cells(notebook, kind):
    """Return the graded ("test"), answered or set-up cells of code, by name."""
    return {x["id"]: x for x in notebook.cells if x["id"].startswith(kind)}


def names(source, kind):
    found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)]
    return {node.id for node in found if isinstance(node.ctx, kind)}


def defined(source):
    given = names(source, ast.Store)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            given.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            given |= {(x.asname or x.name).split(".")[0] for x in node.names}
    return given


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_tests_need_only_what_the_exercise_names(path):
    """A right answer that is not ours passes: tests know nothing of our own names."""
    notebook = TOOL["graded"](path)
    set_up = [x.source for x in cells(notebook, "set-up").values()]
    code = [x.source for x in notebook.cells if x.cell_type == "code"]
    known = set(dir(builtins)).union(*(defined(x) for x in set_up if x in code))
    tests = cells(notebook, "test")
    assert tests
    for name, test in tests.items():
        number = name.removeprefix("test-")
        task = next(x for x in notebook.cells if f"## Exercise {number}:" in x.source)
        stub = task.source.split("```python\n")[1].split("```")[0]
        own = defined(test.source)
        unknown = names(test.source, ast.Load) - known - defined(stub) - own
        assert not unknown, f"{name} of {path.stem} needs {unknown}"


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_answers_are_taken_away_and_tests_are_seen_and_hidden(path):
    notebook = TOOL["graded"](path)
    nbformat.validate(notebook)
    answers, tests = cells(notebook, "answer"), cells(notebook, "test")
    for cell in answers.values():
        before, inside = cell.source.split("### BEGIN SOLUTION\n")
        assert inside.endswith("\n### END SOLUTION") and len(inside) > 30
        assert before in ("", f"{cell['id'].replace('-', '_')} = ...\n")
    seen = [x.source.split("### BEGIN HIDDEN TESTS")[0] for x in tests.values()]
    assert all("\nassert " in x for x in seen)
    assert any("### BEGIN HIDDEN TESTS\n" in x.source for x in tests.values())
    assert len(answers) > len(tests) >= 2  # the last is to explain
    assert not any("widget" in x.metadata.get("tags", []) for x in notebook.cells)


@pytest.mark.parametrize("trace", ["answer", "output", "count"])
def test_an_exercise_that_was_tried_is_not_handed_out(tmp_path, trace):
    path = tmp_path / "02_train_a_cnn.ipynb"
    notebook = nbformat.read(ROOT / "notebooks" / path.name, as_version=4)
    cell = next(x for x in notebook.cells if "answer_1 = ..." in x.source)
    if trace == "output":
        cell.outputs = [nbformat.v4.new_output("stream", text="8208")]
    elif trace == "count":  # a function that was written and run prints nothing
        cell.execution_count = 7
    else:
        cell.source = cell.source.replace("answer_1 = ...", "answer_1 = 8208")
    nbformat.write(notebook, path)
    with pytest.raises(ValueError, match=r"exercise 1 was tried in 02_train"):
        TOOL["tasks_of"](path)


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course")
    TOOL["main"](folder)
    return folder


def validate(path):
    """Return what nbgrader tells a student who checks a notebook."""
    command = [sys.executable, "-m", "nbgrader", "validate", path.name]
    told = subprocess.run(command, cwd=path.parent, capture_output=True, text=True)
    return told.stdout + told.stderr


@pytest.mark.soak
def test_the_students_version_holds_no_answer(course):
    for path in SOLUTIONS:
        handed_out = (course / "release/digits" / path.name).read_text("utf-8")
        assert "HIDDEN" not in handed_out and "SOLUTION" not in handed_out
        for cell in cells(TOOL["graded"](path), "answer").values():
            *_, last = cell.source.removesuffix("\n### END SOLUTION").splitlines()
            assert last not in handed_out
    one = "03_read_the_curves.ipynb"
    assert "Success" in validate(course / "source/digits" / one)
    assert "failed" in validate(course / "release/digits" / one)


@pytest.mark.soak
def test_a_right_and_a_wrong_submission_are_graded(course):
    from nbgrader.api import Gradebook

    for student, version in (("ada", "source"), ("bob", "release")):
        handed_in = course / "submitted" / student / "digits"
        shutil.copytree(course / version / "digits", handed_in)
    path = handed_in / "02_train_a_cnn.ipynb"  # Bob's only answers; one is right
    notebook = nbformat.read(path, as_version=4)
    cells(notebook, "answer")["answer-1"].source = "answer_1 = 8_000 + 208"
    cells(notebook, "answer")["answer-2"].source = "plain, answer_2 = model, 0.99"
    nbformat.write(notebook, path)
    TOOL["nbgrader"]("autograde", "digits", folder=course)
    tests = sum(len(cells(TOOL["graded"](path), "test")) for path in SOLUTIONS)
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        ada, bob = (book.find_submission("digits", name) for name in ("ada", "bob"))
        assert (ada.code_score, bob.code_score) == (2 * tests, 2)
