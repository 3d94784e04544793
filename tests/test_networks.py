"""Building, saving, loading and asking the networks."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from digitkit import networks
from digitkit.networks import load_network, predictor, save_network

ROOT = Path(networks.__file__).parent.parent
slow = pytest.mark.slow


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    """Give each test a work folder of its own."""
    monkeypatch.setenv("DIGITKIT_WORK", str(tmp_path / "work"))
    return tmp_path / "work"


@pytest.fixture(scope="module")
def model():
    return small_network()


def small_network(shape=(28, 28), outputs=10, seed=0):
    """Build a network of one layer, compiled and trained for one step."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input(shape),
            layers.Flatten(),
            layers.Dense(outputs, activation="softmax"),
        ]
    )
    rate = keras.optimizers.schedules.ExponentialDecay(0.01, 100, 0.5)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    model.fit(np.zeros((8, *shape)), np.arange(8) % outputs, verbose=0)
    return model


def some_images(n):
    return np.random.default_rng(0).random((n, 28, 28), np.float32)


# Building


def check_network(model, parameters, docstring):
    assert model.input_shape == (None, 28, 28)
    assert model.count_params() == parameters
    assert f"{parameters:,} parameters".replace(",", " ") in docstring
    np.testing.assert_allclose(model.predict_on_batch(some_images(3)).sum(1), 1, 1e-5)


@slow
def test_build_cnn():
    # By hand: kernels, four numbers a filter of batch normalisation, dense layer.
    kernels = 5 * 5 * 32 + 3 * 3 * (32 * 48 + 48 * 96)
    others = 4 * (32 + 48 + 96) + (3 * 3 * 96 + 1) * 10
    check_network(networks.build_cnn(), kernels + others, networks.build_cnn.__doc__)


@slow
def test_build_cnn_of_other_filters():
    kernels = 5 * 5 * 4 + 3 * 3 * (4 * 6 + 6 * 8 + 8 * 9)
    others = 4 * (4 + 6 + 8 + 9) + (2 * 2 * 9 + 1) * 10
    assert networks.build_cnn((4, 6, 8, 9)).count_params() == kernels + others


def test_build_cnn_in_steps_of_one_pools_instead():
    def shapes(model):
        kinds = "Conv2D", "MaxPooling2D"
        return [x.output.shape[1:] for x in model.layers if type(x).__name__ in kinds]

    quick, best = networks.build_cnn((4, 6, 8)), networks.build_cnn((4, 6, 8), step=1)
    after = [(10, 10, 6), (5, 5, 6), (3, 3, 8)]
    assert shapes(quick) == [(12, 12, 4), *after]
    assert shapes(best) == [(24, 24, 4), (12, 12, 4), *after]
    assert quick.count_params() == best.count_params()


@slow
def test_build_classic_cnn():
    # By hand: 3x3 kernels and biases, 12 x 12 x 64 pooled values, two dense layers.
    parameters = 32 * (9 + 1) + 64 * (9 * 32 + 1) + (9216 + 1) * 256 + 257 * 10
    docstring = networks.build_classic_cnn.__doc__
    check_network(networks.build_classic_cnn(), parameters, docstring)


# Saving and loading


@slow
@pytest.mark.parametrize("name", ["deep/down/net.keras", "net.h5"])
def test_what_is_saved_is_what_is_loaded(tmp_path, model, name):
    path = save_network(model, tmp_path / name)
    assert path == tmp_path / name
    assert [x.name for x in path.parent.iterdir() if x.is_file()] == [path.name]
    loaded = load_network(path)
    images = some_images(5)
    np.testing.assert_array_equal(
        loaded.predict_on_batch(images), model.predict_on_batch(images)
    )
    assert loaded.name == "net"
    assert not loaded.compiled


@slow
def test_saving_leaves_the_model_as_it_was(tmp_path, model):
    save_network(model, tmp_path / "net.keras")
    assert model.compiled
    model.evaluate(some_images(4), np.arange(4), verbose=0)


