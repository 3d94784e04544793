"""A training that is interrupted loses nothing; bars and curves tell how it goes."""

import csv
import errno
import io
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from digitkit import callbacks, networks, stand_in, training

slow = pytest.mark.slow
unix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    monkeypatch.setenv("DIGITKIT_WORK", str(tmp_path / "work"))
    return tmp_path / "work"


def build(*filters, step=2, units=(), activation="softmax"):
    """Build a tiny network, whatever is asked for."""
    import keras

    layers = [keras.layers.Flatten(), keras.layers.Dropout(0.2)]
    layers += [keras.layers.Dense(n) for n in units]
    layers += [keras.layers.Dense(10, activation=activation)]
    return keras.Sequential([keras.Input((28, 28)), *layers])


@pytest.fixture(scope="module")
def drawn():
    digits = np.random.default_rng(0).integers(0, 10, 350).astype(np.uint8)
    images = stand_in.draw_images(digits, 0)
    return (images[:300], digits[:300]), (images[300:], digits[300:])


@pytest.fixture
def data(monkeypatch, drawn):
    """300 images, of which the recipes hold 100 back, and train a tiny network."""
    import keras

    monkeypatch.setattr(training, "VALIDATION", 100)
    monkeypatch.setattr(networks, "build_cnn", build)
    monkeypatch.setattr(networks, "build_classic_cnn", build)
    keras.utils.set_random_seed(0)
    return drawn


def at(epoch, act):
    """Return a callback that acts when a batch of this epoch is done."""
    import keras

    class At(keras.callbacks.Callback):
        def on_epoch_begin(self, number, logs=None):
            self.now = number == epoch

        def on_train_batch_end(self, batch, logs=None):
            if self.now:
                act()

    return At()


def interrupted(recipe, data, epoch, epochs=4, callbacks=()):
    """Train, and crash in an epoch, as if the power were cut."""

    def crash():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        recipe(data, epochs, callbacks=[*callbacks, at(epoch, crash)])


def assert_same(model, other):
    for weight, expected in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(weight, expected, atol=1e-5)


@slow
@pytest.mark.parametrize(
    ("recipe", "epoch", "monitor"),
    [("quick", 1, "val_loss"), ("best", 2, "val_loss"), ("classic", 3, "loss")],
)
def test_it_goes_on_as_if_nothing_had_happened(
    data, work, recipe, epoch, monitor, capsys
):
    import keras

    recipe, before = training.RECIPES[recipe], signal.getsignal(signal.SIGINT)
    whole, kept = recipe(data, epochs=4)
    assert signal.getsignal(signal.SIGINT) is before
    assert kept.least == min(kept.history[monitor])
    kept.forget()
    kept.forget()  # a second time is no error
    assert [path.name for path in work.iterdir()] == ["history.csv"]
    keras.utils.set_random_seed(0)
    interrupted(recipe, data, epoch)
    keras.utils.set_random_seed(7)  # another process has other chances
    joined, again = recipe(data, epochs=4)
    assert f"Going on after epoch {epoch}, from" in capsys.readouterr().out
    finished, third = recipe(data, epochs=4)  # is kept until it is forgotten
    assert third.history == again.history and not again.stopped
    for name, values in kept.history.items():
        np.testing.assert_allclose(again.history[name], values, rtol=1e-4)
    assert_same(joined, whole)
    assert_same(finished, whole)
    with (work / "history.csv").open(newline="") as file:  # which notebook 03 reads
        rows = list(csv.DictReader(file))
    assert [row.pop("epoch") for row in rows] == ["1", "2", "3", "4"]
    for name, values in again.history.items():
        assert [float(row[name]) for row in rows] == values


