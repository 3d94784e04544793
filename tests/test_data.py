"""Loading MNIST: from files, Keras' cache, the network, or the stand-in."""

import gzip
import hashlib
import http.client
import io
import pickle
import struct
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


def write_idx(folder, arrays=SMALL, dot="-", zipped=True):
    folder.mkdir(exist_ok=True)
    for part, names in PARTS.items():
        for name, kind in zip(names, ("images-idx3", "labels-idx1"), strict=True):
            content = idx(arrays[name])
            path = folder / f"{part}-{kind[:6]}{dot}{kind[7:]}-ubyte"
            if zipped:
                path, content = (
                    path.with_name(path.name + ".gz"),
                    gzip.compress(content),
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
    network_gives(monkeypatch, OSError("no network"))
    monkeypatch.setattr(data.standin, "draw_data_set", draw, raising=False)


def draw():
    arrays = small_set(9, seed=1)
    x_train, y_train, x_test, y_test = (arrays[name] for name in data.ARRAYS)
    return (x_train, y_train), (x_test, y_test)


def network_gives(monkeypatch, answer):
    """Let every request be answered with bytes, or with an exception."""

    def urlopen(*_, **options):
        assert options["timeout"] <= 30, "a blocked network must cost seconds"
        if isinstance(answer, Exception):
            raise answer
        return answer if hasattr(answer, "read") else io.BytesIO(answer)

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)


def pretend_mnist(monkeypatch, content):
    """Take the npz of these bytes for MNIST."""
    monkeypatch.setattr(data, "MNIST_NPZ_SHA256", hashlib.sha256(content).hexdigest())
    digest = hashlib.sha256(b"".join(SMALL[name].tobytes() for name in data.ARRAYS))
    monkeypatch.setattr(data, "MNIST_ARRAYS_SHA256", digest.hexdigest())


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


def test_an_npz_by_its_name_or_in_its_folder(tmp_path):
    (tmp_path / "mnist.npz").write_bytes(npz())
    (tmp_path / "digits.npz").write_bytes(npz())
    assert_is(data.load_mnist(tmp_path), SMALL)
    assert_is(data.load_mnist(str(tmp_path / "digits.npz")), SMALL)


def test_labels_of_any_integer_type_become_uint8(tmp_path):
    content = npz(y_train=SMALL["y_train"].astype(np.int64))
    (tmp_path / "mnist.npz").write_bytes(content)
    assert_is(data.load_mnist(tmp_path), SMALL)


def test_what_is_loaded_can_be_written_to(tmp_path):
    # As Keras' arrays can: x_train /= 255 is the first thing that many learners type.
    for folder in (write_idx(tmp_path / "idx"), tmp_path):
        (tmp_path / "mnist.npz").write_bytes(npz())
        for array in flat(data.load_mnist(folder)).values():
            array[0] = 0


# Where it is looked for


def test_the_variable_names_the_data(tmp_path, monkeypatch):
    monkeypatch.setenv("DIGITKIT_DATA", str(write_idx(tmp_path / "idx")))
    assert_is(data.load_mnist(), SMALL)


def test_the_argument_goes_before_the_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("DIGITKIT_DATA", str(tmp_path / "nothing here"))
    assert_is(data.load_mnist(write_idx(tmp_path / "idx")), SMALL)


def test_an_empty_variable_counts_as_unset(monkeypatch):
    monkeypatch.setenv("DIGITKIT_DATA", "")
    assert_is(data.load_mnist(), small_set(9, seed=1))


def test_what_is_named_and_unusable_is_never_passed_over(tmp_path, monkeypatch):
    cached = tmp_path / "keras/datasets/mnist.npz"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(npz())
    pretend_mnist(monkeypatch, npz())
    monkeypatch.setenv("DIGITKIT_DATA", str(tmp_path / "nothing here"))
    with pytest.raises(FileNotFoundError, match="nothing here"):
        data.load_mnist()


def test_keras_cache_is_used_without_a_network(tmp_path, monkeypatch, capsys):
    cached = tmp_path / "keras/datasets/mnist.npz"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(npz())
    pretend_mnist(monkeypatch, npz())
    assert_is(data.load_mnist(), SMALL)
    assert data.data_source() == "mnist"
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert "mnist" in told.err


