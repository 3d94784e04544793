"""The figures: labels, ticks and what is drawn; never pixels."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Text

import digitkit
from digitkit import plots

TEN = [str(digit) for digit in range(10)]
IMAGE = np.linspace(0, 1, 784).reshape(28, 28)
DRAWING = [[(0, 0), (10, 0), (3, 20)], [(2, 9), (8, 9)]]
HISTORY = {
    "loss": [0.5, 0.2, 0.1],
    "val_loss": [0.4, 0.3, 0.2],
    "accuracy": [0.8, 0.9, 0.95],
    "val_accuracy": [0.85, 0.9, 0.92],
}
CONFUSION = np.diag(np.arange(10, 20))
CONFUSION[4, 9] = 7
ACCURACY = np.linspace(0.8, 0.89, 10)
SURE, RIGHT = np.array([0.7, 0.9]), np.array([0.8, 0.95])
FIGURES = {  # what each function is given, and the labels of its axes
    "show_image": ([IMAGE], "column", "row"),
    "show_strokes": ([DRAWING], "x", "y"),
    "plot_counts": ([np.arange(10)], "digit", "images"),
    "plot_probabilities": ([np.full(10, 0.1)], "digit", "probability"),
    "plot_history": ([HISTORY], "epoch", "loss"),
    "plot_confusion": ([CONFUSION], "predicted digit", "true digit"),
    "plot_accuracies": (
        [ACCURACY, 0.8 * ACCURACY, 1.1 * ACCURACY],
        "digit",
        "accuracy",
    ),
    "plot_calibration": ([SURE, RIGHT], "how sure it was", "how often it was right"),
}


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


@pytest.mark.parametrize("name", FIGURES)
def test_axes_are_labelled_and_returned(name):
    given, across, up = FIGURES[name]
    ax = getattr(digitkit, name)(*given)
    assert (ax.get_xlabel(), ax.get_ylabel()) == (across, up)
    ax.figure.canvas.draw()  # whatever is wrong with it would raise


@pytest.mark.parametrize("name", FIGURES)
def test_axes_that_are_given_are_used(name):
    _, axes = plt.subplots(1, 2)
    assert getattr(digitkit, name)(*FIGURES[name][0], ax=axes[1]) is axes[1]
    assert not axes[0].has_data()
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize("name", ["plot_counts", "plot_probabilities"])
def test_each_digit_has_its_tick(name):
    ax = getattr(digitkit, name)(*FIGURES[name][0])
    assert ticks(ax.xaxis) == TEN


def test_every_plot_is_tested_here():
    names = [*vars(plots)]
    public = {n for n in names if n.startswith(("plot_", "show_"))}
    assert public - {"show_images"} == set(FIGURES)


def test_images_stand_in_a_grid_with_their_titles():
    images = np.stack([IMAGE * brightness / 7 for brightness in range(7)])
    fig = plots.show_images(images, titles="abcdefg", columns=3)
    shown = [ax for ax in fig.axes if ax.images]
    assert len(shown) == 7
    assert [ax.get_title() for ax in shown] == list("abcdefg")
    for ax, image in zip(shown, images, strict=True):
        np.testing.assert_array_equal(ax.images[0].get_array(), image)
    rows = {ax.get_subplotspec().rowspan.start for ax in shown}
    columns = {ax.get_subplotspec().colspan.start for ax in shown}
    assert (rows, columns) == ({0, 1, 2}, {0, 1, 2})
    assert not any(ax.axison for ax in fig.axes)


def test_of_signed_numbers_gray_is_zero():
    fig = plots.show_images([IMAGE - 0.25, IMAGE[:3, :5], np.zeros((2, 2))])
    signed, unsigned, blank = (ax.images[0] for ax in fig.axes)
    assert signed.get_clim() == (-0.75, 0.75)
    gray = signed.to_rgba(np.array([[-0.75, 0, 0.75]]))[0, :, 0]
    np.testing.assert_allclose(gray, [1, 0.5, 0], atol=0.01)
    assert unsigned.get_clim() == (0, IMAGE[2, 4])
    assert (blank.to_rgba(blank.get_array()) == 1).all()  # nothing is white


def test_few_images_fill_their_row():
    fig = plots.show_images([IMAGE, IMAGE])
    assert len(fig.axes) == 2


@pytest.mark.parametrize("show", [plots.show_images, plots.show_image])
def test_zero_is_paper_and_the_most_is_ink(show):
    shown = show([IMAGE] if show is plots.show_images else IMAGE)
    ax = shown.axes[0] if show is plots.show_images else shown
    colours = ax.images[0].to_rgba(np.array([[0.0, IMAGE.max()]]))[0, :, :3]
    np.testing.assert_allclose(colours, [[1, 1, 1], [0, 0, 0]])
    # A faint image stays faint at its lower end: 0 is white whatever it holds.
    faint = show([IMAGE + 1] if show is plots.show_images else IMAGE + 1)
    ax = faint.axes[0] if show is plots.show_images else faint
    assert ax.images[0].get_clim()[0] == 0


def test_strokes_are_lines_with_y_downwards():
    ax = plots.show_strokes(DRAWING, title="a 7")
    assert ax.get_title() == "a 7"
    lines = [line for line in ax.get_lines() if len(line.get_xdata()) > 1]
    for line, stroke in zip(lines, DRAWING, strict=True):
        np.testing.assert_array_equal(line.get_xydata(), stroke)
    starts = [line.get_xydata()[0] for line in ax.get_lines() if line not in lines]
    np.testing.assert_array_equal(starts, [stroke[0] for stroke in DRAWING])
    assert [text.get_text() for text in ax.texts] == ["1", "2"]
    assert ax.yaxis_inverted()
    assert ax.get_aspect() == 1


def test_lines_are_told_apart_by_their_dashes_too():
    _, ax = plt.subplots()
    lines = [ax.plot([0, 1])[0] for _ in range(5)]
    assert len({str(line._dash_pattern) for line in lines}) == 5
    assert len({line.get_color() for line in lines}) == 5


def test_counts_are_heights():
    ax = plots.plot_counts([3, 1, 4, 1, 5, 9, 2, 6, 5, 3])
    assert [bar.get_height() for bar in ax.patches] == [3, 1, 4, 1, 5, 9, 2, 6, 5, 3]


def test_the_most_probable_digit_stands_out():
    probabilities = [0.001, 0, 0.2, 0, 0, 0, 0, 0.75, 0.049, 0]
    ax = plots.plot_probabilities(probabilities)
    assert [bar.get_height() for bar in ax.patches] == probabilities
    colours = [bar.get_facecolor() for bar in ax.patches]
    assert [digit for digit in range(10) if colours.count(colours[digit]) == 1] == [7]
    texts = [text.get_text() for text in ax.texts]
    assert texts == ["", "", "20 %", "", "", "", "", "75 %", "5 %", ""]
    assert ax.get_ylim()[0] == 0


def test_history_has_a_curve_for_each_part():
    ax = plots.plot_history(HISTORY, "accuracy")
    assert ax.get_ylabel() == "accuracy"
    training, validation = ax.get_lines()
    np.testing.assert_array_equal(
        training.get_xydata().T, [[1, 2, 3], [0.8, 0.9, 0.95]]
    )
    np.testing.assert_array_equal(validation.get_ydata(), [0.85, 0.9, 0.92])
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["training", "validation"]
    assert training.get_color() != validation.get_color()
    assert training.get_linestyle() != validation.get_linestyle()  # not colour alone


def test_history_within_epochs():
    parts = {"when": [0.5, 1, 1.5, 2], "loss": [4, 3, 2, 1], "val_loss": [2.5, 1.5]}
    training, validation = plots.plot_history(parts).get_lines()
    assert list(training.get_xdata()) == [0.5, 1, 1.5, 2]
    assert list(validation.get_xdata()) == [1, 2]


def test_history_without_validation():
    ax = plots.plot_history({"loss": [2, 1]})
    assert len(ax.get_lines()) == 1


def test_high_accuracies_are_told_apart():
    history = {"accuracy": [0.9912, 0.9934], "val_accuracy": [0.99, 0.9921]}
    ax = plots.plot_history(history, "accuracy")
    ax.figure.canvas.draw()
    labels = ticks(ax.yaxis)
    assert len(set(labels)) == len(labels)
    assert ax.yaxis.get_offset_text().get_text() == ""  # nothing is to be added


def test_the_true_digit_is_on_rows():
    ax = plots.plot_confusion(CONFUSION)
    assert ticks(ax.xaxis) == ticks(ax.yaxis) == TEN
    texts = {text.get_position(): text.get_text() for text in ax.texts}
    texts = {position: text for position, text in texts.items() if text}
    assert texts.pop((9, 4)) == "7"  # x is the predicted digit, y the true one
    assert texts == {(digit, digit): str(digit + 10) for digit in range(10)}
    top, bottom = sorted(ax.get_ylim())
    assert ax.get_ylim() == (bottom, top)  # 0 is at the top
    # The mistakes alone are coloured.
    colours = ax.images[0].get_array()
    assert np.argwhere(colours).tolist() == [[4, 9]]


def test_a_network_without_mistakes_can_be_plotted():
    ax = plots.plot_confusion(np.diag(np.arange(10)))
    ax.figure.canvas.draw()
    assert (
        len([*filter(Text.get_text, ax.texts)]) == 9
    )  # nothing is written where nothing was counted


def test_the_palette_is_okabe_and_itos():
    colours = plt.rcParams["axes.prop_cycle"].by_key()["color"]
    assert set(colours) <= {
        "#0072B2",
        "#E69F00",
        "#009E73",
        "#D55E00",
        "black",
        "#CC79A7",
        "#56B4E9",
        "#F0E442",
        "#999999",
    }


def test_each_dot_has_its_range():
    ax = plots.plot_accuracies(ACCURACY, ACCURACY - 0.1, ACCURACY + 0.02)
    dots, _, (bars,) = ax.containers[0]
    np.testing.assert_allclose(dots.get_ydata(), ACCURACY)
    for value, bar in zip(ACCURACY, bars.get_segments(), strict=True):
        np.testing.assert_allclose(bar[:, 1], [value - 0.1, value + 0.02])


def test_two_calibrations_are_told_apart_without_colours():
    ax = plots.plot_calibration(SURE, RIGHT)
    plots.plot_calibration(SURE, SURE, label="scaled", ax=ax)
    _, *lines = ax.lines
    assert lines[0].get_xydata().tolist() == np.transpose([SURE, RIGHT]).tolist()
    assert len({line.get_marker() for line in lines}) == len(lines) == 2
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "calibrated",
        "as trained",
        "scaled",
    ]
