"""Networks: built as worked out by hand, saved whole, loaded safely, asked rightly."""

import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from digitkit import networks
from digitkit.networks import load_network, predictor, save_network

slow = pytest.mark.slow
IMAGES = np.random.default_rng(0).random((5, 28, 28), np.float32)


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    monkeypatch.setenv("DIGITKIT_WORK", str(tmp_path / "work"))
    return tmp_path / "work"


def small_network(shape=(28, 28), outputs=10):
    """Build a network of one layer, compiled and trained for one step."""
    import keras

    answer = keras.layers.Dense(outputs, activation="softmax")
    model = keras.Sequential([keras.Input(shape), keras.layers.Flatten(), answer])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(np.zeros((8, *shape)), np.arange(8) % outputs, verbose=0)
    return model


@pytest.fixture(scope="module")
def model():
    return small_network()


# Parameters by hand: kernels, four numbers for each filter of batch normalisation (or
# a bias), dense layers. Sizes: how wide the convolutions and poolings leave an image.
CNN = 25 * 32 + 9 * (32 * 48 + 48 * 96) + 4 * (32 + 48 + 96) + (9 * 96 + 1) * 10
FINER = 25 * 4 + 9 * (4 * 6 + 6 * 8) + 4 * (4 + 6 + 8) + (9 * 8 + 1) * 10
CLASSIC = 32 * 10 + 64 * (9 * 32 + 1) + (12 * 12 * 64 + 1) * 256 + 257 * 10


@slow
@pytest.mark.parametrize(
    ("build", "parameters", "sizes"),
    [
        (networks.build_cnn, CNN, [12, 10, 5, 3]),
        (lambda: networks.build_cnn((4, 6, 8), 1), FINER, [24, 12, 10, 5, 3]),
        (networks.build_classic_cnn, CLASSIC, [26, 24, 12]),
    ],
)
def test_built_networks_turn_images_into_probabilities(build, parameters, sizes):
    model = build()
    assert model.count_params() == parameters
    kinds = "Conv2D", "MaxPooling2D"
    layers = [x for x in model.layers if type(x).__name__ in kinds]
    assert [layer.output.shape[1] for layer in layers] == sizes
    np.testing.assert_allclose(model.predict_on_batch(IMAGES).sum(axis=1), 1, 1e-5)


@slow
@pytest.mark.parametrize("name", ["deep/down/net.keras", "net.h5"])
def test_what_is_saved_is_loaded_without_its_optimizer(tmp_path, model, name):
    import keras

    path = save_network(model, tmp_path / name)
    assert path == tmp_path / name
    loaded = load_network(path)
    expected = model.predict_on_batch(IMAGES)
    np.testing.assert_array_equal(loaded.predict_on_batch(IMAGES), expected)
    assert loaded.name == "net"
    assert not keras.models.load_model(path).compiled  # nothing but the network
    assert model.compiled


@slow
def test_a_failure_while_saving_leaves_the_old_file(tmp_path, model, monkeypatch):
    path = save_network(model, tmp_path / "net.keras")
    before = path.read_bytes()

    def save(self, path):
        Path(path).write_bytes(b"half a netw")
        raise OSError("no space left on device")

    monkeypatch.setattr("keras.Model.save", save)
    with pytest.raises(OSError, match="no space left"):
        save_network(model, path)
    assert path.read_bytes() == before
    assert [x for x in tmp_path.iterdir() if x.is_file()] == [path]


@slow
def test_wrong_names_are_refused(tmp_path, model):
    with pytest.raises(ValueError, match=r"net\.pkl should end in \.keras"):
        save_network(model, tmp_path / "net.pkl")
    assert not (tmp_path / "net.pkl").exists()
    with pytest.raises(FileNotFoundError, match=r"none\.keras does not exist"):
        load_network(tmp_path / "none.keras")


@slow
def test_the_learner_s_own_network_goes_before_the_shipped(
    tmp_path, work, model, monkeypatch, capsys
):
    shipped = save_network(small_network(), tmp_path / "shipped.keras")
    monkeypatch.setattr(networks, "SHIPPED_NETWORK", shipped)
    assert load_network().name == "shipped"
    assert save_network(model) == work / "my_network.keras"
    own = load_network()
    np.testing.assert_array_equal(own.get_weights()[0], model.get_weights()[0])
    assert load_network("shipped").name == "shipped"
    told = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in told] == ["shipped", "my_network", "shipped"]


@slow
@pytest.mark.parametrize("name", ["net.keras", "net.h5"])
@pytest.mark.parametrize("damage", ["empty", "text", "half", "cut", "zip", "folder"])
def test_a_file_that_is_no_network_is_named(tmp_path, model, name, damage):
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
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@slow
def test_code_in_a_network_s_file_is_not_run(tmp_path):
    import keras

    first_ten = keras.layers.Lambda(lambda flat: flat[:, :10])  # saved as bytecode
    layers = [keras.Input((28, 28)), keras.layers.Flatten(), first_ten]
    keras.Sequential(layers).save(tmp_path / "net.keras")
    with pytest.raises(ValueError, match="no Keras network"):
        load_network(tmp_path / "net.keras")


@slow
@pytest.mark.parametrize(("shape", "outputs"), [((28, 28, 1), 3), ((10, 10), 10)])
def test_a_network_for_something_else_is_refused(tmp_path, shape, outputs):
    path = save_network(small_network(shape, outputs), tmp_path / "net.keras")
    with pytest.raises(ValueError, match=r"net\.keras .*expected 28x28 images and ten"):
        load_network(path)


@slow
@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1)])
def test_predictor_says_what_the_model_says(shape):
    model = small_network(shape)
    expected = model.predict_on_batch(IMAGES.reshape(5, *shape))
    predict = predictor(model)
    assert predict.network == model.name
    for dtype in (np.float16, np.float32, np.float64):
        said = [predict(image.astype(dtype)) for image in IMAGES]
        np.testing.assert_allclose(said, expected, rtol=1e-2)


def fake_network(answer):
    """Return what `predictor` needs of a model that always gives one answer."""
    return SimpleNamespace(
        name="fake",
        input_shape=(None, 28, 28),
        predict_on_batch=lambda batch: np.array([answer]),
    )


@pytest.mark.parametrize("answer", [np.arange(10.0), [-1, 2] + 8 * [0]])
def test_predictor_refuses_what_gives_no_probabilities(answer):
    with pytest.raises(ValueError, match="end it with softmax"):
        predictor(fake_network(answer))


@pytest.mark.parametrize(
    ("image", "received"),
    [
        (np.zeros((28, 28), np.uint8), r"uint8 \(28, 28\)"),
        (np.zeros((1, 28, 28), np.float32), r"float32 \(1, 28, 28\)"),
        ([[0.0, 1.0]], r"float64 \(1, 2\)"),
        (None, r"object \(\)"),
        (np.full((28, 28), np.nan), "from nan to nan"),
        (np.full((28, 28), 255.0), r"from 255\.0 to 255\.0"),
        (np.full((28, 28), -1.0), r"from -1\.0 to -1\.0"),
    ],
)
def test_predictor_refuses_what_is_no_image(image, received):
    predict = predictor(fake_network(np.eye(10)[3]))
    with pytest.raises(ValueError, match=received):
        predict(image)


def test_decide_gives_the_top_digit_or_none(monkeypatch):
    monkeypatch.setattr(networks, "UNSURE", 0.5)
    probabilities = np.full(10, 0.5 / 9)
    probabilities[7] = 0.5
    assert networks.decide(probabilities) == 7
    assert type(networks.decide(probabilities)) is int
    assert networks.decide(probabilities * 0.99) is None
