"""The package's shape: who imports whom, how long modules are, what is public."""

import ast
import doctest
import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import digitkit

PACKAGE = Path(digitkit.__file__).parent
LIMIT = 200  # lines of a module

# What each module may import besides the standard library: at its top, and inside
# functions only. A change here is a change of the design: give its reason beside it.
KERAS = {"keras"}
TABLE = {
    "__init__": (set(), set()),  # names are loaded on first use, by importlib
    "places": (set(), set()),
    "exercises": (set(), set()),
    "ink": ({"numpy"}, set()),
    # Apart from ink and data, which would be too long for one sitting with them.
    "pictures": ({"numpy", "PIL", "ink"}, set()),
    # Fetches and reads; apart from data, which would be too long with it.
    "files": ({"numpy"}, set()),
    "standin": ({"numpy", "ink"}, {"scipy"}),  # scipy: its B-splines
    # No keras: its get_file has no time-out, and importing TensorFlow to read a file
    # costs seconds. ink: the stand-in's cache is named by the sources that draw it.
    "data": ({"numpy", "places", "standin", "ink", "files"}, set()),
    "networks": ({"numpy", "places"}, KERAS),
    "scoring": ({"numpy"}, {"sklearn"}),
    "plots": ({"numpy", "matplotlib"}, set()),
    # Apart from plots, which would be too long with it.
    "score_plots": ({"numpy", "plots"}, set()),
    # matplotlib inside: the command line shows a bar and loads none.
    "progress": (set(), KERAS | {"matplotlib", "plots", "IPython"}),
    # Apart from training, which would be too long with it. data: the stand-in's digits
    # that are mixed in are scaled as the others are.
    "augmentation": ({"numpy", "standin", "nondigits", "data"}, KERAS),
    # Apart from standin, which is to be read in one sitting.
    "nondigits": ({"numpy", "standin", "ink"}, set()),
    # tensorflow: Keras has no word for determinism.
    "training": (
        {"networks", "augmentation", "data", "checkpoint"},
        KERAS | {"tensorflow"},
    ),
    # Apart from training, which would be too long with it.
    "checkpoint": ({"numpy", "places"}, KERAS),
    "inside": ({"numpy"}, KERAS | {"tensorflow"}),  # gradients: keras.ops has none
    "drawings": ({"numpy", "ink", "places"}, set()),
    # Apart from paper, which would be too long with it.
    "hand": ({"numpy"}, set()),
    "paper": ({"numpy", "ipywidgets", "ipycanvas", "ink", "hand"}, set()),
    # pictures: that of the image that the network sees.
    "drawing_pad": (
        {"numpy", "pictures", "ipywidgets", "ink", "paper", "networks", "drawings"},
        set(),
    ),
    # Apart from drawings, which would be too long with it.
    "collection": ({"numpy", "drawings"}, set()),
    # drawing_pad: its buttons, its look and its help. numpy: the order of the digits.
    "collecting_pad": (
        {"numpy", "ipywidgets", "paper", "drawings", "drawing_pad", "places"},
        set(),
    ),
}
THIRD_PARTY = {"numpy", "scipy", "PIL", "matplotlib", "sklearn", "keras"}
WIDGETS = {"IPython", "ipywidgets", "ipycanvas", "jupyter_core"}
ALL = THIRD_PARTY | WIDGETS | set(TABLE) | {"runtime"}
TABLE["runtime"] = (set(), ALL | {"packaging"})  # it checks that each can be imported
TABLE["__main__"] = (
    {"data", "networks", "pictures", "places", "progress", "runtime", "training"},
    KERAS,
)
NOT_YET = set()
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py"))


def imports(source):
    """Return the names that a module imports at its top, and those inside functions."""
    found = {True: set(), False: set()}

    def visit(node, top):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            dots = "digitkit." if node.level else ""
            module = f"{dots}{node.module or ''}".rstrip(".")
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            names = []
        for name in names:
            first, *rest = name.split(".")
            found[top].add(rest[0] if first == "digitkit" and rest else first)
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, top and not inside)

    visit(ast.parse(source), True)
    return found[True] - sys.stdlib_module_names, found[False] - sys.stdlib_module_names


def not_allowed(module, source):
    """Return what a module of this name and source imports against the table."""
    at_top, inside = imports(source)
    top_allowed, inside_allowed = TABLE[module]
    wrong = [f"{name}, at its top" for name in at_top - top_allowed]
    return wrong + [f"{name}" for name in inside - top_allowed - inside_allowed]


@pytest.mark.parametrize("module", MODULES)
def test_imports_follow_the_table(module):
    assert module in TABLE, f"digitkit/{module}.py is not in the table of this test"
    wrong = not_allowed(module, (PACKAGE / f"{module}.py").read_text("utf-8"))
    assert not wrong, f"digitkit/{module}.py may not import {'; '.join(wrong)}"


