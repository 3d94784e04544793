"""Show how training goes, while it goes: in the notebook, and in the terminal."""

import sys
import time


def live_curves():
    """Return a callback that shows a bar and the training curves in the notebook.

    The bar says where training is and how long it will take; the curves grow, drawn as
    often as costs a fiftieth of the time. One line and one picture remain.
    """
    import keras
    import matplotlib.pyplot as plt
    from IPython.display import display

    from .plots import plot_history

    class LiveCurves(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.fig, self.axes = plt.subplots(1, 2, figsize=(8, 3))
            plt.close(self.fig)  # shown by its display alone
            self.history = {"when": [], "loss": [], "accuracy": []}
            self.history |= {"val_loss": [], "val_accuracy": []}
            self.bar = display(_words("", 0), raw=True, display_id=True)
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
            epochs = self.params["epochs"]
            left = (now - self.begun) * (epochs - when) / (when - self.first)
            text = f"epoch {self.epoch + 1} of {epochs}{_numbers(logs)}"
            words = _words(f"{text}, {left:.0f} s left", when / epochs)
            self.bar.update(words, raw=True)
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
            text = f"{self.history['when'][-1]:.3g} epochs, {seconds:.0f} s"
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


def terminal_bar(recipe):
    """Return a callback that shows one bar for the whole training in the terminal.

    Where the output goes to a file, it writes a line for each epoch instead.
    """
    import keras

    class TerminalBar(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            epochs, parameters = self.params["epochs"], self.model.count_params()
            print(f"recipe: {recipe}, {epochs} epochs, {parameters:,} parameters")
            self.bar = None

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch, self.begun = epoch, time.monotonic()

        def on_train_batch_end(self, batch, logs=None):
            if not sys.stdout.isatty():
                return
            steps = self.params["steps"]
            if self.bar is None:
                self.first = self.epoch
                left = (self.params["epochs"] - self.epoch) * steps
                names = ["epoch", *logs]
                self.bar = keras.utils.Progbar(
                    left, stateful_metrics=names, unit_name="batch"
                )
            at = (self.epoch - self.first) * steps + min(batch + 1, steps)
            self.bar.update(at, [("epoch", self.epoch + 1), *logs.items()], False)

        def on_epoch_end(self, epoch, logs=None):
            if self.bar is None:
                seconds = time.monotonic() - self.begun
                line = f"epoch {epoch + 1}/{self.params['epochs']}  {seconds:.0f} s"
                for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
                    line += f"  {name} {logs[name]:.4f}"
                print(f"{line}  learning_rate {logs['learning_rate']:.2g}", flush=True)

        def on_train_end(self, logs=None):
            if self.bar is not None:
                print(flush=True)

    return TerminalBar()


def _numbers(logs):
    return "".join(f", {name} {value:.3f}" for name, value in logs.items())


def _words(text, share):
    bar = f'<progress value="{share:.3f}" max="1" style="width: 20em"></progress>'
    return {"text/plain": text, "text/html": f"{bar} {text}"}
