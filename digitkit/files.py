"""Where files are kept, and how they are written so that nothing is lost.

A learner's work and the caches each have a folder. `replacing` writes a file in one
step, `locked` lets one process at a time work on it. Every room that reads or writes
files uses this one; it uses none of them.
"""

import contextlib
import os
import secrets
import time
from pathlib import Path

import filelock
import platformdirs

SHIPPED_NETWORK = Path(__file__).with_name("shipped.keras")
DAY = 24 * 60 * 60  # seconds
PATIENCE = 10  # seconds to wait for another process that writes; it needs some 0.01


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

    ``DIGITKIT_CACHE`` if that is set, else the folder in which the platform keeps
    caches (``~/.cache/digitkit`` on Linux).
    """
    if named := os.environ.get("DIGITKIT_CACHE"):
        return Path(named).absolute()
    return platformdirs.user_cache_path("digitkit", appauthor=False, opinion=False)


@contextlib.contextmanager
def replacing(path):
    """Give a temporary path next to `path` that takes its place when all went well.

    Whoever reads `path` meanwhile sees the whole old file or the whole new one, and
    an error or a crash while writing leaves the old one as it was. A temporary file
    that a crash leaves behind is deleted a day later.

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


@contextlib.contextmanager
def locked(path):
    """Let one process at a time work on a file.

    The lock is a hidden file next to it. A process that dies releases it.

    Raises
    ------
    OSError
        If the lock cannot be had within 10 seconds, or not be made at all.
    """
    lock = filelock.FileLock(path.with_name(f".{path.name}.lock"), timeout=PATIENCE)
    try:
        lock.acquire()
    except (OSError, NotImplementedError) as error:
        raise OSError(
            f"{path} cannot be locked ({error}): try again, or save to another folder"
        ) from error
    try:
        yield
    finally:
        lock.release()
