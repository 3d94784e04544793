"""The command line: what it prints, what it refuses, how it ends."""

import contextlib
import inspect
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image, ImageDraw

from digitkit import (
    __main__ as command_line,
    callbacks,
    data,
    machine,
    networks,
    stand_in,
    training,
)

COMMANDS = ("train", "predict", "check")
TRAIN = ("train", "--epochs")
UNFINISHED = "my_network-quick-unfinished"
slow = pytest.mark.slow


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """Give each test a folder of its own to be in and to work in, and no settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DIGITKIT_WORK", str(tmp_path / "work"))
    monkeypatch.delenv("DIGITKIT_DATA", raising=False)


def run(*words):
    """Run the command line here; return its exit status."""
    try:
        return command_line.main([*words])
    except SystemExit as end:  # argparse ends in this way
        return end.code


def error(capsys, *words, status=2):
    """Run what ends with an error; return its one line."""
    assert run(*words) == status
    line = capsys.readouterr().err
    assert line.startswith("digitkit: ")
    assert line.count("\n") == 1
    return line


def process(*words, into=subprocess.PIPE, **settings):
    """Start the command line as a learner does, in a process of its own."""
    package = str(Path(networks.__file__).parent.parent)
    settings = {**os.environ, "PYTHONPATH": package, **settings}
    del settings["TF_CPP_MIN_LOG_LEVEL"]  # it is silent without help from here
    words = [sys.executable, "-m", "digitkit", *words]
    return subprocess.Popen(words, env=settings, stdout=into, stderr=into, text=True)


def test_help_names_commands_and_epochs(capsys):
    for command in COMMANDS:
        assert run(command, "--help") == 0
    assert run() == 0
    told = capsys.readouterr()
    assert told.err == ""
    for command in COMMANDS:
        assert f"python -m digitkit {command}" in told.out
    for name, recipe in training.RECIPES.items():
        epochs = inspect.signature(recipe).parameters["epochs"].default
        assert re.search(rf"^  {name} +{epochs} epochs", told.out, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("learn", "learn"),
        ("predict", "FILE"),
        ("check everything", "everything"),
        ("predict none.png", "none.png"),
        ("train --recipe slow", "slow"),
        ("train --epochs 0", "expected 1 or more, received 0"),
        ("train --epochs 1.5", "received 1.5"),
        ("train --output net.txt", "net.txt should be a file ending in .keras or .h5"),
        ("train --output folder.keras", "folder.keras"),
        ("train --output file/net.keras", "no file can be made in file"),
    ],
)
def test_wrong_words_are_refused_before_training(capsys, monkeypatch, words, told):
    monkeypatch.setattr(data, "load_mnist", None)  # not even loaded
    Path("folder.keras").mkdir()
    Path("file").touch()
    assert told in error(capsys, *words.split())


@pytest.mark.parametrize("setting", ["DIGITKIT_DATA", "DIGITKIT_WORK"])
def test_folders_that_cannot_be_used_are_named(capsys, monkeypatch, setting):
    Path("file").touch()
    monkeypatch.setenv(setting, str(Path("file", "folder")))
    assert str(Path("file", "folder")) in error(capsys, "train")


@pytest.fixture
def fake(monkeypatch):
    """Replace the recipes and the network; tell what they are given."""
    fake = Mock()
    fake.kept.stopped = False
    fake.model.evaluate.return_value = 0.25, 0.875
    fake.recipe.return_value = fake.model, fake.kept
    fake.save.return_value = "a.keras"
    images, digits = np.full((3, 28, 28), 255, np.uint8), np.arange(3, dtype=np.uint8)
    fake.data = (images, digits), (images[:2], digits[:2])
    found = {"device": "cpu:0", "GPU": "none: too dear"}
    monkeypatch.setattr(data, "load_mnist", lambda: fake.data)
    monkeypatch.setitem(training.RECIPES, "quick", fake.recipe)
    monkeypatch.setattr(training, "make_repeatable", fake.seeds)
    monkeypatch.setattr(networks, "save_network", fake.save)
    monkeypatch.setattr(machine, "describe_machine", lambda: found)
    monkeypatch.setattr(callbacks, "progress_bar", lambda recipe: f"bar of {recipe}")
    return fake


def test_train_saves_and_tests_a_network(capsys, fake):
    assert run("train") == 0
    told = capsys.readouterr().out
    assert told.endswith("saved: a.keras\ntest loss: 0.2500\ntest accuracy: 0.8750\n")
    work = Path("work").absolute()
    fake.recipe.assert_called_once_with(
        fake.data, callbacks=["bar of quick"], path=work / f"{UNFINISHED}.npz"
    )
    fake.save.assert_called_once_with(fake.model, work / "my_network.keras")
    fake.kept.forget.assert_called_once()
    images, digits = fake.model.evaluate.call_args.args
    assert images.max() == 1
    assert digits.tolist() == [0, 1]


def test_what_was_stopped_replaces_no_network(capsys, fake):
    fake.kept.stopped = True
    assert run(*"train --seed 0 --epochs 7 --output deep/net.v2.h5".split()) == 130
    path = Path("deep/net.v2-quick-unfinished.npz")
    fake.recipe.assert_called_once_with(
        fake.data, callbacks=["bar of quick"], path=path, epochs=7, seed=0
    )
    fake.seeds.assert_called_once_with(0)
    fake.save.assert_called_once_with(fake.model, path.with_suffix(".h5"))
    fake.kept.forget.assert_not_called()
    assert "accuracy" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("why", "status", "told"),
    [
        (OSError(28, "No space\non device", "a.keras"), 2, "No space on device: 'a.k"),
        (ImportError("DLL load failed"), 2, "failed: python -m digitkit check"),
        (MemoryError(), 2, "MemoryError"),
        (KeyboardInterrupt(), 130, "stopped; no file is left half written"),
    ],
)
def test_a_failure_is_one_line_and_forgets_nothing(capsys, fake, why, status, told):
    fake.save.side_effect = why
    assert told in error(capsys, "train", status=status)
    fake.kept.forget.assert_not_called()


def test_noise_is_dropped_and_no_more_than_that(capfd):
    os.write(2, b"before ")
    with pytest.raises(ValueError), command_line._without_noise():
        os.write(2, b"noise")
        raise ValueError
    os.write(2, b"after")
    assert capfd.readouterr().err == "before after"


def write_picture(name, strokes):
    """Draw strokes as a pen does on 300 x 300 pixels, black on white."""
    drawn = Image.new("L", (300, 300), 255)
    points = np.concatenate(strokes)
    for stroke in strokes:
        line = (stroke - points.min(axis=0)) / np.ptp(points) * 200 + 50
        ImageDraw.Draw(drawn).line([*map(tuple, line)], 0, 18, joint="curve")
    drawn.save(name)


def test_check_ends_with_1_if_something_failed(capsys, monkeypatch):
    found = [("data", False, "none", "get some"), ("Python", True, "3.13.1", "")]
    monkeypatch.setattr(machine, "check", lambda: found)
    assert run("check") == 1
    assert "pass  Python" in capsys.readouterr().out


@pytest.fixture(scope="module")
def small_data(tmp_path_factory):
    """A file with 6 000 and 100 images: `quick` holds 5 000 back for validation."""
    path = tmp_path_factory.mktemp("data") / "small.npz"
    digits = np.arange(6100, dtype=np.uint8) % 10
    x, y = stand_in.draw_images(digits, 0), digits
    np.savez(path, x_train=x[:6000], y_train=y[:6000], x_test=x[6000:], y_test=y[6000:])
    return str(path)


@slow
def test_training_in_a_process_of_its_own(capsys, tmp_path, small_data):
    training_run = process(*TRAIN, "1", DIGITKIT_DATA=small_data)
    out, err = training_run.communicate(timeout=300)
    saved = tmp_path / "work" / "my_network.keras"
    assert out.startswith(f"Data: yours, from {small_data}\n(6000, 28, 28) (6000,)\n")
    assert re.search(r"^epoch 1/1 .* val_accuracy [01]\.\d{4} ", out, re.MULTILINE)
    assert re.search(r"test accuracy: [01]\.\d{4}\n$", out)
    assert f"saved: {saved}\n" in out
    assert err == ""
    assert training_run.returncode == 0
    left = sorted(path.name for path in saved.parent.iterdir())
    assert left == ["history.csv", saved.name]
    # What was saved is found, and loads, in another process: this one.
    write_picture("one.png", [np.array([[0, 0], [0, 5]])])
    assert run("predict", "one.png") == 0
    told = capsys.readouterr()
    assert re.fullmatch(r"one\.png: (unsure, perhaps )?\d \(\d+\.\d %\)\n", told.out)
    assert told.err == "network: my_network (65,450 parameters)\n"
    assert "gone.h5" in error(capsys, "predict", "one.png", "--model", "gone.h5")


@slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such terminal")
def test_ctrl_c_in_a_terminal_with_one_bar(small_data):
    import pty
    import termios

    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (30, 100))
    training_run = process(*TRAIN, "99", into=theirs, DIGITKIT_DATA=small_data)
    os.close(theirs)
    told, stopped = b"", False
    with contextlib.suppress(OSError):  # so Linux says that it has ended
        while some := os.read(ours, 10_000):
            told += some
            if b"epoch 3 of 99" in told and not stopped:
                training_run.send_signal(signal.SIGINT)
                stopped = True
    assert training_run.wait(60) == 130
    text = re.sub(r"\x1b\[[0-9;]*m", "", told.decode())
    [bar] = [line for line in text.split("\n") if "epoch 1 of 99" in line]
    assert re.search(r"epoch 1 of 99: .* \d+/\d+ .*loss .*epoch 3 of 99", bar)
    assert re.search(r"Stopped in epoch \d+ of 99\. The network is that of epoch", text)
    assert Path("work", f"{UNFINISHED}.npz").exists()  # so that it goes on


@slow
def test_predict_reads_all_that_it_can(capsys):
    drawings = stand_in.draw_strokes(range(10), 1)
    drawings += stand_in.draw_strokes("X", 1, stand_in.UNSEEN_LETTERS)
    names = [f"{name}.png" for name in "0123456789X"]
    for name, strokes in zip(names, drawings, strict=True):
        write_picture(name, strokes)
    Image.new("L", (300, 300), 255).save("blank.png")
    assert run("predict", "none.png", *names, "gone.png", "blank.png") == 2
    told = capsys.readouterr()
    *answers, letter, blank = told.out.splitlines()
    for digit, line in zip("0123456789", answers, strict=True):
        assert re.fullmatch(rf"{digit}\.png: {digit} \(\d+\.\d %\)", line)
    assert letter.startswith("X.png: unsure, perhaps ")
    assert blank == "blank.png: no digit found"
    assert re.findall(r"error: .*?(\w+\.png)", told.err) == ["none.png", "gone.png"]
    assert "network: shipped (" in told.err


@slow
def test_check_on_this_machine():
    checking = process("check")
    out, err = checking.communicate(timeout=300)
    assert err == ""
    lines = re.findall(r"^(pass|FAIL)  (\S+(?: folder)?)", out, re.MULTILINE)
    names = "Python packages TensorFlow GPU data widgets memory work folder"
    assert " ".join(name for _, name in lines) == names
    failed = {name for word, name in lines if word == "FAIL"}
    assert failed <= {"packages"}  # it fails where digitkit is not installed
    assert checking.returncode == len(failed)
