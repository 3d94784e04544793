"""The data: MNIST, or the stand-in if MNIST cannot be had.

`load_mnist` looks for MNIST in a folder that you name, in Keras' cache and on the
network, in this order. What it finds is read, checked and returned as arrays. If there
is no MNIST, the pen of `digitkit.stand_in` draws a data set of the same shape, which
is kept in the cache. Lessons, training and the command line start here.
"""

import gzip
import hashlib
import io
import math
import os
import queue
import re
import struct
import sys
import tempfile
import threading
import time
import urllib.request
import zipfile
import zlib
from pathlib import Path

import numpy as np

from . import ink, stand_in
from .files import cache_folder, replacing

# Keras downloads MNIST from the first address. The second is where it did so earlier.
MNIST_URLS = (
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
    "https://s3.amazonaws.com/img-datasets/mnist.npz",
)
MNIST_NPZ_SIZE = 11_490_434  # bytes
MNIST_NPZ_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
MNIST_ARRAYS_SHA256 = "06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16"
PATIENCE = 15  # seconds without a byte, after which a download is given up
TOO_LONG = 3  # seconds: a download that took longer to fail is not tried again soon
FORGET = 3600  # seconds after which it is tried again

ARRAYS = ("x_train", "y_train", "x_test", "y_test")  # in an npz file
IDX_NAMES = ("train-images", "train-labels", "t10k-images", "t10k-labels")
# EMNIST's files begin with "emnist-digits-" or alike, and say "test" for "t10k".
IDX_FILE = re.compile(
    r"(emnist-\w+-)?(train|t10k|test)-(images|labels)[-.]idx[13]-ubyte(\.gz)?"
)
LARGEST = 1_000_000  # images in one file; more is a damaged header
# To pack an npz file. From others zipfile may unpack gigabytes before any limit tells.
NUMPYS_WAYS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

_last_source = None


def load_mnist(source=None):
    """Load MNIST as ``keras.datasets.mnist.load_data`` does, network or not.

    It looks, in this order, at `source` or else the environment variable
    ``DIGITKIT_DATA``, at Keras' cache, at Keras' download, and last at the
    stand-in: digits of the same shapes, types and counts drawn by a procedural pen.
    It prints which it was, on one line; `data_source` returns it.

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
        arrays, words = read_arrays(Path(named)), f"yours, from {named}"
    else:
        arrays, words = _mnist_or_stand_in()
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array)
    if digest.hexdigest() == MNIST_ARRAYS_SHA256:
        _last_source = "mnist"
        words = "MNIST" if named else words
    else:
        _last_source = "other" if named else "stand-in"
    print(f"Data: {words}")
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


def _mnist_or_stand_in():
    """Return the arrays, and the words that say which they are."""
    try:
        arrays, remark = _mnist()
        return arrays, "MNIST" + remark
    except OSError as error:
        arrays, remark = _stand_in()
        return arrays, (
            "the stand-in, digits that a program draws, because MNIST cannot be "
            f"downloaded here ({error}). All lessons work with it. To use MNIST, set "
            "DIGITKIT_DATA to a folder with mnist.npz or with MNIST's four IDX files"
            f"{remark}"
        )


def _mnist():
    """Return MNIST's arrays, and a remark if the download could not be kept.

    Raises
    ------
    OSError
        If MNIST is not in Keras' cache and cannot be downloaded.
    """
    folder = keras_cache().parent
    try:
        return read_arrays(_fetch(folder)), ""
    except (ConnectionError, TimeoutError):
        raise
    except OSError as error:  # Keras' cache cannot be written, or is full
        remark = _not_cached(folder, error)
        with tempfile.TemporaryDirectory(prefix="digitkit-") as elsewhere:
            return read_arrays(_fetch(Path(elsewhere))), remark


def _fetch(folder):
    """Return the path of MNIST's npz file in a folder, where pooch puts and checks it.

    If a download took long to fail, the next one is tried after an hour. Otherwise a
    firewall that drops packets would cost 15 seconds in every notebook.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")  # what it logs is red in JupyterLab
    failed = cache_folder() / "download-failed.txt"
    retry = f"; tried again after an hour, or at once if you delete {failed}"

    def download(url, output_file, _):
        if reason := _read_if_new(failed):
            raise TimeoutError(reason + retry)
        _download(url, output_file)

    begun = time.monotonic()
    for url in MNIST_URLS:
        try:
            how = {"path": folder, "fname": "mnist.npz", "downloader": download}
            return Path(pooch.retrieve(url, MNIST_NPZ_SHA256, **how))
        except ValueError:  # by its hash
            reason = f"what {url} gives is not MNIST"
        except (ConnectionError, TimeoutError) as error:
            reason = str(error)
        if time.monotonic() - begun > TOO_LONG:  # as the next address would take
            reason += _keep(failed, reason.encode()) or retry
            break
    raise ConnectionError(reason)


