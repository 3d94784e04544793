"""Read the files of MNIST, whole and checked, or say what is wrong with them."""

import gzip
import zlib

import numpy as np

ARRAYS = ("x_train", "y_train", "x_test", "y_test")  # in an npz file
IDX_NAMES = ("train-images", "train-labels", "t10k-images", "t10k-labels")
LARGEST = 2_000_000  # images in one file; more is a damaged header


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
        if (path / "mnist.npz").exists():
            return read_arrays(path / "mnist.npz")
        arrays = [_read_idx(_idx_file(path, name)) for name in IDX_NAMES]
    elif path.exists():
        arrays = _read_npz(path)
    else:
        raise FileNotFoundError(
            f"{path} does not exist: expected mnist.npz, or a folder with it or with "
            "the four IDX files"
        )
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
                f"{path} does not fit: expected uint8 images (n, 28, 28) and n integer "
                f"digits, received {images.dtype} {images.shape} and {digits.dtype} "
                f"{digits.shape}"
            )
        if digits.min() < 0 or digits.max() > 9:
            raise ValueError(
                f"{path} has labels from {digits.min()} to {digits.max()}: "
                "expected digits from 0 to 9"
            )
    x_train, y_train, x_test, y_test = arrays
    return x_train, y_train.astype(np.uint8), x_test, y_test.astype(np.uint8)


def _read_npz(path):
    try:
        with np.load(path, allow_pickle=False) as archive:
            return [np.ascontiguousarray(archive[name]) for name in ARRAYS]
    except Exception as error:  # damaged bytes make NumPy raise nearly anything
        raise ValueError(
            f"{path} is damaged or no npz file with {', '.join(ARRAYS)} "
            f"({type(error).__name__}): fetch it again"
        ) from error


def _idx_file(folder, name):
    kind = "idx3" if "images" in name else "idx1"
    for dot in "-.":
        for end in (".gz", ""):
            path = folder / f"{name}{dot}{kind}-ubyte{end}"
            if path.exists():
                return path
    raise FileNotFoundError(
        f"{folder} has no {name}-{kind}-ubyte(.gz): expected mnist.npz or the four "
        "IDX files of MNIST"
    )


def _read_idx(path):
    """Read one IDX file: big-endian magic number and sizes, then the bytes."""
    dimensions = 3 if "idx3" in path.name else 1
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            header = np.frombuffer(file.read(4 + 4 * dimensions), ">u4").tolist()
            if header[0] != 0x800 + dimensions or not 0 < header[1] <= LARGEST:
                raise ValueError("its header is not MNIST's")
            if dimensions == 3 and header[2:] != [28, 28]:
                raise ValueError(f"its images are {header[2:]}, not 28x28")
            expected = header[1] * (784 if dimensions == 3 else 1)
            content = file.read(expected + 1)
    except (OSError, EOFError, IndexError, ValueError, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}): fetch it again") from error
    if len(content) != expected:
        raise ValueError(
            f"{path} is damaged: its header promises {expected} bytes of data, it has "
            f"{'more' if len(content) > expected else len(content)}; fetch it again"
        )
    return np.frombuffer(content, np.uint8).reshape(header[1:]).copy()  # writable
