"""Loading MNIST: from files, Keras' cache, the network, or the stand-in."""

import contextlib
import gzip
import hashlib
import io
import pickle
import struct
import sys
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from digitkit import data

PARTS = {"train": ("x_train", "y_train"), "t10k": ("x_test", "y_test")}


def small_set(n=7, seed=0):
    """Return the four arrays of a little data set."""
    random = np.random.default_rng(seed)
    return {
        "x_train": random.integers(0, 256, (n, 28, 28), np.uint8),
        "y_train": random.integers(0, 10, n, np.uint8),
        "x_test": random.integers(0, 256, (n - 2, 28, 28), np.uint8),
        "y_test": random.integers(0, 10, n - 2, np.uint8),
    }


SMALL = small_set()


def flat(loaded):
    (x_train, y_train), (x_test, y_test) = loaded
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def assert_is(loaded, arrays):
    for name, array in flat(loaded).items():
        assert array.dtype == np.uint8
        np.testing.assert_array_equal(array, arrays[name])


def idx(array):
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def write_idx(folder, arrays=SMALL, dot="-", zipped=True, begin="", test="t10k"):
    folder.mkdir(exist_ok=True)
    for part, names in PARTS.items():
        part = begin + part.replace("t10k", test)
        for name, kind in zip(names, ("images-idx3", "labels-idx1"), strict=True):
            content = idx(arrays[name])
            path = folder / f"{part}-{kind[:6]}{dot}{kind[7:]}-ubyte"
            if zipped:
                path, content = (
                    path.with_name(path.name + ".gz"),
                    gzip.compress(content, 1),
                )
            path.write_bytes(content)
    return folder


