"""The figures and the words that describe them: labels, ticks, lines; never pixels."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import digitkit
from digitkit import alt_text, plots

TEN = [str(digit) for digit in range(10)]
IMAGE = np.linspace(0, 1, 784).reshape(28, 28)
DRAWING = [[(0, 0), (10, 0), (3, 20)], [(2, 9), (8, 9)]]
CONFUSION = np.diag(range(10))
CONFUSION[4, 9] = 7
ACCURACY = np.linspace(0.8, 0.89, 10)
SURE, RIGHT = np.array([0.7, 0.9]), np.array([0.8, 0.95])
FIGURES = [  # a function, what it is given, and the labels of its axes
    ("show_image", [IMAGE], "column", "row"),
    ("show_strokes", [DRAWING], "x", "y"),
    ("plot_counts", [np.arange(10)], "digit", "images"),
    ("plot_probabilities", [np.full(10, 0.1)], "digit", "probability"),
    ("plot_history", [{"loss": [2, 1]}], "epoch", "loss"),
    ("plot_confusion", [CONFUSION], "predicted digit", "true digit"),
    ("plot_accuracies", [ACCURACY, ACCURACY, ACCURACY], "digit", "accuracy"),
    ("plot_calibration", [SURE, RIGHT], "how sure it was", "how often it was right"),
]


@pytest.fixture(autouse=True)
def closed():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def texts(artists):
    return [artist.get_text() for artist in artists]


@pytest.mark.parametrize(("name", "given", "across", "up"), FIGURES)
def test_axes_are_labelled_and_those_that_are_given(name, given, across, up):
    plot = getattr(digitkit, name)
    ax = plot(*given)
    assert (ax.get_xlabel(), ax.get_ylabel()) == (across, up)
    assert "a figure" not in alt_text.figure_to_html(ax.figure)  # it can be drawn
    _, (other, mine) = plt.subplots(1, 2)
    assert plot(*given, ax=mine) is mine
    assert not other.has_data()


def test_images_stand_in_a_grid_with_their_titles():
    images = np.stack([IMAGE * brightness for brightness in range(1, 8)])
    fig = plots.show_images(images, titles="abcdefg", columns=3)
    for i, (ax, image) in enumerate(zip(fig.axes[:7], images, strict=True)):
        assert ax.get_title() == "abcdefg"[i]
        np.testing.assert_array_equal(ax.images[0].get_array(), image)
        place = ax.get_subplotspec()
        assert (place.rowspan.start, place.colspan.start) == divmod(i, 3)
    assert not any(ax.has_data() for ax in fig.axes[7:])
    assert not any(ax.axison for ax in fig.axes)
    fig = plots.show_images([IMAGE, IMAGE])
    assert len(fig.axes) == 2  # few fill their row
    assert alt_text.describe(fig) == "2 images, 2 in a row"


@pytest.mark.parametrize(
    ("image", "white", "black"),  # 0 is white; gray if there are negative numbers
    [(IMAGE, 0, 1), (IMAGE + 1, 0, 2), (IMAGE - 0.25, -0.75, 0.75)],
)
def test_zero_is_paper_and_the_most_is_ink(image, white, black):
    [ax] = plots.show_images([image]).axes
    assert ax.images[0].get_clim() == (white, black)
    colours = ax.images[0].to_rgba(np.array([[white, black]], float))[0, :, :3]
    np.testing.assert_allclose(colours, [[1, 1, 1], [0, 0, 0]])
    assert plots.show_image(image).images[0].get_clim()[0] == 0


def test_strokes_are_numbered_lines_with_y_downwards():
    ax = plots.show_strokes(DRAWING, title="a 7")
    assert ax.get_title() == "a 7"
    lines, starts = ax.lines[::2], ax.lines[1::2]
    for line, start, stroke in zip(lines, starts, DRAWING, strict=True):
        np.testing.assert_array_equal(line.get_xydata(), stroke)
        np.testing.assert_array_equal(start.get_xydata(), stroke[:1])
    assert texts(ax.texts) == ["1", "2"]
    assert ax.yaxis_inverted()
    assert ax.get_aspect() == 1


def test_bars_are_as_high_as_their_numbers_and_the_highest_stands_out():
    shares = [0.001, 0, 0.2, 0, 0, 0, 0, 0.75, 0.049, 0]
    for plot in (plots.plot_counts, plots.plot_probabilities):
        ax = plot(shares)
        assert [bar.get_height() for bar in ax.patches] == shares
        assert texts(ax.get_xticklabels()) == TEN
        assert ax.get_ylim()[0] == 0
    colours = [bar.get_facecolor() for bar in ax.patches]
    assert [digit for digit in range(10) if colours.count(colours[digit]) == 1] == [7]
    assert texts(ax.texts) == ["", "", "20 %", "", "", "", "", "75 %", "5 %", ""]


def test_history_has_a_curve_for_each_part():
    history = {"when": [0.5, 1, 1.5, 2], "accuracy": [0.9911, 0.9912, 0.9913, 0.9914]}
    history["val_accuracy"] = [0.9912, 0.9914]  # at the end of each epoch
    ax = plots.plot_history(history, "accuracy")
    training, validation = ax.lines
    assert training.get_xdata().tolist() == history["when"]
    assert training.get_ydata().tolist() == history["accuracy"]
    assert validation.get_xydata().tolist() == [[1, 0.9912], [2, 0.9914]]
    assert texts(ax.get_legend().get_texts()) == ["training", "validation"]
    assert training.get_linestyle() != validation.get_linestyle()  # not colour alone
    ax = plots.plot_history({"loss": [0.99102, 0.99101]})
    assert [line.get_xdata().tolist() for line in ax.lines] == [[1, 2]]
    ax.figure.canvas.draw()
    assert ax.yaxis.get_offset_text().get_text() == ""  # nothing is to be added
    with pytest.raises(ValueError, match=r"no 'error' in the history: .*'when'"):
        plots.plot_history(history, "error")


def test_the_true_digit_is_on_rows():
    ax = plots.plot_confusion(CONFUSION)
    assert texts(ax.get_xticklabels()) == texts(ax.get_yticklabels()) == TEN
    written = {text.get_position(): text.get_text() for text in ax.texts}
    assert written.pop((9, 4)) == "7"  # x is the predicted digit, y the true one
    right = {(digit, digit): str(digit) for digit in range(1, 10)}
    assert {place: text for place, text in written.items() if text} == right
    assert ax.yaxis_inverted()  # 0 is at the top
    assert np.argwhere(ax.images[0].get_array()).tolist() == [[4, 9]]  # mistakes alone
    assert alt_text.describe(ax.figure).endswith("most mistakes: 4 read as 9: 7")


def test_each_dot_has_its_range():
    ax = plots.plot_accuracies(ACCURACY, ACCURACY - 0.1, ACCURACY + 0.02)
    dots, _, (bars,) = ax.containers[0]
    np.testing.assert_allclose(dots.get_ydata(), ACCURACY)
    for value, bar in zip(ACCURACY, bars.get_segments(), strict=True):
        np.testing.assert_allclose(bar[:, 1], [value - 0.1, value + 0.02])


def test_two_calibrations_are_told_apart_without_colours():
    ax = plots.plot_calibration(SURE, RIGHT)
    plots.plot_calibration(SURE, SURE, label="scaled", ax=ax)
    _, first, second = ax.lines
    np.testing.assert_array_equal(first.get_xydata(), np.transpose([SURE, RIGHT]))
    assert first.get_marker() != second.get_marker()
    words = ["calibrated", "as trained", "scaled"]
    assert texts(ax.get_legend().get_texts()) == words


def test_a_figure_is_described_in_words():
    fig, (left, middle, right) = plt.subplots(1, 3)
    left.plot([0, 1, 2, 3], [2, 1, 5, 3], label="loss")
    left.plot([1], [2], "o")
    left.set(title="a run", xlabel="epoch", yscale="log")
    middle.barh(["cat", "dog"], [1, 2.5])
    middle.scatter([1, 2], [1, 2])
    middle.scatter([1], [2])
    right.imshow(np.eye(3))
    right.bar(range(20), range(20))
    for _ in range(14):
        right.axhline()
    assert alt_text.describe(fig) == (
        "a run; x axis: epoch; y axis: logarithmic; loss from (0, 2) to (3, 3), lowest "
        "at (1, 1), highest at (2, 5); a mark at (1, 2). "
        "2 bars to (1, cat), (2.5, dog); 3 points in 2 groups. "
        "an image of 3 by 3 pixels; 20 bars, the longest to (19, 19)"
        f"{12 * '; a line'}; 2 more lines"
    )


def test_figures_are_shown_with_their_words(monkeypatch):
    fig = plots.show_images([IMAGE, IMAGE], titles=['a "3"', "a 5"])
    words = "2 images: a &quot;3&quot;; a 5"
    image = f'<img alt="{words}" src="data:image/png;base64,'
    assert alt_text.figure_to_html(fig).startswith(image)
    monkeypatch.setattr(alt_text, "describe", None)  # raises when it is called
    assert alt_text.figure_to_html(fig).startswith('<img alt="a figure" src=')
    assert alt_text.figure_to_html(plt.figure()) is None  # it is empty
