"""The command line: ``python -m digitkit train``, ``predict`` and ``check``.

Each command is a function here; it reads its arguments, calls the other rooms and
prints. Errors of input become one line and a status.
"""

import argparse
import contextlib
import faulthandler
import os
import sys
import tempfile
import warnings
from pathlib import Path

from . import callbacks, data, files, machine, networks, paper, training

HELP = """\
Train a network to read handwritten digits, and read pictures with it.

  python -m digitkit train               train a network of your own
  python -m digitkit predict digit.png   read a picture of one digit
  python -m digitkit check               say what works here, and what to do
"""
TRAIN = """\
Train a network, save it, test it.

  quick    3 epochs, a minute: reads MNIST, and what people draw
  best     28 epochs, ten minutes and more: a larger network, which reads both better
  classic  16 epochs, ten minutes and more: the network of the well-known tutorial

Ctrl-C stops it. Whatever stopped it, the same command goes on where it was.

Set DIGITKIT_DATA to the folder or file of MNIST where it cannot be downloaded.
"""
PREDICT = """\
Read pictures of one digit each: PNG, JPEG and others, of any size, dark on light or
light on dark, transparent or not. Crop away frames, tables and shadows.
"""


def main(argv=None):
    """Run the command line; return the exit status.

    0 all is well, 1 `check` found a fault, 2 wrong input, 130 stopped by Ctrl-C.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read at TensorFlow's import
    warnings.simplefilter("ignore")  # Pillow's and Keras', for programmers
    if hasattr(sys.stdout, "reconfigure"):  # a file's name may not fit Windows' code
        sys.stdout.reconfigure(errors="backslashreplace")
    words = sys.argv[1:] if argv is None else argv
    arguments = _parser().parse_args(words or ["--help"])
    try:
        return arguments.command(arguments)
    except KeyboardInterrupt:
        print("digitkit: stopped; no file is left half written", file=sys.stderr)
        return 130
    except ImportError as error:
        return _tell(f"{error}: python -m digitkit check says what to do")
    except (OSError, ValueError, MemoryError) as error:
        return _tell(error)


def train(arguments):
    """Train a network as a recipe says, save it, test it."""
    # What can be wrong is told before the minutes are spent.
    output = arguments.output
    if output and (output.suffix not in (".keras", ".h5") or output.is_dir()):
        raise ValueError(f"--output {output} should be a file ending in .keras or .h5")
    _require_writable(output.parent if output else files.work_folder())
    (x_train, y_train), (x_test, y_test) = loaded = data.load_mnist()
    print(x_train.shape, y_train.shape)
    print(f"{len(x_train)} training samples, {len(x_test)} test samples")
    with _without_noise():
        found = machine.describe_machine()
    print(f"device: {found['device']} (GPU: {found['GPU']})", flush=True)

    recipe = training.RECIPES[arguments.recipe]
    options = {"epochs": arguments.epochs} if arguments.epochs else {}
    if arguments.seed is not None:
        training.make_repeatable(arguments.seed)
        options["seed"] = arguments.seed
    output = output or networks.own_network()
    unfinished = f"{output.stem}-{arguments.recipe}-unfinished"  # may hold dots
    model, kept = recipe(
        loaded,
        callbacks=[callbacks.progress_bar(arguments.recipe)],
        path=output.with_name(unfinished + ".npz"),
        **options,
    )
    if kept.stopped:  # which is no reason to replace a network that was finished
        output = output.with_name(unfinished + output.suffix)
    print(f"saved: {networks.save_network(model, output)}", flush=True)
    if kept.stopped:
        return 130
    kept.forget()
    images = data.to_unit(x_test)
    loss, accuracy = model.evaluate(images, y_test, batch_size=500, verbose=0)
    print(f"test loss: {loss:.4f}\ntest accuracy: {accuracy:.4f}")
    return 0


def predict(arguments):
    """Read picture files, going on after one that cannot be read."""
    images, status = [], 0
    for path in arguments.files:
        try:
            images.append((path, paper.picture_to_image(path)))
        except (OSError, ValueError) as error:
            status = _tell(error)
    if images:
        with _without_noise():
            import keras  # noqa: F401
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for the answers
            read = networks.predictor(networks.load_network(arguments.model))
    for path, image in images:
        answer = read(image)
        unsure = "unsure, perhaps " if networks.decide(answer) is None else ""
        digit = f"{unsure}{answer.argmax()} ({100 * answer.max():.1f} %)"
        print(f"{path}: {digit if image.any() else 'no digit found'}", flush=True)
    return status


def check(arguments):
    """Say what works on this machine, and what to do where something does not."""
    return 0 if machine.print_results(machine.check()) else 1


def _tell(error):
    """Print an error as one line; return the exit status for it."""
    text = " ".join(str(error).split()) or type(error).__name__
    print(f"digitkit: error: {text}", file=sys.stderr)
    return 2


def _require_writable(folder):
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise OSError(
            f"no file can be made in {folder} ({error.strerror}): name another folder"
        ) from error


@contextlib.contextmanager
def _without_noise():
    """Drop what TensorFlow's C++ part writes to stderr while it starts."""
    sys.stderr.flush()
    kept = os.dup(2)
    faulthandler.enable(kept)  # a crash is told all the same
    with Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        faulthandler.disable()
        os.close(kept)


class _Parser(argparse.ArgumentParser):
    def __init__(self, **options):
        shape = argparse.RawDescriptionHelpFormatter
        super().__init__(formatter_class=shape, **options)

    def error(self, message):
        sys.exit(_tell(f"{message} ({self.prog} --help says what is expected)"))


def _epochs(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, received {text}")
    return int(text)


def _parser():
    parser = _Parser(prog="python -m digitkit", description=HELP)
    commands = parser.add_subparsers(title="commands")

    one = commands.add_parser("train", help="train a network", description=TRAIN)
    one.set_defaults(command=train)
    one.add_argument("--recipe", choices=training.RECIPES, default="quick")
    one.add_argument("--epochs", type=_epochs, help="stretches the recipe's schedule")
    same = "a number; twice the same one gives the same network, on a CPU"
    one.add_argument("--seed", type=int, metavar="N", help=same)
    where = "a .keras or .h5 file (default: your own network, which notebooks find)"
    one.add_argument("--output", type=Path, metavar="FILE", help=where)

    one = commands.add_parser("predict", help="read pictures", description=PREDICT)
    one.set_defaults(command=predict)
    one.add_argument("files", nargs="+", metavar="FILE", help="a picture")
    which = "a .keras or .h5 file (default: your own network, or else the shipped one)"
    one.add_argument("--model", metavar="FILE", help=which)

    commands.add_parser("check", help="check this machine").set_defaults(command=check)
    return parser


if __name__ == "__main__":
    sys.exit(main())