def npz(**changed):
    """Return the bytes of an npz with SMALL's arrays, some of them changed."""
    file = io.BytesIO()
    arrays = {k: v for k, v in {**SMALL, **changed}.items() if v is not None}
    np.savez_compressed(file, **arrays)
    return file.getvalue()


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """No network, no caches, no settings but the test's own."""
    monkeypatch.delenv("DIGITKIT_DATA", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("DIGITKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(data, "_last_source", None)
    web = tmp_path / "web" / "mnist.npz"
    monkeypatch.setattr(data, "MNIST_URLS", (web.as_uri(),))  # nothing is there yet
    monkeypatch.setattr(data.stand_in, "draw_data_set", draw)


def draw():
    arrays = small_set(9, seed=1)
    x_train, y_train, x_test, y_test = (arrays[name] for name in data.ARRAYS)
    return (x_train, y_train), (x_test, y_test)


def publish(tmp_path, content):
    """Let these bytes lie where MNIST is fetched from."""
    (tmp_path / "web").mkdir(exist_ok=True)
    (tmp_path / "web" / "mnist.npz").write_bytes(content)


def checksum(arrays=SMALL):
    return hashlib.sha256(
        b"".join(arrays[n].tobytes() for n in data.ARRAYS)
    ).hexdigest()


def pretend_mnist(monkeypatch, content):
    """Take the npz of these bytes for MNIST."""
    monkeypatch.setattr(data, "MNIST_NPZ_SIZE", len(content))
    monkeypatch.setattr(data, "MNIST_NPZ_SHA256", hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(data, "MNIST_ARRAYS_SHA256", checksum())


def kept(tmp_path):
    """List what lies in the caches."""
    folders = (tmp_path / "keras", tmp_path / "cache")
    return [p.name for folder in folders for p in folder.rglob("*") if p.is_file()]


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
    path.write_bytes(npz())
    load_data = keras.datasets.mnist.load_data
    monkeypatch.setitem(load_data.__globals__, "get_file", lambda **_: str(path))
    ours, keras_own = flat(data.load_mnist(path)), flat(load_data())
    for name, array in ours.items():
        assert array.dtype == keras_own[name].dtype
        np.testing.assert_array_equal(array, keras_own[name])


@pytest.mark.parametrize("dot", ["-", "."])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_folder_of_idx_files(tmp_path, dot, zipped):
    folder = write_idx(tmp_path / "idx", dot=dot, zipped=zipped)
    assert_is(data.load_mnist(folder), SMALL)
    assert data.data_source() == "other"


def test_files_named_as_emnist_names_them(tmp_path):
    folder = write_idx(tmp_path / "idx", begin="emnist-digits-", test="test")
    (folder / "emnist-digits-mapping.txt").write_text("0 48")
    (folder / "._emnist-mnist-train-images-idx3-ubyte.gz").touch()  # a Mac's shadow
    assert_is(data.load_mnist(folder), SMALL)
    assert data.data_source() == "other"


def test_several_data_sets_in_one_folder(tmp_path):
    for begin in ("emnist-digits-", "emnist-mnist-"):
        folder = write_idx(tmp_path / "idx", begin=begin, test="test")
    with pytest.raises(ValueError, match="2 data sets") as caught:
        data.load_mnist(folder)
    for name in (str(folder), "emnist-digits-train-images", "emnist-mnist-train-"):
        assert name in str(caught.value)


def test_files_that_are_unpacked_whatever_their_names_say(tmp_path):
    # As some browsers leave them; and as some unpackers do: a folder for each file.
    folder = write_idx(tmp_path / "idx", zipped=False)
    for path in list(folder.iterdir()):
        if "train" in path.name:
            path.rename(f"{path}.gz")
    (folder / "t10k-images.idx3-ubyte.gz").mkdir()
    assert_is(data.load_mnist(folder), SMALL)


def test_an_npz_by_its_name_or_in_its_folder(tmp_path):
    (tmp_path / "mnist.npz").write_bytes(npz())
    (tmp_path / "digits.npz").write_bytes(npz())
    assert_is(data.load_mnist(tmp_path), SMALL)
    assert_is(data.load_mnist(str(tmp_path / "digits.npz")), SMALL)


@pytest.mark.parametrize("dtype", ["i1", ">i4", "u8"])
def test_labels_of_any_integer_type_become_uint8(tmp_path, dtype):
    content = npz(y_train=SMALL["y_train"].astype(dtype))
    (tmp_path / "mnist.npz").write_bytes(content)
    assert_is(data.load_mnist(tmp_path), SMALL)
    assert data.data_source() == "other"


def test_what_is_loaded_can_be_written_to(tmp_path):
    # As Keras' arrays can: x_train /= 255 is the first thing that many learners type.
    for folder in (write_idx(tmp_path / "idx"), tmp_path):
        (tmp_path / "mnist.npz").write_bytes(npz())
        for array in flat(data.load_mnist(folder)).values():
            array[0] = 0


# Where it is looked for


def test_the_argument_goes_before_the_variable(tmp_path, monkeypatch):
    folder = write_idx(tmp_path / "idx")
    monkeypatch.setenv("DIGITKIT_DATA", str(folder))
    assert_is(data.load_mnist(), SMALL)
    monkeypatch.setenv("DIGITKIT_DATA", str(tmp_path / "nothing here"))
    assert_is(data.load_mnist(folder), SMALL)
    monkeypatch.setenv("DIGITKIT_DATA", "")
    assert_is(data.load_mnist(), small_set(9, seed=1))


def test_a_download_goes_to_keras_cache_and_is_used_from_there(
    tmp_path, monkeypatch, capsys
):
    pretend_mnist(monkeypatch, npz())
    publish(tmp_path, npz())
    assert_is(data.load_mnist(), SMALL)
    assert kept(tmp_path) == ["mnist.npz"]
    (tmp_path / "web/mnist.npz").unlink()  # without a network
    capsys.readouterr()
    assert_is(data.load_mnist(), SMALL)
    assert data.data_source() == "mnist"
    assert capsys.readouterr() == ("Data: MNIST\n", "")


def test_what_is_named_and_unusable_is_never_passed_over(tmp_path, monkeypatch):
    cached = tmp_path / "keras/datasets/mnist.npz"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(npz())
    pretend_mnist(monkeypatch, npz())
    monkeypatch.setenv("DIGITKIT_DATA", str(tmp_path / "nothing here"))
    with pytest.raises(FileNotFoundError, match="nothing here"):
        data.load_mnist()


def test_a_wrong_file_in_keras_cache_is_downloaded_again(tmp_path, monkeypatch):
    cached = tmp_path / "keras/datasets/mnist.npz"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(npz()[:-100])
    pretend_mnist(monkeypatch, npz())
    data.load_mnist()
    assert data.data_source() == "stand-in"  # no network
    publish(tmp_path, npz())
    assert_is(data.load_mnist(), SMALL)
    assert data.data_source() == "mnist"
    assert cached.read_bytes() == npz()


def test_a_mirror_is_asked_if_the_first_address_refuses(tmp_path, monkeypatch):
    pretend_mnist(monkeypatch, npz())
    publish(tmp_path, npz())
    monkeypatch.setattr(data, "MNIST_URLS", ("file:///nowhere", *data.MNIST_URLS))
    data.load_mnist()
    assert data.data_source() == "mnist"


# The stand-in's cache


def test_the_stand_in_is_drawn_once(monkeypatch):
    assert data.data_source() == "stand-in"  # which loads, since nothing is yet
    first = small_set(9, seed=1)
    monkeypatch.setattr(data.stand_in, "draw_data_set", lambda: pytest.fail("again"))
    assert_is(data.load_mnist(), first)
    assert data.data_source() == "stand-in"


@pytest.mark.parametrize("keep", [0, 100, -1])
def test_a_damaged_stand_in_is_drawn_again(tmp_path, keep):
    data.load_mnist()
    (cached,) = (tmp_path / "cache").iterdir()
    cached.write_bytes(cached.read_bytes()[:keep])
    assert_is(data.load_mnist(), small_set(9, seed=1))
    assert_is(data.load_mnist(cached), small_set(9, seed=1))


def test_no_cache_folder_costs_time_only(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("DIGITKIT_CACHE", str(tmp_path / "file/cache"))
    assert_is(data.load_mnist(), small_set(9, seed=1))


# Bad input


def only_words(parameter):
    return parameter if isinstance(parameter, str) else ""  # for bytes, no name


BOMB_WENT_OFF = Path("bomb went off")


class Bomb:
    def __reduce__(self):
        return (BOMB_WENT_OFF.touch, ())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged or no npz"),
        (b"no npz at all", "damaged or no npz"),
        (npz()[:2000], "damaged or no npz"),
        (npz()[2000:], "damaged or no npz"),
        (npz(y_test=None), "damaged or no npz"),
        (pickle.dumps(Bomb()), "damaged or no npz"),
        (npz(x_train=np.array([Bomb()] * 7, object)), "damaged or no npz"),
        (npz(x_train=SMALL["x_train"][:, 1:]), r"received uint8 \(7, 27, 28\)"),
        (npz(x_train=SMALL["x_train"].reshape(7, 784)), r"received uint8 \(7, 784\)"),
        (npz(x_test=SMALL["x_test"] / 255), r"received float64 \(5, 28, 28\)"),
        (npz(y_train=SMALL["y_train"][:-1]), r"uint8 \(6,\)"),
        (npz(y_train=np.eye(10, dtype=np.uint8)[SMALL["y_train"]]), r"\(7, 10\)"),
        (npz(y_test=SMALL["y_test"] / 1), r"float64 \(5,\)"),
        (npz(y_test=SMALL["y_test"].astype(str)), r"<U3 \(5,\)"),
        (npz(x_test=SMALL["x_test"][:0], y_test=SMALL["y_test"][:0]), r"\(0, 28, 28\)"),
        (npz(y_train=SMALL["y_train"] + np.uint8(9)), "expected digits from 0 to 9"),
        (npz(y_train=SMALL["y_train"] * 0 + np.uint8(10)), "labels from 10 to 10"),
        (npz(y_train=SMALL["y_train"] - np.int8(5)), "expected digits from 0 to 9"),
    ],
    ids=only_words,
)
def test_an_npz_that_does_not_fit(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mnist.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        data.load_mnist(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not BOMB_WENT_OFF.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged"),
        (idx(SMALL["x_train"])[:9], "damaged"),
        (idx(SMALL["x_train"])[:-1], "promises 5488 bytes"),
        (idx(SMALL["x_train"]) + b"more", "promises 5488 bytes"),
        (idx(np.tile(SMALL["y_train"], 9)), "its header is not that"),
        (idx(SMALL["x_train"][:, 1:]), r"its images are \[27, 28\]"),
        (b"\0\0\x08\3" + struct.pack(">3I", 2**32 - 1, 28, 28), "header"),
        (b"\0\0\x08\3" + struct.pack(">3I", 1_000_001, 28, 28), "header"),
    ],
    ids=only_words,
)
@pytest.mark.parametrize("zipped", [True, False])
def test_an_idx_file_that_does_not_fit(tmp_path, content, message, zipped):
    folder = write_idx(tmp_path / "idx", zipped=zipped)
    path = folder / f"train-images-idx3-ubyte{'.gz' if zipped else ''}"
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(ValueError, match=message) as caught:
        data.load_mnist(folder)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numbers_of_images_and_labels_that_differ(tmp_path):
    folder = write_idx(tmp_path / "idx", SMALL | {"y_test": SMALL["y_test"][1:]})
    with pytest.raises(ValueError, match=r"\(5, 28, 28\) and uint8 \(4,\)"):
        data.load_mnist(folder)


def test_a_folder_without_the_files(tmp_path):
    with pytest.raises(
        FileNotFoundError, match="no train-images and no train-labels and"
    ):
        data.load_mnist(tmp_path)
    next(write_idx(tmp_path).glob("t10k-labels*")).unlink()
    with pytest.raises(FileNotFoundError, match="no t10k-labels:"):
        data.load_mnist(tmp_path)


# Damaged files


def sparse_set():
    """Return a small data set that packs as digits do: mostly paper."""
    arrays = small_set(3, seed=2)
    return {k: v * (v > 200) if k[0] == "x" else v for k, v in arrays.items()}


SPARSE = sparse_set()


def flips(content, all_bits=False):
    """Give the content with each of its bytes flipped: one of its bits, or each."""
    for place in range(len(content)):
        for bit in range(8) if all_bits else [place * 5 % 8]:
            flipped = content[place] ^ 1 << bit
            yield content[:place] + bytes([flipped]) + content[place + 1 :]


def truncations(content):
    return (content[:length] for length in range(len(content)))


def attack(path, versions, folder=None):
    """Put each version at a path; see the right arrays read, or a clear error.

    Return how many were refused, of how many.
    """
    refused = total = 0
    # Kept open: to make a file anew takes longer than to read it.
    with path.open("wb", buffering=0) as file:
        for version in versions:
            file.seek(0)
            file.write(version)
            file.truncate()
            begun = time.perf_counter()
            total += 1
            try:
                assert_sparse(data.read_arrays(folder or path))
            except ValueError as error:
                assert str(path) in str(error) or f"{folder} does not fit" in str(error)
                assert "\n" not in str(error)
                refused += 1
            assert time.perf_counter() - begun < 5
    return refused, total


def assert_sparse(arrays):
    for name, array in zip(data.ARRAYS, arrays, strict=True):
        assert array.dtype == np.uint8
        assert np.array_equal(array, SPARSE[name])


def npz_of(save):
    file = io.BytesIO()
    save(file, **SPARSE)
    return file.getvalue()


NPZ = {"savez": npz_of(np.savez), "compressed": npz_of(np.savez_compressed)}
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
IDX_FILES = [f"{IMAGES}.gz", f"{LABELS}.gz", IMAGES, LABELS]


def files(tmp_path, name):
    """Write a data set; return a file of it, its content, and what to load."""
    if name in NPZ:
        return tmp_path / "mnist.npz", NPZ[name], None
    folder = write_idx(tmp_path / "idx", SPARSE, zipped=name.endswith(".gz"))
    return folder / name, (folder / name).read_bytes(), folder


@pytest.mark.parametrize("name", [*NPZ, *IDX_FILES])
def test_every_truncation(tmp_path, name):
    path, content, folder = files(tmp_path, name)
    counts = attack(path, truncations(content), folder)
    assert counts == (len(content), len(content))


@pytest.mark.parametrize("name", [*NPZ, *IDX_FILES[:2]])
@pytest.mark.parametrize(
    "all_bits", [False, pytest.param(True, marks=pytest.mark.soak)], ids=["one", "all"]
)
def test_every_flipped_byte(tmp_path, name, all_bits):
    path, content, folder = files(tmp_path, name)
    refused, total = attack(path, flips(content, all_bits), folder)
    assert refused > total / 2  # the others do not matter: dates, versions


@pytest.mark.parametrize(("name", "header"), [(IMAGES, 16), (LABELS, 8)])
def test_every_flipped_bit_of_a_raw_header(tmp_path, name, header):
    path, content, folder = files(tmp_path, name)
    versions = [flipped + content[header:] for flipped in flips(content[:header], True)]
    assert attack(path, versions, folder) == (8 * header, 8 * header)


def test_every_flipped_bit_of_raw_labels(tmp_path):
    # Nothing tells a digit from another, but all that is read is a digit.
    path, content, folder = files(tmp_path, LABELS)
    for labels in flips(content[8:], all_bits=True):
        path.write_bytes(content[:8] + labels)
        if max(labels) > 9:
            with pytest.raises(ValueError, match="expected digits from 0 to 9"):
                data.read_arrays(folder)
        else:
            assert data.read_arrays(folder)[1].tolist() == list(labels)


@st.composite
def wrecks(draw, content):
    """Cut a piece out of the content and put up to 20 other bytes in its place."""
    for _ in range(draw(st.integers(1, 3))):
        first, last = sorted(draw(st.tuples(*2 * [st.integers(0, len(content))])))
        content = content[:first] + draw(st.binary(max_size=20)) + content[last:]
    return content


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data(), st.sampled_from([*NPZ, f"{IMAGES}.gz"]))
def test_a_wrecked_file(tmp_path, draws, name):
    path, content, folder = files(tmp_path, name)
    attack(path, [draws.draw(wrecks(content))], folder)


# Files that would fill the memory


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


def test_a_huge_file_in_keras_cache(tmp_path):
    cached = tmp_path / "keras/datasets/mnist.npz"
    cached.parent.mkdir(parents=True)
    with cached.open("wb") as file:
        file.truncate(200_000_000)
    with memory(50e6):
        data.load_mnist()
    assert data.data_source() == "stand-in"


def test_a_raw_header_that_promises_too_much(tmp_path):
    path, _, folder = files(tmp_path, IMAGES)
    sizes = struct.pack(">3I", data.LARGEST, 28, 28)
    path.write_bytes(b"\0\0\x08\3" + sizes + b"ink")
    with memory(5e6), pytest.raises(ValueError, match="it has 3"):
        data.read_arrays(folder)


def test_a_gzip_bomb(tmp_path):
    path, _, folder = files(tmp_path, f"{IMAGES}.gz")
    path.write_bytes(gzip.compress(idx(SPARSE["x_train"]) + bytes(100_000_000)))
    with memory(10e6), pytest.raises(ValueError, match="it has more"):
        data.read_arrays(folder)


def write_bomb(path, size, compression):
    """Write an npz of which x_train is `size` bytes of zeros."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name in data.ARRAYS:
            with archive.open(f"{name}.npy", "w") as file:
                if name == "x_train":
                    shape = {"shape": (size // 784, 28, 28)}
                    header = {"descr": "|u1", "fortran_order": False, **shape}
                    np.lib.format.write_array_header_1_0(file, header)
                    for _ in range(size // 784):
                        file.write(bytes(784))
                else:
                    np.lib.format.write_array(file, SPARSE[name])


@pytest.mark.parametrize(
    "compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
@pytest.mark.parametrize("size_told", ["true", "small"])
def test_a_zip_bomb(tmp_path, monkeypatch, compression, size_told):
    monkeypatch.setattr(data, "LARGEST", 1000)
    path, size = tmp_path / "mnist.npz", 784 * 50_000
    write_bomb(path, size, compression)
    if size_told == "small":  # in the archive's directory, which nobody checks
        content = path.read_bytes()
        told = content.rindex(struct.pack("<I", size + 128))
        small = struct.pack("<I", 1000)
        path.write_bytes(content[:told] + small + content[told + 4 :])
    with memory(5e6), pytest.raises(ValueError, match="damaged"):
        data.read_arrays(path)


def test_an_npz_header_that_promises_too_much(tmp_path):
    # NumPy reserves what the header says. What is never touched takes no memory.
    resource = pytest.importorskip("resource")
    path = tmp_path / "mnist.npz"
    unit = 1 if sys.platform == "darwin" else 1024
    for n in (10**7, 10**10, 10**15, 10**30):
        with zipfile.ZipFile(path, "w") as archive:
            header = {"descr": "|u1", "fortran_order": False, "shape": (n, 28, 28)}
            with archive.open("x_train.npy", "w") as file:
                np.lib.format.write_array_header_1_0(file, header)
                file.write(bytes(784))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(ValueError, match="damaged"):
            data.read_arrays(path)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert (after - before) * unit < 100e6


def test_members_that_are_longer_than_their_headers_say(tmp_path):
    # A set cut to fit: what is read of it would look whole, without its checksums.
    path = tmp_path / "mnist.npz"
    path.write_bytes(NPZ["savez"])
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(f"{name}.npy") for name in data.ARRAYS}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content.replace(b"(3,", b"(2,"))
    with pytest.raises(ValueError, match="longer than its header says"):
        data.read_arrays(path)


# Scaling


def test_to_unit():
    scaled = data.to_unit(np.arange(256, dtype=np.uint8).reshape(4, 64))
    assert scaled.dtype == np.float32
    assert scaled.shape == (4, 64)
    np.testing.assert_allclose(scaled.ravel(), np.arange(256) / 255, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.int64, bool])
def test_to_unit_scales_nothing_twice(dtype):
    with pytest.raises(ValueError, match=np.dtype(dtype).name):
        data.to_unit(np.zeros((2, 28, 28), dtype))


@pytest.mark.soak
def test_mnist_is_loaded_in_no_time(tmp_path, mnist):
    folder = write_idx(tmp_path / "idx", flat(mnist))
    np.savez_compressed(tmp_path / "mnist.npz", **flat(mnist))  # as Keras' file
    for source in (folder, tmp_path / "mnist.npz"):
        seconds = []
        for _ in range(5):
            begun = time.perf_counter()
            data.load_mnist(source)
            seconds.append(time.perf_counter() - begun)
        assert data.data_source() == "mnist"
        assert min(seconds) < 0.6
