"""Keep the tests, and the notebooks that they run, away from a learner's work."""

import os
import tempfile


def pytest_configure(config):
    """Give this run a work folder of its own; kernels inherit the variables."""
    work = tempfile.TemporaryDirectory(prefix="digitkit-", ignore_cleanup_errors=True)
    config.add_cleanup(work.cleanup)
    os.environ["DIGITKIT_WORK"] = work.name
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # errors only
