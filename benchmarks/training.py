"""How fast and how well the recipes train: ``training.py [FILE] [--recipes ...]``.

Trains on MNIST and prints a table: what each recipe takes, beside Keras' own example
and, with ``KERAS_BACKEND=torch``, PyTorch's, as torch and TensorFlow crash in one
process; the share of the arithmetic peak that it uses; the accuracy on MNIST's test
images and, if FILE is given, on its real pen drawings (its format: see
pen_accuracy.py). standin.py tests `quick` without MNIST.
"""

import argparse
import os
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from keras import layers
from pen_accuracy import ask, read_drawings

from digitkit import data, training

KERAS_EXAMPLE, TORCH_EXAMPLE = "mnist_convnet (Keras)", "examples/mnist (PyTorch)"
EPOCHS = {KERAS_EXAMPLE: 15, TORCH_EXAMPLE: 14, "classic": 16, "best": 28, "quick": 3}


def main():
    """Print the table."""
    parser, arguments = read_arguments(__doc__)
    os.environ["DIGITKIT_WORK"] = tempfile.mkdtemp()  # nothing of the learner's
    mnist = data.load_mnist()
    if data.data_source() != "mnist":
        parser.error("MNIST is needed to test on: set DIGITKIT_DATA")
    tests = tests_of(arguments, {"MNIST": mnist[1]})
    peak = measure_peak()
    print(f"arithmetic peak: {peak / 1e9:.0f} GFLOP/s, by a product of 2048x2048")
    for name in arguments.recipes:
        if name == TORCH_EXAMPLE and keras.backend.backend() != "torch":
            print(f"{name}: not run, it takes torch and KERAS_BACKEND=torch")
            continue
        epochs, whole = min(arguments.epochs, EPOCHS[name]), EPOCHS[name]
        seeds = arguments.seeds if name == "quick" else arguments.other_seeds
        rows = []
        for seed in range(seeds):
            keras.utils.set_random_seed(seed)
            begun = time.perf_counter()
            parameters, products, answer, seen = train(name, mnist, epochs, seed)
            seconds = time.perf_counter() - begun
            rows.append([seconds, *shares_read(answer, tests)])
            print(f"  {name}, seed {seed}: {seconds:.0f} s", flush=True)
        seconds, *_ = np.median(rows, axis=0)
        speed = seen * epochs / seconds
        line = f"{name}: {parameters:,} parameters, {epochs} of {whole} epochs, "
        line += f"{seconds / epochs:.1f} s an epoch, {seconds / epochs * whole:.0f} s "
        line += f"in all, {speed:,.0f} images/s, {6 * products * speed / peak:.0%} of "
        line += f"peak; {seeds} seeds"
        for i, test in enumerate(tests, 1):
            read = np.array(rows)[:, i]
            line += f"; {test} {read.mean():.2%} ({read.min():.2%} to {read.max():.2%})"
        print(line, flush=True)
    if sys.platform == "linux":
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"memory of all of this, at its peak: {used:.1f} GiB")


def read_arguments(description):
    """Return the parser of the command line, and what it found there."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("file", nargs="?")
    parser.add_argument("--seeds", type=int, default=3, help="of quick")
    parser.add_argument("--other-seeds", type=int, default=1, help="of each other")
    parser.add_argument("--recipes", nargs="+", choices=EPOCHS, default=list(EPOCHS))
    fewer = "train for so many only; the seconds in all are multiplied"
    parser.add_argument("--epochs", type=int, default=99, help=fewer)
    return parser, parser.parse_args()


def tests_of(arguments, tests):
    """Return what is tested on: a dict of images ``(n, 28, 28)`` and digits."""
    tests = {name: (data.to_unit(x), y) for name, (x, y) in tests.items()}
    if arguments.file:
        tests["pens"] = read_drawings(arguments.file)
    return tests


def shares_read(answer, tests):
    """Return which share of each test's digits is answered rightly."""
    return [(answer(x).argmax(axis=1) == y).mean() for x, y in tests.values()]


def measure_peak():
    """Return the most floating-point operations a second that a product reaches."""
    square = keras.random.uniform((2048, 2048))
    product = keras.ops.matmul(square, square)
    speeds = []
    for _ in range(5):
        begun = time.perf_counter()
        product = keras.ops.matmul(product / 1024, square)
        keras.ops.convert_to_numpy(product)
        speeds.append(2 * 2048**3 / (time.perf_counter() - begun))
    return max(speeds)


def train(name, mnist, epochs, seed):
    """Return parameters, products an image, what answers, and the images an epoch."""
    if name == TORCH_EXAMPLE:
        return train_torch_example(mnist, epochs, seed)
    if name == KERAS_EXAMPLE:
        model, seen = train_keras_example(mnist, epochs), 54_000
    else:
        model, kept = training.RECIPES[name](mnist, epochs, seed)
        kept.forget()
        batch_size = 64 if name == "classic" else 128
        seen = int(model.optimizer.iterations) * batch_size // epochs
    return model.count_params(), products(model), lambda x: ask(model, x), seen


def products(model):
    """Return how many products of two numbers an image takes."""
    return sum(
        np.prod(layer.kernel.shape) * np.prod(layer.output.shape[1:-1], dtype=int)
        for layer in model.layers
        if hasattr(layer, "kernel")
    ).item()


def train_keras_example(mnist, epochs):
    """Train as keras.io/examples/vision/mnist_convnet does."""
    (x_train, y_train), _ = mnist
    model = keras.Sequential([keras.Input((28, 28, 1))])
    for filters in (32, 64):
        model.add(layers.Conv2D(filters, 3, activation="relu"))
        model.add(layers.MaxPooling2D())
    model.add(layers.Flatten())
    model.add(layers.Dropout(0.5))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    model.fit(
        data.to_unit(x_train)[..., None],
        keras.utils.to_categorical(y_train, 10),
        batch_size=128,
        epochs=epochs,
        validation_split=0.1,
        verbose=0,
    )
    return model


def train_torch_example(mnist, epochs, seed):
    """Train as github.com/pytorch/examples/mnist does."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    (x_train, y_train), _ = mnist
    images = (torch.tensor(data.to_unit(x_train))[:, None] - 0.1307) / 0.3081
    digits = torch.tensor(y_train.astype(np.int64))
    convolutions = [nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU()]
    dense = [nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5)]
    pooled = [nn.MaxPool2d(2), nn.Dropout(0.25)]
    model = nn.Sequential(*convolutions, *pooled, *dense, nn.Linear(128, 10))
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0)
    slower = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
    for _ in range(epochs):
        for chosen in torch.randperm(len(images)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(
                model(images[chosen]), digits[chosen]
            ).backward()
            optimizer.step()
        slower.step()
    model.eval()

    def answer(x):
        with torch.no_grad():
            parts = ((torch.tensor(x)[:, None] - 0.1307) / 0.3081).split(500)
            return torch.cat([model(part) for part in parts]).numpy()

    count = sum(p.numel() for p in model.parameters())
    # 26x26 places of 3x3x1x32, 24x24 of 3x3x32x64, two dense layers
    return count, 676 * 288 + 576 * 18432 + 9216 * 128 + 1280, answer, len(images)


def as_text(names, accuracies):
    """Name each accuracy."""
    return ", ".join(f"{n} {a:.2%}" for n, a in zip(names, accuracies, strict=True))


if __name__ == "__main__":
    main()
