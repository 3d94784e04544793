"""The rules for notebooks that a machine can check; test_notebooks.py applies them.

Each rule is a function that takes a notebook and yields what breaks it: a cell, or None
for the whole notebook, and a message.
"""

import ast
import base64
import io
import re
import statistics
from itertools import pairwise
from urllib.parse import unquote

from nbformat.v4 import new_code_cell, new_markdown_cell
from PIL import Image

import digitkit

NOT_RUN = {"predict", "widget", "exercise"}
TAGS = NOT_RUN | {"nbval-ignore-output", "raises-exception"}
VARIES = "nbval-ignore-output"
LARGEST_FIGURE = 60_000  # bytes
COLOURED = r"\bthe (blue|orange|green|red|yellow|purple|gr[ae]y)\b"

FOR_LESSONS, FOR_ALL = [], []  # the rules; the second also for solutions


def rule(function):
    FOR_LESSONS.append(function)
    return function


def rule_for_all(function):
    FOR_ALL.append(function)
    return rule(function)


def is_door(notebook):
    return notebook.path.name.startswith("00")


def markdown(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "markdown"]


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell):
    return set(cell.metadata.get("tags", []))


def text(cell):
    """Return a Markdown cell without fenced code, whose # are no headings."""
    return re.sub(r"^```.*?^```", "", cell.source, flags=re.DOTALL | re.MULTILINE)


def words(cell):
    seen = re.sub(r"!\[[^]]*\]\([^)]*\)|\]\([^)]*\)|<[^>]*>", " ", text(cell))
    return len(re.findall(r"\w[\w'\u2019.-]*", seen))


def lines(cell):
    return len([line for line in cell.source.splitlines() if line.strip()])


def headings(notebook):
    """Return (level, text, cell) of each heading."""
    found = [
        (len(level), title.strip(), cell)
        for cell in markdown(notebook)
        for level, title in re.findall(r"^(#+) +(.+)$", text(cell), re.MULTILINE)
    ]
    return found


def section(notebook, title):
    """Return the cells from a second-level heading to the next."""
    current, cells = None, []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for name in re.findall(r"^## +(.+)$", text(cell), re.MULTILINE):
                current = name.strip()
        if current == title:
            cells.append(cell)
    return cells


def tree(cell):
    try:
        return ast.parse(cell.source)
    except SyntaxError:
        return ast.parse("")  # reported by plain_python


def has(cell, *kinds):
    return any(isinstance(node, kinds) for node in ast.walk(tree(cell)))


def figures(cell):
    """Return each picture in the outputs, as the bytes of its file."""
    stored = [
        item for x in cell.get("outputs", []) for item in x.get("data", {}).items()
    ]
    return [
        content.encode() if "svg" in kind else base64.b64decode(content)
        for kind, content in stored
        if kind.startswith("image/")
    ]


# Size


@rule
def cells_and_words(notebook):
    low, high = (8, 15) if is_door(notebook) else (20, 35)
    if not low <= (n := len(notebook.cells)) <= high:
        yield None, f"has {n} cells, expected {low} to {high}"
    n = sum(words(cell) for cell in markdown(notebook))
    if not is_door(notebook) and not 600 <= n <= 1300:
        yield None, f"has {n} words, expected 600 to 1 300"
    if n < 8 * (n_lines := sum(lines(cell) for cell in code(notebook))):
        yield None, f"has {n} words for {n_lines} lines of code, expected 8 a line"


@rule
def short_code_cells(notebook):
    for cell in code(notebook):
        if lines(cell) > 15:
            yield cell, f"has {lines(cell)} lines of code, expected at most 15"
    if (n := statistics.median([lines(cell) for cell in code(notebook)] or [0])) > 4:
        yield None, f"half of its code cells have {n} lines or more, expected 2 to 4"


@rule
def prose_between_code(notebook):
    cells = notebook.cells
    for i in range(2, len(cells)):
        if {cell.cell_type for cell in cells[i - 2 : i + 1]} == {"code"}:
            yield cells[i], "is the third code cell in a row: say something between"


