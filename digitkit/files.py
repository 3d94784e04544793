"""MNIST's files: fetch them, read them, whole and checked, or say what is wrong."""

import gzip
import hashlib
import math
import queue
import re
import struct
import threading
import urllib.request
import zipfile
import zlib

import numpy as np

# Where Keras, too, fetches MNIST from; and how large that file is, in bytes.
MNIST_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
MNIST_NPZ_SIZE = 11_490_434
MNIST_NPZ_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
PATIENCE = 15  # seconds without a byte, after which a download is given up

ARRAYS = ("x_train", "y_train", "x_test", "y_test")  # in an npz file
IDX_NAMES = ("train-images", "train-labels", "t10k-images", "t10k-labels")
# EMNIST's files begin with "emnist-digits-" or alike, and say "test" for "t10k".
IDX_FILE = re.compile(
    r"(emnist-\w+-)?(train|t10k|test)-(images|labels)[-.]idx[13]-ubyte(\.gz)?"
)
LARGEST = 1_000_000  # images in one file; more is a damaged header
# To pack an npz file. From others zipfile may unpack gigabytes before any limit tells.
NUMPYS_WAYS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def download_npz():
    """Return the bytes of MNIST's npz file; raise OSError if they cannot be had.

    A thread fetches and this one waits, because the time-out of ``urlopen`` starts
    anew for each address of a server, and does not cover finding them.
    """
    chunks = queue.SimpleQueue()

    def fetch():
        left = MNIST_NPZ_SIZE + 1  # of what is longer, no more
        try:
            opener = urllib.request.build_opener()  # urlopen's own keeps old proxies
            # This time-out only ends the thread when nobody waits for it any more.
            with opener.open(MNIST_URL, timeout=2 * PATIENCE) as answer:
                while left and (chunk := answer.read1(min(left, 1 << 16))):
                    chunks.put(chunk)
                    left -= len(chunk)
            chunks.put(b"")
        except Exception as error:  # what servers and proxies send raises many kinds
            chunks.put(getattr(error, "reason", None) or error)

    threading.Thread(target=fetch, daemon=True).start()
    content = bytearray()
    try:
        while chunk := chunks.get(timeout=PATIENCE):
            if not isinstance(chunk, bytes):
                raise OSError(" ".join(str(chunk).split())[:200] or repr(chunk)[:200])
            content += chunk
    except queue.Empty:
        raise OSError(f"no byte came within {PATIENCE} seconds") from None
    if not is_mnist(content):
        raise OSError(f"{MNIST_URL} gave {len(content)} bytes that are not MNIST")
    return bytes(content)


def is_mnist(content):
    """Return whether these bytes are MNIST's npz file, by its checksum."""
    return hashlib.sha256(content).hexdigest() == MNIST_NPZ_SHA256


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
        return read_npz(file, path)


def read_npz(file, name):
    """Read the four arrays from an open npz file, checked; errors call it `name`."""
    try:
        with zipfile.ZipFile(file) as archive:
            arrays = [_read_npy(archive, f"{array}.npy") for array in ARRAYS]
    except Exception as error:  # damaged bytes raise nearly anything
        raise ValueError(
            f"{name} is damaged or no npz file with {', '.join(ARRAYS)} "
            f"({error!r:.99}): fetch it again"
        ) from error
    return _checked(arrays, name)


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
