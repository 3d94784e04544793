"""Lose nothing of a training that is interrupted, and go on where it was."""

import csv
import hashlib
import json
import re
import signal
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np

from .places import replacing, work_folder


def keep_progress(model, batches, epochs, path=None, monitor="val_loss", told=()):
    """Return a callback that keeps a training on disk, epoch by epoch.

    Whatever ends the training, the stop button or a power cut: the same lines, run
    again, go on after its last whole epoch and end as if nothing had happened. If the
    network or the recipe has changed meanwhile, they begin anew.

    After each epoch one file is replaced, whole or not at all. It holds the weights,
    the optimizer's state, the history and the best network so far, which the model has
    in the end. (Of these, Keras' ``BackupAndRestore`` keeps the first two.) The
    history is also written to ``history.csv`` in the work folder, for notebook 03.

    Parameters
    ----------
    model : keras.Model, compiled
    batches : keras.utils.PyDataset
        From `augmented_batches`: what they hold depends on ``batches.epoch`` alone.
    epochs : int
        Of the whole training.
    path : path, optional
        Ends in ``.npz``; ``unfinished.npz`` in the work folder if left out.
    monitor : str
        What the best network has least of.
    told : sequence of keras.callbacks.Callback
        Those that remember, such as `live_curves`, `ReduceLROnPlateau`: they are told
        of the epochs before the interruption.

    Returns
    -------
    keras.callbacks.Callback
        To be the last in ``model.fit(callbacks=...)``. ``epoch`` is how many are done,
        for ``initial_epoch=...``, with ``shuffle=False``: the order in which Keras
        would shuffle the batches is not kept. ``history`` is a dict of list of float,
        of all whole epochs; ``stopped`` tells whether the stop button (Ctrl-C) ended
        it. Call ``forget()`` once the network is saved: it deletes the file.
    """
    import keras

    path = work_folder() / "unfinished.npz" if path is None else Path(path).absolute()
    identity = _identify(model, batches, epochs, monitor)
    saved = _read(path, identity)

    class KeepProgress(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.history = saved.get("history", {})
            self.epoch, self.best_epoch = saved.get("epoch", 0), saved.get("best_epoch")
            self.best, self.least = saved.get("best"), saved.get("least", np.inf)
            self.state = saved.get("state")
            self.stopped = self.told_of_disk = False

        def on_train_begin(self, logs=None):
            self.stopped = False
            for epoch in range(self.epoch):
                past = {name: values[epoch] for name, values in self.history.items()}
                for callback in told:
                    callback.on_epoch_begin(epoch)
                    callback.on_epoch_end(epoch, past)
            if self.state:  # after those who were told, who may set the learning rate
                for variable, value in zip(_variables(model), self.state, strict=True):
                    variable.assign(value)
            self.before = _on_interrupt(self.stop)

        def stop(self, *signal_and_frame):
            self.stopped = self.model.stop_training = True
            _on_interrupt(self.before)  # a second time stops at once

        def on_epoch_begin(self, epoch, logs=None):
            batches.epoch = self.running = epoch

        def on_train_batch_end(self, batch, logs=None):
            self.whole = batch + 1 >= self.params["steps"]

        def on_epoch_end(self, epoch, logs=None):
            logs = {name: float(value) for name, value in logs.items()}
            if monitor not in logs:
                raise ValueError(f"no {monitor} is measured: pass fit validation_data")
            if self.best is None or logs[monitor] < self.least:
                self.best, self.least = model.get_weights(), logs[monitor]
                self.best_epoch = epoch + 1
            if self.whole:
                self.epoch = epoch + 1
                self.state = [np.array(v.numpy()) for v in _variables(model)]
                for name, value in logs.items():
                    self.history.setdefault(name, []).append(value)
                self.write()

        def write(self):
            summary = {name: getattr(self, name) for name in SUMMARY}
            arrays = {"summary": json.dumps([identity, summary])}
            arrays |= _numbered("state", self.state)
            arrays |= _numbered("best", self.best)
            try:
                with replacing(path) as temporary:
                    np.savez(temporary, **arrays)
                _write_history(self.history)
            except OSError as error:  # a full disk, say: the file before it is whole
                if not self.told_of_disk:
                    print(f"Progress is not kept: {error}", file=sys.stderr)
                self.told_of_disk = True

        def on_train_end(self, logs=None):
            _on_interrupt(self.before)
            if self.best is not None:
                model.set_weights(self.best)
            if self.stopped and self.epoch < epochs:
                again = f"goes on after epoch {self.epoch}"
                if self.epoch == 0:
                    again = "begins with epoch 1, since it was not whole"
                print(
                    f"Stopped in epoch {self.running + 1} of {epochs}. The network is "
                    f"that of epoch {self.best_epoch}. The same again {again}."
                )

        def forget(self):
            path.unlink(missing_ok=True)

    return KeepProgress()


BAD_ZIP = zipfile.BadZipFile, zlib.error, RuntimeError
SUMMARY = ("epoch", "best_epoch", "least", "history")


def _variables(model):
    """Return all variables that training goes on from, in a fixed order."""
    model.optimizer.build(model.trainable_variables)
    variables = [*model.trainable_variables, *model.non_trainable_variables]
    return [*variables, *model.optimizer.variables]


def _identify(model, batches, epochs, monitor):
    """Return a hash of all that decides what the training comes to, but chance."""
    if getattr(model, "optimizer", None) is None:
        raise ValueError("the network has no optimizer yet: call model.compile first")
    layers = [[type(x).__name__, x.get_config(), x.output.shape] for x in model.layers]
    compiled = model.optimizer.get_config(), model.get_compile_config().get("metrics")
    loss = getattr(model.loss, "__name__", model.loss)
    parts = [layers, compiled, loss, epochs, monitor, batches.identity]
    text = json.dumps(parts, default=str, sort_keys=True)
    text = re.sub('"name": "[^"]*"', "", text)  # Keras numbers them through
    return hashlib.sha256(text.encode()).hexdigest()


def _read(path, identity):
    """Return what the file holds; nothing if it cannot be read or is of another."""
    try:
        with np.load(path) as file:
            written_by, saved = json.loads(str(file["summary"]))
            if written_by != identity:
                print(f"{path} is of another training: this one begins anew")
                return {}
            for name in ("state", "best"):
                n = sum(key.startswith(f"{name}-") for key in file)
                saved[name] = [file[f"{name}-{i}"] for i in range(n)]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, EOFError, *BAD_ZIP) as error:
        print(f"{path} is damaged ({error}): training begins anew")
        return {}
    print(f"Going on after epoch {saved['epoch']}, from {path}")
    return saved


def _numbered(name, arrays):
    return {f"{name}-{i}": array for i, array in enumerate(arrays)}


def _write_history(history):
    with replacing(work_folder() / "history.csv") as temporary:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["epoch", *history])
            for epoch, row in enumerate(zip(*history.values(), strict=True), 1):
                rows.writerow([epoch, *row])


def _on_interrupt(handler):
    """Handle Ctrl-C, and so the stop button, in this way; return the way before."""
    try:
        return signal.signal(signal.SIGINT, handler)
    except (ValueError, TypeError):  # not in the main thread, or not set from Python
        return None
