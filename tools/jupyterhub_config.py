"""Set JupyterHub up for a class: docs/classroom.md says where this file goes.

digitkit's folder is shared: it belongs to root, and learners read it.
"""

import os
from pathlib import Path

SHARED = Path(__file__).resolve().parent.parent

c = get_config()  # noqa: F821
c.Spawner.args = [f"--config={SHARED / 'tools' / 'jupyter_server_config.py'}"]
c.Spawner.default_url = "/lab/tree/digitkit/notebooks/00_start_here.ipynb"
# Or the first learner's TensorFlow takes the whole GPU.
c.Spawner.environment.update({"TF_FORCE_GPU_ALLOW_GROWTH": "true"})
data = os.environ.get("DIGITKIT_DATA") or str(SHARED / "data")
if Path(data).exists():  # one copy of MNIST for all; else each fetches it
    c.Spawner.environment.update({"DIGITKIT_DATA": data})
# The most that one learner may take: The Littlest JupyterHub enforces it.
c.Spawner.mem_limit = "3G"
