"""Show in the notebook how training goes, while it goes."""

import time

import matplotlib.pyplot as plt

from .plots import plot_history


def live_curves():
    """Return a callback that shows the training curves in the notebook as they grow.

    It draws at most as often as costs a fiftieth of the time, and leaves one picture.
    """
    import keras
    from IPython.display import display

    class LiveCurves(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.fig, self.axes = plt.subplots(1, 2, figsize=(8, 3))
            plt.close(self.fig)  # shown by its display alone
            self.history = {"when": [], "loss": [], "accuracy": []}
            self.history |= {"val_loss": [], "val_accuracy": []}
            self.handle = display(self.fig, display_id=True)
            self.begun, self.next_draw, self.epoch = time.monotonic(), 0, 0

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch, self.seen, self.means = epoch, 0, {}

        def on_train_batch_end(self, batch, logs=None):
            # Keras reports the mean since the epoch began: take the newest part.
            steps = self.params["steps"]
            done = min(batch + 1, steps)  # several steps at once can count past the end
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

        def on_epoch_end(self, epoch, logs=None):
            for name in ("val_loss", "val_accuracy"):
                if name in logs:
                    self.history[name].append(logs[name])

        def on_train_end(self, logs=None):
            self.draw()

        def draw(self):
            if self.handle is None or not self.history["when"]:
                return  # not in a notebook, or nothing to draw yet
            begun = time.monotonic()
            share = self.history["when"][-1] / self.params["epochs"]
            left = (begun - self.begun) * (1 / share - 1)
            self.fig.suptitle(
                f"epoch {self.epoch + 1} of {self.params['epochs']}, "
                + (f"{left:.0f} s left" if share < 1 else f"{begun - self.begun:.0f} s")
            )
            for ax, name in zip(self.axes, ("loss", "accuracy"), strict=True):
                ax.clear()
                plot_history(self.history, name, ax)
            self.handle.update(self.fig)
            self.next_draw = time.monotonic() + 50 * (time.monotonic() - begun)

    return LiveCurves()
