"""How cost grows: ``python benchmarks/scale.py [FILE]``.

Images a second by batch size and by kind of number, accuracy by epochs, runs a minute
by workers, and what the three networks of notebook 08 read, run after run: on MNIST,
printed as Markdown. FILE keeps the figures too; `notebooks/recorded/scale.csv`, which
notebook 08 shows, was made so.
"""

import argparse
import csv
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import nbformat
from dask.distributed import Client, wait
from training import measure_peak

import digitkit
from digitkit import data, networks
from digitkit.files import replacing

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "08_scale_up.ipynb"
SEEDS = 8


def main():
    """Measure and print; write FILE if it is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path)
    path = parser.parse_args().file
    mnist = data.load_mnist()
    if data.data_source() != "mnist":
        parser.error("MNIST is needed: set DIGITKIT_DATA")
    print(f"{os.cpu_count()} cores, {measure_peak() / 1e9:.0f} GFLOP/s in a product")
    tables = {
        "images a second by batch size": by_batch_size(mnist),
        "images a second, 32 and 16 bits": by_number(mnist),
        "accuracy by epochs": by_epochs(mnist),
        **by_workers(),
    }
    for name, table in tables.items():
        print(f"\n| {name} | |\n|---|---|")
        for key, value in table.items():
            print(f"| {key} | {value:.4g} |")
    if path:
        rows = [(name, *row) for name, table in tables.items() for row in table.items()]
        with replacing(path) as made, made.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)


def speed(model, mnist, batch_size, n=12_800):
    """Return how many images a second a network is trained with, after a first go."""
    (images, digits), _ = mnist
    images, digits = data.to_unit(images[:n]), digits[:n]
    model.compile("adam", "sparse_categorical_crossentropy")
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        model.fit(images, digits, batch_size, verbose=0)
        seconds.append(time.perf_counter() - begun)
    return n / min(seconds[1:])


def by_batch_size(mnist):
    """Measure the network of notebook 02."""
    sizes = (16, 32, 64, 128, 256, 512, 1024)
    return {size: speed(networks.build_cnn(), mnist, size) for size in sizes}


def by_number(mnist):
    """Measure two networks with 32 bits a number, and with 16 where that does."""
    speeds = {}
    for policy in ("float32", "mixed_bfloat16"):
        keras.config.set_dtype_policy(policy)
        speeds[f"notebook 02, {policy}"] = speed(networks.build_cnn(), mnist, 128)
        classic = networks.build_classic_cnn()
        speeds[f"classic, {policy}"] = speed(classic, mnist, 64, n=3_200)
    keras.config.set_dtype_policy("float32")
    return speeds


def by_epochs(mnist):
    """Train the network of notebook 02 on 10 000 images, anew for each number."""
    (images, digits), (x_test, y_test) = mnist
    images, digits = data.to_unit(images[:10_000]), digits[:10_000]
    x_test = data.to_unit(x_test)
    accuracies = {}
    for epochs in (1, 2, 4, 8, 16, 32):
        keras.utils.set_random_seed(0)
        model = networks.build_cnn()
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(images, digits, 128, epochs, verbose=0)
        _, accuracies[epochs] = model.evaluate(x_test, y_test, verbose=0)
    return accuracies


def lesson_functions():
    """Return what notebook 08 defines: ``train(name, seed)``, and what that needs."""
    names = {"keras": keras, "layers": keras.layers, "dk": digitkit}
    names["__name__"] = "__main__"  # as in a notebook: workers are sent the code
    for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
        if cell.source.startswith(("def build(", "def train(")):
            exec(cell.source, names)
    return names


def start_workers(n):
    """Return a client of `n` workers on this computer, each on one core."""
    one = dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1")
    return Client(n_workers=n, threads_per_worker=1, dashboard_address=None, env=one)


def by_workers():
    """Do the runs of notebook 08 with ever more workers."""
    train = lesson_functions()["train"]
    minutes, accuracies = {}, {}
    for n in (1, 2, 4):
        with start_workers(n) as client:
            wait(client.map(train, ["A"] * n, range(100, 100 + n)))  # not timed
            begun = time.perf_counter()
            for name in "ABC":
                runs = client.map(train, [name] * SEEDS, range(SEEDS))
                accuracies[f"accuracy of {name}"] = dict(enumerate(client.gather(runs)))
            minutes[n] = 60 * 3 * SEEDS / (time.perf_counter() - begun)
    return {"runs a minute by workers": minutes, **accuracies}


if __name__ == "__main__":
    main()
