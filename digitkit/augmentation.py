"""Show a network more than there is: moved images, rare styles, non-digits."""

import functools
import zlib

import numpy as np

from . import nondigits, standin
from .data import to_unit

NO_DIGIT = 10  # the label of what is none: in each batch it becomes a random digit


def augment(images, rng):
    """Turn, slant, stretch and shift each image a little, each in its own way.

    Parameters
    ----------
    images : (n, 28, 28) float32
    rng : numpy.random.Generator

    Returns
    -------
    (n, 28, 28) float32, resampled bilinearly in one go by Keras'
    ``ops.image.affine_transform``.
    """
    import keras

    n = len(images)
    turn, slant = rng.normal(0, 0.12, n), rng.normal(0, 0.15, n)  # radians, tangent
    width, height = np.exp(rng.normal(0, 0.1, (2, n)))
    cos, sin = np.cos(turn), np.sin(turn)
    across = np.stack([cos * width, (cos * slant - sin) * height], axis=1)
    down = np.stack([sin * width, (sin * slant + cos) * height], axis=1)
    middle = (images.shape[1] - 1) / 2
    shift = middle + rng.normal(0, 0.4, (n, 2))  # pixels; they are centred already
    across = np.c_[across, shift[:, 0] - across.sum(axis=1) * middle]
    down = np.c_[down, shift[:, 1] - down.sum(axis=1) * middle]
    transforms = np.c_[across, down, np.zeros((n, 2))].astype(np.float32)
    moved = keras.ops.image.affine_transform(images[..., None], transforms)
    return keras.ops.convert_to_numpy(moved)[..., 0]


def add_rare_styles(images, digits, share=0.15, seed=0):
    """Add digits that the stand-in's pen drew in styles that MNIST hardly has.

    Parameters
    ----------
    images : (n, 28, 28) float32, digits : (n,)
    share : float
        How many are added, as a share of `n`.
    seed : int

    Returns
    -------
    images, digits
        Longer arrays, the new ones last.
    """
    rng = np.random.default_rng(seed)
    by_style = [
        digit for digit, styles in standin.RARE.items() for _ in styles.split(",")
    ]
    rare = rng.choice(by_style, round(share * len(images)))
    drawn = to_unit(standin.draw_images(rare, seed, standin.RARE))
    return (
        np.concatenate([images, drawn]),
        np.concatenate([digits, rare.astype(digits.dtype)]),
    )


def add_non_digits(images, digits, share=0.1, seed=0):
    """Add scribbles, letters, two digits at once: labelled `NO_DIGIT`.

    Parameters
    ----------
    images, digits, share, seed : as `add_rare_styles` takes them

    Returns
    -------
    images, digits
        Longer arrays, the new ones last.
    """
    drawn = nondigits.draw_images(round(share * len(images)), seed)
    return (
        np.concatenate([images, drawn]),
        np.append(digits, np.full(len(drawn), NO_DIGIT, digits.dtype)),
    )


def augmented_batches(images, digits, batch_size=128, seed=0, augmented=True):
    """Return shuffled batches for ``model.fit``, augmented anew in each epoch.

    Parameters
    ----------
    images : (n, 28, 28) float32, digits : (n,)
        Where a digit is `NO_DIGIT` the network is told another one each time: so it
        learns to give no digit a high probability.
    batch_size, seed : int
    augmented : bool
        False leaves the images as they are.

    Returns
    -------
    keras.utils.PyDataset
        Batches ``(batch_size, 28, 28)`` and ``(batch_size,)``, the last one smaller.
        What each holds depends on the seed, on ``epoch`` and on its number alone, so a
        training that goes on later sees what it would have seen.
    """
    import keras

    @functools.lru_cache(maxsize=1)
    def order_in(epoch):
        return np.random.default_rng([seed, epoch]).permutation(len(images))

    class Batches(keras.utils.PyDataset):
        def __init__(self):
            # Two threads: with Keras' default of none, the batches come through a pool
            # of TensorFlow's that on two cores often leaves one of them idle.
            super().__init__(workers=2, max_queue_size=40)
            self.epoch = 0

        @property
        def identity(self):  # asked for only where progress is kept
            content = zlib.crc32(np.ascontiguousarray(digits))
            content = zlib.crc32(np.ascontiguousarray(images), content)
            return [len(images), content, batch_size, seed, augmented]

        def __len__(self):
            return -(-len(images) // batch_size)

        def __getitem__(self, i):
            rng = np.random.default_rng([seed, self.epoch, i])
            chosen = order_in(self.epoch)[i * batch_size : (i + 1) * batch_size]
            told, any_digit = digits[chosen], rng.integers(10, size=len(chosen))
            told = np.where(told == NO_DIGIT, any_digit, told)
            few = images[chosen]
            return augment(few, rng) if augmented else few, told

        def on_epoch_end(self):
            self.epoch += 1

    return Batches()