@pytest.mark.parametrize(
    ("module", "source", "wrong"),
    [
        ("places", "import os, pathlib", []),
        ("places", "import numpy.linalg as la", ["numpy, at its top"]),
        ("ink", "from .standin import draw_images", ["standin, at its top"]),
        ("ink", "from . import standin", ["standin, at its top"]),
        ("ink", "def f():\n    import digitkit.data", ["data"]),
        ("ink", "from digitkit import data", ["data, at its top"]),
        ("networks", "def f():\n    from keras import layers", []),
        ("networks", "if True:\n    import keras", ["keras, at its top"]),
        ("networks", "class A:\n    import keras", ["keras, at its top"]),
        ("networks", "def f():\n    import tensorflow as tf", ["tensorflow"]),
        ("__main__", "def f():\n    import tensorflow", ["tensorflow"]),
        ("data", "def f():\n    import keras", ["keras"]),
    ],
)
def test_the_table_is_enforced(module, source, wrong):
    assert not_allowed(module, source) == wrong


def test_no_module_of_the_table_is_missing():
    assert set(TABLE) - set(MODULES) <= NOT_YET


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_read_in_one_sitting(module):
    lines = (PACKAGE / f"{module}.py").read_text("utf-8").count("\n")
    assert lines <= LIMIT, f"digitkit/{module}.py has {lines} lines, at most {LIMIT}"


def test_the_stand_in_is_short_enough_to_add_a_seven_to():
    assert (PACKAGE / "standin.py").read_text("utf-8").count("\n") <= 180


def test_importing_digitkit_is_quick_and_light():
    program = (
        "import sys, time; begun = time.perf_counter(); import digitkit as dk; "
        "dir(dk); print(time.perf_counter() - begun, *sys.modules)"
    )
    seconds = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
            capture_output=True,
            text=True,
            check=True,
        )
        took, *loaded = done.stdout.split()
        seconds.append(float(took))
        assert not {"tensorflow", "keras", "sklearn", "matplotlib"} & set(loaded)
    assert min(seconds) < 1  # the machine may be busy


# What is public


def test_public_names_are_there():
    assert digitkit.__all__
    assert set(digitkit.__all__) <= set(dir(digitkit))
    for name in digitkit.__all__:
        getattr(digitkit, name)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = digitkit.no_such_name


def lacks(function):
    """List what the docstring of a public function or class lacks."""
    docstring = inspect.getdoc(function) or ""
    summary, _, rest = docstring.partition("\n")
    if not summary.endswith("."):
        return ["one line that ends in a full stop"]
    lacking = []
    parameters = [
        name for name in inspect.signature(function).parameters if name != "self"
    ]
    if parameters and "Parameters\n---" not in rest:
        lacking.append("Parameters")
    elif unnamed := [name for name in parameters if name not in rest]:
        lacking.append(f"{', '.join(unnamed)} among the Parameters")
    if inspect.isclass(function):
        return lacking
    tree = ast.parse(inspect.cleandoc("\n" + inspect.getsource(function)))
    gives = any(
        isinstance(node, ast.Return | ast.Yield) and node.value for node in _own(tree)
    )
    told = "Returns\n---" in rest or "Yields\n---" in rest
    if gives and not told and not summary.startswith("Return"):
        lacking.append("Returns")
    return lacking


def _own(tree):
    """Walk a function's own nodes, not those of functions inside it."""
    todo = list(tree.body[0].body)
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda):
            todo.extend(ast.iter_child_nodes(node))


def test_public_functions_say_what_they_take_and_give():
    public = {name: getattr(digitkit, name) for name in digitkit.__all__}
    lacking = [
        f"{name} lacks {' and '.join(what)}"
        for name, x in public.items()
        if callable(x) and (what := lacks(x))
    ]
    assert not lacking, "\n".join(lacking)


def test_lacking_docstrings_are_found():
    def silent(image):
        return image

    def short(image):
        """Give it back."""
        return image

    def half(image, ax=None):
        """Give it back.

        Parameters
        ----------
        image : (28, 28)
        """

    assert lacks(silent) == ["one line that ends in a full stop"]
    assert lacks(short) == ["Parameters", "Returns"]
    assert lacks(half) == ["ax among the Parameters"]


@pytest.mark.parametrize(
    "name",
    ["ink.to_image", "files.replacing", "data.to_unit", "scoring", "pictures"],
)
def test_docstrings_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module, _, function = name.partition(".")
    module = importlib.import_module(f"digitkit.{module}")
    looked_at = getattr(module, function) if function else module
    tests = doctest.DocTestFinder().find(looked_at, globs=vars(module).copy())
    results = [doctest.DocTestRunner().run(test) for test in tests]
    assert sum(result.attempted for result in results)
    assert not sum(result.failed for result in results)
