"""The pad's canvas: what is drawn on it, kept as strokes.

The page sends where the mouse, the finger or the pen of the keys is (`events`); this
room turns that into strokes, shows them, takes them back and replays them. Both pads
are built on it. The strokes live here, not in the page.
"""

import asyncio
import contextlib
import time

import numpy as np
from ipycanvas import Canvas, hold_canvas
from ipywidgets import Box

from .. import ink
from .events import Events

DOTS = 560  # of the canvas; the page shows it at half, so that ink is sharp
PEN = 28  # dots: the width of the ink
MARK = "#d55e00"  # the colour of the ring where the pen of the keys is
CLICK = 0.01  # of the paper: what went less far is a click of some button, not ink
SPEED = 1.2  # papers a second, of the hand in a replay
LONGEST = 3  # seconds of a replay
FRAME = 0.03  # seconds from one picture of a replay to the next
SPACING = 0.01  # of the paper: from point to point in a replay; more for a scribble


class StrokeCanvas(Box):
    """Show paper to draw on, and keep the strokes.

    They are kept here, not in the page: they outlive a reload, and all methods work
    without a browser. A subclass overrides `changed` to hear of each change of the
    drawing, and `tell` to show words to whoever draws.

    With the focus on the paper (Tab), the arrow keys move the pen, Home, Page Up, End
    and Page Down move it diagonally, Space puts it down and lifts it, Backspace takes
    back a stroke, and Escape or Tab leaves the paper.

    Parameters
    ----------
    after : ipywidgets.Widget, optional
        Where Tab goes on to from the paper.

    Attributes
    ----------
    strokes : list of list of (x, y)
        The drawing, from 0 to 1 across the paper, y downwards.
    """

    def __init__(self, after=None):
        self.strokes = []
        self._drawing = False
        self._replaying = None  # the task that replays
        self._canvas = Canvas(width=DOTS, height=DOTS)
        self._canvas.on_client_ready(self._meet_page)
        self._events = Events(self, self._canvas, after)
        super().__init__([self._canvas])
        self.add_class("digitkit")  # style.css says how it looks
        self.redraw()

    @property
    def pen_is_down(self):
        """Whether a stroke has begun and not ended."""
        return self._drawing

    def pen_down(self, x, y):
        """Begin a stroke at `x`, `y`, from 0 to 1; what lies outside is moved in."""
        point = _on_paper(x, y)
        self.pen_up()
        self.stop_replay()
        self.strokes.append([point])
        self._drawing = True

    def pen_move(self, x, y):
        """Draw a line to `x`, `y`, from 0 to 1, if the pen is down."""
        if self._drawing:
            stroke = self.strokes[-1]
            stroke.append(_on_paper(x, y))
            line = np.multiply(stroke[-2:], DOTS).ravel().tolist()
            with hold_canvas():  # sends even where an error left drawing held back
                self._canvas.stroke_line(*line)

    def pen_up(self):
        """End the stroke. A mere click leaves no ink."""
        if self._drawing:
            self._drawing = False
            if np.ptp(self.strokes[-1], axis=0).max() < CLICK:
                self.strokes.pop()
            self.update()

    def add_stroke(self, points):
        """Draw a whole stroke, a list of (x, y) from 0 to 1.

        Raises
        ------
        ValueError
            If `points` is empty, leaves the paper or is no list of finite (x, y).
        """
        points = ink.as_points(points)
        if not len(points) or points.min() < 0 or points.max() > 1:
            few = points[:3].tolist()
            raise ValueError(f"expected points from 0 to 1 on paper, received {few}")
        self.pen_up()
        self._keep([*self.strokes, [*map(tuple, points.tolist())]])

    def undo(self):
        """Take back the last stroke."""
        self._keep(self.strokes[:-1])

    def clear(self):
        """Take a new sheet of paper."""
        self._events.keys_at = None
        self._keep([])

    def replay(self):
        """Draw the strokes once more, at a hand's speed but within three seconds.

        The kernel does it when it has time, and whatever is drawn ends it. In a plain
        script, where no event loop runs, the drawing just stays as it is.
        """
        self.pen_up()
        self.stop_replay()
        if self.strokes:
            with contextlib.suppress(RuntimeError):  # no loop is running
                self._replaying = asyncio.get_running_loop().create_task(self._play())

    def stop_replay(self):
        """Show the whole drawing at once."""
        if self._replaying and not self._replaying.done():
            self._replaying.cancel()
            self.redraw()

    def changed(self):
        """Do what follows a change of the drawing; a subclass says what."""

    def tell(self, words):
        """Show words to whoever draws; a subclass says where."""

    def update(self):
        """Show the drawing as it is now, and do what follows."""
        self.redraw()
        self.changed()

    def redraw(self, strokes=None):
        """Show the drawing, or the strokes that are given, on white paper."""
        strokes = self.strokes if strokes is None else strokes
        strokes = [np.multiply(stroke, DOTS) for stroke in strokes]
        at = self._events.keys_at and np.multiply(self._events.keys_at, DOTS).tolist()
        canvas = self._canvas
        with hold_canvas():  # drawing only: an error here would freeze the canvas
            canvas.fill_style = "white"
            canvas.fill_rect(0, 0, DOTS)
            canvas.fill_style = canvas.stroke_style = "black"
            canvas.line_width = PEN
            canvas.line_cap = canvas.line_join = "round"
            for stroke in strokes:
                canvas.fill_circle(*stroke[0].tolist(), PEN / 2)  # for a dot
                canvas.stroke_lines(stroke)
            if at:
                canvas.save()  # live ink stays black and wide
                canvas.fill_style = canvas.stroke_style = MARK
                canvas.line_width = 5
                canvas.stroke_circle(*at, PEN * 0.7)
                if self._drawing:
                    canvas.fill_circle(*at, PEN * 0.4)
                canvas.restore()

    def _keep(self, strokes):
        self.stop_replay()
        self._drawing = False
        self.strokes = strokes
        self.update()

    def _meet_page(self):
        other = Canvas(layout=self._canvas.layout)  # a page is told which canvas to
        with hold_canvas():  # draw on only when it was another one before
            other.clear()
        other.close()
        self.redraw()

    async def _play(self):
        spacing = SPACING * max(1, sum(map(len, self.strokes)) / 1000)
        strokes = [ink.resample(np.array(stroke), spacing) for stroke in self.strokes]
        ends, points = np.cumsum([*map(len, strokes)]), np.concatenate(strokes)
        seconds = min(LONGEST, len(points) * spacing / SPEED)
        begun = time.monotonic()
        while (passed := time.monotonic() - begun) < seconds:
            drawn = points[: 1 + int(len(points) * passed / seconds)]
            self.redraw([part for part in np.split(drawn, ends) if len(part)])
            await asyncio.sleep(FRAME)
        self.redraw()


def _on_paper(x, y):
    return tuple(ink.as_points([(x, y)])[0].clip(0, 1).tolist())