# Frame


@rule
def opening(notebook):
    first = notebook.cells[0]
    types = [cell.cell_type for cell in notebook.cells]
    before = notebook.cells[: types.index("code")]
    if first.cell_type != "markdown" or not first.source.startswith("# "):
        yield first, "expected a title, `# ...`, in the first cell"
    pictures = [re.search(r"!\[|<img", cell.source) for cell in before[:2]]
    if not any(pictures) and not any(map(figures, notebook.cells[:6])):
        yield first, "expected a picture with the title"
    prose = "\n".join(text(cell) for cell in before).replace("\u2019", "'")
    places = [prose.find(f"What you'll {what}") for what in ("do", "learn", "need")]
    if -1 in places or places != sorted(places):
        parts = "What you'll do, What you'll learn, What you'll need"
        yield first, f"expected {parts}, in this order, before the first code cell"
    n = len(re.findall(r"^\s*[-*] ", prose[places[1] : places[2]], re.MULTILINE))
    if not 3 <= n <= 5:
        yield first, f"What you'll learn lists {n} actions, expected 3 to 5"


@rule
def one_set_up_cell(notebook):
    cells = code(notebook)
    seeds = [cell for cell in cells if "set_random_seed(" in cell.source]
    trains = any(".fit(" in cell.source for cell in cells)
    for cell in cells[1:]:
        if has(cell, ast.Import, ast.ImportFrom):
            yield cell, "imports: all imports stand in the first code cell"
    if not cells or not has(cells[0], ast.Import, ast.ImportFrom):
        yield None, "expected the imports in the first code cell"
    elif trains and seeds != cells[:1]:
        yield cells[0], "expected the one keras.utils.set_random_seed(...) here"
    elif seeds and seeds != cells[:1]:
        yield seeds[-1], "sets a seed: the one seed stands in the first code cell"


@rule
def sections(notebook):
    seconds = [title for level, title, _ in headings(notebook) if level == 2]
    end = ["Check yourself", "Exercises", "Summary"]
    if is_door(notebook):
        end.remove("Exercises")
    if seconds[-len(end) :] != end:
        yield None, f"ends with the sections {seconds[-len(end) :]}, expected {end}"
    n = len(
        [title for title in seconds if title not in end and "What you" not in title]
    )
    if not is_door(notebook) and not 3 <= n <= 6:
        yield None, f"has {n} sections before its end, expected 3 to 6"


@rule
def heading_levels(notebook):
    before = 0
    for level, title, cell in headings(notebook):
        if level > before + 1:
            yield cell, f"the heading {title!r} skips a level"
        if level == 1 and before:
            yield cell, f"{title!r} is a second title: use `##`"
        before = level


@rule
def check_yourself(notebook):
    cells = [x for x in section(notebook, "Check yourself") if x.cell_type == "code"]
    if len(cells) != 1 or not has(cells[0], ast.Assert):
        yield None, "expected one code cell of asserts under Check yourself"
    for cell in cells:
        for node in ast.walk(tree(cell)):
            if isinstance(node, ast.Assert) and not node.msg:
                yield cell, f"line {node.lineno}: the assert has no message"


@rule
def exercises(notebook):
    answers = notebook.path.parent / "solutions" / notebook.path.name
    answered = answers.read_text("utf-8") if answers.exists() else ""
    numbers, stubs = [], 0
    for cell, following in pairwise([*notebook.cells, new_markdown_cell()]):
        found = re.search(r"^### Exercise (\d+): (.+)", cell.source, re.MULTILINE)
        if cell.cell_type == "code" or not found:
            continue
        numbers.append(int(found[1]))
        if not re.search(rf"## Exercise {found[1]}\b", answered):
            yield cell, f"has no `## Exercise {found[1]}` in solutions/{answers.name}"
        if "exercise" in tags(following):
            stubs += 1
            answer = f"answer_{found[1]} = "
            if f"\n{answer}..." not in f"\n{following.source}":
                yield following, f"expected `{answer}...` in the exercise's cell"
            if answer not in answered:
                yield cell, f"has no `{answer}` in solutions/{answers.name}"
        elif "explain" not in found[2]:
            yield cell, "expected a code cell tagged `exercise` after the exercise"
    if is_door(notebook):
        if numbers:
            yield None, "the first notebook has no exercises"
        return
    if len(numbers) < 3 or numbers != [*range(1, len(numbers) + 1)]:
        yield None, f"has the exercises {numbers}, expected [1, 2, 3] or more"
    reminder = f"dk.print_open_exercises(globals(), {stubs})"
    for cell in section(notebook, "Check yourself"):
        if cell.cell_type == "code" and not cell.source.endswith(reminder):
            yield cell, f"expected `{reminder}` as its last line"


