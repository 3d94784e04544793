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

ROOT = Path(callbacks.__file__).parent.parent
slow = pytest.mark.slow
unix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    monkeypatch.setenv("DIGITKIT_WORK", str(tmp_path / "work"))
    return tmp_path / "work"


@pytest.fixture(scope="module")
def data():
    """300 images, of which `quick` holds 100 back, and 50 to test on."""
    digits = np.random.default_rng(0).integers(0, 10, 350).astype(np.uint8)
    images = stand_in.draw_images(digits, 0)
    return (images[:300], digits[:300]), (images[300:], digits[300:])


def build(*filters, step=2, units=()):
    """Build a tiny network, whatever is asked for."""
    import keras

    layers = [keras.layers.Flatten(), keras.layers.Dropout(0.2)]
    layers += [keras.layers.Dense(n) for n in units]
    layers += [keras.layers.Dense(10, activation="softmax")]
    return keras.Sequential([keras.Input((28, 28)), *layers])


@pytest.fixture
def small(monkeypatch, data):
    """Let the recipes train a tiny network and hold 100 images back."""
    import keras

    monkeypatch.setattr(training, "VALIDATION", 100)
    monkeypatch.setattr(networks, "build_cnn", build)
    monkeypatch.setattr(networks, "build_classic_cnn", build)
    keras.utils.set_random_seed(0)
    return data


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


def crash():
    raise ZeroDivisionError("as if the power were cut")


def press():
    os.kill(os.getpid(), signal.SIGINT)


def interrupted(recipe, data, epoch, epochs=4):
    """Train, and crash in an epoch."""
    with pytest.raises(ZeroDivisionError):
        recipe(data, epochs, callbacks=[at(epoch, crash)])


def by_hand(data, epochs, monitor="val_loss"):
    """Do what notebook 02 does."""
    import keras

    (images, digits), _ = data
    batches = training.augmented_batches(training.to_unit(images), digits)
    keras.utils.set_random_seed(0)
    model = networks.build_cnn()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    kept = callbacks.checkpoint(model, batches, epochs, monitor=monitor)
    return model, batches, kept


def fit(model, batches, kept, epochs, callbacks=()):
    model.fit(
        batches,
        initial_epoch=kept.epoch,
        epochs=epochs,
        callbacks=[*callbacks, kept],
        shuffle=False,
        verbose=0,
    )


def same(model, other):
    pairs = zip(model.get_weights(), other.get_weights(), strict=True)
    return all(np.allclose(a, b, atol=1e-5) for a, b in pairs)


# Going on


@slow
@pytest.mark.parametrize(
    ("recipe", "epoch"), [("quick", 1), ("best", 2), ("classic", 3)]
)
def test_it_goes_on_and_ends_as_if_nothing_had_happened(small, recipe, epoch, capsys):
    import keras

    recipe, before = training.RECIPES[recipe], signal.getsignal(signal.SIGINT)
    whole, kept = recipe(small, epochs=4)
    assert signal.getsignal(signal.SIGINT) is before
    kept.forget()
    keras.utils.set_random_seed(0)
    interrupted(recipe, small, epoch)
    keras.utils.set_random_seed(7)  # another process has other chances
    capsys.readouterr()
    begun = []
    count = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs=None: begun.append(epoch)
    )
    again, joined = recipe(small, epochs=4, callbacks=[at(9, crash), count])
    assert f"Going on after epoch {epoch}, from" in capsys.readouterr().out
    assert begun == [*range(epoch), *range(epoch, 4)]  # told of some, trains the rest
    assert joined.history.keys() == kept.history.keys()
    for name, values in kept.history.items():
        np.testing.assert_allclose(joined.history[name], values, rtol=1e-4)
    assert same(whole, again)
    assert joined.epoch == 4 and not joined.stopped


@slow
def test_interrupted_before_the_first_epoch_ends_it_begins_again(small, work, capsys):
    interrupted(training.quick, small, 0)
    assert not list(work.glob("*"))
    _, kept = training.quick(small, epochs=2)
    assert len(kept.history["loss"]) == 2
    assert "Going on" not in capsys.readouterr().out


@slow
def test_what_watches_the_history_remembers_it(small):
    """The loss stays, so the classic's rate is halved in each epoch but the first."""
    (images, digits), test = small
    blank = (np.zeros_like(images), digits), test
    interrupted(training.classic, blank, 3, epochs=5)
    _, kept = training.classic(blank, epochs=5)
    expected = 0.001 / 2 ** np.arange(5)
    # The rate of an epoch is noted before it is halved at its end.
    np.testing.assert_allclose(kept.history["learning_rate"][1:], expected[:-1])


