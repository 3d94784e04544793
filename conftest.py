"""What pytest and nbval need to know, for the tests and for the notebooks.

This file must stay in the root: from here it reaches both `tests` and `notebooks`, and
learners see nothing but lessons among their notebooks.
"""

import os
import tempfile

import pytest
from nbval.kernel import RunningKernel


def pytest_configure(config):
    """Keep away from a learner's work: kernels and tests inherit these variables."""
    work = tempfile.TemporaryDirectory(prefix="digitkit-", ignore_cleanup_errors=True)
    config.add_cleanup(work.cleanup)
    os.environ["DIGITKIT_WORK"] = work.name
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors only


def pytest_collectstart(collector):
    """Tell nbval what is not compared in a notebook.

    stderr, where TensorFlow writes dated lines, and the line that says which data there
    are: MNIST, the stand-in, and why. Here and not in a file for --nbval-sanitize-with,
    which nbval finds only if pytest is started in the root.
    """
    if hasattr(collector, "skip_compare"):  # a notebook
        collector.skip_compare += ("stderr",)
        collector.sanitize_patterns[r"(?m)^Data: .*$"] = "Data: any"


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items):
    """Mark what comes out differently with MNIST or real pens than without.

    These are the cells of notebooks, and the tests that ask for such data.
    """
    for item in items:
        asks = {"mnist", "pens"} & set(getattr(item, "fixturenames", ()))
        if asks or item.path.suffix == ".ipynb":
            item.add_marker("data")


def execute_cell_input(self, cell_input, allow_stdin=None):
    """Run a cell with history, as JupyterLab does and nbval does not.

    IPython looks in the history for the `;` that hides what a figure's cell returns.
    """
    return self.kc.execute(cell_input, allow_stdin=allow_stdin, stop_on_error=False)


RunningKernel.execute_cell_input = execute_cell_input
