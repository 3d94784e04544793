"""Alt text: words that say what a figure shows, for those who do not see it.

`plots` registers `figure_to_html` when it is loaded. From then on each figure of a
notebook is shown as an ``<img>`` with an ``alt``, also one that a lesson draws with
matplotlib alone. JupyterLab and Notebook give the ``alt`` of a plain PNG's metadata to
nobody, so it has to be HTML; the PNG is stored too, for exports that take no HTML.
"""

import html

import numpy as np
from IPython import get_ipython
from IPython.core.pylabtools import print_figure
from matplotlib.category import StrCategoryFormatter
from matplotlib.collections import PathCollection
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

MOST = 12  # lines or bars that are described one by one


def describe(fig):
    """Say in words what a figure shows.

    Parameters
    ----------
    fig : matplotlib.figure.Figure
        If it has a label, that is the answer: ``fig.set_label("...")``. The label of
        one of its axes takes the place of this part: ``ax.set_label("...")``.

    Returns
    -------
    str
        Its titles, the names of its axes, how many images, bars and points there are,
        and where each line begins and ends, is lowest and highest, as (x, y).
    """
    if fig.get_label():
        return fig.get_label()
    plots = [ax for ax in fig.axes if ax.has_data() and ax.get_label() != "<colorbar>"]
    grid = [ax for ax in plots if ax.images and not ax.axison and not ax.get_label()]
    parts = [fig.get_suptitle()]
    if grid:
        titles = "; ".join(ax.get_title() for ax in grid if ax.get_title())
        parts.append(_count(grid, "image") + ": " * bool(titles) + titles)
    parts += [_of_axes(ax) for ax in plots if ax not in grid]
    return ". ".join(filter(None, parts)) or "a figure"


def _of_axes(ax):
    if ax.get_label():
        return ax.get_label()
    parts = [ax.get_title()]
    for name, axis in ("x", ax.xaxis), ("y", ax.yaxis):
        words = [axis.get_label_text(), "logarithmic" * (axis.get_scale() == "log")]
        if any(words):
            parts.append(f"{name} axis: {', '.join(filter(None, words))}")
    for image in ax.images:
        parts.append("an image of {} by {} pixels".format(*image.get_array().shape))
    parts += [_of_bars(ax, x) for x in ax.containers if isinstance(x, BarContainer)]
    parts += [_of_line(ax, line) for line in ax.lines[:MOST]]
    parts += [f"{len(ax.lines) - MOST} more lines"] * (len(ax.lines) > MOST)
    clouds = [x.get_offsets() for x in ax.collections if isinstance(x, PathCollection)]
    if clouds:
        groups = f" in {len(clouds)} groups" * (len(clouds) > 1)
        parts.append(_count(np.concatenate(clouds), "point") + groups)
    return "; ".join(filter(None, parts))


def _of_line(ax, line):
    named = not line.get_label().startswith("_")
    name = line.get_label() if named else "a line"
    points = line.get_xydata()
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points) or line.get_transform() != ax.transData:
        return name  # a line without ends, as `axhline` draws it
    if len(points) == 1:
        return f"{name if named else 'a mark'} at {_of_point(ax, *points[0])}"
    ends = points[[0, -1]]
    words = "{} from {} to {}".format(name, *(_of_point(ax, *end) for end in ends))
    lowest, highest = points[points[:, 1].argsort()[[0, -1]]]
    if lowest[1] < ends[:, 1].min():
        words += f", lowest at {_of_point(ax, *lowest)}"
    if highest[1] > ends[:, 1].max():
        words += f", highest at {_of_point(ax, *highest)}"
    return words


def _of_bars(ax, bars):
    middles = [bar.get_center() for bar in bars]
    if bars.orientation == "horizontal":
        points = [(x, y) for x, (_, y) in zip(bars.datavalues, middles, strict=True)]
    else:
        points = [(x, y) for y, (x, _) in zip(bars.datavalues, middles, strict=True)]
    if len(points) > MOST:
        longest = _of_point(ax, *points[np.argmax(bars.datavalues)])
        return f"{len(points)} bars, the longest to {longest}"
    return f"{_count(points, 'bar')} to " + ", ".join(_of_point(ax, *p) for p in points)


def _of_point(ax, x, y):
    return f"({_of_value(ax.xaxis, x)}, {_of_value(ax.yaxis, y)})"


def _of_value(axis, value):
    ticks = axis.get_major_formatter()
    if isinstance(ticks, (FuncFormatter, StrCategoryFormatter)) and ticks(value):
        return ticks(value)  # ticks with names, as "cat" and "dog"
    return f"{value:.0f}" if value % 1 == 0 else f"{value:.4g}"


def _count(things, name):
    return f"{len(things)} {name}{'s' * (len(things) != 1)}"


def figure_to_html(fig):
    """Return a figure as an ``<img>`` with its words; None if it is empty."""
    picture = print_figure(fig, base64=True)
    try:
        words = html.escape(describe(fig))
    except Exception:  # a kind that is not foreseen: better shown without words
        words = "a figure"
    return picture and f'<img alt="{words}" src="data:image/png;base64,{picture}">'


def register():
    """Show figures with alt text, if this is a notebook."""
    shell = get_ipython()
    if shell:  # not before matplotlib's own set-up, which would drop this again
        import matplotlib_inline.backend_inline  # noqa: F401

        formatter = shell.display_formatter.formatters["text/html"]
        formatter.for_type(Figure, figure_to_html)
