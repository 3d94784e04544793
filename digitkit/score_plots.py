"""Draw what `scoring` counts: confusion, accuracy by digit, calibration."""

import numpy as np

from .plots import GRAY, new_axes


def plot_confusion(counts, ax=None):
    """Plot a confusion matrix, its diagonal white so that the mistakes show.

    Parameters
    ----------
    counts : (10, 10) integers, true digit on rows
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = ax or new_axes(5, 5)
    counts = np.asarray(counts)
    mistakes = counts * (1 - np.eye(len(counts), dtype=int))
    ax.imshow(mistakes, cmap="Blues")
    for row, column in np.argwhere(counts):
        dark = mistakes[row, column] > mistakes.max() / 2
        text = counts[row, column]
        ax.text(column, row, text, ha="center", va="center", color="w" if dark else "k")
    ax.set(xlabel="predicted digit", ylabel="true digit")
    ax.set(xticks=range(len(counts)), yticks=range(len(counts)))
    return ax


def plot_accuracies(accuracy, low, high, ax=None):
    """Plot the accuracy of each digit, and the range in which the true one lies.

    Parameters
    ----------
    accuracy, low, high : (10,) from 0 to 1
        The range is from `low` to `high`.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = ax or new_axes(6, 2.5)
    accuracy = np.asarray(accuracy)
    ax.errorbar(range(10), accuracy, [accuracy - low, high - accuracy], fmt="o")
    ax.set(xlabel="digit", ylabel="accuracy", xticks=range(10))
    return ax


def plot_calibration(confidence, accuracy, label="as trained", ax=None):
    """Plot how often a network was right against how sure it was.

    Parameters
    ----------
    confidence, accuracy : (n,) from 0 to 1
        As `digitkit.scoring.calibration` returns them.
    label : str
    ax : matplotlib.axes.Axes, optional
        Of a call before, to compare with.

    Returns
    -------
    matplotlib.axes.Axes
    """
    if ax is None:
        ax = new_axes(5, 3.5)
        ax.axline((1, 1), slope=1, color=GRAY, linestyle=":", label="calibrated")
    ax.plot(confidence, accuracy, marker="os^v"[(len(ax.lines) - 1) % 4], label=label)
    ax.set(xlabel="how sure it was", ylabel="how often it was right")
    ax.legend()
    return ax
