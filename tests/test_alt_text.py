"""Alt text: the words for a figure say what it shows."""

import base64
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest

from digitkit import alt_text, plots


def image(ax):
    ax.imshow(np.zeros((28, 20)))
    ax.set(title="a digit", xlabel="column", ylabel="row")


def a_peak_and_a_pit(ax):
    ax.plot([1, 2, 3, 4], [2, 5, 0.123456, 3], label="loss")
    ax.set_yscale("symlog")


def horizontal_bars(ax):
    ax.barh(["cat", "dog"], [2, 1])


def many_lines(ax):
    for i in range(14):
        ax.plot([0, 1], [i, i])


def points(ax):
    ax.scatter([0, 1], [0, 1])
    ax.scatter([2], [2])


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (image, "a digit; x axis: column; y axis: row; an image of 28 by 20 pixels"),
        (
            a_peak_and_a_pit,
            "loss from (1, 2) to (4, 3), lowest at (3, 0.1235), highest at (2, 5)",
        ),
        (
            lambda ax: ax.set_yscale("log") or ax.plot([1]),
            "y axis: logarithmic; a mark at (0, 1)",
        ),
        (lambda ax: ax.plot([3], [4], "o", label="best"), "best at (3, 4)"),
        (lambda ax: ax.plot([0, np.nan, 2]), "a line from (0, 0) to (2, 2)"),
        (lambda ax: ax.plot([]) and ax.axhline(1, label="chance"), "a line; chance"),
        (lambda ax: ax.bar([7], [0.5]), "1 bar to (7, 0.5)"),
        (horizontal_bars, "2 bars to (2, cat), (1, dog)"),
        (
            lambda ax: ax.bar(range(20), range(20)),
            "20 bars, the longest to (19, 19)",
        ),
        (points, "3 points in 2 groups"),
        (many_lines, "a line from (0, 11) to (1, 11); 2 more lines"),
        (lambda ax: ax.plot([1]) and ax.set_label("my own words"), "my own words"),
        (lambda ax: ax.axis("off"), "a figure"),
    ],
)
def test_words_of_one_plot(draw, words):
    fig, ax = plt.subplots()
    draw(ax)
    assert alt_text.describe(fig).endswith(words)


def test_words_of_a_figure_with_several_parts():
    fig = plots.show_images(np.zeros((3, 28, 28)), titles=["a 3", "a 5", "an 8"])
    fig.suptitle("mistakes")
    assert alt_text.describe(fig) == "mistakes. 3 images: a 3; a 5; an 8"
    fig.set_label("three digits")
    assert alt_text.describe(fig) == "three digits"


def test_html_is_escaped_and_shows_the_figure():
    fig, ax = plt.subplots()
    ax.plot([1, 2], label='B & "<b>"')
    shown = re.fullmatch(
        r'<img alt="(.+)" src="(.+),(.+)">', alt_text.figure_to_html(fig)
    )
    assert shown[1].startswith("B &amp; &quot;&lt;b&gt;&quot; from")
    assert shown[2] == "data:image/png;base64"
    assert base64.b64decode(shown[3]).startswith(b"\x89PNG")


def test_a_figure_without_words_is_shown_all_the_same(monkeypatch):
    def fails(fig):
        raise TypeError

    monkeypatch.setattr(alt_text, "describe", fails)
    fig, ax = plt.subplots()
    ax.plot([1, 2])
    assert '<img alt="a figure" src=' in alt_text.figure_to_html(fig)


def test_an_empty_figure_is_not_shown():
    assert alt_text.figure_to_html(plt.figure()) is None
