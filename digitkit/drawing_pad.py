"""The drawing pad: paper in the notebook, and what a network reads on it."""

import base64
import html
import io
from functools import partial
from pathlib import Path
from string import Template

import numpy as np
from ipycanvas import Canvas, hold_canvas
from ipywidgets import HTML, Box, Button
from PIL import Image

from . import ink

DOTS = 560  # of the canvas; the page shows it at half, so that ink is sharp
PEN = 28  # dots: the width of the ink
CLICK = 0.01  # of the paper: what went less far is a click of some button, not ink
MOUSE = ("mouse_down", "mouse_move", "mouse_up", "mouse_out")
TOUCH = ("touch_start", "touch_move", "touch_end", "touch_cancel")
ANSWER = Template(Path(__file__).with_suffix(".html").read_text(encoding="utf-8"))


class DrawingPad(Box):
    """Show paper to draw a digit on, and say what it is when the pen lifts.

    The strokes are kept here, not in the page: they outlive a reload, and all methods
    work without a browser.

    Parameters
    ----------
    predict : function, (28, 28) -> (10,)
        From an image of floats, 0 paper to 1 ink, to ten probabilities, as
        `digitkit.networks.predictor` makes it. May be replaced later.

    Attributes
    ----------
    strokes : list of list of (x, y)
        The drawing, from 0 to 1 across the paper, y downwards.
    probabilities : (10,) numpy.ndarray or None
        What `predict` answered; None for blank paper, or if it failed.

    Examples
    --------
    >>> pad = DrawingPad(lambda image: np.eye(10)[1])
    >>> pad.add_stroke([(0.5, 0.1), (0.5, 0.9)])
    >>> pad.guess
    1
    """

    def __init__(self, predict):
        self.predict = predict
        self.strokes = []
        self.probabilities = None
        self._drawing = False
        self._paper = Canvas(width=DOTS, height=DOTS)
        for event in (*MOUSE, *TOUCH, "key_down", "client_ready"):
            getattr(self._paper, f"on_{event}")(partial(self._hear, event))
        self._undo = Button(description="Undo", icon="undo")
        self._undo.on_click(lambda _: self.undo())
        self._clear = Button(description="Clear", icon="eraser")
        self._clear.on_click(lambda _: self.clear())
        self._answer = HTML()
        super().__init__([Box([self._paper, self._undo, self._clear]), self._answer])
        self.add_class("digitkit")  # drawing_pad.html says how it looks
        self._update()

    @property
    def image(self):
        """The drawing as the network sees it: ``(28, 28)`` float32, 0 to 1."""
        return ink.to_image(self.strokes)

    @property
    def guess(self):
        """The most probable digit; None where there are no probabilities."""
        return None if self.probabilities is None else int(self.probabilities.argmax())

    def pen_down(self, x, y):
        """Begin a stroke at `x`, `y`, from 0 to 1; what lies outside is moved in."""
        point = _on_paper(x, y)
        self.pen_up()
        self.strokes.append([point])
        self._drawing = True

    def pen_move(self, x, y):
        """Draw a line to `x`, `y`, from 0 to 1, if the pen is down."""
        if self._drawing:
            stroke = self.strokes[-1]
            stroke.append(_on_paper(x, y))
            self._paper.stroke_line(*np.multiply(stroke[-2:], DOTS).ravel().tolist())

    def pen_up(self):
        """End the stroke and read the drawing. A mere click leaves no ink."""
        if self._drawing:
            self._drawing = False
            if np.ptp(self.strokes[-1], axis=0).max() < CLICK:
                self.strokes.pop()
            self._update()

    def add_stroke(self, points):
        """Draw a whole stroke, a list of (x, y) from 0 to 1, and read the drawing.

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
        self._keep([])

    def _keep(self, strokes):
        self._drawing = False
        self.strokes = strokes
        self._update()

    def _hear(self, event, *sent):
        """Let an event of the page call its method; show errors, else swallowed."""
        points = sent[0] if event in TOUCH else [sent]
        try:
            if event == "client_ready":
                other = Canvas(layout=self._paper.layout)  # a page is told which canvas
                other.clear()  # to draw on only when it was another one before
                other.close()
                self._redraw()
            elif event == "key_down":  # the canvas swallows every key, even Tab
                self._undo.focus() if sent[:2] == ("Tab", False) else self._paper.blur()
            elif event in ("mouse_down", "touch_start") and len(points) == 1:
                self.pen_down(*np.divide(points[0], DOTS))
            elif event in ("mouse_move", "touch_move") and len(points) == 1:
                self.pen_move(*np.divide(points[0], DOTS))
            else:  # the pen lifts, leaves the paper, or a second finger lands
                if event == "mouse_out":
                    self.pen_move(*np.divide(points[0], DOTS))
                self.pen_up()
                self._paper.blur()  # so that the notebook has its keys back
        except Exception as error:
            self._show(f"Something failed on the pad: {error!r}", self.image)

    def _redraw(self):
        paper = self._paper
        strokes = [np.multiply(stroke, DOTS) for stroke in self.strokes]
        with hold_canvas():  # drawing only: an error here would freeze the canvas
            paper.fill_style = "white"
            paper.fill_rect(0, 0, DOTS)
            paper.fill_style = "black"
            paper.line_width = PEN
            paper.line_cap = paper.line_join = "round"
            for stroke in strokes:
                paper.fill_circle(*stroke[0].tolist(), PEN / 2)  # for a dot
                paper.stroke_lines(stroke)

    def _update(self):
        self._redraw()
        self.probabilities, image = None, self.image
        headline = "Draw a digit from 0 to 9"
        if self.strokes:
            try:
                answer = np.asarray(self.predict(image), float)
                if answer.shape != (10,) or not np.isfinite(answer).all():
                    raise ValueError(f"expected ten probabilities, received {answer}")
                self.probabilities = answer
                digit = f"an {self.guess}" if self.guess == 8 else f"a {self.guess}"
                headline = f"This looks like {digit}, {100 * answer.max():.0f} %"
            except Exception as error:
                headline = f"The network gave no answer: {error!r}"
        self._show(headline, image)

    def _show(self, headline, image):
        bars = ""
        for digit in range(10):
            part = 0 if self.probabilities is None else self.probabilities[digit]
            top = ' class="top"' if digit == self.guess else ""
            bars += f'<div{top}><dt>{digit}</dt><i style="width: {part:.1%}"></i>'
            bars += f"<dd>{100 * part:.0f} %</dd></div>"
        file = io.BytesIO()
        Image.fromarray(np.uint8(255 - 255 * image)).save(file, "PNG")
        self._answer.value = ANSWER.substitute(
            headline=html.escape(headline),
            picture=base64.b64encode(file.getvalue()).decode(),
            network=html.escape(getattr(self.predict, "network", "your function")),
            bars=bars,
        )


def _on_paper(x, y):
    return tuple(ink.as_points([(x, y)])[0].clip(0, 1).tolist())
