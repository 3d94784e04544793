"""Augmentation, batches, the schedule and the recipes."""

from types import SimpleNamespace

import numpy as np
import pytest

from digitkit import networks, stand_in, training
from digitkit.training import NO_DIGIT, augment, augmented_batches, one_cycle

slow = pytest.mark.slow
DIGITS = np.random.default_rng(0).integers(0, 10, 300).astype(np.uint8)


@pytest.fixture(scope="module")
def images():
    return (stand_in.draw_images(DIGITS, 0) / 255).astype(np.float32)


def centres(images):
    """Return the centres of mass ``(n, 2)``: column, row."""
    pixels, mass = np.arange(28), images.sum(axis=(1, 2))
    by_axis = [images.sum(axis=axis) @ pixels / mass for axis in (1, 2)]
    return np.stack(by_axis, axis=1)


def only(spread, draw):
    """Return a generator that draws where this spread is asked for, else gives 0."""
    return SimpleNamespace(
        normal=lambda mean, deviation, size: (
            draw(size) if deviation == spread else np.zeros(size)
        )
    )


@slow
def test_a_shift_is_by_pixels_and_nothing_else(images):
    moved = augment(images, only(0.4, lambda size: np.full(size, [2, -1])))
    expected = np.zeros_like(images)
    expected[:, 1:, :-2] = images[:, :-1, 2:]
    np.testing.assert_allclose(moved, expected, atol=1e-5)


@slow
@pytest.mark.parametrize("spread", [0.12, 0.15, 0.1])
def test_turn_slant_and_stretch_keep_the_middle_each_in_its_own_way(spread):
    squares = np.zeros((20, 28, 28), np.float32)
    squares[:, 8:20, 8:20] = 1  # the same on all sides of 13.5
    chance = np.random.default_rng(0)
    changed = augment(squares, only(spread, lambda size: chance.normal(0, 0.3, size)))
    np.testing.assert_allclose(centres(changed), 13.5, atol=0.05)
    assert (abs(changed - squares).max(axis=(1, 2)) > 0.05).all()
    assert len({image.tobytes() for image in changed}) == 20


@slow
def test_augmented_images_are_images_and_none_is_lost(images):
    before = images.copy()
    changed = augment(images, np.random.default_rng(0))
    np.testing.assert_array_equal(changed, augment(images, np.random.default_rng(0)))
    np.testing.assert_array_equal(images, before)
    assert changed.shape == images.shape and changed.dtype == np.float32
    assert changed.min() >= 0 and changed.max() <= 1 + 1e-6
    inked = changed.sum(axis=(1, 2)) / images.sum(axis=(1, 2))
    assert inked.min() > 0.6 and 0.9 < inked.mean() < 1.1
    assert 0.25 < (centres(changed) - centres(images)).std() < 0.6  # pixels


@pytest.mark.parametrize(
    ("add", "added"),
    [
        (training.add_rare_styles, set(stand_in.RARE)),
        (training.add_non_digits, {NO_DIGIT}),
    ],
)
def test_what_is_mixed_in_comes_last_and_depends_on_the_seed(images, add, added):
    more_images, more_digits = add(images, DIGITS, share=0.2)
    assert more_images.shape == (360, 28, 28) and more_images.dtype == np.float32
    assert more_digits.shape == (360,) and more_digits.dtype == DIGITS.dtype
    np.testing.assert_array_equal(more_images[:300], images)
    np.testing.assert_array_equal(more_digits[:300], DIGITS)
    assert set(more_digits[300:]) == added
    assert more_images[300:].max(axis=(1, 2)).min() > 0.5 and more_images.max() <= 1
    np.testing.assert_array_equal(more_images, add(images, DIGITS, share=0.2)[0])
    assert (add(images, DIGITS, share=0.2, seed=1)[0] != more_images).any()
    assert len(add(images, DIGITS, share=0)[0]) == 300


@slow
def test_an_epoch_has_each_image_once_with_its_digit_or_a_random_one():
    numbers = np.arange(59)
    images = np.ones((59, 28, 28), np.float32) * numbers[:, None, None]
    digits = np.where(numbers < 20, NO_DIGIT, numbers % 10)
    batches = augmented_batches(images, digits, batch_size=20, augmented=False)
    orders, told = [], []
    for _ in range(100):
        pairs = [batches[i] for i in range(len(batches))]
        batches.on_epoch_end()
        assert [len(few) for few, _ in pairs] == [20, 20, 19]
        order = np.concatenate([few[:, 0, 0] for few, _ in pairs]).astype(int)
        labels = np.concatenate([labels for _, labels in pairs])
        assert sorted(order) == list(numbers)
        np.testing.assert_array_equal(labels[order >= 20], order[order >= 20] % 10)
        orders.append(tuple(order))
        told.append(labels[np.argsort(order)][:20])
    assert len(set(orders)) == 100
    for labels in np.transpose(told):  # of one image that is no digit
        counts = np.bincount(labels, minlength=10)
        assert len(counts) == 10 and counts.min() > 0 and counts.max() < 30


