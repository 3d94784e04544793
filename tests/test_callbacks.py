"""A training that is interrupted loses nothing, and goes on where it was."""

import csv
import errno
import io
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

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


@pytest.fixture
def small(monkeypatch, data):
    """Recipes with a tiny network that know of 100 images for validation."""
    import keras

    def build(*filters, step=2):
        layers = [keras.layers.Flatten(), keras.layers.Dropout(0.2)]
        layers += [keras.layers.Dense(10, activation="softmax")]
        return keras.Sequential([keras.Input((28, 28)), *layers])

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


def interrupted(recipe, data, epoch, epochs=4):
    """Train, and crash in an epoch."""
    with pytest.raises(ZeroDivisionError):
        recipe(data, epochs, callbacks=[at(epoch, crash)])


def same(model, other):
    pairs = zip(model.get_weights(), other.get_weights(), strict=True)
    return all(np.allclose(a, b, atol=1e-5) for a, b in pairs)


@slow
@pytest.mark.parametrize("recipe", training.RECIPES.values())
@pytest.mark.parametrize("epoch", [1, 3])
def test_it_goes_on_and_ends_as_if_nothing_had_happened(small, recipe, epoch, capsys):
    import keras

    whole, kept = recipe(small, epochs=4)
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
def test_interrupted_before_the_first_epoch_ends_it_begins_anew(small, work, capsys):
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
def test_the_model_and_the_file_have_the_best_network_so_far(small, monkeypatch):
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
    assert kept.best_epoch == 2
    for weight, expected in zip(model.get_weights(), ends[1], strict=True):
        np.testing.assert_array_equal(weight, expected)
    # A worse epoch after an interruption does not replace it (keras#17012).
    _, batches, again = by_hand(small, epochs=3)
    assert again.best_epoch == 2 and again.least == 0.1
    for weight, expected in zip(again.best, ends[1], strict=True):
        np.testing.assert_array_equal(weight, expected)


def by_hand(data, epochs, monitor="val_loss"):
    """Do what notebook 02 does."""
    import keras

    (images, digits), _ = data
    batches = training.augmented_batches(training.to_unit(images), digits)
    keras.utils.set_random_seed(0)
    model = networks.build_cnn()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return (
        model,
        batches,
        callbacks.checkpoint(model, batches, epochs, monitor=monitor),
    )


def fit(model, batches, kept, epochs, callbacks=()):
    model.fit(
        batches,
        initial_epoch=kept.epoch,
        epochs=epochs,
        callbacks=[*callbacks, kept],
        shuffle=False,
        verbose=0,
    )


@slow
def test_a_network_that_is_not_compiled_is_refused(small):
    with pytest.raises(ValueError, match=r"call model\.compile first"):
        callbacks.checkpoint(networks.build_cnn(), None, epochs=1)


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
def test_what_is_not_measured_cannot_be_best(small):
    with pytest.raises(ValueError, match="no val_loss is measured: pass fit valid"):
        fit(*by_hand(small, epochs=3), 3)


@slow
def test_once_all_epochs_are_done_it_is_kept_until_it_is_forgotten(small, work):
    first, kept = training.quick(small, epochs=2)
    second, again = training.quick(small, epochs=2)
    assert same(first, second)
    assert again.history == kept.history
    again.forget()
    assert [path.name for path in work.iterdir()] == ["history.csv"]
    again.forget()  # a second time is no error


@slow
@pytest.mark.parametrize(
    "change",
    ["epochs", "rate", "seed", "network", "a layer", "a metric", "digits", "images"],
)
def test_another_training_begins_anew(small, change, capsys, monkeypatch):
    interrupted(training.quick, small, 1, epochs=2)
    options = {"epochs": 2}
    if change == "epochs":
        options["epochs"] = 3
    elif change == "seed":
        options["seed"] = 1
    elif change == "rate":
        monkeypatch.setattr(training.one_cycle, "__defaults__", (0.001,))
    elif change == "network":
        monkeypatch.setattr(networks, "build_cnn", networks_with_two_layers)
    elif change == "a layer":
        build = networks.build_cnn

        def with_sigmoid():
            import keras

            model = build()
            model.layers[-1].activation = keras.activations.sigmoid
            return model

        monkeypatch.setattr(networks, "build_cnn", with_sigmoid)
    elif change == "a metric":
        metrics = ["accuracy", "sparse_top_k_categorical_accuracy"]
        monkeypatch.setattr(
            training,
            "_compile",
            lambda model, *how: model.compile(*how, metrics=metrics),
        )
    elif change == "images":
        (images, digits), test = small
        small = (images.transpose(0, 2, 1), digits), test
    else:
        (images, digits), test = small
        small = (images, digits[::-1]), test
    _, kept = training.quick(small, **options)
    assert "is of another training: this one begins anew" in capsys.readouterr().out
    assert len(kept.history["loss"]) == options["epochs"]


