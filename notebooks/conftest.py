"""What `pytest --nbval` needs to know about these notebooks."""

from nbval.kernel import RunningKernel


def pytest_collectstart(collector):
    # TensorFlow writes dated lines to stderr: never the same twice.
    if hasattr(collector, "skip_compare"):  # a notebook
        collector.skip_compare += ("stderr",)


def execute_cell_input(self, cell_input, allow_stdin=None):
    # With history, as JupyterLab does and nbval does not: IPython looks there for the
    # `;` that hides what a figure's cell returns.
    return self.kc.execute(cell_input, allow_stdin=allow_stdin, stop_on_error=False)


RunningKernel.execute_cell_input = execute_cell_input
