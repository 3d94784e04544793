"""MNIST's download under attack: bad networks, full disks, other kernels."""

import errno
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from test_data import (
    CONTENT,
    DRAWN,
    SMALL,
    alone,  # noqa: F401 (a fixture for every test)
    assert_loads,
    cached,  # noqa: F401
    kept,
    memory,
    web,  # noqa: F401
)

from digitkit import data

HALF = len(CONTENT) // 2


class Server(ThreadingHTTPServer):
    """A real server on this machine, which behaves as badly as it is asked to."""

    daemon_threads = True

    def __init__(self, answer, stalls):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer, self.stalls = answer, stalls
        self.asked, self.over = [], threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/mnist.npz"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, *_):
        pass  # clients that hang up are what is tested here


class Handler(BaseHTTPRequestHandler):
    """Sends the server's answer, bytes or a function that sends them."""

    def do_GET(self):
        self.server.asked.append(self.path)
        answer = self.server.answer
        if callable(answer):
            answer(self.wfile.write)
        else:
            self.wfile.write(answer)
        if self.server.stalls:
            self.server.over.wait(60)

    do_CONNECT = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def serve(monkeypatch, web):  # noqa: F811
    """Let MNIST be downloaded from a server on this machine."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers = []

    def start(answer, stalls=False):
        servers.append(Server(answer, stalls))
        monkeypatch.setattr(data, "MNIST_URLS", (servers[-1].url,))
        return servers[-1]

    yield start
    for server in servers:
        server.over.set()
        server.shutdown()
        server.server_close()


def ok(body, length=None):
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {length or len(body)}\r\n\r\n"
    return head.encode() + body


def moved(to):
    return f"HTTP/1.1 302 Found\r\nLocation: {to}\r\n\r\n".encode()


WHOLE = ok(CONTENT)
CUT_OFF = ok(CONTENT[:HALF], len(CONTENT))
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def assert_stand_in(capsys, *words):
    """See the stand-in loaded, and one line that says so, and why; return it."""
    assert_loads(DRAWN, "stand-in")
    told = capsys.readouterr()
    assert told.err == ""
    assert told.out.count("\n") == 1
    for word in ("stand-in", "DIGITKIT_DATA", *words):
        assert word in told.out
    return told.out


# Networks


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (ok(b"<html>Please log in to this network</html>"), "is not MNIST"),
        (CUT_OFF, "is not MNIST"),
        (ok(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])), "is not MNIST"),
        (moved("/mnist.npz"), "infinite loop"),
        (moved("http://[::1/"), "Invalid IPv6 URL"),
        (FORBIDDEN, "(Forbidden)"),
        (CHUNKED + b"ffff\r\nPK", "IncompleteRead"),
        (CHUNKED + b"PK\r\nPK", "IncompleteRead"),
        (b"220 smtp.example.org\r\n" * 3, "220 smtp.example.org"),
        (b"", "closed connection"),
    ],
)
def test_a_server_that_misbehaves(tmp_path, serve, capsys, answer, reason):
    server = serve(answer)
    assert "hour" not in assert_stand_in(capsys, reason)
    (stand_in,) = kept(tmp_path)
    assert stand_in.startswith("stand-in")
    server.answer = WHOLE  # what fails at once is tried again at once
    assert_loads(SMALL, "mnist")


def test_nobody_listens(serve, capsys):
    serve(WHOLE).server_close()
    begun = time.perf_counter()
    assert_stand_in(capsys, "downloaded here")
    assert time.perf_counter() - begun < data.TOO_LONG


def test_a_slow_download_is_not_given_up_while_bytes_come(monkeypatch, serve):
    def drip(write):
        write(ok(b"", len(CONTENT)))
        for place in range(10):
            write(CONTENT[place : place + 1])
            time.sleep(0.15)
        write(CONTENT[10:])

    serve(drip)
    monkeypatch.setattr(data, "PATIENCE", 1)
    begun = time.perf_counter()
    assert_loads(SMALL, "mnist")
    assert time.perf_counter() - begun > 1.5


def test_an_endless_answer_is_cut_off(serve, capsys):
    hung_up = threading.Event()

    def flood(write):
        try:
            write(b"HTTP/1.1 200 OK\r\n\r\n")
            for _ in range(100):
                write(bytes(1 << 20))
        except OSError:
            hung_up.set()

    serve(flood)
    with memory(20e6):
        assert_stand_in(capsys, "is not MNIST")
    assert hung_up.wait(5)


@pytest.mark.parametrize(
    ("scheme", "answer", "asked", "word"),
    [
        ("http", WHOLE, ["http://mnist.invalid/mnist.npz"], "Data: MNIST"),
        ("https", FORBIDDEN, ["mnist.invalid:443"], "403 Forbidden"),
    ],
)
def test_a_proxy_is_used(monkeypatch, serve, capsys, scheme, answer, asked, word):
    server = serve(answer)
    monkeypatch.setattr(data, "MNIST_URLS", (f"{scheme}://mnist.invalid/mnist.npz",))
    monkeypatch.setenv(f"{scheme}_proxy", server.url)
    data.load_mnist()
    assert word in capsys.readouterr().out
    assert server.asked == asked


@pytest.mark.skipif(not shutil.which("openssl"), reason="makes no certificate")
def test_a_certificate_must_be_known_to_the_system(
    tmp_path, monkeypatch, serve, capsys
):
    server = serve(WHOLE)
    command = "openssl req -x509 -nodes -newkey rsa:2048 -subj /CN=localhost -days 2"
    command += " -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem"
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    monkeypatch.setattr(data, "MNIST_URLS", (server.url.replace("http", "https"),))
    assert_stand_in(capsys, "certificate verify failed")
    assert server.asked == []
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    assert_loads(SMALL, "mnist")


# A download that stalls is given up, and remembered for an hour


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(data, "PATIENCE", 0.3)
    monkeypatch.setattr(data, "TOO_LONG", 0.2)


@pytest.fixture
def stalled(tmp_path, impatient, serve, cached, capsys):  # noqa: F811
    """A server that has stalled once, and the file that remembers it."""
    server = serve(CUT_OFF, stalls=True)
    assert_stand_in(capsys)
    return server, tmp_path / "cache/download-failed.txt"


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", CUT_OFF, "no such name"]
)
def test_a_stall_costs_its_seconds_once(
    tmp_path, monkeypatch, impatient, serve, capsys, answer
):
    server = serve(answer, stalls=True)
    if answer == "no such name":
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_: server.over.wait(60))
    failed = tmp_path / "cache/download-failed.txt"
    begun = time.perf_counter()
    told = assert_stand_in(capsys, "no byte came within 0.3 seconds", str(failed))
    assert 0.3 <= time.perf_counter() - begun < 10
    asked = len(server.asked)
    os.utime(failed, times=2 * (time.time() - 0.9 * 3600,))
    assert assert_stand_in(capsys) == told
    assert len(server.asked) == asked
    assert "mnist.npz" not in kept(tmp_path)


@pytest.mark.parametrize("how", ["deleted", "old", "ahead", "Keras has it"])
def test_mnist_is_loaded_after_all(monkeypatch, stalled, cached, how):  # noqa: F811
    server, failed = stalled
    server.answer, server.stalls = WHOLE, False
    monkeypatch.setattr(data, "PATIENCE", 60)
    if how == "deleted":
        failed.unlink()
    elif how == "Keras has it":
        cached.write_bytes(CONTENT)
    else:  # a clock that has been set right leaves a time ahead
        hours = {"old": -1.1, "ahead": 1.1}[how]
        os.utime(failed, times=2 * (time.time() + hours * 3600,))
    assert_loads(SMALL, "mnist")


# Caches that cannot be written


def test_a_home_that_cannot_be_written(tmp_path, monkeypatch, impatient, serve, capsys):
    (tmp_path / "file").touch()
    for name in ("KERAS_HOME", "DIGITKIT_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "file/home"))
    server = serve(b"", stalls=True)
    for _ in range(2):  # not remembered, and not said to be
        assert "hour" not in assert_stand_in(capsys, "not cached in")
    assert len(server.asked) == 2
    server.answer, server.stalls = WHOLE, False
    monkeypatch.setattr(data, "PATIENCE", 60)
    assert_loads(SMALL, "mnist")
    folder = tmp_path / "file/home/.keras/datasets"
    assert f"not cached in {folder}: " in capsys.readouterr().out


def test_a_full_disk_leaves_no_half_stand_in(tmp_path, monkeypatch, capsys):
    def write_half(path, content):
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, "write_bytes", write_half)
    reason = f"not cached in {tmp_path / 'cache'}: No space left on device"
    assert_stand_in(capsys, reason)
    assert kept(tmp_path) == []


@pytest.mark.parametrize(
    ("module", "name", "code"),
    [
        (os, "makedirs", errno.EACCES),
        (os, "makedirs", errno.EROFS),
        (data, "_download", errno.ENOSPC),
    ],
)
def test_keras_cache_cannot_be_written(
    tmp_path, monkeypatch, serve, capsys, module, name, code
):
    serve(WHOLE)
    folder = tmp_path / "keras/datasets"
    function = getattr(module, name)

    def fail_in_the_end(*arguments, **options):
        function(*arguments, **options)
        if any(str(folder) in str(argument) for argument in arguments):
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr(module, name, fail_in_the_end)
    assert_loads(SMALL, "mnist")
    reason = f"not cached in {folder}: {os.strerror(code)}"
    assert capsys.readouterr() == (f"Data: MNIST ({reason})\n", "")
    assert kept(tmp_path) == []


# Kernels: fresh processes that load at the same time, or are killed

LOADER = """
import json, sys
from digitkit import data