@slow
@pytest.mark.parametrize(
    ("epoch", "epochs", "told"), [(0, 2, ""), (1, 3, "is of another training")]
)
def test_it_begins_again_if_there_is_nothing_to_go_on_from(
    data, epoch, epochs, told, capsys
):
    interrupted(training.quick, data, epoch, epochs=2)
    capsys.readouterr()
    _, kept = training.quick(data, epochs)
    out = capsys.readouterr().out
    assert told in out and "Going on" not in out
    assert len(kept.history["loss"]) == epochs


@slow
def test_what_watches_the_history_remembers_it(data):
    """The loss stays, so the classic's rate is halved in each epoch but the first."""
    (images, digits), test = data
    blank = (np.zeros_like(images), digits), test
    interrupted(training.classic, blank, 3, epochs=5)
    _, kept = training.classic(blank, epochs=5)
    # The rate of an epoch is noted before it is halved at its end.
    expected = 0.001 / 2 ** np.arange(4)
    np.testing.assert_allclose(kept.history["learning_rate"][1:], expected)


@slow
def test_the_best_network_outlives_an_interruption(data):
    """A worse epoch afterwards does not replace it (keras#17012)."""
    import keras

    ends = {}

    class Note(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            ends[self.epoch] = self.model.get_weights()

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

        def on_epoch_end(self, epoch, logs=None):
            logs["val_loss"] = [0.5, 0.1, 0.9][epoch]

    interrupted(training.quick, data, 2, 3, [Note()])
    model, kept = training.quick(data, 3, callbacks=[Note()])
    assert kept.best_epoch == 2 and kept.least == 0.1
    for weight, best, last in zip(model.get_weights(), ends[1], ends[2], strict=True):
        np.testing.assert_array_equal(weight, best)
        assert (best != last).any()


IMAGES = np.random.default_rng(0).random((10, 28, 28), np.float32)
DIGITS = np.arange(10)


def identity(
    images=IMAGES, digits=DIGITS, epochs=2, rate=0.1, metric="mse", seed=0, **layers
):
    """Return what a training is known by."""
    import keras

    model = build(**layers)
    schedule = training.one_cycle(100, rate)
    model.compile(keras.optimizers.Adam(schedule), "mse", metrics=[metric])
    batches = training.augmented_batches(images, digits, seed=seed)
    return callbacks._identify(model, batches, epochs, "val_loss")


@slow
@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 3},
        {"rate": 0.002},
        {"units": (10,)},
        {"activation": "sigmoid"},
        {"metric": "mae"},
        {"seed": 1},
        {"images": IMAGES.transpose(0, 2, 1)},
        {"digits": DIGITS[::-1]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_training_is_another(change):
    assert identity(**change) != identity() == identity()


@slow
def test_a_damaged_file_is_told_and_replaced(data, work, capsys):
    interrupted(training.quick, data, 1, epochs=2)
    path = work / "unfinished.npz"
    whole = path.read_bytes()

    def changed(place, byte):
        return whole[:place] + byte + whole[place + 1 :]

    unknown = changed(whole.index(b"PK\x01\x02") + 10, b"c")  # a way of compression
    for damaged in (b"", whole[:1000], whole[:-1], b"nothing" * 99, unknown):
        path.write_bytes(damaged)
        assert callbacks._read(path, "") == {}
        assert "is damaged" in capsys.readouterr().out
    middle = len(whole) // 2
    path.write_bytes(changed(middle, bytes([whole[middle] ^ 1])))
    _, kept = training.quick(data, epochs=2)
    assert "is damaged" in capsys.readouterr().out
    assert len(kept.history["loss"]) == 2


@slow
def test_a_full_disk_stops_nothing(data, work, capsys, monkeypatch):
    real, written = np.savez, []

    def savez(path, **arrays):
        written.append(path)
        if len(written) in (2, 3):
            Path(path).write_bytes(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, **arrays)

    monkeypatch.setattr(np, "savez", savez)
    interrupted(training.quick, data, 3)
    told = capsys.readouterr().out
    assert re.findall("Progress is not kept: .*No space", told) == [
        f"Progress is not kept: [Errno {errno.ENOSPC}] No space"
    ]
    assert {x.name for x in work.iterdir()} == {"history.csv", "unfinished.npz"}
    _, kept = training.quick(data, epochs=4)
    assert "Going on after epoch 1, from" in capsys.readouterr().out
    assert len(kept.history["loss"]) == 4


def begin(data, monitor="loss", epochs=3):
    """Do what notebook 02 does: return a checkpoint and the cell that fits."""
    import keras

    (images, digits), _ = data
    batches = training.augmented_batches(training.to_unit(images), digits)
    keras.utils.set_random_seed(0)
    model = build()
    with pytest.raises(ValueError, match=r"call model\.compile first"):
        callbacks.checkpoint(model, batches, epochs, monitor=monitor)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    kept = callbacks.checkpoint(model, batches, epochs, monitor=monitor)

    def fit(*others):
        model.fit(
            batches,
            initial_epoch=kept.epoch,
            epochs=epochs,
            callbacks=[*others, kept],
            shuffle=False,
            verbose=0,
        )
        return model

    return kept, fit


@slow
def test_what_is_not_measured_is_named(data):
    kept, _ = begin(data, "val_loss")
    with pytest.raises(ValueError, match="no val_loss is measured: pass fit valid"):
        kept.on_epoch_end(0, {"loss": 0.5})


@slow
@unix
def test_after_the_stop_button_the_same_cell_goes_on(data, capsys):
    kept, fit = begin(data)
    whole, before = fit(), signal.getsignal(signal.SIGINT)
    kept.forget()
    again, fit = begin(data)
    fit(at(1, lambda: os.kill(os.getpid(), signal.SIGINT)))
    assert again.stopped and again.epoch == 1
    assert signal.getsignal(signal.SIGINT) is before
    told = capsys.readouterr().out
    assert "Stopped in epoch 2 of 3. The network is that of epoch" in told
    assert "The same again goes on after epoch 1.\n" in told
    assert_same(fit(), whole)
    assert not again.stopped
    np.testing.assert_allclose(again.history["loss"], kept.history["loss"], rtol=1e-4)


@slow
def test_stopped_in_its_first_epoch_it_begins_with_it(data, capsys, work):
    kept, fit = begin(data)
    fit(at(0, kept.stop))
    assert kept.stopped and kept.epoch == 0 and not list(work.glob("*"))
    assert "begins with epoch 1, since it was not whole." in capsys.readouterr().out


@slow
@unix
def test_the_stop_button_pressed_twice_stops_at_once(data):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal
    with pytest.raises(KeyboardInterrupt):
        training.quick(data, epochs=4, callbacks=[at(2, twice)])
    _, kept = training.quick(data, epochs=4)
    assert len(kept.history["loss"]) == 4


@pytest.fixture(scope="module")
def small_data(tmp_path_factory):
    """A file with 5 600 and 100 images: `quick` holds 5 000 back for validation."""
    path = tmp_path_factory.mktemp("data") / "small.npz"
    digits = np.random.default_rng(0).integers(0, 10, 5700).astype(np.uint8)
    images = stand_in.draw_images(digits, 0)
    arrays = {"x_train": images[:5600], "y_train": digits[:5600]}
    np.savez(path, **arrays, x_test=images[5600:], y_test=digits[5600:])
    return path


def train(data, work, epochs):
    """Start ``python -m digitkit train`` in a process of its own."""
    command = [sys.executable, "-m", "digitkit", "train", "--seed", "3"]
    command += ["--epochs", str(epochs)]
    settings = {"DIGITKIT_DATA": str(data), "DIGITKIT_WORK": str(work)}
    settings["PYTHONPATH"] = str(Path(callbacks.__file__).parents[1])
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, env=os.environ | settings, **pipes)


