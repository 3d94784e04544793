"""The drawing pad: draw a digit, and see what a network reads.

In come strokes from the pad's canvas and a function that reads an image; out come the
guess, the ten probabilities and a saved drawing. Lessons 00 and 04 show it.
"""

import html

import numpy as np
from ipywidgets import HTML, Box, Button, Dropdown

from .. import drawings, ink
from ..networks import decide
from .canvas import DOTS, PEN, StrokeCanvas
from .page import ANSWER, BAR, look_and_keys


class DrawingPad(StrokeCanvas):
    """Show paper to draw a digit on, and say what it is when the pen lifts.

    Where the network is unsure, the pad says so. The strokes are kept here, not in the
    page: they outlive a reload, and all methods work without a browser.

    Without a mouse: choose the pad's cell, leave its text with Escape, and press Tab
    until the paper has a blue frame. The arrow keys move the pen, Home, Page Up, End
    and Page Down move it diagonally, Space puts it down and lifts it, Backspace takes
    back a stroke, Tab goes on to the buttons, and Escape leaves the paper.

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

    Raises
    ------
    ValueError
        If `predict` is a network, or no function.

    Examples
    --------
    >>> pad = DrawingPad(lambda image: np.eye(10)[1])
    >>> pad.add_stroke([(0.5, 0.1), (0.5, 0.9)])
    >>> pad.guess
    1
    """

    def __init__(self, predict):
        if hasattr(predict, "predict_on_batch") or not callable(predict):
            kind = type(predict).__name__
            raise ValueError(
                f"expected a function of one image, received {kind}: "
                "write dk.DrawingPad(dk.predictor(model))"
            )
        self.predict = predict
        self.probabilities = None
        buttons = [
            new_button("Undo", "undo", "Take back the last stroke", self.undo),
            new_button("Clear", "eraser", "Take new paper", self.clear),
            new_button("Replay", "play", "See the strokes drawn again", self.replay),
        ]
        self._true = Dropdown(options=range(10), value=None, description="true digit")
        save = new_button("Save", "save", "Keep the drawing", self._save_as_chosen)
        self._answer = HTML()
        super().__init__(after=buttons[0])
        self.children = [
            Box([*self.children, *buttons, self._true, save]),
            self._answer,
            HTML(look_and_keys()),
        ]
        self.changed()

    @property
    def image(self):
        """The drawing as the network sees it: ``(28, 28)`` float32, 0 to 1."""
        if self.strokes:
            size = np.ptp(np.concatenate(self.strokes), axis=0).max()
            if size < PEN / DOTS:  # under the pen's own width nobody sees a shape
                return ink.to_image([self.strokes[0][:1]])
        return ink.to_image(self.strokes)

    @property
    def guess(self):
        """The digit that was read; None for blank paper and where it is unsure."""
        return None if self.probabilities is None else decide(self.probabilities)

    def clear(self):
        """Take a new sheet of paper, and forget the true digit that was chosen."""
        self._true.value = None  # or the next drawing might be saved as it
        super().clear()

    def save(self, digit):
        """Save the drawing with its true digit, and take new paper.

        What was saved is not lost: `digitkit.drawings.load_drawings` gives it back.

        Parameters
        ----------
        digit : int
            What the drawing shows, 0 to 9.

        Raises
        ------
        ValueError, OSError
            If the paper is blank, `digit` is none, or the file cannot be read or
            written. The drawing then stays on the paper.
        """
        self.pen_up()
        path, count = drawings.save_drawing(self.strokes, digit)
        self.clear()
        many = f"{count} drawing{'s' * (count > 1)}"
        self.tell(f"Saved as {with_article(digit)}: {many} in {path.name}")

    def changed(self):
        """Read the drawing and show the answer."""
        self.probabilities, image = None, self.image
        words = "Draw a digit from 0 to 9"
        if self.strokes:
            try:
                self.probabilities = _checked(self.predict(image))
                top = int(self.probabilities.argmax())
                sure = "Unsure: perhaps" if self.guess is None else "This looks like"
                words = (
                    f"{sure} {with_article(top)}, {100 * self.probabilities[top]:.0f} %"
                )
            except Exception as error:
                words = f"The network gave no answer: {error!r}"
        unsure = "" if self.probabilities is None else "?"
        network = getattr(self.predict, "network", "your function")
        self._shown = {
            "guess": unsure if self.guess is None else self.guess,
            "picture": ink.image_to_url(image, scale=1),
            "network": html.escape(str(network)),
            "bars": self._bars(),
        }
        self.tell(words)

    def tell(self, words):
        """Show words beside the paper; a screen reader says them."""
        self._answer.value = ANSWER.substitute(self._shown, words=html.escape(words))

    def _bars(self):
        bars = ""
        for digit in range(10):
            part = 0 if self.probabilities is None else self.probabilities[digit]
            bars += BAR.substitute(
                kind="top" if digit == self.guess else "",
                digit=digit,
                width=f"{part:.1%}",
                percent=f"{100 * part:.0f} %",
            )
        return bars

    def _save_as_chosen(self):
        if not self.strokes:
            self.tell("Nothing to save: draw a digit first")
        elif self._true.value is None:
            self.tell("Not saved: choose the true digit first")
        else:
            try:
                self.save(self._true.value)
            except Exception as error:
                self.tell(f"Not saved: {error}")


def new_button(name, icon, tooltip, action):
    """Return a button that does an action without arguments."""
    button = Button(description=name, icon=icon, tooltip=tooltip)
    button.on_click(lambda _: action())
    return button


def with_article(digit):
    """Say a digit as English does: a 7, an 8."""
    return f"an {digit}" if digit == 8 else f"a {digit}"


def _checked(answer):
    answer = np.asarray(answer, float)
    if answer.shape != (10,) or not (answer >= 0).all() or abs(answer.sum() - 1) > 0.01:
        raise ValueError(f"expected ten probabilities, received {answer}")
    return answer
