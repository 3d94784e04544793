"""Loading MNIST: from files, Keras' cache, the network, or the stand-in."""

import contextlib
import gzip
import hashlib
import io
import pickle
import struct
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from digitkit import data


def small_set(n, seed):
    """Return images that pack as digits do, mostly paper, and digits."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (n + 2, 28, 28), np.uint8)
    images[images < 200] = 0
    digits = random.integers(0, 10, n + 2, np.uint8)
    arrays = (images[2:], digits[2:], images[:2], digits[:2])
    return dict(zip(data.ARRAYS, arrays, strict=True))


def npz(save=np.savez_compressed, **arrays):
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


SMALL = small_set(3, seed=0)
X_TRAIN, Y_TRAIN, X_TEST, Y_TEST = SMALL.values()
DRAWN = small_set(9, seed=1)  # the stand-in of these tests
CONTENT = npz(**SMALL)  # MNIST's file, for the fixture `web`


def zipped(packing=zipfile.ZIP_STORED, **members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packing) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def npy(array, n):
    """Return an array as NumPy saves it, except that its header says it has n items."""
    file = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": (n, *array.shape[1:])}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + array.tobytes()


def idx(array):
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def write_idx(folder, arrays, form="{}-{}-idx{}-ubyte.gz", test="t10k", packed=True):
    for name, array in arrays.items():
        part = test if name.endswith("test") else "train"
        kind = "images" if name.startswith("x") else "labels"
        content = gzip.compress(idx(array)) if packed else idx(array)
        (folder / form.format(part, kind, array.ndim)).write_bytes(content)


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """No network, no caches, no settings but the test's own."""
    monkeypatch.delenv("DIGITKIT_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("DIGITKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(data, "_last_source", None)
    monkeypatch.setattr(data, "MNIST_URLS", ((tmp_path / "web.npz").as_uri(),))
    x_train, y_train, x_test, y_test = DRAWN.values()
    drawn = (x_train, y_train), (x_test, y_test)
    monkeypatch.setattr(data.stand_in, "draw_data_set", lambda: drawn)


@pytest.fixture
def web(tmp_path, monkeypatch):
    """Take SMALL for MNIST; return the path it is downloaded from, empty so far."""
    arrays = b"".join(array.tobytes() for array in SMALL.values())
    monkeypatch.setattr(data, "MNIST_NPZ_SIZE", len(CONTENT))
    monkeypatch.setattr(data, "MNIST_NPZ_SHA256", hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setattr(data, "MNIST_ARRAYS_SHA256", hashlib.sha256(arrays).hexdigest())
    return tmp_path / "web.npz"


@pytest.fixture
def cached(tmp_path):
    """Where Keras keeps MNIST: the path of a file that is not there yet."""
    path = tmp_path / "keras/datasets/mnist.npz"
    path.parent.mkdir(parents=True)
    return path


def kept(tmp_path):
    """List the files in the caches."""
    folders = (tmp_path / "keras", tmp_path / "cache")
    return [p.name for folder in folders for p in folder.rglob("*") if p.is_file()]


def named(loaded):
    (x_train, y_train), (x_test, y_test) = loaded
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def assert_loads(arrays, kind, source=None):
    """See these arrays loaded, as "mnist", "stand-in" or "other"."""
    for name, array in named(data.load_mnist(source)).items():
        assert array.dtype == np.uint8
        assert array.flags.writeable  # x_train /= 255 is what many learners type
        np.testing.assert_array_equal(array, arrays[name])
    assert data.data_source() == kind


def assert_refused(source, path, message):
    with pytest.raises(ValueError, match=message) as caught:
        data.load_mnist(source)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


# What is read


def test_mnist_itself(mnist):  # the fixture asks data_source
    (x_train, y_train), (x_test, y_test) = mnist
    assert x_train.shape == (60_000, 28, 28)
    assert x_test.shape == (10_000, 28, 28)
    # The counts and first labels that every description of MNIST gives.
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(y_train).tolist() == counts
    assert y_train[:5].tolist() == [5, 0, 4, 1, 9]
    assert y_test[:5].tolist() == [7, 2, 1, 0, 4]


@pytest.mark.slow
def test_keras_own_loader_reads_the_same(tmp_path, monkeypatch):
    import keras

    path = tmp_path / "mnist.npz"
    path.write_bytes(CONTENT)
    load_data = keras.datasets.mnist.load_data
    monkeypatch.setitem(load_data.__globals__, "get_file", lambda **_: str(path))
    assert_loads(named(load_data()), "other", path)


@pytest.mark.parametrize("packed", [True, False])  # some browsers unpack, and keep .gz
@pytest.mark.parametrize(
    ("form", "test"),
    [
        ("{}-{}-idx{}-ubyte", "t10k"),
        ("{}-{}.idx{}-ubyte.gz", "t10k"),
        ("emnist-digits-{}-{}-idx{}-ubyte.gz", "test"),
    ],
)
def test_a_folder_of_idx_files(tmp_path, form, test, packed):
    write_idx(tmp_path, SMALL, form, test, packed)
    (tmp_path / "emnist-digits-mapping.txt").write_text("0 48")
    (tmp_path / "._emnist-mnist-train-images-idx3-ubyte.gz").touch()  # a Mac's shadow
    (tmp_path / "t10k-labels-idx3-ubyte").mkdir()  # some unpackers make folders
    assert_loads(SMALL, "other", tmp_path)


def test_several_data_sets_in_one_folder(tmp_path):
    for begin in ("emnist-digits-", "emnist-mnist-"):
        write_idx(tmp_path, SMALL, begin + "{}-{}-idx{}-ubyte.gz", "test")
    assert_refused(tmp_path, tmp_path, "2 data sets.*emnist-digits-.*emnist-mnist-")


@pytest.mark.parametrize("dtype", ["u1", "i1", ">i4", "u8"])
def test_an_npz_by_its_name_or_in_its_folder(tmp_path, dtype):
    path = tmp_path / "mnist.npz"
    path.write_bytes(npz(**SMALL | {"y_train": SMALL["y_train"].astype(dtype)}))
    assert_loads(SMALL, "other", tmp_path)
    assert_loads(SMALL, "other", str(path.rename(tmp_path / "digits.npz")))


# Where MNIST is looked for


def test_what_is_named_is_used_or_refused(tmp_path, monkeypatch, web, cached):
    cached.write_bytes(CONTENT)
    (tmp_path / "mine.npz").write_bytes(npz(**DRAWN))
    monkeypatch.setenv("DIGITKIT_DATA", str(tmp_path / "mine.npz"))
    assert_loads(DRAWN, "other")
    monkeypatch.setenv("DIGITKIT_DATA", str(tmp_path / "nothing here"))
    assert_loads(DRAWN, "other", tmp_path / "mine.npz")
    with pytest.raises(FileNotFoundError, match="nothing here"):
        data.load_mnist()
    monkeypatch.setenv("DIGITKIT_DATA", "")
    assert_loads(SMALL, "mnist")


def test_a_download_goes_to_keras_cache(tmp_path, monkeypatch, web, cached, capsys):
    web.write_bytes(CONTENT)
    mirrors = ("file:///nowhere", web.as_uri())  # the second, if the first refuses
    monkeypatch.setattr(data, "MNIST_URLS", mirrors)
    assert_loads(SMALL, "mnist")
    assert kept(tmp_path) == ["mnist.npz"]
    assert cached.stat().st_mode == web.stat().st_mode  # a cache may be shared
    web.unlink()  # no network
    assert_loads(SMALL, "mnist")
    assert capsys.readouterr() == ("Data: MNIST\n" * 2, "")


def test_a_wrong_file_in_keras_cache_is_downloaded_again(web, cached):
    cached.write_bytes(CONTENT[:-100])
    assert_loads(DRAWN, "stand-in")  # no network
    web.write_bytes(CONTENT)
    assert_loads(SMALL, "mnist")
    assert cached.read_bytes() == CONTENT


def test_the_stand_in_is_drawn_once(monkeypatch):
    assert data.data_source() == "stand-in"  # loads, if nothing is loaded yet
    monkeypatch.setattr(data.stand_in, "draw_data_set", lambda: pytest.fail("again"))
    assert_loads(DRAWN, "stand-in")


@pytest.mark.parametrize("length", [0, 100, -1])
def test_a_damaged_stand_in_is_drawn_again(tmp_path, length):
    data.load_mnist()
    (drawn,) = (tmp_path / "cache").iterdir()
    drawn.write_bytes(drawn.read_bytes()[:length])
    assert_loads(DRAWN, "stand-in")
    assert_loads(DRAWN, "other", drawn)


# Bad input


@contextlib.contextmanager
def memory(limit):
    """See that no more than `limit` bytes are taken at once."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < limit


def only_words(value):
    return value if isinstance(value, str) else ""  # for bytes, no name


IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
BOMB_WENT_OFF = Path("bomb went off")


class Bomb:
    def __reduce__(self):
        return (BOMB_WENT_OFF.touch, ())


# What is read of it would look whole, without its checksums.
CUT_TO_FIT = {name: npy(array, len(array) - 1) for name, array in SMALL.items()}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no npz at all", "damaged or no npz"),
        (CONTENT[2000:], "damaged or no npz"),
        (pickle.dumps(Bomb()), "damaged or no npz"),
        (npz(x_train=X_TRAIN, y_train=Y_TRAIN, x_test=X_TEST), "damaged or no npz"),
        (zipped(x_train=npy(X_TRAIN, 10**7)), "damaged or no npz"),  # 8 GB
        (zipped(x_train=npy(X_TRAIN, 10**30)), "damaged or no npz"),
        (zipped(**CUT_TO_FIT), "longer than its header says"),
        ({"x_train": np.array([Bomb()] * 3, object)}, "damaged or no npz"),
        ({"x_train": X_TRAIN[:, 1:]}, r"received uint8 \(3, 27, 28\)"),
        ({"x_train": X_TRAIN.reshape(3, 784)}, r"received uint8 \(3, 784\)"),
        ({"x_test": X_TEST / 255}, r"received float64 \(2, 28, 28\)"),
        ({"y_train": Y_TRAIN[:-1]}, r"uint8 \(2,\)"),
        ({"y_train": np.eye(10, dtype=np.uint8)[Y_TRAIN]}, r"uint8 \(3, 10\)"),
        ({"y_test": Y_TEST / 1}, r"float64 \(2,\)"),
        ({"y_test": Y_TEST.astype(str)}, r"<U3 \(2,\)"),
        ({"x_test": X_TEST[:0], "y_test": Y_TEST[:0]}, r"\(0, 28, 28\)"),
        ({"y_train": np.full(3, 10, np.uint8)}, "labels from 10 to 10: expected"),
        ({"y_train": np.full(3, -1, np.int8)}, "labels from -1 to -1: expected"),
    ],
    ids=only_words,
)
def test_an_npz_that_does_not_fit(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mnist.npz"
    if isinstance(content, dict):
        content = npz(**SMALL | content)
    path.write_bytes(content)
    assert_refused(path, path, message)
    assert not BOMB_WENT_OFF.exists()


@pytest.mark.parametrize(
    "packing", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
@pytest.mark.parametrize("size_told", ["true", "small"])
def test_a_zip_bomb(tmp_path, monkeypatch, packing, size_told):
    monkeypatch.setattr(data, "LARGEST", 1000)
    path = tmp_path / "mnist.npz"
    bomb = npy(np.zeros((10_000, 28, 28), np.uint8), 10_000)
    content = zipped(packing, x_train=bomb)
    if size_told == "small":  # what an archive says of sizes may be wrong
        true, small = struct.pack("<I", len(bomb)), struct.pack("<I", 1000)
        content = content.replace(true, small)
    path.write_bytes(content)
    with memory(2e6):
        assert_refused(path, path, "damaged")


def header(n):
    return b"\0\0\x08\3" + struct.pack(">3I", n, 28, 28)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (idx(X_TRAIN) + bytes(30_000_000), "promises 2352 bytes, it has more"),
        (header(1_000_000) + b"ink", "promises 784000000 bytes, it has 3"),
        (header(1_000_001), "its header is not that"),
        (idx(Y_TRAIN) + bytes(9), "its header is not that"),
        (idx(X_TRAIN[:, 1:]), r"its images are \[27, 28\]"),
    ],
    ids=only_words,
)
@pytest.mark.parametrize("packed", [True, False])
def test_an_idx_file_that_does_not_fit(tmp_path, content, message, packed):
    write_idx(tmp_path, SMALL)
    (tmp_path / IMAGES).write_bytes(gzip.compress(content) if packed else content)
    with memory(10e6):
        assert_refused(tmp_path, tmp_path / IMAGES, message)


def test_a_folder_without_the_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no train-images and no train-labels"):
        data.load_mnist(tmp_path)
    write_idx(tmp_path, SMALL)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match="no t10k-labels:"):
        data.load_mnist(tmp_path)


# Damaged files

RAW = [(IMAGES, idx(X_TRAIN)), (LABELS, idx(Y_TRAIN))]
PACKED = [(name, gzip.compress(content)) for name, content in RAW]  # with checksums
PACKED += [("mnist.npz", npz(np.savez, **SMALL)), ("mnist.npz", CONTENT)]


def refusals(folder, name, versions):
    """Count the versions of a file that are refused; see the others read rightly."""
    write_idx(folder, SMALL)
    refused = 0
    # Kept open: to make a file again takes longer than to read it.
    with (folder / name).open("wb", buffering=0) as file:
        for version in versions:
            file.seek(0)
            file.write(version)
            file.truncate()
            try:
                arrays = data.read_arrays(folder)
            except ValueError as error:
                assert str(folder) in str(error)
                assert "\n" not in str(error)
                refused += 1
            else:
                assert all(map(np.array_equal, arrays, SMALL.values()))
    return refused


@pytest.mark.parametrize(("name", "content"), RAW + PACKED, ids=only_words)
def test_every_truncation_is_refused(tmp_path, name, content):
    versions = [content[:length] for length in range(len(content))]
    assert refusals(tmp_path, name, versions) == len(content)


@pytest.mark.parametrize(("name", "content"), PACKED, ids=only_words)
@pytest.mark.parametrize("bits", [1, pytest.param(8, marks=pytest.mark.soak)])
def test_no_flipped_bit_gives_other_digits(tmp_path, name, content, bits):
    versions = [
        content[:place] + bytes([byte ^ 1 << (place + bit) % 8]) + content[place + 1 :]
        for place, byte in enumerate(content)
        for bit in range(bits)
    ]
    refused = refusals(tmp_path, name, versions)
    assert refused > len(versions) / 2  # the others do not matter: dates, versions


# Scaling and speed


def test_to_unit():
    scaled = data.to_unit(np.arange(256, dtype=np.uint8).reshape(4, 64))
    assert scaled.dtype == np.float32
    assert scaled.shape == (4, 64)
    np.testing.assert_allclose(scaled.ravel(), np.arange(256) / 255, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_to_unit_scales_nothing_twice(dtype):
    with pytest.raises(ValueError, match=dtype):
        data.to_unit(np.zeros((2, 28, 28), dtype))


@pytest.mark.soak
def test_mnist_is_loaded_in_no_time(tmp_path, mnist):
    (tmp_path / "mnist.npz").write_bytes(npz(**named(mnist)))
    seconds = []
    for _ in range(5):
        begun = time.perf_counter()
        data.load_mnist(tmp_path)
        seconds.append(time.perf_counter() - begun)
    assert data.data_source() == "mnist"
    assert min(seconds) < 0.6
