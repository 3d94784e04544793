"""The pads: draw a digit and have it read, or write digits for a collection.

`canvas` keeps the strokes, `events` turns what the page sends into them, `drawing_pad`
and `collecting_pad` are what a learner sees; their HTML and CSS are files beside them.
They use `digitkit.ink`, `digitkit.drawings` and, to decide, `digitkit.networks`.
"""

from .collecting_pad import CollectingPad
from .drawing_pad import DrawingPad

__all__ = ["CollectingPad", "DrawingPad"]
