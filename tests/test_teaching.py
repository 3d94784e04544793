"""What docs/teaching.md says to type and to open is there."""

import re
from pathlib import Path

import run

ROOT = Path(__file__).parent.parent
TEACHING = (ROOT / "docs/teaching.md").read_text(encoding="utf-8")


def test_it_speaks_of_every_notebook():
    numbers = [path.name[:2] for path in sorted((ROOT / "notebooks").glob("0*.ipynb"))]
    assert re.findall(r"^\*\*(\d\d) ", TEACHING, re.MULTILINE) == numbers


def test_its_links_and_commands_exist():
    headings = re.findall(r"^## (.+)$", TEACHING, re.MULTILINE)
    anchors = {"#" + title.lower().replace(" ", "-") for title in headings}
    for target in re.findall(r"\]\(([^)]+)\)", TEACHING):
        if target.startswith("#"):
            assert target in anchors
        elif not target.startswith("https://"):
            assert (ROOT / "docs" / target.partition("#")[0]).exists(), target
    commands = re.findall(r"python run\.py (\w+)", TEACHING)
    assert commands and set(commands) <= set(run.COMMANDS)
