"""Set up the kernels of the environment that digitkit is installed in."""

# What TensorFlow's C++ part writes when it starts stays in the terminal, instead of
# filling the first cell with red lines. Python's own errors are shown as ever.
get_config().IPKernelApp.capture_fd_output = False  # noqa: F821