def _read_if_new(failed):
    """Return why a download failed, if that was within the last hour, or ''."""
    try:
        new = abs(time.time() - failed.stat().st_mtime) < FORGET
        return failed.read_text("utf-8") if new else ""
    except (OSError, ValueError):
        return ""


def _download(url, output_file):
    """Write what a URL gives to a file, with a progress bar if that takes a while.

    By urllib, not by requests as pooch would: requests trusts its own certificates
    only, not those of the system, among which a school's proxy has its own. A thread
    reads while this one waits, because urllib's time-out begins again for each address
    of a server and does not cover finding them.

    Raises
    ------
    ConnectionError, TimeoutError
    """
    from tqdm import tqdm

    chunks = queue.SimpleQueue()

    def read():
        left = MNIST_NPZ_SIZE + 1  # of what is longer, no more
        try:
            opener = urllib.request.build_opener()  # urlopen's own keeps old proxies
            # This time-out only ends the thread when nobody waits for it any more.
            with opener.open(url, timeout=2 * PATIENCE) as answer:
                while left and (chunk := answer.read1(min(left, 1 << 16))):
                    chunks.put(chunk)
                    left -= len(chunk)
            chunks.put(b"")
        except Exception as error:  # what servers and proxies send raises many kinds
            chunks.put(getattr(error, "reason", None) or error)

    threading.Thread(target=read, daemon=True).start()
    bar = {"unit": "B", "unit_scale": True, "leave": False, "delay": 2}
    path = Path(output_file)
    path.unlink(missing_ok=True)  # pooch's own is for one user; a cache may be shared
    with (
        path.open("xb") as file,
        tqdm(desc="MNIST", total=MNIST_NPZ_SIZE, file=sys.stdout, **bar) as progress,
    ):
        try:
            while chunk := chunks.get(timeout=PATIENCE):
                if not isinstance(chunk, bytes):
                    words = " ".join(str(chunk).split()) or repr(chunk)
                    raise ConnectionError(words[:200])
                file.write(chunk)
                progress.update(len(chunk))
        except queue.Empty:
            raise TimeoutError(f"no byte came within {PATIENCE} seconds") from None


def _keep(path, content):
    """Write a file of a cache; return a remark if that fails, '' if all is well."""
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(content)
    except OSError as error:  # the data are there all the same
        return _not_cached(path.parent, error)
    return ""


def _not_cached(folder, error):
    error = error.__cause__ or error  # pooch wraps some in words of its own
    return f" (not cached in {folder}: {error.strerror or error})"


def _stand_in():
    # The cache's name follows the pen's source, so an edited pen draws again.
    sources = Path(stand_in.__file__).read_bytes() + Path(ink.__file__).read_bytes()
    cached = cache_folder() / f"stand-in-{zlib.crc32(sources):08x}.npz"
    try:
        return read_arrays(cached), ""
    except (OSError, ValueError):
        pass  # not drawn yet, or damaged
    (x_train, y_train), (x_test, y_test) = stand_in.draw_data_set()
    arrays = (x_train, y_train, x_test, y_test)
    file = io.BytesIO()
    np.savez_compressed(file, **dict(zip(ARRAYS, arrays, strict=True)))
    return arrays, _keep(cached, file.getvalue())


def read_arrays(path):
    """Read images and digits to train and to test with, checked.

    Parameters
    ----------
    path : pathlib.Path
        An npz file, or a folder with ``mnist.npz`` or the four IDX files.

    Returns
    -------
    x_train, y_train, x_test, y_test
        uint8 ``(n, 28, 28)``, ``(n,)``, ``(m, 28, 28)``, ``(m,)``.

    Raises
    ------
    FileNotFoundError
        If `path` does not exist or lacks a file.
    ValueError
        If a file is damaged or does not hold 28x28 images of ten digits.
    """
    if path.is_dir():
        if not (path / "mnist.npz").is_file():
            return _checked([_read_idx(file) for file in _idx_files(path)], path)
        path = path / "mnist.npz"
    elif not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist: expected mnist.npz, or a folder with it or with "
            "the four IDX files"
        )
    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                arrays = [_read_npy(archive, f"{array}.npy") for array in ARRAYS]
        except Exception as error:  # damaged bytes raise nearly anything
            raise ValueError(
                f"{path} is damaged or no npz file with {', '.join(ARRAYS)} "
                f"({error!r:.99}): fetch it again"
            ) from error
    return _checked(arrays, path)


