"""Augmentation, batches, the schedule, the recipes and the live curves."""

import re
from types import SimpleNamespace

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from digitkit import callbacks, networks, stand_in, training
from digitkit.training import (
    NO_DIGIT,
    add_non_digits,
    add_rare_styles,
    augment,
    augmented_batches,
    one_cycle,
)

slow = pytest.mark.slow


@pytest.fixture(scope="module")
def digits():
    return np.random.default_rng(0).integers(0, 10, 300).astype(np.uint8)


@pytest.fixture(scope="module")
def images(digits):
    return (stand_in.draw_images(digits, 0) / 255).astype(np.float32)


def centres(images):
    """Return the centres of mass ``(n, 2)``: column, row."""
    pixels, mass = np.arange(28), images.sum(axis=(1, 2))
    by_axis = [images.sum(axis=axis) @ pixels / mass for axis in (1, 2)]
    return np.stack(by_axis, axis=1)


# Augmentation


class Steady:
    """A generator without chance: what it draws is given by the spread asked for."""

    def __init__(self, **drawn):
        self.drawn = drawn

    def normal(self, mean, deviation, size):
        values = np.full(size, float(mean))
        return values + self.drawn.get(f"spread_{deviation}", 0)


@slow
def test_without_chance_nothing_is_augmented(images):
    np.testing.assert_allclose(augment(images, Steady()), images, atol=1e-5)


@slow
def test_a_shift_is_by_pixels_and_not_distorting(images):
    moved = augment(images, Steady(**{"spread_0.4": np.array([2, -1])}))
    expected = np.zeros_like(images)
    expected[:, 1:, :-2] = images[:, :-1, 2:]
    np.testing.assert_allclose(moved, expected, atol=1e-5)


@slow
@pytest.mark.parametrize("spread", ["spread_0.12", "spread_0.15", "spread_0.1"])
def test_turn_slant_and_stretch_keep_the_middle(spread):
    images = np.zeros((1, 28, 28), np.float32)
    images[0, 8:20, 8:20] = 1  # the same on all sides of 13.5
    changed = augment(images, Steady(**{spread: 0.3}))
    assert abs(changed - images).max() > 0.2
    np.testing.assert_allclose(centres(changed), 13.5, atol=0.05)


@slow
def test_augmented_images_are_images(images):
    before = images.copy()
    changed = augment(images, np.random.default_rng(0))
    assert changed.shape == images.shape
    assert changed.dtype == np.float32
    assert changed.min() >= 0
    assert changed.max() <= 1 + 1e-6
    np.testing.assert_array_equal(images, before)
    inked = changed.sum(axis=(1, 2)) / images.sum(axis=(1, 2))
    assert inked.min() > 0.6  # none is lost
    assert 0.9 < inked.mean() < 1.1


@slow
def test_each_image_is_augmented_in_its_own_way_but_repeatably(images):
    same = np.repeat(images[:1], 20, axis=0)
    changed = augment(same, np.random.default_rng(0))
    assert len({image.tobytes() for image in changed}) == 20
    np.testing.assert_array_equal(changed, augment(same, np.random.default_rng(0)))
    moved = (centres(changed) - centres(same)).std()
    assert 0.25 < moved < 0.6  # pixels


# Rare styles


def test_rare_styles_are_added_at_the_end(images, digits):
    more_images, more_digits = add_rare_styles(images, digits, share=0.2)
    assert more_images.shape == (360, 28, 28)
    assert more_images.dtype == np.float32
    assert more_digits.shape == (360,)
    assert more_digits.dtype == digits.dtype
    np.testing.assert_array_equal(more_images[:300], images)
    np.testing.assert_array_equal(more_digits[:300], digits)
    assert set(more_digits[300:].tolist()) <= set(stand_in.RARE)
    assert more_images[300:].max(axis=(1, 2)).min() > 0.9
    assert more_images.max() <= 1


def test_all_rare_styles_and_no_others_are_drawn(images, digits, monkeypatch):
    given = []

    def draw_images(digits, seed, styles):
        given.append(styles)
        return np.zeros((len(digits), 28, 28), np.uint8)

    monkeypatch.setattr(stand_in, "draw_images", draw_images)
    _, more = add_rare_styles(images, digits, share=10)
    assert given == [stand_in.RARE]
    counts = np.bincount(more[300:], minlength=10)
    assert set(np.flatnonzero(counts)) == set(stand_in.RARE)
    # Each style equally often, whatever its digit.
    styles = {d: len(text.split(",")) for d, text in stand_in.RARE.items()}
    expected = 3000 / sum(styles.values())
    for digit, n in styles.items():
        assert abs(counts[digit] / n - expected) < 0.35 * expected