@slow
def test_no_optimizer_is_saved(tmp_path, model):
    save_network(model, tmp_path / "net.keras")
    model.save(tmp_path / "with_optimizer.keras")
    sizes = [
        (tmp_path / name).stat().st_size
        for name in ("net.keras", "with_optimizer.keras")
    ]
    assert sizes[0] < 0.6 * sizes[1]
    with zipfile.ZipFile(tmp_path / "net.keras") as archive:
        assert b"ExponentialDecay" not in archive.read("config.json")


@slow
def test_a_saved_network_loads_in_a_fresh_process(tmp_path, model):
    path = save_network(model, tmp_path / "net.keras")
    images = some_images(2)
    np.save(tmp_path / "images.npy", images)
    program = (
        "import sys, numpy as np; from digitkit.networks import load_network\n"
        "model = load_network(sys.argv[1])\n"
        "np.save('out.npy', model.predict_on_batch(np.load('images.npy')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(
        np.load(tmp_path / "out.npy"), model.predict_on_batch(images), rtol=1e-5
    )


@slow
def test_a_failure_while_saving_leaves_the_old_file(tmp_path, model, monkeypatch):
    import keras

    path = save_network(model, tmp_path / "net.keras")
    before = path.read_bytes()

    def save(self, path):
        Path(path).write_bytes(b"half a netw")
        raise OSError("no space left on device")

    monkeypatch.setattr(keras.Model, "save", save)
    with pytest.raises(OSError, match="no space left"):
        save_network(model, path)
    assert path.read_bytes() == before
    assert [x for x in tmp_path.iterdir() if x.is_file()] == [path]


@slow
@pytest.mark.parametrize("name", ["net", "net.pkl", "net.keras.txt"])
def test_a_wrong_suffix_is_refused(tmp_path, model, name):
    with pytest.raises(ValueError, match=r"should end in \.keras") as caught:
        save_network(model, tmp_path / name)
    assert name in str(caught.value)
    assert not (tmp_path / name).exists()


@slow
def test_the_learner_s_own_network_goes_before_the_shipped(
    tmp_path, work, model, monkeypatch, capsys
):
    other = small_network(seed=1)
    shipped = save_network(other, tmp_path / "shipped.keras")
    monkeypatch.setattr(networks, "SHIPPED_NETWORK", shipped)

    def is_like(loaded, model):
        return np.array_equal(loaded.get_weights()[0], model.get_weights()[0])

    assert is_like(load_network(), other)
    assert "shipped" in capsys.readouterr().out
    assert save_network(model) == work / "my_network.keras"
    assert is_like(load_network(), model)
    assert "my_network" in capsys.readouterr().out
    assert is_like(load_network("shipped"), other)
    assert "shipped" in capsys.readouterr().out


@slow
def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.keras does not exist"):
        load_network(tmp_path / "none.keras")


