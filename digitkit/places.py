"""Where things lie: the learner's work, the caches, the shipped network."""

import contextlib
import os
import secrets
import sys
import time
from pathlib import Path

SHIPPED_NETWORK = Path(__file__).with_name("shipped.keras")
DAY = 24 * 60 * 60  # seconds


def work_folder(make=True):
    """Return the folder of what the learner makes.

    It is ``DIGITKIT_WORK`` where that is set, else ``work/`` in the nearest parent
    folder that holds ``notebooks/``, else ``work/`` here. So the notebooks and the
    command line find the same one.

    Parameters
    ----------
    make : bool
        Make it if it is not there.

    Returns
    -------
    pathlib.Path
        An absolute path.
    """
    named = os.environ.get("DIGITKIT_WORK")
    if named:
        folder = Path(named).absolute()
    else:
        here = Path.cwd()
        homes = [p for p in (here, *here.parents) if (p / "notebooks").is_dir()]
        folder = (homes[0] if homes else here) / "work"
    if make:
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def cache_folder():
    """Return the folder, not yet made, for what can be computed or fetched again.

    ``DIGITKIT_CACHE`` where that is set, else the folder that the platform keeps
    for caches: ``~/Library/Caches`` (macOS), ``%LOCALAPPDATA%`` (Windows),
    ``$XDG_CACHE_HOME`` or ``~/.cache`` (elsewhere).
    """
    if named := os.environ.get("DIGITKIT_CACHE"):
        return Path(named).absolute()
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "digitkit"


@contextlib.contextmanager
def replacing(path):
    """Give a temporary path beside `path` that takes its place when all went well.

    Whoever reads `path` meanwhile sees the whole old file or the whole new one, and
    an error or a crash while writing leaves the old one as it was. What a crash leaves
    of the new one is swept away a day later.

    Examples
    --------
    >>> with replacing("notes.txt") as temporary:
    ...     _ = temporary.write_text("seven")
    """
    path = Path(path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(".part-*"):
        with contextlib.suppress(OSError):  # gone meanwhile, or somebody else's
            if time.time() - left.stat().st_mtime > DAY:
                left.unlink()
    # The suffix is kept: Keras and NumPy choose the format by it.
    temporary = path.with_name(f".part-{secrets.token_hex(8)}{path.suffix}")
    try:
        yield temporary
        with temporary.open("r+b") as written:
            os.fsync(written.fileno())  # or a power cut leaves a new name, and no bytes
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