def test_rare_styles_depend_on_the_seed_alone(images, digits):
    first, again = (add_rare_styles(images, digits)[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other, _ = add_rare_styles(images, digits, seed=1)
    assert (other[300:] != first[300:]).any()


def test_no_rare_styles_are_no_change(images, digits):
    same_images, same_digits = add_rare_styles(images, digits, share=0)
    np.testing.assert_array_equal(same_images, images)
    np.testing.assert_array_equal(same_digits, digits)


# What is no digit


def test_non_digits_are_added_at_the_end(images, digits):
    more_images, more_digits = add_non_digits(images, digits, share=0.1)
    assert more_images.shape == (330, 28, 28)
    assert more_images.dtype == np.float32
    assert more_digits.dtype == digits.dtype
    np.testing.assert_array_equal(more_images[:300], images)
    np.testing.assert_array_equal(more_digits[:300], digits)
    assert (more_digits[300:] == NO_DIGIT).all()
    assert more_images[300:].max(axis=(1, 2)).min() > 0.5
    other, _ = add_non_digits(images, digits, share=0.1, seed=1)
    assert (other[300:] != more_images[300:]).any()


@slow
def test_what_is_no_digit_is_told_to_be_another_each_time(numbered):
    images, digits = numbered
    digits = np.where(images[:, 0, 0] < 20, NO_DIGIT, digits).astype(np.uint8)
    batches = augmented_batches(images, digits, batch_size=20)
    told = []
    for _ in range(100):
        numbers, labels = epoch(batches)
        np.testing.assert_array_equal(
            labels[numbers >= 20], numbers[numbers >= 20] % 10
        )
        told.append(labels[np.argsort(numbers)][:20])
    for labels in np.transpose(told):
        counts = np.bincount(labels, minlength=10)
        assert len(counts) == 10 and counts.min() > 0 and counts.max() < 30


# Batches


@pytest.fixture
def numbered(monkeypatch):
    """Images that hold their number, their digits, and no augmentation."""
    monkeypatch.setattr(training, "augment", lambda images, rng: images)
    numbers = np.arange(60, dtype=np.float32)
    images = np.ones((60, 28, 28), np.float32) * numbers[:, None, None]
    return images, (numbers % 10).astype(np.uint8)


def epoch(batches):
    """Return the numbers and the digits of an epoch, which then ends."""
    pairs = [batches[i] for i in range(len(batches))]
    batches.on_epoch_end()
    for images, digits in pairs:
        assert images.shape == (20, 28, 28)
        assert digits.shape == (20,)
    numbers = np.concatenate([images[:, 0, 0] for images, _ in pairs])
    return numbers, np.concatenate([digits for _, digits in pairs])


@slow
def test_an_epoch_has_each_image_once_with_its_digit(numbered):
    batches = augmented_batches(*numbered, batch_size=20)
    first, first_digits = epoch(batches)
    second, second_digits = epoch(batches)
    for numbers, digits in ((first, first_digits), (second, second_digits)):
        assert sorted(numbers) == list(range(60))
        np.testing.assert_array_equal(digits, numbers % 10)
        assert list(numbers) != list(range(60))
    assert list(first) != list(second)


@slow
def test_the_last_batch_holds_what_is_left(numbered):
    images, digits = numbered
    batches = augmented_batches(images[:59], digits[:59], batch_size=20)
    pairs = [batches[i] for i in range(len(batches))]
    assert [len(images) for images, _ in pairs] == [len(d) for _, d in pairs]
    assert [len(images) for images, _ in pairs] == [20, 20, 19]
    numbers = np.concatenate([images[:, 0, 0] for images, _ in pairs])
    assert sorted(numbers) == list(range(59))


@slow
def test_a_batch_depends_on_its_epoch_and_number_alone(images, digits):
    first, later = (augmented_batches(images, digits, 50) for _ in range(2))
    for _ in range(3):
        for i in range(len(first)):
            first[i]
        first.on_epoch_end()
    later.epoch = 3
    for i in (4, 0, 2):
        for one, other in zip(first[i], later[i], strict=True):
            np.testing.assert_array_equal(one, other)
    assert first.identity == later.identity


@slow
def test_batches_that_are_not_augmented_hold_the_images(images, digits):
    few, told = augmented_batches(images, digits, 300, augmented=False)[0]
    order = np.random.default_rng([0, 0]).permutation(300)
    np.testing.assert_array_equal(few, images[order])
    np.testing.assert_array_equal(told, digits[order])


@slow
def test_batches_are_augmented_anew_in_each_epoch(images, digits):
    few = images[:20], digits[:20]
    batches = augmented_batches(*few, batch_size=20)
    first, first_digits = batches[0]
    batches.on_epoch_end()
    second, second_digits = batches[0]
    assert not np.isin(first.sum(axis=(1, 2)), second.sum(axis=(1, 2))).any()
    again, _ = augmented_batches(*few, batch_size=20)[0]
    np.testing.assert_array_equal(first, again)
    other, _ = augmented_batches(*few, batch_size=20, seed=1)[0]
    assert (other != first).any()
    assert sorted(first_digits) == sorted(second_digits)


# The schedule


@slow
@pytest.mark.parametrize("steps", [100, 1001])
def test_the_rate_climbs_for_a_quarter_and_falls_to_nothing(steps):
    schedule = one_cycle(steps, peak=0.02)
    rates = np.array([float(schedule(step)) for step in range(steps + 1)])
    assert rates[0] == pytest.approx(0.002)
    assert rates.argmax() == steps // 4
    assert rates.max() == pytest.approx(0.02)
    assert rates[-1] == pytest.approx(0, abs=1e-6)
    assert (np.diff(rates)[: steps // 4] > 0).all()
    assert (np.diff(rates)[steps // 4 :] < 0).all()


@slow
def test_smoothed_crossentropy_is_that_of_smoothed_one_hot_labels():
    import keras

    probabilities = np.random.default_rng(0).dirichlet(np.ones(10), 50)
    digits = np.arange(50) % 10
    expected = keras.losses.categorical_crossentropy(
        np.eye(10)[digits], probabilities, label_smoothing=training.SMOOTHING
    )
    loss = training.smoothed_crossentropy(digits, probabilities)
    np.testing.assert_allclose(loss, expected, rtol=1e-4)


# The recipes


@pytest.fixture(autouse=True)
def work(monkeypatch, tmp_path):
    monkeypatch.setenv("DIGITKIT_WORK", str(tmp_path / "work"))


@pytest.fixture
def small_data(monkeypatch, images, digits):
    """Hold 100 of 300 images back; there are no test images."""
    monkeypatch.setattr(training, "VALIDATION", 100)
    return ((images * 255).astype(np.uint8), digits), None


@slow
def test_quick_trains_and_keeps_to_its_images(monkeypatch, small_data):
    import keras

    keras.utils.set_random_seed(0)
    given, make_batches = [], augmented_batches

    def batches(images, digits, seed):
        given.append((images, digits))
        return make_batches(images, digits, batch_size=32, seed=seed)

    monkeypatch.setattr(training, "augmented_batches", batches)
    ends = []
    callback = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: ends.append(dict(logs))
    )
    model, kept = training.RECIPES["quick"](small_data, 8, callbacks=[callback])
    history = kept.history

    # It trains on all images but those held back, on rare styles and non-digits.
    [(images, digits)] = given
    (x_train, y_train), _ = small_data
    np.testing.assert_allclose(images[:200] * 255, x_train[:200], atol=1e-4)
    np.testing.assert_array_equal(digits[:200], y_train[:200])
    assert len(images) == len(digits) == 253

    assert model.count_params() == networks.build_cnn().count_params()
    names = ["accuracy", "learning_rate", "loss", "val_accuracy", "val_loss"]
    assert sorted(history) == names
    assert all(len(values) == 8 for values in history.values())
    # What the callbacks of the caller are told is what is returned.
    assert [end["learning_rate"] for end in ends] == history["learning_rate"]
    # The schedule ends with the last epoch, no sooner.
    assert history["learning_rate"][-1] == pytest.approx(0, abs=1e-6)
    assert min(history["learning_rate"][:-1]) > 1e-5
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    # It validates on what was held back, as it is.
    held_back = x_train[200:].astype(np.float32) / 255
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    loss, accuracy = model.evaluate(held_back, y_train[200:], verbose=0)
    # Labels are smoothed in training, and the model is that of the best epoch.
    assert min(history["val_loss"]) > loss
    at_best = history["val_accuracy"][np.argmin(history["val_loss"])]
    assert at_best == pytest.approx(accuracy, abs=1e-6)


@slow
def test_quick_needs_more_images_than_it_holds_back(small_data):
    (x_train, y_train), _ = small_data
    few = (x_train[:100], y_train[:100]), None
    with pytest.raises(ValueError, match="received 100 training images, expected more"):
        training.quick(few)


@slow
def test_classic_validates_with_the_test_images(images, digits):
    pixels = (images * 255).astype(np.uint8)
    loaded = (pixels[:200], digits[:200]), (pixels[200:], digits[200:])
    model, kept = training.RECIPES["classic"](loaded, epochs=1)
    history = kept.history
    assert model.count_params() > 2_000_000
    assert history["learning_rate"] == [pytest.approx(0.001)]
    held_back = pixels[200:].astype(np.float32) / 255
    _, accuracy = model.evaluate(held_back, digits[200:], verbose=0)
    assert history["val_accuracy"][-1] == pytest.approx(accuracy, abs=1e-6)


# Live curves


class Screen:
    """What a notebook shows: displays, and how often each was updated."""

    def __init__(self):
        self.shown, self.updates, self.bars = [], [], []

    def display(self, content, display_id, raw=False):
        assert display_id
        if raw:
            self.bars.append(content)
            return SimpleNamespace(update=self.update_bar)
        self.shown.append(content)
        return SimpleNamespace(update=lambda figure: self.update(figure))

    def update(self, figure):
        self.updates.append(figure)

    def update_bar(self, content, raw):
        self.bars.append(content)


@pytest.fixture
def screen(monkeypatch):
    screen = Screen()
    monkeypatch.setattr("IPython.display.display", screen.display)
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


def train_by_hand(curves, losses, on_batch=lambda: None, at_once=1):
    """Call what Keras calls; the losses of batches are ``(epochs, steps)``."""
    curves.set_params({"epochs": losses.shape[0], "steps": losses.shape[1]})
    curves.on_train_begin()
    for number, of_epoch in enumerate(losses):
        curves.on_epoch_begin(number)
        for i in range(0, len(of_epoch), at_once):
            mean = of_epoch[: i + at_once].mean()  # Keras tells the mean so far
            on_batch()
            last = i + at_once - 1  # Keras counts on, past the end of the epoch
            curves.on_train_batch_end(last, {"loss": mean, "accuracy": 1 - mean})
        logs = {"loss": mean, "accuracy": 1 - mean}
        logs |= {"val_loss": number + 0.5, "val_accuracy": 0.5}
        curves.on_epoch_end(number, logs)
    curves.on_train_end()


@slow
def test_live_curves_take_each_batch_for_itself(screen):
    losses = np.random.default_rng(0).random((3, 10))
    curves = callbacks.live_curves()
    train_by_hand(curves, losses)
    np.testing.assert_allclose(curves.history["loss"], losses.ravel())
    np.testing.assert_allclose(curves.history["accuracy"], 1 - losses.ravel())
    np.testing.assert_allclose(curves.history["when"], np.arange(1, 31) / 10)
    assert curves.history["val_loss"] == [0.5, 1.5, 2.5]
    assert curves.history["val_accuracy"] == [0.5, 0.5, 0.5]


@slow
def test_live_curves_of_long_epochs_are_means_of_forty_parts(screen):
    losses = np.random.default_rng(0).random((2, 430))
    curves = callbacks.live_curves()
    train_by_hand(curves, losses)
    ends = np.rint(np.array(curves.history["when"]) * 430).astype(int)
    assert 70 <= len(ends) <= 80
    begins = [0, *ends[:-1]]
    expected = [
        losses.ravel()[begin:end].mean()
        for begin, end in zip(begins, ends, strict=True)
    ]
    np.testing.assert_allclose(curves.history["loss"], expected)
    assert {430, 860} <= set(ends.tolist())  # no part reaches over two epochs


@slow
def test_live_curves_of_batches_that_keras_runs_at_once(screen):
    losses = np.random.default_rng(0).random((2, 50))
    curves = callbacks.live_curves()
    train_by_hand(curves, losses, at_once=20)
    parts = [part for one in losses for part in (one[:20], one[20:40], one[40:])]
    expected = [part.mean() for part in parts]
    np.testing.assert_allclose(curves.history["loss"], expected)
    np.testing.assert_allclose(curves.history["when"], [0.4, 0.8, 1, 1.4, 1.8, 2])


@slow
def test_live_curves_leave_one_picture(screen):
    train_by_hand(callbacks.live_curves(), np.ones((2, 5)))
    [figure] = screen.shown
    assert screen.updates
    assert all(updated is figure for updated in screen.updates)
    assert [ax.get_ylabel() for ax in figure.axes] == ["loss", "accuracy"]
    # The bar, too, leaves one line.
    assert screen.bars[-1].keys() == {"text/plain"}
    assert re.fullmatch(
        r"2 epochs, 0 s, loss 1.000, accuracy 0.000, "
        r"val_loss 1.500, val_accuracy 0.500",
        screen.bars[-1]["text/plain"],
    )
    for ax in figure.axes:
        training_line, validation_line = ax.get_lines()
        np.testing.assert_allclose(training_line.get_xdata(), np.arange(1, 11) / 5)
        np.testing.assert_array_equal(validation_line.get_xdata(), [1, 2])


@slow
def test_the_bar_tells_epoch_loss_accuracy_and_the_time_left(screen, clock):
    train_by_hand(callbacks.live_curves(), np.full((2, 10), 0.25), clock.second)
    told = [bar["text/plain"] for bar in screen.bars]
    assert re.fullmatch(
        r"epoch 2 of 2:  65%.* 13/20 \[00:13<00:07, .*loss 0.250, accuracy 0.750\]",
        told[13],
    )


@slow
def test_the_time_left_of_a_resumed_training_leaves_out_what_was_before(screen, clock):
    curves = callbacks.live_curves()
    curves.set_params({"epochs": 4, "steps": 10})
    curves.on_train_begin()
    logs = {"loss": 0.5, "accuracy": 0.8}
    for epoch in range(3):
        curves.on_epoch_begin(epoch)
        curves.on_epoch_end(epoch, logs)
    curves.on_epoch_begin(3)
    for batch in range(6):
        clock.second()
        curves.on_train_batch_end(batch, logs)
    assert re.search(r" 36/40 \[00:06<00:04,", screen.bars[-1]["text/plain"])


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
def test_live_curves_show_what_was_before_an_interruption(screen):
    curves = callbacks.live_curves()
    curves.set_params({"epochs": 3, "steps": 1})
    curves.on_train_begin()
    logs = {"loss": 0.5, "accuracy": 0.8, "val_loss": 0.4, "val_accuracy": 0.9}
    for epoch in range(2):
        curves.on_epoch_begin(epoch)
        curves.on_epoch_end(epoch, logs)
    curves.on_epoch_begin(2)
    curves.on_train_batch_end(0, {"loss": 0.2, "accuracy": 0.9})
    curves.on_epoch_end(2, logs)
    curves.on_train_end()
    assert curves.history["when"] == [1, 2, 3]
    assert curves.history["loss"] == [0.5, 0.5, 0.2]
    assert curves.history["val_accuracy"] == [0.9] * 3


@slow
def test_live_curves_cost_little(screen, clock, monkeypatch):
    def slowly(figure):
        clock.now += 0.5

    monkeypatch.setattr(screen, "update", slowly)
    train_by_hand(callbacks.live_curves(), np.ones((10, 40)), clock.second)
    drawing = clock.now - 400
    assert 0.01 < drawing / clock.now < 0.03  # a fiftieth


@slow
def test_live_curves_while_keras_trains(screen, small_data):
    curves = callbacks.live_curves()
    training.quick(small_data, epochs=3, callbacks=[curves])
    assert len(screen.shown) == 1
    assert curves.history["when"][-1] == 3
    assert len(curves.history["val_accuracy"]) == 3
    values = curves.history["loss"] + curves.history["accuracy"]
    assert np.isfinite(values).all()
