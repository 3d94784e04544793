"""JupyterHub on this machine for a while, with accounts for learners: classroom.py."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from class_needs import ROOT, proxy_command, python_for_all, why_no_users

# Our file comes last, as in The Littlest JupyterHub. Users of the system log in with
# their passwords; where all are one user, one password serves.
CONFIG = """
c = get_config()
c.JupyterHub.bind_url = "http://127.0.0.1:{ports[0]}"
c.JupyterHub.hub_port = {ports[1]}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{ports[2]}"
c.ConfigurableHTTPProxy.command = {proxy!r}
c.JupyterHub.authenticator_class = {kinds[0]!r}
c.JupyterHub.spawner_class = {kinds[1]!r}
c.Authenticator.allowed_users = {names!r}
c.DummyAuthenticator.password = {password!r}
c.SimpleLocalProcessSpawner.home_dir_template = "{folder}/home/{{username}}"
c.Spawner.cmd = [{python!r}, "-m", "jupyterhub.singleuser", "--allow-root"]
c.Spawner.start_timeout = c.Spawner.http_timeout = 300
load_subconfig("{folder}/hub/digitkit.py")
c.Spawner.args += {options!r}
c.Spawner.environment.update({{"LD_LIBRARY_PATH": {library!r}}})
"""


class ClassServer:
    """Make accounts and start the Hub; leave nothing behind.

    Parameters
    ----------
    count : int
        How many learners.
    options : list of str
        More for the command that starts a learner's server.
    """

    def __init__(self, count, options=()):
        self.names = [f"learner-{secrets.token_hex(3)}" for _ in range(count)]
        self.password = secrets.token_urlsafe()
        self.options = list(options)
        self.users = not why_no_users()
        self.tidy = contextlib.ExitStack()  # does last things first

    def __enter__(self):
        """Give it when the Hub answers."""
        with self.tidy:
            self.folder = Path(tempfile.mkdtemp(prefix="digitkit-class-"))
            self.tidy.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self.folder.chmod(0o755)
            shutil.copytree(os.environ["DIGITKIT_DATA"], self.folder / "data")
            (self.folder / "home").mkdir()
            (self.folder / "hub").mkdir(0o700)
            for name in self.names:
                self.add(name, self.folder / "home" / name)
            self.start()
            self.tidy = self.tidy.pop_all()  # nothing failed: that is for later
        return self

    def __exit__(self, *error):
        """End all that was started."""
        self.tidy.close()

    def add(self, name, home):
        """Make a learner's account, as The Littlest JupyterHub does, and home."""
        if not self.users:
            home.mkdir()
            return
        self.tidy.callback(remove_user, name)
        subprocess.run(["useradd", "--create-home", "--home", home, name], check=True)
        home.chmod(0o700)
        line = f"{name}:{self.password}"
        subprocess.run(["chpasswd"], input=line, text=True, check=True)

    def start(self):
        """Start the Hub, which starts its proxy, and wait for both."""
        from jupyterhub.utils import can_connect  # not before it is known to be here

        ports = free_ports(3)
        self.url = f"http://127.0.0.1:{ports[0]}"
        python, library = python_for_all(self.folder)
        config = CONFIG.format(
            ports=ports,
            proxy=proxy_command(),
            kinds=("pam", "localprocess") if self.users else ("dummy", "simple"),
            names=set(self.names),
            password=self.password,
            folder=self.folder,
            python=python,
            library=library,
            options=self.options,
        )
        home = self.folder / "hub"
        (home / "digitkit.py").symlink_to(ROOT / "tools" / "jupyterhub_config.py")
        (home / "jupyterhub_config.py").write_text(config)
        self.log = home / "log.txt"
        with self.log.open("wb") as output:
            self.hub = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub"],
                cwd=home,
                env={**os.environ, "DIGITKIT_DATA": str(self.folder / "data")},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us, who end it
            )
        self.tidy.callback(self.stop)
        begun = time.monotonic()
        while not all(can_connect("127.0.0.1", port) for port in ports[:2]):
            if self.hub.poll() is not None or time.monotonic() > begun + 60:
                raise RuntimeError(f"the Hub did not start:\n{self.last_words()}")
            time.sleep(0.2)

    def stop(self):
        """End the Hub, its proxy, the learners' servers and their kernels."""
        family = self.family()
        self.hub.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.hub.wait(30)
        end(family)

    def family(self):
        """Return the Hub's process and all that came of it."""
        with contextlib.suppress(psutil.NoSuchProcess):
            hub = psutil.Process(self.hub.pid)
            return [hub, *hub.children(recursive=True)]
        return []

    def last_words(self):
        """Return the end of the Hub's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])


def remove_user(name):
    """End what a user still runs, and remove the user."""
    processes = psutil.process_iter(["username"])
    end([process for process in processes if process.info["username"] == name])
    subprocess.run(["userdel", "--remove", name], capture_output=True)


def end(processes):
    """Kill processes, and wait until they are gone."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=10)


def free_ports(count):
    """Return ports of loopback that nobody listens on."""
    with contextlib.ExitStack() as sockets:
        found = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for one in found:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in found]
