"""The pads' page: the HTML and CSS files of this folder, ready to be filled in."""

from importlib.resources import files
from string import Template


def _read(name):
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


ANSWER, BAR, PROGRESS = map(
    Template, map(_read, ("answer.html", "bar.html", "progress.html"))
)


def look_and_keys(more=""):
    """Return how the pads look, and the help for those who draw with the keys.

    Parameters
    ----------
    more : str
        Another entry for the list of keys, as ``<li>``.
    """
    keys = Template(_read("keys.html")).substitute(more=more)
    return f"<style>{_read('style.css')}</style>{keys}"
