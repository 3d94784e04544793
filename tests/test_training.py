"""Augmentation, batches, the schedule and the recipes."""

import numpy as np
import pytest

from digitkit import networks, stand_in, training
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
def test_a_shift_is_by_pixels_and_nothing_else(images):
    np.testing.assert_allclose(augment(images, Steady()), images, atol=1e-5)
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
def test_augmented_images_are_images_and_none_is_lost(images):
    before = images.copy()
    changed = augment(images, np.random.default_rng(0))
    assert changed.shape == images.shape and changed.dtype == np.float32
    assert changed.min() >= 0 and changed.max() <= 1 + 1e-6
    np.testing.assert_array_equal(images, before)
    inked = changed.sum(axis=(1, 2)) / images.sum(axis=(1, 2))
    assert inked.min() > 0.6 and 0.9 < inked.mean() < 1.1


@slow
def test_each_image_is_augmented_in_its_own_way_but_repeatably(images):
    same = np.repeat(images[:1], 20, axis=0)
    changed = augment(same, np.random.default_rng(0))
    assert len({image.tobytes() for image in changed}) == 20
    np.testing.assert_array_equal(changed, augment(same, np.random.default_rng(0)))
    moved = (centres(changed) - centres(same)).std()
    assert 0.25 < moved < 0.6  # pixels


# What is mixed in


@pytest.mark.parametrize("add", [add_rare_styles, add_non_digits])
def test_what_is_mixed_in_comes_last_and_depends_on_the_seed(images, digits, add):
    more_images, more_digits = add(images, digits, share=0.2)
    assert more_images.shape == (360, 28, 28) and more_images.dtype == np.float32
    assert more_digits.shape == (360,) and more_digits.dtype == digits.dtype
    np.testing.assert_array_equal(more_images[:300], images)
    np.testing.assert_array_equal(more_digits[:300], digits)
    assert more_images[300:].max(axis=(1, 2)).min() > 0.5 and more_images.max() <= 1
    np.testing.assert_array_equal(more_images, add(images, digits, share=0.2)[0])
    other, _ = add(images, digits, share=0.2, seed=1)
    assert (other[300:] != more_images[300:]).any()
    assert len(add(images, digits, share=0)[0]) == 300


def test_rare_styles_are_drawn_equally_often_and_no_others(images, digits, monkeypatch):
    given = []

    def draw_images(digits, seed, styles):
        given.append(styles)
        return np.zeros((len(digits), 28, 28), np.uint8)

    monkeypatch.setattr(stand_in, "draw_images", draw_images)
    _, more = add_rare_styles(images, digits, share=10)
    assert given == [stand_in.RARE]
    counts = np.bincount(more[300:], minlength=10)
    assert set(np.flatnonzero(counts)) == set(stand_in.RARE)
    styles = {d: len(text.split(",")) for d, text in stand_in.RARE.items()}
    expected = 3000 / sum(styles.values())
    for digit, n in styles.items():
        assert abs(counts[digit] / n - expected) < 0.35 * expected


# Batches


@pytest.fixture
def numbered(monkeypatch):
    """Images that hold their number, their digits, and no augmentation."""
    monkeypatch.setattr(training, "augment", lambda images, rng: images)
    numbers = np.arange(59, dtype=np.float32)
    images = np.ones((59, 28, 28), np.float32) * numbers[:, None, None]
    return images, (numbers % 10).astype(np.uint8)


def epoch(batches):
    """Return the numbers and the digits of an epoch, which then ends."""
    pairs = [batches[i] for i in range(len(batches))]
    batches.on_epoch_end()
    assert [len(images) for images, _ in pairs] == [20, 20, 19]
    numbers = np.concatenate([images[:, 0, 0] for images, _ in pairs])
    return numbers, np.concatenate([digits for _, digits in pairs])


@slow
def test_an_epoch_has_each_image_once_with_its_digit(numbered):
    batches = augmented_batches(*numbered, batch_size=20)
    (first, first_digits), (second, second_digits) = epoch(batches), epoch(batches)
    for numbers, digits in ((first, first_digits), (second, second_digits)):
        assert sorted(numbers) == list(range(59)) != list(numbers)
        np.testing.assert_array_equal(digits, numbers % 10)
    assert list(first) != list(second)


@slow
def test_what_is_no_digit_is_told_to_be_another_each_time(numbered):
    images, digits = numbered
    digits = np.where(images[:, 0, 0] < 20, NO_DIGIT, digits).astype(np.uint8)
    batches = augmented_batches(images, digits, batch_size=20)
    told = []
    for _ in range(100):
        numbers, labels = epoch(batches)
        real = numbers >= 20
        np.testing.assert_array_equal(labels[real], numbers[real] % 10)
        told.append(labels[np.argsort(numbers)][:20])
    for labels in np.transpose(told):
        counts = np.bincount(labels, minlength=10)
        assert len(counts) == 10 and counts.min() > 0 and counts.max() < 30


@slow
def test_a_batch_depends_on_seed_epoch_and_number_alone(images, digits):
    first, later = (augmented_batches(images, digits, 50) for _ in range(2))
    before = first[0][0]
    for _ in range(3):
        for i in range(len(first)):
            first[i]
        first.on_epoch_end()
    later.epoch = 3
    for i in (4, 0, 2):
        for one, other in zip(first[i], later[i], strict=True):
            np.testing.assert_array_equal(one, other)
    assert first.identity == later.identity
    another_seed = augmented_batches(images, digits, 50, seed=1)[0][0]
    assert not np.array_equal(before, first[0][0])
    assert not np.array_equal(before, another_seed)


@slow
def test_batches_that_are_not_augmented_hold_the_images(images, digits):
    few, told = augmented_batches(images, digits, 300, augmented=False)[0]
    order = np.random.default_rng([0, 0]).permutation(300)
    np.testing.assert_array_equal(few, images[order])
    np.testing.assert_array_equal(told, digits[order])


# Schedule and loss


@slow
@pytest.mark.parametrize("steps", [100, 101])
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
    assert model.count_params() > 2_000_000
    assert kept.history["learning_rate"] == [pytest.approx(0.001)]
    held_back = pixels[200:].astype(np.float32) / 255
    _, accuracy = model.evaluate(held_back, digits[200:], verbose=0)
    assert kept.history["val_accuracy"][-1] == pytest.approx(accuracy, abs=1e-6)
