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
    ax = ax or new_axes(3.5, 3.5)
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
    ax = ax or new_axes(3.5, 3.5)
    for i, stroke in enumerate(strokes):
        x, y = np.asarray(stroke, float).T
        ax.plot(x, y, "-", lw=4, solid_capstyle="round", label=f"stroke {i + 1}")
        ax.plot(x[0], y[0], "o", color="black", ms=12)
        ax.text(x[0], y[0], i + 1, color="white", ha="center", va="center", size=8)
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
    ax = ax or new_axes(6, 2.5)
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
    ax = ax or new_axes(4, 2.5)
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
    ax = ax or new_axes(5, 3)
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


def new_axes(width, height):
    """Return the axes of a new figure; sizes in inches."""
    return plt.subplots(figsize=(width, height))[1]
