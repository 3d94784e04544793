"""Callbacks: what watches a training while it runs.

`checkpoint` keeps it on disk, so that it goes on after an interruption; `live_curves`
shows a bar and the growing curves in a notebook; `progress_bar` shows a bar in the
terminal. Each function returns a Keras callback for ``model.fit(callbacks=...)``.
Lesson 02 and the recipes in `digitkit.training` use them.
"""

import csv
import hashlib
import json
import re
import signal
import sys
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np

from .files import replacing, work_folder


def checkpoint(model, batches, epochs, path=None, monitor="val_loss", told=()):
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

    class Checkpoint(keras.callbacks.Callback):
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
                    print(f"Progress is not kept: {error}")
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

    return Checkpoint()


def live_curves():
    """Return a callback that shows a bar and the training curves in the notebook.

    The bar says where training is and how long it will take; the curves grow, drawn as
    often as costs a fiftieth of the time. One line and one picture remain.
    """
    import keras
    import matplotlib.pyplot as plt
    from IPython.display import display
    from tqdm import tqdm

    from .plots import plot_history

    class LiveCurves(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.fig, self.axes = plt.subplots(1, 2, figsize=(8, 3))
            plt.close(self.fig)  # shown by its display alone
            self.history = {"when": [], "loss": [], "accuracy": []}
            self.history |= {"val_loss": [], "val_accuracy": []}
            # Not tqdm's own bar for notebooks: it is a widget, which a stored notebook
            # shows as an error.
            self.bar = display({"text/plain": ""}, raw=True, display_id=True)
            self.picture = display(self.fig, display_id=True)
            self.begun, self.next_draw, self.next_bar = time.monotonic(), 0, 0
            self.first = None  # epoch that is trained, not told of as past

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch, self.seen, self.means = epoch, 0, {}

        def on_train_batch_end(self, batch, logs=None):
            # Keras reports the mean since the epoch began: take the newest part.
            steps = self.params["steps"]
            done = min(batch + 1, steps)  # several steps at once can count past the end
            self.first = self.epoch if self.first is None else self.first
            self.show(self.epoch + done / steps, logs)
            if done < steps and done - self.seen < steps / 40:
                return
            self.history["when"].append(self.epoch + done / steps)
            for name in ("loss", "accuracy"):
                if name not in logs:
                    raise ValueError(f"no {name} is measured: compile with metrics")
                before = self.means.get(name, 0) * self.seen
                newest = (logs[name] * done - before) / (done - self.seen)
                self.history[name].append(newest)
            self.seen, self.means = done, dict(logs)
            if time.monotonic() > self.next_draw:
                self.draw()

        def show(self, when, logs):
            now = time.monotonic()
            if self.bar is None or now < self.next_bar:
                return  # not in a notebook, or not yet
            steps = self.params["steps"]
            text = tqdm.format_meter(
                round(when * steps),
                self.params["epochs"] * steps,
                now - self.begun,
                ncols=100,
                prefix=f"epoch {self.epoch + 1} of {self.params['epochs']}",
                initial=self.first * steps,
                postfix=_numbers(logs),
            )
            self.bar.update({"text/plain": text}, raw=True)
            self.next_bar = now + 0.5

        def on_epoch_end(self, epoch, logs=None):
            if not self.seen:  # before training was interrupted
                self.history["when"].append(epoch + 1)
                for name in ("loss", "accuracy"):
                    self.history[name].append(logs[name])
            # Stopped within an epoch: what is validated belongs to no whole one.
            part = self.history["when"][-1] % 1
            for name in ("val_loss", "val_accuracy"):
                if name in logs and not part:
                    self.history[name].append(logs[name])
            self.last = logs

        def on_train_end(self, logs=None):
            if self.bar is None or not self.history["when"]:
                return
            self.draw()
            seconds = time.monotonic() - self.begun
            text = f"{self.history['when'][-1]:.3g} epochs, {seconds:.0f} s, "
            self.bar.update({"text/plain": text + _numbers(self.last)}, raw=True)

        def draw(self):
            if self.picture is None:
                return
            begun = time.monotonic()
            for ax, name in zip(self.axes, ("loss", "accuracy"), strict=True):
                ax.clear()
                plot_history(self.history, name, ax)
            self.picture.update(self.fig)
            self.next_draw = time.monotonic() + 50 * (time.monotonic() - begun)

    return LiveCurves()


def progress_bar(recipe):
    """Return a callback that shows one bar for the whole training in the terminal.

    If the output goes to a file, it writes a line for each epoch instead.
    """
    import keras
    from tqdm import tqdm

    class ProgressBar(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            epochs, parameters = self.params["epochs"], self.model.count_params()
            print(f"recipe: {recipe}, {epochs} epochs, {parameters:,} parameters")
            self.bar = None

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch, self.begun = epoch, time.monotonic()

        def on_train_batch_end(self, batch, logs=None):
            if not sys.stdout.isatty():
                return
            epochs, steps = self.params["epochs"], self.params["steps"]
            epoch = f"epoch {self.epoch + 1} of {epochs}"
            if self.bar is None:  # the epochs before are not trained now
                self.bar = tqdm(
                    desc=epoch,
                    total=epochs * steps,
                    initial=self.epoch * steps,
                    unit="batch",
                    file=sys.stdout,
                )
            self.bar.set_description(epoch, False)
            self.bar.set_postfix_str(_numbers(logs), False)
            done = min(batch + 1, steps)  # several steps at once can count past the end
            self.bar.update(self.epoch * steps + done - self.bar.n)

        def on_epoch_end(self, epoch, logs=None):
            if self.bar is None:
                seconds = time.monotonic() - self.begun
                line = f"epoch {epoch + 1}/{self.params['epochs']}  {seconds:.0f} s"
                for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
                    line += f"  {name} {logs[name]:.4f}"
                print(f"{line}  learning_rate {logs['learning_rate']:.2g}", flush=True)

        def on_train_end(self, logs=None):
            if self.bar is not None:
                self.bar.close()

    return ProgressBar()


def _numbers(logs):
    return ", ".join(f"{name} {value:.3f}" for name, value in logs.items())


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
