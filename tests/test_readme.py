"""README, CONTRIBUTING and docs are true where a machine can tell."""

import doctest
import re
from pathlib import Path

import pytest

import run

ROOT = Path(__file__).parent.parent
TEXTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
README, TEACHING = ROOT / "README.md", ROOT / "docs/teaching.md"
MORE = [
    *ROOT.glob("notebooks/**/*.ipynb"),
    *ROOT.glob(".github/workflows/*.yml"),
    *(ROOT / name for name in ("pyproject.toml", "constraints.txt", ".ci/run")),
]


def name(path):
    return path.name


def anchors(path):
    """Return what a link to a heading of a text may be."""
    headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", x.lower()).replace(" ", "-") for x in headings}


@pytest.mark.parametrize("text", TEXTS, ids=name)
def test_links_lead_somewhere(text):
    for target in re.findall(r"\]\(([^)]+)\)", text.read_text("utf-8")):
        if not target.startswith("https://"):
            path, _, anchor = target.partition("#")
            place = text.parent / path if path else text
            assert place.exists(), target
            assert not anchor or anchor in anchors(place), target


@pytest.mark.parametrize("text", TEXTS + MORE, ids=name)
def test_commands_exist(text):
    source = text.read_text("utf-8")
    commands = re.findall(r"py(?:thon)?[\d.]* run\.py ([\w-]+)", source)
    assert set(commands) <= set(run.COMMANDS)
    for path in re.findall(r"\b((?:benchmarks|tools)/\w+\.\w+)\b", source):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize(
    ("text", "pattern"),
    [(README, r"\]\(notebooks/(\d\d)_\w+\.ipynb\)"), (TEACHING, r"^\*\*(\d\d) ")],
    ids=["README", "teaching"],
)
def test_every_notebook_is_described(text, pattern):
    numbers = [path.name[:2] for path in sorted((ROOT / "notebooks").glob("0*.ipynb"))]
    assert re.findall(pattern, text.read_text("utf-8"), re.MULTILINE) == numbers


@pytest.mark.slow
def test_the_lines_of_python_give_what_the_readme_says():
    lines = re.search(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)[1]
    test = doctest.DocTestParser().get_doctest(lines, {}, "README.md", None, 0)
    assert doctest.DocTestRunner().run(test) == (0, 6)