def end(work):
    """Return the weights and the history that a training came to."""
    import keras

    # A kill in the midst of writing leaves a part, which is swept away a day later.
    names = {path.name for path in work.iterdir() if not path.match(".part-*")}
    assert names == {"history.csv", "my_network.keras"}
    model = keras.models.load_model(work / "my_network.keras", compile=False)
    return model.get_weights(), (work / "history.csv").read_text()


# Every other time after an epoch, or a slow machine would never get on.
chance = random.Random(0)
MANY = [(line, chance.uniform(0, 2)) for line in ("recipe:", "epoch") * 10]


@pytest.mark.parametrize(
    ("epochs", "kills", "least"),
    [
        pytest.param(2, [("epoch 1/", 0.1)], 1, marks=slow),
        pytest.param(50, MANY, 11, marks=pytest.mark.soak),
    ],
    ids=["once", "twenty times"],
)
def test_killed_it_ends_as_if_left_in_peace(small_data, tmp_path, epochs, kills, least):
    """A kill comes so many seconds after a line that begins so."""
    train(small_data, tmp_path / "peace", epochs).communicate(timeout=600)
    weights, history = end(tmp_path / "peace")
    assert history.count("\n") == epochs + 1
    work, went_on = tmp_path / "killed", 0
    for line, delay in kills:
        process = train(small_data, work, epochs)
        for told in process.stdout:
            went_on += told.startswith("Going on after epoch")
            if told.startswith(line):
                break
        time.sleep(delay)
        process.kill()
        process.communicate(timeout=60)
    told, _ = train(small_data, work, epochs).communicate(timeout=600)
    assert went_on + ("Going on after epoch" in told) >= least
    for weight, expected in zip(end(work)[0], weights, strict=True):
        np.testing.assert_array_equal(weight, expected)
    assert end(work)[1] == history