@slow
def test_the_model_and_the_file_have_the_best_network_so_far(small):
    import keras

    model, batches, kept = by_hand(small, epochs=3)
    ends = []
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: (
            ends.append(model.get_weights()),
            logs.update(val_loss=[0.5, 0.1, 0.9][epoch]),
        )
    )
    fit(model, batches, kept, 3, [note])
    # A worse epoch after an interruption does not replace it (keras#17012).
    _, _, again = by_hand(small, epochs=3)
    assert kept.best_epoch == again.best_epoch == 2 and again.least == 0.1
    for mine, stored, expected in zip(
        model.get_weights(), again.best, ends[1], strict=True
    ):
        np.testing.assert_array_equal(mine, expected)
        np.testing.assert_array_equal(stored, expected)


@slow
def test_a_finished_training_is_kept_until_it_is_forgotten(small, work):
    first, kept = training.quick(small, epochs=2)
    second, again = training.quick(small, epochs=2)
    assert same(first, second)
    assert again.history == kept.history
    again.forget()
    again.forget()  # a second time is no error
    assert [path.name for path in work.iterdir()] == ["history.csv"]
    with (work / "history.csv").open(newline="") as file:  # which notebook 03 reads
        rows = list(csv.DictReader(file))
    assert [row.pop("epoch") for row in rows] == ["1", "2"]
    for name, values in kept.history.items():
        assert [float(row[name]) for row in rows] == values


