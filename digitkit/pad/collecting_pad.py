"""The collecting pad: it asks for each digit in turn, and keeps what is written.

Built like the drawing pad, but it reads nothing: the true digit is the one asked for.
Its drawings go to a file of `digitkit.drawings`. Lesson 07 shows it.
"""

import html
from pathlib import Path

import numpy as np
from ipywidgets import HTML, Box

from .. import drawings
from ..files import work_folder
from .canvas import StrokeCanvas
from .drawing_pad import new_button, with_article
from .page import PROGRESS, look_and_keys


class CollectingPad(StrokeCanvas):
    """Ask for each digit in turn, and keep the strokes with the digit asked for.

    How far it is, it knows from its file: run the cell again, or restart the kernel,
    and it goes on where it was. No name is kept.

    Without a mouse: the keys are those of `digitkit.DrawingPad`; Enter on the paper
    saves the drawing and asks for the next.

    Parameters
    ----------
    path : path, optional
        A strokes file; ``my_hand.json`` in the `digitkit.work_folder` if left out.
    each : int
        How often each digit is asked for.

    Attributes
    ----------
    asked : int or None
        The digit to write now; None when all are written.
    done, total : int
        How many drawings are written, and how many are asked for.
    strokes : list of list of (x, y)
        The drawing, from 0 to 1 across the paper, y downwards.

    Examples
    --------
    >>> pad = CollectingPad("mine.json", each=1)
    >>> pad.add_stroke([(0.5, 0.1), (0.5, 0.9)])
    >>> pad.save()
    >>> pad.done, pad.total
    (1, 10)
    """

    def __init__(self, path=None, each=2):
        if type(each) is not int or each < 1:
            raise ValueError(f"expected to ask 1 time or more, received {each!r}")
        path = work_folder(make=False) / "my_hand.json" if path is None else path
        self.path = Path(path).absolute()
        self._order = [  # each round in an order of its own: nobody writes by rote
            digit
            for number in range(each)
            for digit in np.random.default_rng(number).permutation(10).tolist()
        ]
        self.total, self.done, self.asked = len(self._order), 0, self._order[0]
        self._words = HTML()
        save = new_button("Save", "check", "Keep it and go on", self._save_or_tell)
        undo = new_button("Undo", "undo", "Take back the last stroke", self.undo)
        clear = new_button("Clear", "eraser", "Take new paper", self.clear)
        super().__init__(after=save)
        self._canvas.on_key_down(self._hear_enter)
        self.children = [
            Box([*self.children, save, undo, clear]),
            self._words,
            HTML(look_and_keys("<li>Enter saves it and asks for the next.</li>")),
        ]
        try:
            self._read()
            self.changed()
        except (OSError, ValueError) as error:
            self.tell(f"Nothing can be saved: {error}")

    def save(self):
        """Save the drawing as the digit that was asked for, and ask for the next.

        Raises
        ------
        ValueError, OSError
            If the paper is blank, all are written, or the file cannot be read or
            written. The drawing then stays on the paper.
        """
        self.pen_up()
        if self.asked is None:
            raise ValueError("all digits are written already")
        drawings.save_drawing(self.strokes, self.asked, self.path)
        self._read()
        self.clear()

    def changed(self):
        """Ask for the next digit."""
        if self.asked is None:
            self.tell(f"Thank you: all are written, in {self.path.name}")
        else:
            number = f"{self.done + 1} of {self.total}"
            self.tell(f"Write {with_article(self.asked)} ({number})")

    def tell(self, words):
        """Show words beside the paper; a screen reader says them."""
        self._words.value = PROGRESS.substitute(
            words=html.escape(words), done=self.done, total=self.total
        )

    def _read(self):
        """See in the file which digits are written, and which is the next."""
        digits = []
        if self.path.exists():
            digits = [entry["label"] for entry in drawings.read_entries(self.path)]
        missing = []
        for digit in self._order:
            if digit in digits:
                digits.remove(digit)
            else:
                missing.append(digit)
        self.done = self.total - len(missing)
        self.asked = missing[0] if missing else None

    def _hear_enter(self, key, shift, ctrl, meta):
        if key == "Enter":
            self._save_or_tell()
            self._canvas.focus()  # the hand left the paper, as for any other key

    def _save_or_tell(self):
        try:
            self.save()
        except Exception as error:
            self.tell(f"Not saved: {error}")
