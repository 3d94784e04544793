"""The house: rooms use each other downwards only, and the public names are there."""

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
# Lowest first: a room uses only those before it. README lists them from the top.
ROOMS = [
    *("files", "ink", "exercises", "scoring", "alt_text", "plots", "stand_in"),
    *("data", "drawings", "paper", "networks", "inside", "callbacks", "training"),
    *("pad", "machine", "__main__"),
]
# Libraries that take long to load: only inside functions, except in the rooms named.
HEAVY = {
    "tensorflow": (),
    "keras": (),
    "sklearn": (),
    "scipy": (),
    "matplotlib": ("alt_text", "plots"),
    "IPython": ("alt_text",),
    "ipywidgets": ("pad",),
    "ipycanvas": ("pad",),
}


def room_of(path):
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path):
    """Yield (what a file imports, whether that is at its top) with rooms as ".room"."""
    tree = ast.parse(path.read_text("utf-8"))
    at_top = {id(node) for node in tree.body}
    depth = len(path.relative_to(PACKAGE).parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module.partition(".")[0]]
        elif isinstance(node, ast.ImportFrom) and node.level == depth:
            full = [f"{node.module or ''}.{alias.name}" for alias in node.names]
            names = ["." + name.strip(".").partition(".")[0] for name in full]
        else:  # within pad/
            names = []
        for name in names:
            assert name != "digitkit", f"{path} should import with dots"
            yield name, id(node) in at_top


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=room_of)
def test_rooms_use_those_below_them(path):
    room = room_of(path)
    below = ROOMS[: ROOMS.index(room)]
    for name, at_top in imports(path):
        if name.startswith("."):
            assert name[1:] in below, f"{room} may not use {name[1:]}"
        elif at_top and name in HEAVY:
            assert room in HEAVY[name], f"{room} loads {name} before it is needed"


def test_readme_lists_the_rooms_from_top_to_bottom():
    readme = (PACKAGE.parent / "README.md").read_text("utf-8")
    readme = readme.partition("## Where is the code")[2]
    places = [readme.index(f"`{room}") for room in ROOMS]
    assert places == sorted(places, reverse=True)


def test_tensorflow_is_named_where_keras_has_no_word_for_it():
    named = {room_of(p) for p in FILES if ("tensorflow", False) in imports(p)}
    assert named == {"inside", "training"}  # gradients; determinism


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
        assert not {*HEAVY, "numpy", "cv2", "PIL", "pooch"} & set(loaded)
    assert min(seconds) < 1  # the machine may be busy


@pytest.mark.parametrize("name", digitkit.__all__)
def test_public_names_are_there_and_explained(name):
    public = getattr(digitkit, name)
    if callable(public):
        docstring = inspect.getdoc(public)
        assert docstring and docstring.splitlines()[0].endswith(".")
        for parameter in inspect.signature(public).parameters:
            assert parameter in docstring, f"{name} does not explain {parameter}"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = digitkit.no_such_name


SCRIPT = """
import digitkit as dk

(x_train, y_train), test = dk.load_mnist()
model = dk.build_cnn(filters=(8, 8), step=1)
dk.save_network(model, "x.keras")
pad = dk.DrawingPad(dk.predictor(dk.load_network("shipped")))
dk.plot_probabilities(dk.to_image([[(0, 0)]]), ax=None)
dk.save_drawing([[(0, 0), (1, 1)]], 1)
pad.add_stroke([(0.1, 0.1)])
dk.grad_cam(model, dk.image_to_url, digit=3)
"""


def test_editors_know_names_and_signatures(tmp_path):
    wrong = "dk.build_cnn(filter=3)\ndk.no_such_name\n"
    (tmp_path / "lesson.py").write_text(SCRIPT + wrong)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--follow-imports=silent", "lesson.py"],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
    )
    first, second = [x for x in done.stdout.splitlines() if ": error: " in x]
    assert 'Unexpected keyword argument "filter"' in first, done.stdout
    assert 'Module has no attribute "no_such_name"' in second


@pytest.mark.parametrize(
    ("module", "function"),
    [
        ("ink", "to_image"),
        ("files", "replacing"),
        ("data", "to_unit"),
        ("scoring", ""),
        ("drawings", ""),
        ("pad.drawing_pad", ""),
        ("pad.collecting_pad", ""),
    ],
)
def test_docstrings_examples(module, function, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(f"digitkit.{module}")
    looked_at = getattr(module, function) if function else module
    tests = doctest.DocTestFinder().find(looked_at, globs=vars(module).copy())
    results = [doctest.DocTestRunner().run(test) for test in tests]
    assert sum(result.attempted for result in results)
    assert not sum(result.failed for result in results)