def identity(data, epochs=2, rate=0.001, units=(), metric="accuracy", seed=0, **change):
    """Return what a training is known by, after a change."""
    import keras

    (images, digits), _ = data
    images = change.get("images", lambda x: x)(images)
    digits = change.get("digits", lambda x: x)(digits)
    model = build(units=units)
    if "activation" in change:
        model.layers[-1].activation = keras.activations.get(change["activation"])
    schedule = training.one_cycle(100, rate)
    model.compile(keras.optimizers.Adam(schedule), "mse", metrics=[metric])
    batches = training.augmented_batches(training.to_unit(images), digits, seed=seed)
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
        {"images": lambda images: images.transpose(0, 2, 1)},
        {"digits": lambda digits: digits[::-1]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_training_is_another(data, change):
    assert identity(data, **change) != identity(data) == identity(data)


@slow
def test_another_training_begins_again(small, capsys):
    interrupted(training.quick, small, 1, epochs=2)
    _, kept = training.quick(small, epochs=3)
    assert "is of another training: this one begins anew" in capsys.readouterr().out
    assert len(kept.history["loss"]) == 3


@slow
def test_a_damaged_file_is_told_and_replaced(small, work, capsys):
    interrupted(training.quick, small, 1, epochs=2)
    path = work / "unfinished.npz"
    whole = path.read_bytes()
    packed = whole.index(b"PK\x01\x02") + 10  # how the first part is compressed
    unknown = whole[:packed] + b"c" + whole[packed + 1 :]
    for damaged in (b"", whole[:1000], whole[:-1], b"nothing" * 99, unknown):
        path.write_bytes(damaged)
        assert callbacks._read(path, "") == {}
        assert "is damaged" in capsys.readouterr().out
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    _, kept = training.quick(small, epochs=2)
    assert "is damaged" in capsys.readouterr().out
    assert len(kept.history["loss"]) == 2


@slow
def test_a_full_disk_stops_nothing(small, work, capsys, monkeypatch):
    real, written = np.savez, []

    def savez(path, **arrays):
        written.append(path)
        if len(written) in (2, 3):
            Path(path).write_bytes(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, **arrays)

    monkeypatch.setattr(np, "savez", savez)
    interrupted(training.quick, small, 3)
    told = capsys.readouterr().out
    assert re.findall(r"Progress is not kept: .*", told) == [
        f"Progress is not kept: [Errno {errno.ENOSPC}] No space left on device"
    ]
    assert {x.name for x in work.iterdir()} == {"history.csv", "unfinished.npz"}
    _, kept = training.quick(small, epochs=4)
    assert "Going on after epoch 1, from" in capsys.readouterr().out
    assert len(kept.history["loss"]) == 4


@slow
def test_what_cannot_be_kept_is_refused(small):
    with pytest.raises(ValueError, match=r"call model\.compile first"):
        callbacks.checkpoint(networks.build_cnn(), None, epochs=1)
    with pytest.raises(ValueError, match="no val_loss is measured: pass fit valid"):
        fit(*by_hand(small, epochs=3), 3)


@slow
def test_classic_chooses_nothing_by_the_test_images(small, monkeypatch):
    monitored = []

    def checkpoint(model, batches, epochs, path, monitor="val_loss", told=()):
        monitored.append(monitor)
        crash()

    monkeypatch.setattr(training, "checkpoint", checkpoint)
    for recipe in (training.quick, training.classic):
        with pytest.raises(ZeroDivisionError):
            recipe(small, 1)
    assert monitored == ["val_loss", "loss"]


# The stop button


@slow
@unix
def test_the_stop_button_ends_it_cleanly_and_it_goes_on(small, capsys):
    before = signal.getsignal(signal.SIGINT)
    _, kept = training.quick(small, epochs=4, callbacks=[at(2, press)])
    assert kept.stopped
    assert kept.epoch in (2, 3)  # it is soon, in an epoch of three batches
    told = capsys.readouterr().out
    assert "Stopped in epoch 3 of 4. The network is that of epoch" in told
    assert f"The same again goes on after epoch {kept.epoch}.\n" in told
    assert signal.getsignal(signal.SIGINT) is before
    _, again = training.quick(small, epochs=4)
    assert len(again.history["loss"]) == 4
    assert not again.stopped


@slow
@unix
def test_stopped_in_its_first_epoch_it_says_that_it_begins_with_it(small, capsys):
    model, batches, kept = by_hand(small, epochs=2, monitor="loss")
    short = at(0, lambda: setattr(kept, "whole", False))  # after the first batches
    stop = at(0, lambda: kept.stop())
    model.fit(
        batches, epochs=2, callbacks=[kept, short, stop], shuffle=False, verbose=0
    )
    assert kept.stopped and kept.epoch == 0
    told = capsys.readouterr().out
    assert "The same again begins with epoch 1, since it was not whole." in told


@slow
@unix
def test_after_the_stop_button_the_fitting_cell_alone_goes_on(small):
    whole, batches, kept = by_hand(small, 3, "loss")
    fit(whole, batches, kept, 3)
    kept.forget()
    model, batches, again = by_hand(small, 3, "loss")
    fit(model, batches, again, 3, [at(1, press)])
    assert again.stopped and again.epoch == 1
    fit(model, batches, again, 3)
    assert not again.stopped
    np.testing.assert_allclose(again.history["loss"], kept.history["loss"], rtol=1e-4)
    assert same(whole, model)


@slow
@unix
def test_the_stop_button_pressed_twice_stops_at_once(small):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal
    with pytest.raises(KeyboardInterrupt):
        training.quick(small, epochs=4, callbacks=[at(2, twice)])
    _, kept = training.quick(small, epochs=4)
    assert len(kept.history["loss"]) == 4


# A real process, really killed


@pytest.fixture(scope="module")
def small_data(tmp_path_factory):
    """A file with 5 600 and 100 images: `quick` holds 5 000 back for validation."""
    path = tmp_path_factory.mktemp("data") / "small.npz"
    digits = np.random.default_rng(0).integers(0, 10, 5700).astype(np.uint8)
    images = stand_in.draw_images(digits, 0)
    arrays = {"x_train": images[:5600], "y_train": digits[:5600]}
    np.savez(path, **arrays, x_test=images[5600:], y_test=digits[5600:])
    return path


def train(data, work, epochs, **options):
    """Start ``python -m digitkit train`` in a process of its own."""
    command = [sys.executable, "-m", "digitkit", "train", "--seed", "3"]
    settings = {"DIGITKIT_DATA": str(data), "DIGITKIT_WORK": str(work)}
    environment = {**os.environ, **settings, "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    command += ["--epochs", str(epochs)]
    return subprocess.Popen(command, env=environment, **pipes, **options)


def end(work):
    """Return the weights and the history that a training came to."""
    import keras

    model = keras.models.load_model(work / "my_network.keras", compile=False)
    # A kill in the midst of writing leaves a part, which is swept away a day later.
    names = {path.name for path in work.iterdir() if not path.match(".part-*")}
    assert names == {"history.csv", "my_network.keras"}
    return model.get_weights(), (work / "history.csv").read_text()


def kill_and_compare(data, tmp_path, epochs, moments):
    """Kill a training again and again; see that it ends as one left in peace.

    A moment is so many seconds after a line that begins so. Return how often it went
    on.
    """
    train(data, tmp_path / "peace", epochs).communicate(timeout=600)
    weights, history = end(tmp_path / "peace")
    assert history.count("\n") == epochs + 1
    work, went_on = tmp_path / "killed", 0
    for beginning, delay in moments:
        process = train(data, work, epochs)
        for line in process.stdout:
            went_on += line.startswith("Going on after epoch")
            if line.startswith(beginning):
                break
        time.sleep(delay)
        process.kill()
        process.communicate(timeout=60)
    told, _ = train(data, work, epochs).communicate(timeout=600)
    for weight, expected in zip(end(work)[0], weights, strict=True):
        np.testing.assert_array_equal(weight, expected)
    assert end(work)[1] == history
    return went_on + ("Going on after epoch" in told)


@slow
def test_killed_it_ends_as_if_left_in_peace(small_data, tmp_path):
    assert kill_and_compare(small_data, tmp_path, 2, [("epoch 1/", 0.1)]) == 1


@pytest.mark.soak
def test_killed_twenty_times_it_ends_as_if_left_in_peace(small_data, tmp_path):
    rng = random.Random(0)
    # Every other time after an epoch at least, or a slow machine would never get on.
    moments = [(begin, rng.uniform(0, 2)) for begin in ("recipe:", "epoch") * 10]
    assert kill_and_compare(small_data, tmp_path, 50, moments) > 10


@pytest.mark.soak
@unix
def test_a_disk_that_is_full_for_a_while(small_data, tmp_path):
    """No file may grow beyond 100 kB: what is kept would be larger."""
    import resource  # which Windows lacks

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an error, then, not the end
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    work = tmp_path / "work"
    process = train(small_data, work, 3, preexec_fn=limit)
    told, _ = process.communicate(timeout=600)
    assert process.returncode == 2
    assert told.count("Progress is not kept: ") == 1
    assert told.count("epoch ") == 3 and "digitkit: error: " in told
    assert [path.name for path in work.iterdir()] in ([], ["history.csv"])
    train(small_data, work, 3).communicate(timeout=600)
    assert end(work)[1].count("\n") == 4


# The bar in the terminal


class Terminal(io.StringIO):
    def isatty(self):
        return True


@slow
def test_the_bar_of_a_resumed_training_counts_what_is_left(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal())
    bar = callbacks.progress_bar("quick")
    bar.set_model(SimpleNamespace(count_params=lambda: 7))
    bar.set_params({"epochs": 4, "steps": 10})
    bar.on_train_begin()
    names = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
    logs = dict.fromkeys(names, 0.5)
    for epoch in range(3):  # of before the interruption
        bar.on_epoch_begin(epoch)
        bar.on_epoch_end(epoch, logs)
    bar.on_epoch_begin(3)
    bar.on_train_batch_end(4, logs)
    assert (bar.bar.initial, bar.bar.n, bar.bar.total) == (30, 35, 40)
    bar.on_train_batch_end(12, logs)  # several at once can count past the end
    assert bar.bar.n == 40
    bar.on_train_end()


# Live curves


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
    """A false clock: ``second()`` lets one pass."""

    def second():
        clock.now += 1

    clock = SimpleNamespace(now=0.0, second=second)
    monkeypatch.setattr(callbacks, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def train_by_hand(curves, losses, on_batch=lambda: None, at_once=1, past=0):
    """Call what Keras calls; the losses of batches are ``(epochs, steps)``."""
    curves.set_params({"epochs": losses.shape[0], "steps": losses.shape[1]})
    curves.on_train_begin()
    for number, of_epoch in enumerate(losses):
        curves.on_epoch_begin(number)
        for i in range(0, len(of_epoch) if number >= past else 0, at_once):
            mean = of_epoch[: i + at_once].mean()  # Keras tells the mean so far
            on_batch()
            last = i + at_once - 1  # Keras counts on, past the end of the epoch
            curves.on_train_batch_end(last, {"loss": mean, "accuracy": 1 - mean})
        logs = {"loss": of_epoch.mean(), "accuracy": 1 - of_epoch.mean()}
        logs |= {"val_loss": number + 0.5, "val_accuracy": 0.5}
        curves.on_epoch_end(number, logs)
    curves.on_train_end()
    return curves.history


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
def test_live_curves_show_the_newest_part_not_the_mean_so_far(
    screen, losses, at_once, ends
):
    history = train_by_hand(callbacks.live_curves(), losses, at_once=at_once)
    np.testing.assert_allclose(history["when"], ends)
    places = np.rint(np.array(ends) * losses.shape[1]).astype(int)
    parts = np.split(losses.ravel(), places[:-1])
    np.testing.assert_allclose(history["loss"], [part.mean() for part in parts])
    np.testing.assert_allclose(history["accuracy"], 1 - np.array(history["loss"]))
    assert history["val_loss"] == [0.5, 1.5] and history["val_accuracy"] == [0.5, 0.5]


@slow
def test_live_curves_leave_one_picture_and_one_line(screen):
    train_by_hand(callbacks.live_curves(), np.ones((2, 5)))
    [figure] = screen.shown
    assert screen.updates and all(updated is figure for updated in screen.updates)
    assert screen.bars[-1] == {
        "text/plain": "2 epochs, 0 s, loss 1.000, accuracy 0.000, "
        "val_loss 1.500, val_accuracy 0.500"
    }
    assert [ax.get_ylabel() for ax in figure.axes] == ["loss", "accuracy"]
    for ax in figure.axes:
        training_line, validation_line = ax.get_lines()
        np.testing.assert_allclose(training_line.get_xdata(), np.arange(1, 11) / 5)
        np.testing.assert_array_equal(validation_line.get_xdata(), [1, 2])


@slow
@pytest.mark.parametrize(
    ("past", "told"),
    [
        (
            0,
            r"epoch 2 of 2:  65%.* 13/20 \[00:13<00:07, .*loss 0.250, accuracy 0.750\]",
        ),
        # Resumed: what was before is not in the time left.
        (
            1,
            r"epoch 2 of 2:  65%.* 13/20 \[00:03<00:07, .*loss 0.250, accuracy 0.750\]",
        ),
    ],
)
def test_the_bar_tells_epoch_loss_accuracy_and_the_time_left(screen, clock, past, told):
    curves = callbacks.live_curves()
    history = train_by_hand(curves, np.full((2, 10), 0.25), clock.second, past=past)
    assert any(re.fullmatch(told, bar["text/plain"]) for bar in screen.bars)
    assert history["val_loss"] == [0.5, 1.5]
    assert history["when"][0] == (1 if past else 0.1)


@slow
def test_live_curves_of_a_training_stopped_within_an_epoch(screen):
    curves = callbacks.live_curves()
    curves.set_params({"epochs": 3, "steps": 4})
    curves.on_train_begin()
    curves.on_epoch_begin(0)
    curves.on_train_batch_end(0, {"loss": 0.2, "accuracy": 0.9})
    logs = {"loss": 0.2, "accuracy": 0.9, "val_loss": 0.4, "val_accuracy": 0.9}
    curves.on_epoch_end(0, logs)
    curves.on_train_end()
    assert curves.history["when"] == [0.25]
    assert curves.history["val_loss"] == []


@slow
def test_live_curves_cost_a_fiftieth_of_the_time(screen, clock):
    def slowly():
        clock.now += 0.5

    screen.update = slowly
    train_by_hand(callbacks.live_curves(), np.ones((10, 40)), clock.second)
    assert 0.01 < (clock.now - 400) / clock.now < 0.03


@slow
def test_live_curves_outside_a_notebook_and_without_accuracy(capsys, monkeypatch):
    monkeypatch.setattr("IPython.display.display", lambda *_, **__: None)
    train_by_hand(callbacks.live_curves(), np.ones((2, 5)))
    assert capsys.readouterr().out == ""
    curves = callbacks.live_curves()
    curves.set_params({"epochs": 1, "steps": 1})
    curves.on_train_begin()
    curves.on_epoch_begin(0)
    with pytest.raises(ValueError, match="no accuracy is measured"):
        curves.on_train_batch_end(0, {"loss": 0.5})


@slow
def test_live_curves_while_keras_trains(screen, small):
    curves = callbacks.live_curves()
    training.quick(small, epochs=3, callbacks=[curves])
    assert len(screen.shown) == 1
    assert curves.history["when"][-1] == 3
    assert len(curves.history["val_accuracy"]) == 3
    values = curves.history["loss"] + curves.history["accuracy"]
    assert np.isfinite(values).all()
