"""digitkit: learn how a computer reads handwriting, in notebooks.

``import digitkit as dk`` is quick: a name is loaded when it is first used. Which names
there are, and in which room each of them lives, is in ``__init__.pyi``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