@rule
def summary(notebook):
    prose = "\n".join(cell.source for cell in section(notebook, "Summary"))
    said = [x for x in prose.splitlines() if x.strip() and not x.startswith("#")]
    if not 3 <= len(said) <= 6:
        yield None, f"its Summary has {len(said)} lines, expected 3 to 5 and a link"
    if not re.search(r"[^!]\[[^]]+\]\([^)#]+\)", prose):
        yield None, "its Summary has no link onward"


@rule
def predict(notebook):
    cells, used, n = notebook.cells, [], 0
    for i, cell in enumerate(cells):
        begins = re.match(r"(#+ .*\n+)?[*_]*Predict\.", cell.source)
        if cell.cell_type == "code" or not begins:
            continue
        n += 1
        if not cell.source.rstrip("*_ \n").endswith("?"):
            yield cell, "a prediction ends in a question"
        guess, reveal, after = [*cells[i + 1 : i + 4], *[new_markdown_cell()] * 3][:3]
        used += [guess, reveal]
        if not guess.source.startswith("my_guess = ") or "predict" not in tags(guess):
            yield cell, "expected `my_guess = ...`, tagged `predict`, after it"
        if reveal.cell_type != "code" or "predict" not in tags(reveal):
            yield cell, "expected the revealing cell, tagged `predict`, after the guess"
        if not re.match(r"[*_]*What happened", after.source):
            yield cell, "expected `What happened` in prose after the revealing cell"
    for cell in cells:
        if "predict" in tags(cell) and not any(cell is x for x in used):
            yield cell, "is tagged `predict`, but no prediction goes before it"
    if not 2 <= n <= 4 and not is_door(notebook):
        yield None, f"asks for {n} predictions, expected 2 to 4"


# Code


@rule_for_all
def plain_python(notebook):
    for cell in code(notebook):
        try:
            nodes = [*ast.walk(ast.parse(cell.source))]
        except SyntaxError:
            yield cell, "is no plain Python: no `!` or `%` lines, no cell magics"
            continue
        texts = [x.value for x in nodes if isinstance(x, ast.Constant)]
        for value in texts:
            if isinstance(value, str) and re.match(r"(/|~|[A-Za-z]:[\\/])\w", value):
                yield cell, f"has an absolute path: {value!r}"
        if has(cell, ast.Global):
            yield cell, "uses `global`"
        if found := re.search(r"sys\.path|\bpip\b|get_ipython|NBVAL_\w+", cell.source):
            yield cell, f"uses {found[0]}"


@rule_for_all
def names_of_digitkit(notebook):
    for cell in notebook.cells:
        for name in re.findall(r"\bdk\.(\w+)", cell.source):
            if not hasattr(digitkit, name):
                yield cell, f"names dk.{name}, which digitkit does not have"


# Stored outputs


@rule_for_all
def metadata(notebook):
    if (name := notebook.metadata.get("kernelspec", {}).get("name")) != "python3":
        yield None, f"its kernel is {name!r}, expected 'python3': run.py notebooks"
    if "widgets" in notebook.metadata:
        yield None, "stores the state of widgets: run.py notebooks"