for name, value in json.loads(sys.argv[1]).items():
    setattr(data, name, value)
data.load_mnist()
"""


@pytest.fixture
def kernel():
    """A function that starts a process which loads the data."""
    names = ("URLS", "NPZ_SIZE", "NPZ_SHA256", "ARRAYS_SHA256")
    started = []

    def start():
        changes = {f"MNIST_{name}": getattr(data, f"MNIST_{name}") for name in names}
        command = [sys.executable, "-c", LOADER, json.dumps(changes)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(command, **pipes))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def assert_says(process, *words):
    out, err = process.communicate(timeout=60)
    assert err == ""
    assert out.count("Data: ") == 1
    for word in words:
        assert word in out


def test_two_kernels_download_at_once(tmp_path, serve, kernel):
    both = threading.Barrier(2, timeout=60)

    def together(write):
        both.wait()
        write(WHOLE[:HALF])
        both.wait()
        write(WHOLE[HALF:])

    server = serve(together)
    for process in [kernel(), kernel()]:
        assert_says(process, "Data: MNIST")
    assert len(server.asked) == 2
    assert kept(tmp_path) == ["mnist.npz"]


def test_a_kernel_killed_while_it_writes_leaves_no_cache(tmp_path, serve, kernel):
    server = serve(CUT_OFF, stalls=True)
    process = kernel()
    until = time.monotonic() + 60
    while not kept(tmp_path) and time.monotonic() < until:
        time.sleep(0.01)
    process.kill()
    process.wait(60)
    (part,) = kept(tmp_path)
    assert part != "mnist.npz"
    server.answer, server.stalls = WHOLE, False
    assert_loads(SMALL, "mnist")
    assert (tmp_path / "keras/datasets/mnist.npz").read_bytes() == CONTENT


@pytest.mark.soak
def test_a_stall_costs_15_seconds_and_no_more(serve, kernel):
    server = serve(FORBIDDEN)
    data.load_mnist()  # the stand-in is in the cache now, which spares drawing it
    server.answer, server.stalls = CUT_OFF, True
    for least, most in ((15, 18), (0, 3)):
        begun = time.perf_counter()
        assert_says(kernel(), "the stand-in", "no byte came within 15 seconds")
        assert least <= time.perf_counter() - begun < most
