"""Events: what the page sends of mouse, finger, pen and keys, turned into strokes.

Each event of the page calls a method of the pad's canvas, which tests call as well. An
error in a handler is shown on the pad, since ipywidgets would swallow it.
"""

from functools import partial

import numpy as np

MOUSE = ("mouse_down", "mouse_move", "mouse_up", "mouse_out")
TOUCH = ("touch_start", "touch_move", "touch_end", "touch_cancel")
STEP = 0.04  # of the paper: how far a key moves the pen
WAYS = {  # the last four lie as on a numeric keypad
    **{"ArrowLeft": (-1, 0), "ArrowRight": (1, 0)},
    **{"ArrowUp": (0, -1), "ArrowDown": (0, 1)},
    **{"Home": (-1, -1), "PageUp": (1, -1), "End": (-1, 1), "PageDown": (1, 1)},
}
MODIFIERS = {"Shift", "Control", "Alt", "AltGraph", "Meta", "CapsLock", "NumLock"}


class Events:
    """Draw on paper as a person does.

    Parameters
    ----------
    pad : digitkit.pad.canvas.StrokeCanvas
        What to draw on; it shows a mark at `keys_at`.
    canvas : ipycanvas.Canvas
        Whose events are heard.
    after : ipywidgets.Widget or None
        Where Tab goes on to from the canvas.

    Attributes
    ----------
    keys_at : (x, y) or None
        Where the pen of the keys is, from 0 to 1; None while it is not in use.
    """

    def __init__(self, pad, canvas, after):
        self.pad, self.canvas, self.after = pad, canvas, after
        self.keys_at = None
        for event in (*MOUSE, *TOUCH, "key_down"):
            getattr(canvas, f"on_{event}")(partial(self.hear, event))

    def hear(self, event, *sent):
        """Do what an event of the page says; show errors, which else are swallowed."""
        try:
            if event == "key_down":
                self._press(*sent)
            else:
                places = sent[0] if event in TOUCH else [sent]
                size = self.canvas.width, self.canvas.height
                # A page that is just being hidden tells no place.
                points = [np.divide(xy, size) for xy in places if None not in xy]
                self._point(event, points)
        except Exception as error:
            self.pad.tell(f"Something failed on the pad: {error!r}")

    def _point(self, event, points):
        pad = self.pad
        if event in ("mouse_down", "touch_start") and len(points) == 1:
            self._put_keys_away()
            pad.pen_down(*points[0])
        elif self.keys_at or not pad.pen_is_down:
            pass  # the mouse just hovers, perhaps while the keys draw
        elif event in ("mouse_move", "touch_move") and len(points) == 1:
            pad.pen_move(*points[0])
        else:  # the pen lifts, leaves the paper, or a second finger lands
            if event == "mouse_out" and points:
                pad.pen_move(*points[0])
            pad.pen_up()
            self.canvas.blur()  # so that the notebook has its keys back

    def _press(self, key, shift, ctrl, meta):
        """Draw, undo or leave: the canvas swallows every key, even Tab."""
        if key in MODIFIERS:
            return  # the rest of Shift+Tab is yet to come; Ctrl hushes screen readers
        if ctrl or meta or key not in {*WAYS, " ", "Backspace", "Delete"}:
            self._put_keys_away()
            on = self.after and key == "Tab" and not shift
            self.after.focus() if on else self.canvas.blur()
        elif key in ("Backspace", "Delete"):
            self.pad.undo()
        else:
            self._steer(key)

    def _steer(self, key):
        pad = self.pad
        pad.stop_replay()
        if not self.keys_at:
            pad.pen_up()  # that of the mouse
            self.keys_at = (0.5, 0.5)
            pad.tell("Pen up, in the middle: arrow keys move it, Space puts it down")
        if key in WAYS:
            at = np.add(self.keys_at, np.multiply(WAYS[key], STEP)).clip(0, 1)
            self.keys_at = tuple(at.tolist())
            pad.pen_move(*self.keys_at)
            pad.redraw()
        elif pad.pen_is_down:
            pad.pen_up()
        else:
            pad.pen_down(*self.keys_at)
            pad.redraw()
            pad.tell("Pen down: arrow keys draw, Space lifts it")

    def _put_keys_away(self):
        if self.keys_at:
            self.keys_at = None
            if self.pad.pen_is_down:
                self.pad.pen_up()
            else:
                self.pad.update()  # its words for those about the pen