def networks_with_two_layers():
    import keras

    dense = [keras.layers.Dense(10), keras.layers.Dense(10, activation="softmax")]
    return keras.Sequential([keras.Input((28, 28)), keras.layers.Flatten(), *dense])


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
def test_the_history_is_written_for_notebook_03(small, work):
    _, kept = training.quick(small, epochs=2)
    with (work / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    for name, values in kept.history.items():
        assert [float(row[name]) for row in rows] == values


@slow
def test_a_full_disk_stops_nothing(small, work, capsys, monkeypatch):
    real = np.savez

    def savez(path, **arrays):
        written.append(path)
        if len(written) in (2, 3):
            Path(path).write_bytes(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, **arrays)

    written = []
    monkeypatch.setattr(np, "savez", savez)
    interrupted(training.quick, small, 3)
    told = capsys.readouterr().out
    assert told.count("Progress is not kept: ") == 1
    assert "No space left on device" in told
    assert sorted(path.name for path in work.iterdir()) == [
        "history.csv",
        "unfinished.npz",
    ]
    _, kept = training.quick(small, epochs=4)
    assert "Going on after epoch 1, from" in capsys.readouterr().out
    assert len(kept.history["loss"]) == 4


# The stop button


@slow
@unix
def test_the_stop_button_ends_it_cleanly_and_it_goes_on(small, capsys):
    def press():
        os.kill(os.getpid(), signal.SIGINT)

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
def test_after_the_stop_button_the_fitting_cell_alone_goes_on(small):
    whole, batches, kept = by_hand(small, 3, "loss")
    fit(whole, batches, kept, 3)
    kept.forget()
    model, batches, again = by_hand(small, 3, "loss")
    press = at(1, lambda: os.kill(os.getpid(), signal.SIGINT))
    fit(model, batches, again, 3, [press])
    assert again.stopped and again.epoch == 1
    fit(model, batches, again, 3)
    assert not again.stopped
    for name, values in kept.history.items():
        np.testing.assert_allclose(again.history[name], values, rtol=1e-4)
    assert same(whole, model)


@slow
@unix
def test_the_stop_button_pressed_twice_stops_at_once(small):
    def press():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal
    with pytest.raises(KeyboardInterrupt):
        training.quick(small, epochs=4, callbacks=[at(2, press)])
    assert callbacks.checkpoint(*by_hand(small, 4)[:2], 4).epoch == 0
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

    A moment is so many seconds after a line that begins so.
    """
    told, _ = train(data, tmp_path / "peace", epochs).communicate(timeout=600)
    weights, history = end(tmp_path / "peace")
    assert history.count("\n") == epochs + 1
    work = tmp_path / "killed"
    went_on = 0
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
    assert "Going on after epoch" in told
    for weight, expected in zip(end(work)[0], weights, strict=True):
        np.testing.assert_array_equal(weight, expected)
    assert end(work)[1] == history
    return went_on


@slow
def test_killed_twice_it_ends_as_if_left_in_peace(small_data, tmp_path):
    moments = [("epoch 1/", 0.3), ("epoch 2/", 0.1)]
    assert kill_and_compare(small_data, tmp_path, 3, moments) == 1


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
    told, _ = train(small_data, work, 3).communicate(timeout=600)
    assert end(work)[1].count("\n") == 4


@slow
def test_ctrl_c_is_python_s_own_again_after_a_training(small):
    before = signal.getsignal(signal.SIGINT)
    training.quick(small, epochs=1)
    assert signal.getsignal(signal.SIGINT) is before


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
    logs = dict.fromkeys(
        ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"), 0.5
    )
    for epoch in range(3):  # of before the interruption
        bar.on_epoch_begin(epoch)
        bar.on_epoch_end(epoch, logs)
    bar.on_epoch_begin(3)
    bar.on_train_batch_end(4, logs)
    assert (bar.bar.initial, bar.bar.n, bar.bar.total) == (30, 35, 40)
    bar.on_train_batch_end(12, logs)  # several at once can count past the end
    assert bar.bar.n == 40
    bar.on_train_end()
