"""What pytest and nbval need to know, for the tests and for the notebooks.

This file must stay in the root: from here it reaches both `tests` and `notebooks`, and
learners see nothing but lessons among their notebooks.
"""

import os
import tempfile

from nbval.kernel import RunningKernel


def pytest_configure(config):
    """Keep away from a learner's work: kernels and tests inherit these variables."""
    work = tempfile.TemporaryDirectory(prefix="digitkit-", ignore_cleanup_errors=True)
    config.add_cleanup(work.cleanup)
    os.environ["DIGITKIT_WORK"] = work.name
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors only


def pytest_collectstart(collector):
    """Tell nbval what is not compared in a notebook.

    That is the HTML of a figure, which differs as the picture does, and the line that
    says which data there are. stderr is compared: JupyterLab paints it red, so no
    lesson may write to it. The line is here and not in a file for nbval, which finds
    one only if pytest is started in the root.
    """
    if hasattr(collector, "skip_compare"):  # a notebook
        collector.skip_compare += ("text/html",)
        collector.sanitize_patterns[r"(?m)^Data: .*$"] = "Data: any"


def execute_cell_input(self, cell_input, allow_stdin=None):
    """Run a cell with history, as JupyterLab does and nbval does not.

    IPython looks in the history for the `;` that hides what a figure's cell returns.
    """
    return self.kc.execute(cell_input, allow_stdin=allow_stdin, stop_on_error=False)


RunningKernel.execute_cell_input = execute_cell_input
