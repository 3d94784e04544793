"""What learners saved with earlier versions still loads, and goes on."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import digitkit as dk

OLD = Path(__file__).parent / "data" / "version_0_1"


@pytest.fixture
def old(tmp_path):
    """A copy of the old work folder, with the lock file that an old version left."""
    shutil.copytree(OLD, tmp_path / "work")
    (tmp_path / "work" / ".anna.json.lock").touch()
    return tmp_path / "work"


def small_images():
    pixels = (np.arange(200 * 784) * 7919 % 251).astype(np.uint8)
    return dk.to_unit(pixels.reshape(200, 28, 28)), np.arange(200) % 10


@pytest.mark.slow
@pytest.mark.parametrize("name", ["network.keras", "network.h5"])
def test_networks(old, name):
    predict = dk.predictor(dk.load_network(old / name))
    image = small_images()[0][7]
    assert predict(image)[7] == pytest.approx(0.08921, abs=1e-4)
    assert predict(image).argmax() == 8


@pytest.mark.slow
def test_a_training_that_was_stopped_goes_on(old, capsys):
    import keras
    from keras import layers

    model = keras.Sequential(
        [
            keras.Input((28, 28)),
            layers.Reshape((28, 28, 1)),
            layers.AveragePooling2D(4),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    adam = keras.optimizers.Adam(0.01)
    model.compile(adam, dk.smoothed_crossentropy, metrics=["accuracy"])
    images, digits = small_images()
    batches = dk.augmented_batches(images, digits, 50, seed=1, augmented=False)
    checkpoint = dk.checkpoint(model, batches, 2, old / "unfinished.npz")
    assert "Going on after epoch 1" in capsys.readouterr().out
    assert checkpoint.epoch == 1
    assert checkpoint.history["loss"] == [pytest.approx(2.39165, abs=1e-3)]
    model.fit(
        batches,
        initial_epoch=1,
        epochs=2,
        validation_data=(images, digits),
        callbacks=[checkpoint],
        shuffle=False,
        verbose=0,
    )
    assert [len(values) for values in checkpoint.history.values()] == [2] * 4


def test_drawings_and_a_class(old):
    drawings, digits = dk.load_drawings(old / "anna.json")
    assert digits.tolist() == [1, 7, 4]
    assert dk.to_image(drawings[1]).any()
    path, count = dk.save_drawing([[(0, 0), (9, 9)]], 5, old / "anna.json")
    assert count == 4
    assert dk.remove_drawings([3], path) == 3
    _removed, digits = dk.load_drawings(f"{path}.removed")
    assert digits.tolist() == [7, 5]
    writers = dk.load_writers(old / "class.json")
    assert writers.tolist() == ["learner 1"] * 3 + ["learner 2"] * 2
    files = [old / "anna.json", old / "ben.json.gz"]
    assert dk.merge_drawings(files, old / "class.json") == (5, [])
