"""Load MNIST, or the stand-in where MNIST cannot be had."""

import hashlib
import io
import os
import sys
import time
import zlib
from pathlib import Path

import numpy as np

from . import files, ink, standin
from .places import cache_folder, replacing

MNIST_ARRAYS_SHA256 = "06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16"
TOO_LONG = 3  # seconds that a download may take to fail, each time
FORGET = 3600  # seconds after which one that took longer is tried again

_last_source = None


def load_mnist(source=None):
    """Load MNIST as ``keras.datasets.mnist.load_data`` does, network or not.

    Looks, in this order, at `source` or else the environment variable
    ``DIGITKIT_DATA``, at Keras' cache, at Keras' download, and last at the
    stand-in: digits of the same shapes, types and counts drawn by a procedural pen.
    One line on stderr says which it was; `data_source` returns it.

    Parameters
    ----------
    source : path, optional
        A ``mnist.npz``, or a folder with it or with the four IDX files (gzipped or
        not). What is named is used or refused, never silently passed over. Other data
        of this shape do too: Fashion-MNIST, your own, or one data set of EMNIST, whose
        images lie on their side: ``x_train.transpose(0, 2, 1)`` sets them upright.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        uint8 images ``(n, 28, 28)``, 0 paper to 255 ink; uint8 digits ``(n,)``.

    Raises
    ------
    FileNotFoundError
        If nothing usable lies where `source` points.
    ValueError
        If a file is damaged or does not hold 28x28 images of ten digits.

    Examples
    --------
    >>> (x_train, y_train), (x_test, y_test) = load_mnist()
    >>> x_train.shape, y_test.shape
    ((60000, 28, 28), (10000,))
    """
    global _last_source
    named = source or os.environ.get("DIGITKIT_DATA")
    if named:
        found = Path(named)
        arrays = files.read_arrays(found)
        told = str(found)
    else:
        arrays, told = _mnist_or_standin()
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array)
    if digest.hexdigest() == MNIST_ARRAYS_SHA256:
        _last_source = "mnist"
    else:
        _last_source = "other" if named else "stand-in"
    print(f"digitkit: data: {_last_source} ({told})", file=sys.stderr)
    x_train, y_train, x_test, y_test = arrays
    return (x_train, y_train), (x_test, y_test)


def data_source():
    """Return what `load_mnist` loaded last: "mnist", "stand-in" or "other"."""
    if _last_source is None:
        load_mnist()
    return _last_source


def to_unit(images):
    """Scale images to what a network reads.

    Parameters
    ----------
    images : uint8 of any shape, 0 paper to 255 ink

    Returns
    -------
    float32 of the same shape, 0 paper to 1 ink

    Examples
    --------
    >>> to_unit(np.array([0, 51, 255], np.uint8)).tolist()
    [0.0, 0.20000000298023224, 1.0]
    """
    images = np.asarray(images)
    if images.dtype != np.uint8:
        raise ValueError(
            f"expected uint8 pixels from 0 to 255, received {images.dtype}; "
            "images that are scaled already need no to_unit"
        )
    return images.astype(np.float32) / 255


def keras_cache():
    """Return where Keras keeps, or would keep, its download of MNIST."""
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    return home / "datasets" / "mnist.npz"


def _mnist_or_standin():
    """Return the arrays, and what to tell of where they come from."""
    cached = keras_cache()
    try:
        with cached.open("rb") as file:
            content = file.read(files.MNIST_NPZ_SIZE + 1)
    except OSError:  # not fetched yet, or not readable
        try:
            content = _fetch()
        except OSError as error:
            arrays, remark = _standin()
            return arrays, (
                f"MNIST cannot be fetched here: {error}. All lessons work with the "
                "stand-in; for the real one, set DIGITKIT_DATA to a folder with "
                f"mnist.npz or MNIST's four IDX files{remark}"
            )
        told = files.MNIST_URL + _keep(cached, content)
    else:
        if not files.is_mnist(content):
            raise ValueError(
                f"{cached} is not MNIST by its checksum: delete it, run again"
            )
        told = str(cached)
    return files.read_npz(io.BytesIO(content), told), told


def _fetch():
    """Download MNIST, unless that took long to fail, and that within the last hour.

    Else a firewall that drops packets would cost 15 seconds in every notebook.
    """
    failed = cache_folder() / "download-failed.txt"
    retry = f" (tried again after an hour, or at once if you delete {failed})"
    try:
        lately = abs(time.time() - failed.stat().st_mtime) < FORGET
        reason = failed.read_text("utf-8") if lately else ""
    except (OSError, ValueError):
        reason = ""
    if reason:
        raise OSError(reason + retry)
    begun = time.monotonic()
    try:
        return files.download_npz()
    except OSError as error:
        reason = str(error)
        if time.monotonic() - begun > TOO_LONG and not _keep(failed, reason.encode()):
            reason += retry
        raise OSError(reason) from error


def _keep(path, content):
    """Write a file of a cache; return what to tell of it, nothing if all is well."""
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:  # the data are there all the same
        return f"; not cached in {path.parent}: {error.strerror or error}"
    return ""


def _standin():
    # The cache's name follows the pen's source, so an edited pen is drawn anew.
    sources = Path(standin.__file__).read_bytes() + Path(ink.__file__).read_bytes()
    cached = cache_folder() / f"standin-{zlib.crc32(sources):08x}.npz"
    try:
        return files.read_arrays(cached), ""
    except (OSError, ValueError):
        pass  # not drawn yet, or damaged
    (x_train, y_train), (x_test, y_test) = standin.draw_data_set()
    arrays = (x_train, y_train, x_test, y_test)
    file = io.BytesIO()
    np.savez_compressed(file, **dict(zip(files.ARRAYS, arrays, strict=True)))
    return arrays, _keep(cached, file.getvalue())
