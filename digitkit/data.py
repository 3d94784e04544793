"""Load MNIST, or the stand-in where MNIST cannot be had."""

import hashlib
import http.client
import os
import sys
import tempfile
import urllib.request
import zlib
from pathlib import Path

import numpy as np

from . import ink, standin
from .files import ARRAYS, read_arrays
from .places import cache_folder, replacing

MNIST_URL = (
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"  # Keras'
)
MNIST_NPZ_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
MNIST_ARRAYS_SHA256 = "06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16"
SECONDS = 5  # without an answer, after which an address is given up

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
        not). What is named is used or refused, never silently passed over.

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
        arrays = read_arrays(found)
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
    cached = keras_cache()
    if not cached.exists():
        try:
            content = _download()
        except (OSError, http.client.HTTPException) as error:
            return _standin(), (
                f"MNIST cannot be fetched here: {getattr(error, 'reason', error)}. All "
                "lessons work with the stand-in; for the real one, set DIGITKIT_DATA "
                "to a folder with mnist.npz or MNIST's four IDX files"
            )
        try:
            with replacing(cached) as temporary:
                temporary.write_bytes(content)
        except OSError:  # a cache saves time only
            with tempfile.TemporaryDirectory() as folder:
                fetched = Path(folder, "mnist.npz")
                fetched.write_bytes(content)
                return read_arrays(fetched), MNIST_URL
    if hashlib.sha256(cached.read_bytes()).hexdigest() != MNIST_NPZ_SHA256:
        raise ValueError(f"{cached} is not MNIST by its checksum: delete it, run again")
    return read_arrays(cached), str(cached)


def _download():
    with urllib.request.urlopen(MNIST_URL, timeout=SECONDS) as answer:
        content = answer.read()
    if hashlib.sha256(content).hexdigest() != MNIST_NPZ_SHA256:
        raise OSError(f"what {MNIST_URL} sent is not MNIST by its checksum")
    return content


def _standin():
    # The cache's name follows the pen's source, so an edited pen is drawn anew.
    sources = Path(standin.__file__).read_bytes() + Path(ink.__file__).read_bytes()
    cached = cache_folder() / f"standin-{zlib.crc32(sources):08x}.npz"
    try:
        return read_arrays(cached)
    except (FileNotFoundError, ValueError):
        pass  # not drawn yet, or damaged
    (x_train, y_train), (x_test, y_test) = standin.draw_data_set()
    arrays = (x_train, y_train, x_test, y_test)
    try:
        with replacing(cached) as temporary:
            np.savez_compressed(temporary, **dict(zip(ARRAYS, arrays, strict=True)))
    except OSError:
        pass  # a cache saves time only
    return arrays
