"""Building, saving, loading and asking the networks."""

import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from digitkit import networks
from digitkit.networks import load_network, predictor, save_network

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


# Parameters by hand: kernels, four numbers for each filter of batch normalisation (or
# a bias), dense layers.
CNN = 25 * 32 + 9 * (32 * 48 + 48 * 96) + 4 * (32 + 48 + 96) + (9 * 96 + 1) * 10
DEEPER = 25 * 4 + 9 * (4 * 6 + 6 * 8 + 8 * 9) + 4 * 27 + (4 * 9 + 1) * 10
CLASSIC = 32 * 10 + 64 * (9 * 32 + 1) + (12 * 12 * 64 + 1) * 256 + 257 * 10


@slow
@pytest.mark.parametrize(
    ("build", "parameters"),
    [
        (networks.build_cnn, CNN),
        (lambda: networks.build_cnn((4, 6, 8, 9)), DEEPER),
        (lambda: networks.build_cnn((4, 6, 8, 9), step=1), DEEPER),
        (networks.build_classic_cnn, CLASSIC),
    ],
)
def test_built_networks_turn_images_into_probabilities(build, parameters):
    model = build()
    assert model.input_shape == (None, 28, 28)
    assert model.count_params() == parameters
    probabilities = model.predict_on_batch(some_images(3))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, 1e-5)


@slow
def test_a_step_of_one_is_followed_by_pooling():
    def sizes(model):
        kinds = "Conv2D", "MaxPooling2D"
        return [x.output.shape[1] for x in model.layers if type(x).__name__ in kinds]

    assert sizes(networks.build_cnn((4, 6, 8))) == [12, 10, 5, 3]
    assert sizes(networks.build_cnn((4, 6, 8), step=1)) == [24, 12, 10, 5, 3]


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
    assert loaded.name == "net" and not loaded.compiled
    model.evaluate(some_images(4), np.arange(4), verbose=0)  # it is still compiled


@slow
def test_no_optimizer_is_saved(tmp_path, model):
    path = save_network(model, tmp_path / "net.keras")
    model.save(tmp_path / "with_optimizer.keras")
    whole = (tmp_path / "with_optimizer.keras").stat().st_size
    assert path.stat().st_size < 0.6 * whole


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
def test_a_wrong_suffix_is_refused(tmp_path, model):
    with pytest.raises(ValueError, match=r"net\.pkl should end in \.keras"):
        save_network(model, tmp_path / "net.pkl")
    assert not (tmp_path / "net.pkl").exists()


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


def network_with_two_inputs():
    import keras

    inputs = [keras.Input((28, 28)), keras.Input((1,))]
    flat = [keras.layers.Flatten()(x) for x in inputs]
    outputs = keras.layers.Dense(10)(keras.layers.Concatenate()(flat))
    return keras.Model(inputs, outputs)


@slow
@pytest.mark.parametrize(
    "build",
    [
        lambda: small_network((28, 28, 1), outputs=3),
        lambda: small_network((10, 10)),
        network_with_two_inputs,
    ],
)
def test_a_network_for_something_else(tmp_path, build):
    path = save_network(build(), tmp_path / "net.keras")
    with pytest.raises(ValueError, match=r"net\.keras .*expected 28x28 images and ten"):
        load_network(path)


# Asking


@slow
@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1)])
def test_predictor_says_what_the_model_says(shape):
    model = small_network(shape)
    images = some_images(3)
    expected = model.predict_on_batch(images.reshape(3, *shape))
    predict = predictor(model)
    for dtype in (np.float16, np.float32, np.float64):
        said = [predict(image.astype(dtype)) for image in images]
        np.testing.assert_allclose(said, expected, rtol=1e-2)


def test_predictor_refuses_what_gives_no_probabilities():
    logits = SimpleNamespace(
        name="logits",
        input_shape=(None, 28, 28),
        predict_on_batch=lambda batch: np.arange(10.0)[None],
    )
    with pytest.raises(ValueError, match="end it with softmax"):
        predictor(logits)


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
        (np.zeros((1, 28, 28), np.float32), r"float32 \(1, 28, 28\)"),
        ([[0.0, 1.0]], r"float64 \(1, 2\)"),
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