def _read_npy(archive, name):
    member = archive.getinfo(name)
    if member.file_size > 800 * LARGEST or member.compress_type not in NUMPYS_WAYS:
        raise ValueError(f"{name} is too large, or not packed as NumPy does")
    with archive.open(member) as file:
        array = np.lib.format.read_array(file, allow_pickle=False)
        if file.read(1):  # looks for the end, where zipfile compares the checksum
            raise ValueError(f"{name} is longer than its header says")
    return array


def _checked(arrays, name):
    """Return the arrays, digits as uint8; raise ValueError if they do not fit."""
    for images, digits in (arrays[:2], arrays[2:]):
        fits = (
            images.ndim == 3
            and images.shape[1:] == (28, 28)
            and images.dtype == np.uint8
            and digits.shape == images.shape[:1]
            and digits.size > 0
            and digits.dtype.kind in "iu"
        )
        if not fits:
            raise ValueError(
                f"{name} does not fit: expected uint8 images (n, 28, 28) and n integer "
                f"digits, received {images.dtype} {images.shape} and {digits.dtype} "
                f"{digits.shape}"
            )
        if digits.min() < 0 or digits.max() > 9:
            raise ValueError(
                f"{name} has labels from {digits.min()} to {digits.max()}: "
                "expected digits from 0 to 9"
            )
    x_train, y_train, x_test, y_test = map(np.ascontiguousarray, arrays)
    return x_train, y_train.astype(np.uint8), x_test, y_test.astype(np.uint8)


def _idx_files(folder):
    sets = {}  # for each beginning of names: the path of each of IDX_NAMES
    for path in sorted(folder.iterdir()):
        if path.is_file() and (match := IDX_FILE.fullmatch(path.name)):
            begin, part, kind, _ = match.groups("")
            name = f"{part.replace('test', 't10k')}-{kind}"
            sets.setdefault(begin, {})[name] = path
    if len(sets) > 1:
        names = " and ".join(f"{begin}train-images" for begin in sets)
        raise ValueError(
            f"{folder} holds {len(sets)} data sets ({names}): expected one; move its "
            "files to a folder of their own"
        )
    found = sets.popitem()[1] if sets else {}
    if missing := [name for name in IDX_NAMES if name not in found]:
        raise FileNotFoundError(
            f"{folder} has no {' and no '.join(missing)}: expected mnist.npz, or four "
            "IDX files with MNIST's names (train-images-idx3-ubyte.gz) or EMNIST's"
        )
    return [found[name] for name in IDX_NAMES]


def _read_idx(path):
    """Read one IDX file: big-endian magic number and sizes, then the bytes."""
    dimensions = 3 if "images" in path.name else 1
    with path.open("rb") as raw:
        # By its first bytes: some browsers unpack what they fetch, and keep the name.
        file = gzip.open(raw) if raw.peek()[:2] == b"\x1f\x8b" else raw
        try:
            header = file.read(4 + 4 * dimensions)
            magic, n, *size = struct.unpack(f">{1 + dimensions}I", header)
            if magic != 0x800 + dimensions or not 0 < n <= LARGEST:
                raise ValueError("its header is not that of 1 to 1 000 000 digits")
            if size not in ([], [28, 28]):
                raise ValueError(f"its images are {size}, not 28x28")
            expected = n * math.prod(size)
            content = bytearray()  # it grows with what is there, not what is promised
            while len(content) <= expected and (chunk := file.read(1 << 20)):
                content += chunk
            if len(content) != expected:
                has = "more" if len(content) > expected else len(content)
                raise ValueError(f"its header promises {expected} bytes, it has {has}")
        except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
            raise ValueError(f"{path} is damaged ({error}): fetch it again") from error
    return np.frombuffer(content, np.uint8).reshape(n, *size)
