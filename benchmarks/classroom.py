"""A class on one server: ``classroom.py [--learners N] [--notebooks 00 04]``.

Starts JupyterHub and its proxy on this machine, with tools/jupyterhub_config.py as
docs/classroom.md has it. N learners log in at once, draw a digit and run notebooks,
through Jupyter's API. Run as root, each is a user of the system for so long. Needs
Linux, DIGITKIT_DATA and the extra `class`.
"""

import argparse
import platform
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import psutil
import requests
from class_needs import ROOT, what_is_missing, why_no_users
from class_server import ClassServer
from learner import NOTEBOOKS, Kernel, Learner

DRAWINGS = 30  # to measure the answer's delay
PLAIN = "jupyter_server.services.kernels.connection.channels"
PLAIN = f"--ServerApp.kernel_websocket_connection_class={PLAIN}."
PLAIN += "ZMQChannelsWebsocketConnection"
PAD = """
import digitkit as dk
pad = dk.DrawingPad(dk.predictor(dk.load_network("shipped")))
"""
SAVE = """
import digitkit as dk
print(dk.save_drawing([[(0, 0), (0, 1)]], 1)[0])
"""
OPEN = """
for path in {paths}:
    try:
        with open(path) as file:
            print("read" if file.read() else "empty")
    except PermissionError:
        print("refused")
"""


def main():
    """Measure and print; return 1 if anything failed or could be spied on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--learners", type=int, default=6, metavar="N")
    numbers = ["00", "01", "02", "03", "04"]
    parser.add_argument("--notebooks", nargs="+", default=numbers, metavar="00")
    what = "leave the 40 ms in which tools/jupyter_server_config.py takes away"
    parser.add_argument("--plain", action="store_true", help=what)
    arguments = parser.parse_args()
    notebooks = [find_notebook(parser, number) for number in arguments.notebooks]
    if missing := what_is_missing():
        parser.error(missing)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C: tidy up
    print(describe_machine(), flush=True)
    server = ClassServer(arguments.learners, [PLAIN] if arguments.plain else [])
    # The server ends first: learners who wait for it then fail, and end.
    with ThreadPoolExecutor(arguments.learners) as pool, server:
        learners = [Learner(server.url, name) for name in server.names]
        begun = time.perf_counter()
        jobs = [pool.submit(x.work, server.password, notebooks) for x in learners]
        peak, alone = watch(server, jobs)
        seconds = time.perf_counter() - begun
        failures = [failure for x in learners for failure in x.failures]
        who = f"{len(learners)} learners at once, {' '.join(arguments.notebooks)}"
        told = f"{who}, {seconds:.0f} s: {len(failures)} failures"
        print(told, *failures, sep="\n  ")
        print_use(learners, notebooks)
        print(f"peak memory: of all {peak:.2f} GiB, of one server {alone:.2f} GiB")
        if failures:
            print(f"the Hub's last words:\n{server.last_words()}")
            return 1
        print_answers(learners[0])
        return print_privacy(learners)


def find_notebook(parser, number):
    """Return the name of the notebook of a number."""
    found = [path.name for path in (ROOT / "notebooks").glob(f"{number}_*.ipynb")]
    if len(found) != 1:
        parser.error(f"expected a notebook's number, as 00, received {number}")
    return found[0]


def describe_machine():
    """Return what this machine is, in a line."""
    from training import measure_peak  # loads TensorFlow

    words = Path("/proc/cpuinfo").read_text().partition("model name\t: ")[2]
    memory = psutil.virtual_memory().total / 2**30
    line = f"{words.splitlines()[0] if words else platform.machine()}, "
    line += f"{psutil.cpu_count()} cores, {measure_peak() / 1e9:.0f} GFLOP/s, "
    return line + f"{memory:.0f} GiB, {time.strftime('%d %B %Y')}"


def watch(server, jobs):
    """Return peak memory in GiB while learners work: of all, of one idle server.

    Memory that processes share is counted once.
    """
    peak = alone = 0
    while wait(jobs, timeout=1).not_done:
        total = 0
        for process in server.family():
            try:
                memory = process.memory_full_info()
                if "jupyterhub.singleuser" in process.cmdline():
                    alone = max(alone, memory.rss)
            except psutil.NoSuchProcess:
                continue
            total += memory.pss
        peak = max(peak, total)
    return peak / 2**30, alone / 2**30


def print_use(learners, notebooks):
    """Print what each notebook took, and how soon drawings were read."""
    print("kernel of      peak GiB, of one it started  CPU s  seconds (median)")
    for name in notebooks:
        if rows := [learner.used[name] for learner in learners if name in learner.used]:
            own, started, _, _ = np.max(rows, axis=0)
            _, _, processor, seconds = np.median(rows, axis=0)
            line = f"{name.removesuffix('.ipynb'):22} {own:.2f} {started:15.2f}"
            print(f"{line} {processor:10.0f} {seconds:8.0f}")
    if times := [x.read_after for x in learners if x.read_after]:
        told = f"median {np.median(times):.0f} s, longest {max(times):.0f} s"
        print(f"from logging in to the first drawing read: {told}")


def print_answers(learner):
    """Print how soon the pad answers a stroke, when the class is quiet."""
    with Kernel(learner, f"{NOTEBOOKS}/another.ipynb") as kernel:
        kernel.run(PAD)
        times = []
        for _ in range(DRAWINGS):
            times.append(1000 * learner.draw(kernel))
            kernel.run("pad.clear()")
    median, most = np.quantile(times, [0.5, 0.95])
    print(f"pen's lift to answer: median {median:.0f} ms, 95 % within {most:.0f} ms")


def print_privacy(learners):
    """Print whether learners can read each other's drawings; return 1 if they can."""
    files, seen = [run(learner, SAVE).strip() for learner in learners], 0
    for learner in learners:
        if not sees(learner, learner):
            raise RuntimeError(f"{learner.name} cannot read what is their own")
        seen += sum(sees(learner, other) for other in learners) - 1
    tried = len(learners) * (len(learners) - 1)
    print(f"through the Hub, others' drawings were read {seen} of {tried} times")
    if why := why_no_users():
        print(f"through the system: not measured, since {why}")
        return bool(seen)
    read = 0
    for i, learner in enumerate(learners):
        told = run(learner, OPEN.format(paths=files)).split()
        if told.pop(i) != "read" or set(told) - {"read", "refused"}:
            raise RuntimeError(f"{learner.name} found {told} in {files}")
        read += told.count("read")
    print(f"through the system, others' drawings were read {read} of {tried} times")
    return bool(seen or read)


def run(learner, code):
    """Run code in a new kernel; return what it prints."""
    with Kernel(learner, f"{NOTEBOOKS}/another.ipynb") as kernel:
        return kernel.run(code)


def sees(learner, other):
    """Tell whether a learner reads another's drawings through the Hub."""
    try:
        learner.server("GET", "contents/digitkit/work/drawings.json", other.name)
    except requests.HTTPError:
        return False
    return True


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
