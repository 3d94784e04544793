"""Plots: every figure of the lessons.

In come arrays and dicts, out come axes. `plot_*` and `show_*` functions label both
axes, put the true digit on rows, and draw on a new figure unless `ax` is given. Colours
and sizes are set here, in one place.
"""

import matplotlib.pyplot as plt
import numpy as np

from . import alt_text

# Okabe and Ito, "Color Universal Design" (2008): told apart by everyone.
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
GRAY = "#999999"
PAPER_AND_INK = "gray_r"  # 0 white, 1 black
STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": plt.cycler(
        color=[BLUE, ORANGE, GREEN, RED, "black"],
        linestyle=["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1))],
    ),  # told apart by their dashes too
    "figure.constrained_layout.use": True,
    "figure.figsize": (6, 3.5),
    "figure.facecolor": "white",  # readable in the dark theme too
    "font.size": 10,
    "legend.frameon": False,
}
plt.rcParams.update(STYLE)
alt_text.register()


def show_images(images, titles=None, columns=10, size=0.8):
    """Show images in a grid, one title over each.

    Parameters
    ----------
    images : (n, 28, 28) or any sizes, from 0, paper
        Of one that has negative numbers, gray is 0, and white is below it.
    titles : sequence of str or int, optional
    columns : int
    size : float
        Of each image, in inches.

    Returns
    -------
    matplotlib.figure.Figure
    """
    images = [np.asarray(image) for image in images]
    columns = max(1, min(columns, len(images)))
    rows = max(1, -(-len(images) // columns))
    height = size + (0.05 if titles is None else 0.25)
    fig, axes = plt.subplots(
        rows, columns, figsize=(size * columns, height * rows), squeeze=False
    )
    for ax in axes.flat:
        ax.axis("off")
    for i, (ax, image) in enumerate(zip(axes.flat, images, strict=False)):
        most = abs(image).max() if image.min() < 0 else None
        low = -most if most else 0
        ax.imshow(image, PAPER_AND_INK, vmin=low, vmax=most, interpolation="nearest")
        if titles is not None:
            ax.set_title(titles[i], fontsize=9)
    if titles is None:
        fig.set_label(f"{len(images)} images, {columns} in a row")
    return fig


def show_image(image, title="", ax=None):
    """Show one image large, its pixels numbered by row and column.

    Parameters
    ----------
    image : (28, 28), from 0, paper
    title : str
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = ax or _new_axes(3.5, 3.5)
    ax.imshow(image, cmap=PAPER_AND_INK, vmin=0)
    ax.set(title=title, xlabel="column", ylabel="row")
    ax.spines[["top", "right"]].set_visible(True)
    return ax


def show_strokes(strokes, title="", ax=None):
    """Show strokes as lines, numbered where they begin.

    Parameters
    ----------
    strokes : list of (n, 2), y downwards
    title : str
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = ax or _new_axes(3.5, 3.5)
    for i, stroke in enumerate(strokes):
        x, y = np.asarray(stroke, float).T
        ax.plot(x, y, "-", lw=4, solid_capstyle="round", label=f"stroke {i + 1}")
        ax.plot(x[0], y[0], "o", color="black", ms=12)
        ax.text(x[0], y[0], i + 1, color="white", ha="center", va="center", size=8)
    ax.set_label(f"{title or 'a drawing'}: {len(strokes)} strokes as lines")
    ax.set(title=title, xlabel="x", ylabel="y")
    ax.set_aspect("equal", adjustable="datalim")
    ax.invert_yaxis()
    return ax


def plot_counts(counts, ax=None):
    """Plot how many images there are of each digit.

    Parameters
    ----------
    counts : (10,) integers
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = ax or _new_axes(6, 2.5)
    ax.bar(range(10), counts)
    ax.set(xlabel="digit", ylabel="images", xticks=range(10))
    return ax


def plot_probabilities(probabilities, ax=None):
    """Plot ten probabilities as bars, the largest blue.

    Parameters
    ----------
    probabilities : (10,) from 0 to 1
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = ax or _new_axes(4, 2.5)
    top = int(np.argmax(probabilities))
    colours = [BLUE if digit == top else GRAY for digit in range(10)]
    bars = ax.bar(range(10), probabilities, color=colours)
    labels = [f"{100 * p:.0f} %" if p >= 0.005 else "" for p in probabilities]
    ax.bar_label(bars, labels, fontsize=8)
    ax.set(xlabel="digit", ylabel="probability", xticks=range(10), ylim=(0, 1.1))
    return ax


def plot_history(history, quantity="loss", ax=None):
    """Plot a quantity of a training run, on training and on validation images.

    Parameters
    ----------
    history : dict of list
        ``history[quantity]`` and, if measured, ``history["val_" + quantity]``, by
        epoch; ``history["when"]`` says when, in epochs, if not at the end of each.
    quantity : str
        "loss" or "accuracy", say.
    ax : matplotlib.axes.Axes, optional

    Returns
    -------
    matplotlib.axes.Axes
    """
    if quantity not in history:
        raise ValueError(f"no {quantity!r} in the history: it has {list(history)}")
    ax = ax or _new_axes(5, 3)
    when = history.get("when", np.arange(1, len(history[quantity]) + 1))
    ax.plot(when, history[quantity], "-", label="training")
    checked = history.get(f"val_{quantity}", [])
    if checked:
        # One value an epoch, at its end, even where the training curve has more.
        ends = np.arange(1, len(checked) + 1)
        ax.plot(ends, checked, "s--", color=ORANGE, ms=4, label="validation")
    ax.set(xlabel="epoch", ylabel=quantity)
    ax.ticklabel_format(axis="y", useOffset=False)
    ax.legend(loc="best", fontsize=9)
    return ax


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
    from sklearn.metrics import ConfusionMatrixDisplay

    counts = np.asarray(counts)
    mistakes = counts * (1 - np.eye(len(counts), dtype=int))
    shown = ConfusionMatrixDisplay(mistakes)
    shown.plot(ax=ax or _new_axes(5, 5), cmap="Blues", colorbar=False)
    for text, count in zip(shown.text_.flat, counts.flat, strict=True):
        text.set_text(count or "")
    shown.ax_.set(xlabel="predicted digit", ylabel="true digit")
    most = np.argsort(-mistakes, axis=None, kind="stable")[:3]
    pairs = [divmod(i, len(counts)) for i in most.tolist() if mistakes.flat[i]]
    words = "; ".join(
        f"{true} read as {read}: {counts[true, read]}" for true, read in pairs
    )
    shown.ax_.set_label(f"confusion matrix; most mistakes: {words or 'none'}")
    return shown.ax_


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
    ax = ax or _new_axes(6, 2.5)
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
    from sklearn.calibration import CalibrationDisplay

    if ax is None:
        ax = _new_axes(5, 3.5)
        ax.axline((1, 1), slope=1, color=GRAY, linestyle=":", label="calibrated")
    marker = "os^v"[(len(ax.lines) - 1) % 4]
    shown = CalibrationDisplay(accuracy, confidence, None, estimator_name=label)
    shown.plot(ax=ax, ref_line=False, marker=marker, linestyle="-")
    ax.set(xlabel="how sure it was", ylabel="how often it was right")
    ax.legend(loc="best")
    return ax


def _new_axes(width, height):
    """Return the axes of a new figure; sizes in inches."""
    return plt.subplots(figsize=(width, height))[1]