def go_through(callback, losses, on_batch=lambda: None, at_once=1, past=0):
    """Call what Keras calls; the losses of batches are ``(epochs, steps)``."""
    callback.set_model(SimpleNamespace(count_params=lambda: 7))
    callback.set_params({"epochs": losses.shape[0], "steps": losses.shape[1]})
    callback.on_train_begin()
    for number, of_epoch in enumerate(losses):
        callback.on_epoch_begin(number)
        for i in range(0, len(of_epoch) if number >= past else 0, at_once):
            mean = of_epoch[: i + at_once].mean()  # Keras tells the mean so far
            on_batch()
            last = i + at_once - 1  # Keras counts on, past the end of the epoch
            callback.on_train_batch_end(last, {"loss": mean, "accuracy": 1 - mean})
        logs = {"loss": of_epoch.mean(), "accuracy": 1 - of_epoch.mean()}
        logs |= {"val_loss": number + 0.5, "val_accuracy": 0.5, "learning_rate": 0.1}
        callback.on_epoch_end(number, logs)
    callback.on_train_end()
    return callback


@slow
def test_the_terminal_s_bar_counts_what_is_left(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdout", Terminal())
    bar = callbacks.progress_bar("quick")
    bar = go_through(bar, np.ones((4, 10)), at_once=4, past=3).bar
    assert (bar.initial, bar.n, bar.total) == (30, 40, 40)


@pytest.fixture
def screen(monkeypatch):
    """What a notebook shows: figures, how often they were updated, and the bar."""
    screen = SimpleNamespace(shown=[], updates=[], bars=[], update=lambda: None)

    def display(content, display_id, raw=False):
        def update(content, raw=False):
            (screen.bars if raw else screen.updates).append(content)
            if not raw:
                screen.update()

        (screen.bars if raw else screen.shown).append(content)
        return SimpleNamespace(update=update)

    monkeypatch.setattr("IPython.display.display", display)
    yield screen
    assert plt.get_fignums() == []  # none is shown a second time


@pytest.fixture
def clock(monkeypatch):
    """A false clock, which stands still."""
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    clock.wait = lambda seconds=1: setattr(clock, "now", clock.now + seconds)
    monkeypatch.setattr(callbacks, "time", clock)
    return clock


LOSSES = np.random.default_rng(0).random((2, 50))


@slow
@pytest.mark.parametrize(
    ("losses", "at_once", "ends"),
    [
        (LOSSES[:, :10], 1, np.arange(1, 21) / 10),
        (LOSSES, 20, [0.4, 0.8, 1, 1.4, 1.8, 2]),  # as Keras runs several at once
        # Long epochs: means of forty parts, none of which reaches over two epochs.
        (np.tile(LOSSES, (1, 8)), 1, np.arange(1, 81) / 40),
    ],
)
def test_live_curves_show_the_newest_part_in_one_picture(screen, losses, at_once, ends):
    curves = go_through(callbacks.live_curves(), losses, at_once=at_once)
    places = np.rint(np.array(ends) * losses.shape[1]).astype(int)
    means = np.array([part.mean() for part in np.split(losses.ravel(), places[:-1])])
    [figure] = screen.shown
    assert screen.updates and all(updated is figure for updated in screen.updates)
    drawn = zip(figure.axes, ("loss", "accuracy"), (means, 1 - means), strict=True)
    for ax, name, values in drawn:
        assert ax.get_ylabel() == name
        trained, validated = (line.get_xydata().T for line in ax.get_lines())
        np.testing.assert_allclose(trained, [ends, values])
        np.testing.assert_allclose(validated, [[1, 2], curves.history[f"val_{name}"]])
    assert curves.history["val_loss"] == [0.5, 1.5]
    assert screen.bars[-1]["text/plain"].startswith("2 epochs, 0 s, loss 0.")


@slow
@pytest.mark.parametrize(("past", "seconds"), [(0, "13"), (1, "03")])
def test_the_notebook_s_bar_tells_the_time_left(screen, clock, past, seconds):
    """What was before an interruption is not in the time left."""
    losses = np.full((2, 10), 0.25)
    curves = go_through(callbacks.live_curves(), losses, clock.wait, past=past)
    told = rf"epoch 2 of 2:  65%.* 13/20 \[00:{seconds}<00:07, .*loss 0.250, accuracy "
    assert any(re.match(told, bar["text/plain"]) for bar in screen.bars)
    assert curves.history["val_loss"] == [0.5, 1.5]
    assert curves.history["when"][0] == (1 if past else 0.1)


@slow
def test_live_curves_cost_a_fiftieth_of_the_time(screen, clock):
    screen.update = lambda: clock.wait(0.5)
    go_through(callbacks.live_curves(), np.ones((10, 40)), clock.wait)
    assert 0.01 < (clock.now - 400) / clock.now < 0.03


@slow
def test_live_curves_outside_a_notebook_say_nothing(capsys, monkeypatch):
    monkeypatch.setattr("IPython.display.display", lambda *_, **__: None)
    curves = go_through(callbacks.live_curves(), np.ones((2, 5)))
    assert capsys.readouterr().out == ""
    curves.on_epoch_begin(0)
    with pytest.raises(ValueError, match="no accuracy is measured"):
        curves.on_train_batch_end(0, {"loss": 0.5})


@slow
def test_live_curves_while_keras_trains_and_is_stopped(screen, data):
    curves = callbacks.live_curves()
    _, fit = begin(data, epochs=3)
    model = fit(curves)
    assert len(screen.shown) == 1 and curves.history["when"][-1] == 3
    assert np.isfinite(curves.history["loss"] + curves.history["accuracy"]).all()
    logs = dict.fromkeys(["loss", "accuracy", "val_loss", "val_accuracy"], 0.2)
    curves.on_train_begin()
    curves.on_epoch_begin(0)
    curves.on_train_batch_end(0, logs)  # and no further in this epoch
    curves.on_epoch_end(0, logs)
    curves.on_train_end()
    assert curves.history["when"] == [1 / curves.params["steps"]]
    assert curves.history["val_loss"] == [] and model.stop_training is False