@slow
@pytest.mark.parametrize("name", ["net.keras", "net.h5"])
@pytest.mark.parametrize("damage", ["empty", "text", "half", "cut", "zip", "folder"])
def test_a_file_that_is_no_network(tmp_path, model, name, damage):
    path = save_network(model, tmp_path / name)
    whole = path.read_bytes()
    path.unlink()
    if damage == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", "{}")
    elif damage == "folder":
        path.mkdir()
    else:
        half, cut = whole[: len(whole) // 2], whole[:-10]
        path.write_bytes({"empty": b"", "text": b"7", "half": half, "cut": cut}[damage])
    with pytest.raises(ValueError, match="no Keras network") as caught:
        load_network(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@slow
def test_code_in_a_network_s_file_is_not_run(tmp_path):
    import keras
    from keras import layers

    first_ten = layers.Lambda(lambda flat: flat[:, :10])  # saved as Python bytecode
    model = keras.Sequential([keras.Input((28, 28)), layers.Flatten(), first_ten])
    model.save(tmp_path / "net.keras")
    with pytest.raises(ValueError, match="no Keras network"):
        load_network(tmp_path / "net.keras")


@slow
@pytest.mark.parametrize(
    ("shape", "outputs"),
    [((28, 28), 2), ((28, 28, 1), 3), ((10, 10), 10)],
)
def test_a_network_for_something_else(tmp_path, shape, outputs):
    path = save_network(small_network(shape, outputs), tmp_path / "net.keras")
    with pytest.raises(ValueError, match="expected 28x28 images and ten") as caught:
        load_network(path)
    assert str(path) in str(caught.value)


@slow
def test_a_network_with_several_inputs(tmp_path):
    import keras

    inputs = [keras.Input((28, 28)), keras.Input((1,))]
    flat = [keras.layers.Flatten()(x) for x in inputs]
    outputs = keras.layers.Dense(10)(keras.layers.Concatenate()(flat))
    path = save_network(keras.Model(inputs, outputs), tmp_path / "net.keras")
    with pytest.raises(ValueError, match="expected 28x28 images and ten"):
        load_network(path)


# Asking


@slow
@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_predictor_says_what_the_model_says(shape, dtype):
    model = small_network(shape)
    images = some_images(3).astype(dtype)
    expected = model.predict(images.astype(np.float32).reshape(3, *shape), verbose=0)
    predict = predictor(model)
    for image, probabilities in zip(images, expected, strict=True):
        assert predict(image).shape == (10,)
        np.testing.assert_allclose(predict(image), probabilities, rtol=1e-5)


def fake_network():
    """Return what `predictor` needs of a model; the digit is the mean ink times ten."""

    def predict_on_batch(batch):
        assert batch.shape == (1, 28, 28)
        assert batch.dtype == np.float32
        return np.eye(10)[(batch.mean(axis=(1, 2)) * 10).astype(int)]

    return SimpleNamespace(
        name="fake", input_shape=(None, 28, 28), predict_on_batch=predict_on_batch
    )


def test_predictor_gives_one_row_and_the_name():
    predict = predictor(fake_network())
    assert predict(np.full((28, 28), 0.35)).tolist() == np.eye(10)[3].tolist()
    assert predict.network == "fake"


@pytest.mark.parametrize(
    ("image", "received"),
    [
        (np.zeros((28, 28), np.uint8), r"uint8 \(28, 28\)"),
        (np.zeros((28, 28), bool), r"bool \(28, 28\)"),
        (np.zeros((28, 28), object), r"object \(28, 28\)"),
        (np.zeros((1, 28, 28), np.float32), r"float32 \(1, 28, 28\)"),
        (np.zeros((28, 28, 1), np.float32), r"float32 \(28, 28, 1\)"),
        (np.zeros(784), r"float64 \(784,\)"),
        ([[0.0, 1.0]], r"float64 \(1, 2\)"),
        ("seven", r"<U5 \(\)"),
        (None, r"object \(\)"),
        (np.full((28, 28), np.nan), "0 .paper. to 1 .ink."),
        (np.full((28, 28), 255.0), "0 .paper. to 1 .ink."),
        (np.full((28, 28), -1.0), "0 .paper. to 1 .ink."),
    ],
)
def test_predictor_refuses_what_is_no_image(image, received):
    predict = predictor(fake_network())
    with pytest.raises(ValueError, match=received):
        predict(image)


def test_decide_gives_the_top_digit_or_none(monkeypatch):
    monkeypatch.setattr(networks, "UNSURE", 0.5)
    probabilities = np.full(10, 0.5 / 9)
    probabilities[7] = 0.5
    assert networks.decide(probabilities) == 7
    assert type(networks.decide(probabilities)) is int
    assert networks.decide(probabilities * 0.99) is None
    assert networks.decide(np.full(10, 0.1)) is None
