"""Draw the figures of the notebooks: arrays and dicts in, axes out."""

import matplotlib.pyplot as plt
import numpy as np

# Okabe and Ito, "Color Universal Design" (2008): told apart by everyone.
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
GRAY = "#999999"
PAPER_AND_INK = "gray_r"  # 0 white, 1 black
STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": plt.cycler(color=[BLUE, ORANGE, GREEN, RED, GRAY]),
    "figure.constrained_layout.use": True,
    "figure.figsize": (6, 3.5),
    "figure.facecolor": "white",  # readable in the dark theme too
    "font.size": 10,
    "legend.frameon": False,
}
plt.rcParams.update(STYLE)


def show_images(images, titles=None, columns=10, size=0.8):
    """Show images in a grid, one title over each.

    Parameters
    ----------
    images : (n, 28, 28), from 0, paper
    titles : sequence of str or int, optional
    columns : int
    size : float
        Of each image, in inches.

    Returns
    -------
    matplotlib.figure.Figure
    """
    images = np.asarray(images)
    columns = max(1, min(columns, len(images)))
    rows = max(1, -(-len(images) // columns))
    height = size + (0.05 if titles is None else 0.25)
    fig, axes = plt.subplots(
        rows, columns, figsize=(size * columns, height * rows), squeeze=False
    )
    for ax in axes.flat:
        ax.axis("off")
    for i, (ax, image) in enumerate(zip(axes.flat, images, strict=False)):
        ax.imshow(image, cmap=PAPER_AND_INK, vmin=0, interpolation="nearest")
        if titles is not None:
            ax.set_title(titles[i], fontsize=9)
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
    """Show strokes as lines, in the order in which they were drawn.

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
        ax.plot(x, y, lw=4, solid_capstyle="round", label=f"stroke {i + 1}")
        ax.plot(x[0], y[0], "o", color="black", ms=5)
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
    ax = ax or _new_axes(5, 5)
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


def _new_axes(width, height):
    return plt.subplots(figsize=(width, height))[1]