@rule_for_all
def stored_as_its_tag_says(notebook):
    expected = 1
    for cell in code(notebook):
        if unknown := tags(cell) - TAGS:
            yield cell, f"has the unknown tags {unknown}, expected some of {TAGS}"
        if tags(cell) & NOT_RUN:
            if cell.execution_count or cell.outputs:
                yield cell, "is stored as run, its tag says not run: run.py notebooks"
            continue
        if cell.execution_count != expected:
            yield cell, f"its count is {cell.execution_count}, expected {expected}"
        expected += 1
        if any(x.get("name") == "stderr" for x in cell.outputs):
            yield cell, "stores stderr: run.py notebooks"
        raised = any(x.output_type == "error" for x in cell.outputs)
        if raised != ("raises-exception" in tags(cell)):
            yield cell, "an error is stored if and only if tagged `raises-exception`"


@rule
def enough_is_compared(notebook):
    compared = [
        cell
        for cell in code(notebook)
        if cell.execution_count and VARIES not in tags(cell)
        if cell.outputs or has(cell, ast.Assert)
    ]
    if len(compared) < (expected := 2 if is_door(notebook) else 6):
        yield None, f"nbval compares {len(compared)} cells, expected {expected} or more"


@rule
def what_varies_is_said_and_bounded(notebook):
    cells, codes = notebook.cells, code(notebook)
    for i, cell in enumerate(cells):
        if cell.cell_type == "code" and VARIES in tags(cell):
            near = [x.source for x in cells[max(0, i - 2) : i + 3]]
            if not any("your numbers will differ a little" in x.lower() for x in near):
                yield cell, "varies: say 'your numbers will differ a little' beside it"
            place = next(k for k, x in enumerate(codes) if x is cell)
            if not any(has(x, ast.Assert) for x in codes[place + 1 : place + 3]):
                yield cell, "varies: assert a bound in one of the next two code cells"


@rule_for_all
def small_figures(notebook):
    for cell in code(notebook):
        if (size := max(map(len, figures(cell)), default=0)) > LARGEST_FIGURE:
            yield (
                cell,
                f"its figure has {size} bytes, expected {LARGEST_FIGURE} or less",
            )


@rule
def figures_end_and_are_told(notebook):
    for cell, after in pairwise([*notebook.cells, new_code_cell()]):
        if figures(cell):
            if VARIES not in tags(cell) and not cell.source.rstrip().endswith(";"):
                yield cell, "draws a figure: its last line ends with `;`"
            if after.cell_type != "markdown" or after.source.startswith("#"):
                yield cell, "draws a figure: say in words below it what it shows"


# For everyone


@rule_for_all
def seen_in_the_dark_too(notebook):
    for cell in code(notebook):
        for figure in figures(cell):
            picture = Image.open(io.BytesIO(figure)).convert("RGBA")
            corners = {picture.getpixel((x, 0)) for x in (0, picture.width - 1)}
            if corners != {(255, 255, 255, 255)}:
                yield cell, f"its figure's edge is {corners}, expected white"


@rule_for_all
def nothing_by_colour_alone(notebook):
    for cell in markdown(notebook):
        if found := re.search(COLOURED, text(cell), re.IGNORECASE):
            yield cell, f"points by colour, {found[0]!r}: name a place, shape or label"


# Links


@rule_for_all
def links_and_pictures(notebook):
    for cell in markdown(notebook):
        links = re.findall(r"(!?)\[([^]]*)\]\(([^)\s]+)[^)]*\)", text(cell))
        for tag in re.findall(r"<img\b[^>]*>", text(cell)):
            found = dict(re.findall(r'(\w+)="([^"]*)"', tag))
            links.append(("!", found.get("alt", ""), found.get("src", "")))
        for picture, words, target in links:
            place = notebook.path.parent / unquote(target.partition("#")[0])
            place = place.resolve()
            if picture and not words.strip():
                yield cell, f"the picture {target} has no alt text"
            if picture and place.parent.name != "images":
                yield cell, f"the picture {target} does not lie in notebooks/images"
            if not re.match(r"https?://|mailto:", target) and not place.exists():
                yield cell, f"{target} does not exist"