@slow
def test_a_batch_depends_on_seed_epoch_and_number_alone(images):
    first, later, other = (augmented_batches(images, DIGITS, 50, s) for s in (0, 0, 1))
    before = first[0][0]
    for _ in range(3):
        first[1]
        first.on_epoch_end()
    later.epoch = 3
    for i in (4, 0, 2):
        for one, again in zip(first[i], later[i], strict=True):
            np.testing.assert_array_equal(one, again)
    assert first.identity == later.identity != other.identity
    assert not np.array_equal(before, first[0][0])
    assert not np.array_equal(before, other[0][0])
    assert not np.isin(before.sum(axis=(1, 2)), images.sum(axis=(1, 2))).any()


@slow
@pytest.mark.parametrize("steps", [100, 101])
def test_the_rate_climbs_for_a_quarter_and_falls_to_nothing(steps):
    schedule = one_cycle(steps, peak=0.02)
    rates = np.array([float(schedule(step)) for step in range(steps + 1)])
    np.testing.assert_allclose(rates[[0, steps // 4, -1]], [0.002, 0.02, 0], atol=1e-6)
    rising = np.arange(steps) < steps // 4
    np.testing.assert_array_equal(np.diff(rates) > 0, rising)


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


@pytest.fixture
def data(images, monkeypatch, tmp_path):
    """300 images, of which a recipe holds 100 back, the same as the test images."""
    monkeypatch.setenv("DIGITKIT_WORK", str(tmp_path / "work"))
    monkeypatch.setattr(training, "VALIDATION", 100)
    pixels = (images * 255).astype(np.uint8)
    return (pixels, DIGITS), (pixels[200:], DIGITS[200:])


def validated(model, images):
    """Return loss and accuracy on the images that the recipes do not train on."""
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model.evaluate(images[200:], DIGITS[200:], verbose=0)


@slow
def test_quick_learns_from_all_but_what_it_holds_back(monkeypatch, data, images):
    import keras

    keras.utils.set_random_seed(0)
    given = []

    def batches(images, digits, seed):
        given.extend([images, digits])
        return augmented_batches(images, digits, batch_size=32, seed=seed)

    monkeypatch.setattr(training, "augmented_batches", batches)
    model, kept = training.quick(data, 8)
    # 200 images, and a quarter more: rare styles, then what is no digit.
    assert len(given[0]) == len(given[1]) == 253
    np.testing.assert_allclose(given[0][:200], images[:200], atol=1 / 255)
    np.testing.assert_array_equal(given[1][:200], DIGITS[:200])
    assert model.count_params() == networks.build_cnn().count_params()
    history = kept.history
    assert {len(values) for values in history.values()} == {8}
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    # The schedule ends with the last epoch, no sooner.
    assert history["learning_rate"][-1] == pytest.approx(0, abs=1e-6)
    assert min(history["learning_rate"][:-1]) > 1e-5
    # Labels are smoothed in training, and the model is that of the best epoch.
    loss, accuracy = validated(model, images)
    assert min(history["val_loss"]) > loss
    at_best = history["val_accuracy"][np.argmin(history["val_loss"])]
    assert at_best == pytest.approx(accuracy, abs=1e-6)


@slow
def test_classic_validates_with_the_test_images(data, images):
    model, kept = training.classic(data, epochs=1)
    assert model.count_params() == networks.build_classic_cnn().count_params()
    assert kept.history["learning_rate"] == [pytest.approx(0.001)]
    loss, accuracy = validated(model, images)
    assert kept.history["val_loss"] == [pytest.approx(loss, rel=1e-4)]
    assert kept.history["val_accuracy"] == [pytest.approx(accuracy, abs=1e-6)]


@slow
def test_a_recipe_needs_more_images_than_it_holds_back(data):
    (x_train, y_train), test = data
    with pytest.raises(ValueError, match="received 100 training images, expected more"):
        training.quick(((x_train[:100], y_train[:100]), test))


@slow
def test_a_repeatable_training_begins_with_the_same_chances(monkeypatch):
    import keras
    import tensorflow as tf

    asked, drawn = [], []
    config = tf.config.experimental  # what it sets cannot be taken back
    monkeypatch.setattr(config, "enable_op_determinism", lambda: asked.append(True))
    for _ in range(2):
        training.make_repeatable(3)
        drawn.append(np.asarray(keras.random.normal((3,))).tolist())
    assert drawn[0] == drawn[1] and asked
