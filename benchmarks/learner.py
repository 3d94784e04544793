"""A learner of a class, who uses JupyterHub as a browser does: for classroom.py."""

import json
import re
import time

import requests
import websocket
from jupyter_client.session import Session

NOTEBOOKS = "digitkit/notebooks"  # where a learner finds them
PATIENCE = 900  # seconds without a word from the Hub or a kernel
PACE = 1 / 60  # seconds from one move of the mouse to the next
SEVEN = [(150 + 25 * i, 120) for i in range(11)]  # in dots of the paper, 560 wide
SEVEN += [(400 - 16 * i, 120 + 30 * i) for i in range(1, 11)]
ANSWER = re.compile(r"This looks like an? \d|Unsure: perhaps an? \d|gave no answer")
USED = """
import resource
own, started = (resource.getrusage(who) for who in (0, -1))
seconds = own.ru_utime + own.ru_stime + started.ru_utime + started.ru_stime
print(own.ru_maxrss / 2**20, started.ru_maxrss / 2**20, seconds)
"""


class Learner:
    """Use the Hub at `url`, and note what happens."""

    def __init__(self, url, name):
        self.name, self.url = name, url
        self.read_after = None  # seconds from the login to the first drawing read
        self.used = {}  # notebook: (GiB, GiB of what it started, CPU s, s)
        self.failures = []
        self.web = requests.Session()
        self.token = {}

    def hub(self, method, path, **options):
        """Ask the Hub, with its cookies."""
        xsrf = {"_xsrf": self.web.cookies.get("_xsrf", path="/hub/")}
        answer = self.web.request(
            method, f"{self.url}/hub/{path}", params=xsrf, timeout=PATIENCE, **options
        )
        answer.raise_for_status()
        return answer

    def server(self, method, path, whose=None, **options):
        """Ask a learner's server, one's own unless said otherwise."""
        url = f"{self.url}/user/{whose or self.name}/api/{path}"
        options.update(headers=self.token, timeout=PATIENCE)
        answer = requests.request(method, url, **options)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def log_in(self, password):
        """Log in, start one's server, and wait until it answers."""
        self.begun = time.perf_counter()
        self.hub("GET", "login")
        self.hub("POST", "login", data={"username": self.name, "password": password})
        self.hub("GET", "home")
        answer = self.hub("POST", f"api/users/{self.name}/tokens", json={})
        self.token = {"Authorization": f"token {answer.json()['token']}"}
        self.hub("POST", f"api/users/{self.name}/server")
        while not self.hub("GET", f"api/users/{self.name}").json()["server"]:
            time.sleep(0.2)

    def work(self, password, notebooks):
        """Log in and run notebooks, one after the other; note what fails."""
        try:
            doing = "log in"
            self.log_in(password)
            for doing in notebooks:
                self.run_notebook(doing)
        except Exception as error:
            self.failures.append(f"{self.name}, {doing}: {error}")

    def run_notebook(self, name):
        """Run all cells; where there is a pad, draw on it."""
        begun = time.perf_counter()
        path = f"{NOTEBOOKS}/{name}"
        cells = self.server("GET", f"contents/{path}")["content"]["cells"]
        with Kernel(self, path) as kernel:
            for cell in cells:
                if cell["cell_type"] != "code":
                    continue
                kernel.run(cell["source"])
                if "DrawingPad(" not in cell["source"]:
                    continue
                self.draw(kernel)
                if self.read_after is None:
                    self.read_after = time.perf_counter() - self.begun
            used = map(float, kernel.run(USED).split())
        self.used[name] = (*used, time.perf_counter() - begun)

    def draw(self, kernel):
        """Draw a seven, and see that it is read."""
        answer, seconds = kernel.draw(SEVEN)
        if answer != "This looks like a 7":
            raise RuntimeError(f"the pad says of a 7: {answer}")
        return seconds


class Kernel:
    """A kernel of one's own, as a notebook that is opened gets it."""

    def __init__(self, learner, path):
        self.learner, self.canvas, self.speaker = learner, None, Session()
        wanted = {"path": path, "type": "notebook", "name": path}
        wanted["kernel"] = {"name": "python3"}
        self.session = learner.server("POST", "sessions", json=wanted)
        url = f"{learner.url}/user/{learner.name}/api/kernels/"
        self.socket = websocket.create_connection(
            f"{url.replace('http', 'ws', 1)}{self.session['kernel']['id']}/channels",
            header=learner.token,
            timeout=PATIENCE,
        )

    def __enter__(self):
        """Give it."""
        return self

    def __exit__(self, *error):
        """End it."""
        self.socket.close()
        self.learner.server("DELETE", f"sessions/{self.session['id']}")

    def send(self, kind, content):
        """Send a message; return its number."""
        message = self.speaker.msg(kind, content) | {"channel": "shell"}
        self.socket.send(json.dumps(message, default=str))  # a date, as text
        return message["msg_id"]

    def messages(self):
        """Yield what the kernel says; pictures and ink, which are binary, left out."""
        while True:
            frame = self.socket.recv()
            if isinstance(frame, bytes):
                continue
            message = json.loads(frame)
            if message["content"].get("execution_state") in ("dead", "restarting"):
                raise RuntimeError("the kernel died: had it memory enough?")
            yield message

    def run(self, code):
        """Run a cell; return what it prints, and note the canvas that it makes."""
        number, printed, error = self.send("execute_request", {"code": code}), "", None
        for message in self.messages():
            kind, content = message["msg_type"], message["content"]
            state = content.get("data", {}).get("state", {})
            if kind == "comm_open" and state.get("_model_name") == "CanvasModel":
                self.canvas = content["comm_id"]
            if message["parent_header"].get("msg_id") != number:
                continue
            if kind == "stream" and content["name"] == "stdout":
                printed += content["text"]
            elif kind == "error":
                error = f"{content['ename']}: {content['evalue']}, in\n{code}"
            elif content.get("execution_state") == "idle":
                if error:
                    raise RuntimeError(error)
                return printed

    def draw(self, points):
        """Draw a stroke; return the answer, and its seconds from the pen's lift."""
        moves = ["mouse_down", *["mouse_move"] * (len(points) - 1), "mouse_up"]
        for move, (x, y) in zip(moves, [*points, points[-1]], strict=True):
            time.sleep(PACE)
            begun = time.perf_counter()
            event = {"event": move, "x": x, "y": y}
            data = {"method": "custom", "content": event}
            self.send("comm_msg", {"comm_id": self.canvas, "data": data})
        for message in self.messages():
            state = message["content"].get("data", {}).get("state", {})
            if answer := ANSWER.search(str(state.get("value"))):
                return answer[0], time.perf_counter() - begun
