"""The README is true where a machine can tell, and short."""

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_it_names_every_notebook_and_no_other():
    named = set(re.findall(r"\]\(notebooks/(\w+)\.ipynb\)", README))
    assert named == {path.stem for path in (ROOT / "notebooks").glob("0*.ipynb")}


def test_it_names_every_module_and_no_other():
    section = README.partition("## Where is the code")[2]
    named = set(re.findall(r"`(\w+)\.py`", section))
    modules = {path.stem for path in (ROOT / "digitkit").glob("*.py")}
    assert named == modules - {"__init__"}


def test_what_it_points_to_is_there():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
    for path in re.findall(r"`python ((?:benchmarks|tools)/\w+\.py)", README):
        assert (ROOT / path).exists(), path


@pytest.mark.slow
def test_its_lines_of_python_give_what_it_says():
    lines = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    test = doctest.DocTestParser().get_doctest(lines, {}, "README.md", None, 0)
    assert doctest.DocTestRunner().run(test) == (0, 6)