def test_a_wrong_file_in_keras_cache_is_an_error(tmp_path):
    cached = tmp_path / "keras/datasets/mnist.npz"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(npz())
    with pytest.raises(ValueError, match=r"mnist\.npz .*checksum: delete it"):
        data.load_mnist()


def test_a_download_goes_to_keras_cache(tmp_path, monkeypatch):
    pretend_mnist(monkeypatch, npz())
    network_gives(monkeypatch, npz())
    assert_is(data.load_mnist(), SMALL)
    assert data.data_source() == "mnist"
    network_gives(monkeypatch, OSError("no network"))
    assert_is(data.load_mnist(), SMALL)


class CutOff(io.BytesIO):
    """A connection that ends before all bytes have come."""

    def read(self, *_):
        raise http.client.IncompleteRead(b"half", 4)


@pytest.mark.parametrize(
    "answer",
    [
        OSError("no network"),
        TimeoutError("timed out"),
        http.client.BadStatusLine("a portal"),
        b"<html>Please log in to this network</html>",
        npz()[:1000],
        CutOff(),
    ],
    ids=["blocked", "timeout", "no-http", "portal", "half", "cut-off"],
)
def test_a_download_that_fails_leaves_nothing(tmp_path, monkeypatch, capsys, answer):
    network_gives(monkeypatch, answer)
    assert_is(data.load_mnist(), small_set(9, seed=1))
    assert data.data_source() == "stand-in"
    assert not [path for path in (tmp_path / "keras").rglob("*") if path.is_file()]
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "stand-in" in told
    assert "DIGITKIT_DATA" in told


# The stand-in's cache


def test_the_stand_in_is_drawn_once(monkeypatch):
    first = flat(data.load_mnist())
    monkeypatch.setattr(data.standin, "draw_data_set", lambda: pytest.fail("again"))
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


def test_data_source_loads_if_nothing_has_been_loaded():
    assert data.data_source() == "stand-in"


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
        (idx(np.tile(SMALL["y_train"], 9)), "its header is not MNIST's"),
        (idx(SMALL["x_train"][:, 1:]), r"its images are \[27, 28\]"),
        (b"\0\0\x08\3" + struct.pack(">3I", 2**32 - 1, 28, 28), "header"),
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
    with pytest.raises(FileNotFoundError, match="no train-images-idx3-ubyte"):
        data.load_mnist(tmp_path)
    next(write_idx(tmp_path).glob("t10k-labels*")).unlink()
    with pytest.raises(FileNotFoundError, match="no t10k-labels-idx1-ubyte"):
        data.load_mnist(tmp_path)


damage = settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@damage
@given(st.data())
def test_a_damaged_npz_is_never_read_as_other_digits(tmp_path, draws):
    path = tmp_path / "mnist.npz"
    path.write_bytes(damaged(npz(), draws))
    try:
        assert_is(data.load_mnist(path), SMALL)  # the byte did not matter
    except ValueError as error:
        assert str(path) in str(error)


@damage
@given(st.data())
def test_a_damaged_idx_file_is_never_read_as_other_digits(tmp_path, draws):
    folder = write_idx(tmp_path / "idx")
    path = draws.draw(st.sampled_from(sorted(folder.iterdir())))
    path.write_bytes(damaged(path.read_bytes(), draws))
    try:
        assert_is(data.load_mnist(folder), SMALL)
    except ValueError as error:
        assert str(folder) in str(error)


def damaged(content, draws):
    """Cut the content short, or flip one of its bits."""
    place = draws.draw(st.integers(0, len(content) - 1))
    if draws.draw(st.booleans()):
        return content[:place]
    flipped = content[place] ^ 1 << draws.draw(st.integers(0, 7))
    return content[:place] + bytes([flipped]) + content[place + 1 :]


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


def test_a_download_counts_where_no_cache_can_be_kept(tmp_path, monkeypatch):
    blocked = tmp_path / "a file"
    blocked.write_text("no folder")
    monkeypatch.setenv("KERAS_HOME", str(blocked))
    pretend_mnist(monkeypatch, npz())
    network_gives(monkeypatch, npz())
    loaded = data.load_mnist()
    assert data.data_source() == "mnist"
    np.testing.assert_array_equal(loaded[0][0], SMALL["x_train"])
