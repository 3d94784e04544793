"""Build an nbgrader assignment from the exercises: ``assignment.py [FOLDER]``.

``python run.py assignment`` installs nbgrader and calls this. FOLDER, `work/course` if
left out, becomes an nbgrader course: `source` holds the teacher's version, with the
answers and the tests, `release` the students'. What an exercise asks comes from its
notebook; the answer and the tests, which are its asserts, from `solutions`. Of each
exercise the first test is shown to students, the others are hidden.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from digitkit.files import replacing

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
NAME = "digits"  # of the assignment
CONFIG = """\
import os
import tempfile

os.environ["DIGITKIT_WORK"] = tempfile.mkdtemp()  # not the teacher's own
c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "digitkit"
c.ClearSolutions.code_stub = {"python": "# Your answer goes here."}
c.ClearSolutions.text_stub = "Your answer goes here."
c.ExecutePreprocessor.timeout = 600  # seconds for a cell: some train a network
"""
TEST = "# This cell tests your answer. More tests follow when it is graded."


def main(folder=None):
    """Write the course, then let nbgrader make the students' version."""
    folder = Path(folder or ROOT / "work" / "course").absolute()
    source = folder / "source" / NAME
    source.mkdir(parents=True, exist_ok=True)
    if not (config := folder / "nbgrader_config.py").exists():  # teachers change it
        config.write_text(CONFIG, encoding="utf-8")
    shutil.copytree(NOTEBOOKS / "recorded", source / "recorded", dirs_exist_ok=True)
    for path in sorted((NOTEBOOKS / "solutions").glob("0*.ipynb")):
        with replacing(source / path.name) as temporary:
            nbformat.write(graded(path), temporary)
    nbgrader("generate_assignment", NAME, "--force", "--create", folder=folder)
    print(f"For you, with answers: {source}")
    print(f"To hand out: {folder / 'release' / NAME}")


def nbgrader(*arguments, folder):
    """Run nbgrader in a course; it looks for its helpers on the PATH."""
    path = sysconfig.get_path("scripts") + os.pathsep + os.environ["PATH"]
    command = [sys.executable, "-m", "nbgrader", *arguments]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, check=True
    )


def graded(path):
    """Return the exercises of one notebook as nbgrader wants them."""
    answers = nbformat.read(path, as_version=4)
    start = next(i for i, x in enumerate(answers.cells) if number_in(x))
    title = answers.cells[0].source.splitlines()[0].removeprefix("# Answers: ")
    cells = [
        new_markdown_cell(
            f"# Exercises: {title}\n\nThey belong to the notebook {path.stem}. Write "
            "your answers where it says so. Before you hand it in, choose *Restart "
            "Kernel and Run All Cells*; a test that stays silent is passed."
        )
    ]
    for i, cell in enumerate(answers.cells[1:start]):
        cell.source = cell.source.replace('Path("..", "recorded")', 'Path("recorded")')
        new = new_code_cell if cell.cell_type == "code" else new_markdown_cell
        cells.append(marked(new(cell.source), f"set-up-{i}"))
    tasks, number = tasks_of(NOTEBOOKS / path.name), None
    parts = {}  # by exercise: code and prose of the answer
    for cell in answers.cells[start:]:
        number = number_in(cell) or number
        parts.setdefault(number, {"code": [], "markdown": []})
        parts[number][cell.cell_type].append(cell.source)
    for number, (task, has_code) in tasks.items():
        cells.append(new_markdown_cell(task))
        cells += exercise(number, parts[number], has_code)
    notebook = new_notebook(cells=cells, metadata=answers.metadata)
    notebook.nbformat_minor = 5
    return notebook


def number_in(cell):
    """Return the number of the exercise that a cell of answers begins, or None."""
    found = re.search(r"^## Exercise (\d+)", cell.source, re.MULTILINE)
    return int(found[1]) if found and cell.cell_type == "markdown" else None


def tasks_of(path):
    """Return, by number, what each exercise of a lesson asks, and if it has code."""
    tasks, number = {}, None
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            found = re.search(r"^### Exercise (\d+).*", cell.source, re.DOTALL | re.M)
            number = int(found[1]) if found else None
            if number:
                tasks[number] = (found[0].replace("### ", "## ", 1), False)
        elif number:
            # A copy in which the exercise was tried would hand out the answer.
            stub = f"answer_{number} = ..." in cell.source
            if cell.execution_count or cell.outputs or not stub:
                raise ValueError(
                    f"exercise {number} was tried in {path.name}, and its answer would "
                    "be handed out: keep a copy of the notebooks elsewhere, then type "
                    "git checkout HEAD -- notebooks"
                )
            begins = f"\n\nIn the lesson it begins so:\n\n```python\n{cell.source}\n```"
            tasks[number] = (tasks[number][0] + begins, True)
    return tasks


def exercise(number, parts, has_code):
    """Return the cells of an exercise: the answer, and its tests where it is code."""
    if not has_code:  # to explain: graded by hand
        prose = re.sub(r"^(.*\n)?## Exercise.*\n+", "", "\n\n".join(parts["markdown"]))
        answer = new_markdown_cell(solution(prose))
        return [marked(answer, f"answer-{number}", solution=True, grade=True, points=1)]
    code = "\n\n".join(parts["code"])
    lines, statements = code.splitlines(), ast.parse(code).body
    asserts = [x.lineno - 1 for x in statements if isinstance(x, ast.Assert)]
    answer = "\n".join(lines[: asserts[0]]).rstrip()
    second = asserts[1] if len(asserts) > 1 else len(lines)
    tests = "\n".join([TEST, *lines[asserts[0] : second]])
    if lines[second:]:
        hidden = "\n".join(lines[second:])
        tests += f"\n### BEGIN HIDDEN TESTS\n{hidden}\n### END HIDDEN TESTS"
    begin = f"answer_{number} = ...\n{solution(answer)}"
    return [
        marked(new_code_cell(begin), f"answer-{number}", solution=True),
        marked(new_code_cell(tests), f"test-{number}", grade=True, points=2),
    ]


def solution(text):
    """Return what nbgrader takes away from the students' version."""
    return f"### BEGIN SOLUTION\n{text}\n### END SOLUTION"


def marked(cell, name, solution=False, grade=False, points=None):
    """Return a cell with what nbgrader wants to know about it."""
    cell["id"] = name
    cell.metadata.nbgrader = {
        "schema_version": 3,
        "grade_id": name,
        "locked": not solution,
        "solution": solution,
        "grade": grade,
        "task": False,
    }
    if points:
        cell.metadata.nbgrader.points = points
    return cell


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except ValueError as error:
        sys.exit(f"assignment: {error}")
