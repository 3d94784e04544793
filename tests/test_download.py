"""The loader under attack: bad networks, full disks, other kernels."""

import errno
import json
import os
import shlex
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
    SMALL,
    alone,  # noqa: F401 (a fixture for every test)
    assert_is,
    checksum,
    kept,
    memory,
    npz,
    pretend_mnist,
    small_set,
)

from digitkit import data

CONTENT = npz()
STANDIN = small_set(9, seed=1)  # what `alone` lets the stand-in be


# Networks: a real server on this machine that behaves as badly as it can


class Server(ThreadingHTTPServer):
    """Answers every request by calling `answer` with the request's handler."""

    daemon_threads = True

    def __init__(self, answer):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer, self.asked, self.over = answer, [], threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/mnist.npz"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, *_):
        pass  # clients that hang up are what is tested here


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        self.server.answer(self)

    do_CONNECT = do_GET

    def log_message(self, *_):
        pass

    def head(self, length=None, status=200, **headers):
        length = len(CONTENT) if length is None else length
        self.send_response(status)
        self.send_header("Content-Length", length)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def stall(self):
        self.server.over.wait(60)


@pytest.fixture
def serve(monkeypatch):
    """Let MNIST be fetched from a server on this machine, as `answer` answers."""
    pretend_mnist(monkeypatch, CONTENT)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers = []

    def start(answer):
        servers.append(Server(answer))
        monkeypatch.setattr(data, "MNIST_URLS", (servers[-1].url,))
        return servers[-1]

    yield start
    for server in servers:
        server.over.set()
        server.shutdown()
        server.server_close()


def whole(to):
    to.head()
    to.wfile.write(CONTENT)


def before_the_head(to):
    to.stall()


def within_the_head(to):
    to.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Le")
    to.stall()


def half_the_body(to):
    to.head()
    to.wfile.write(CONTENT[: len(CONTENT) // 2])
    to.stall()


def a_login_page(to):
    to.head(41)
    to.wfile.write(b"<html>Please log in to this network</html>")


def to_a_login_page(to):
    if to.path == "/login":
        a_login_page(to)
    else:
        to.head(0, status=302, Location="/login")


def in_circles(to):
    to.head(0, status=302, Location=to.path)


def to_nowhere(to):
    to.head(0, status=302, Location="http://[::1/")


def forbidden(to):
    to.head(0, status=403)


def cut_off(to):
    to.head()
    to.wfile.write(CONTENT[:1000])


def cut_off_in_a_chunk(to):
    to.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\nPK")


def nonsense_chunks(to):
    to.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nPK\r\nPK")


def no_http(to):
    to.wfile.write(b"220 smtp.example.org\r\n" * 3)


def nothing(to):
    pass


def one_bit_wrong(to):
    to.head()
    to.wfile.write(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))


def far_too_much(to):
    to.send_response(200)
    to.end_headers()
    while True:
        to.wfile.write(bytes(1 << 20))


def assert_standin(capsys, *words):
    """Load the stand-in, and see that one line says so, and why."""
    assert_is(data.load_mnist(), STANDIN)
    assert data.data_source() == "stand-in"
    told = capsys.readouterr()
    assert told.err == ""
    assert told.out.count("\n") == 1
    for word in ("stand-in", "DIGITKIT_DATA", *words):
        assert word in told.out
    return told.out


def no_mnist_kept(tmp_path):
    return not any((tmp_path / "keras").rglob("*.*"))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (a_login_page, "not MNIST"),
        (to_a_login_page, "not MNIST"),
        (in_circles, "infinite loop"),
        (to_nowhere, "Invalid IPv6 URL"),
        (forbidden, "Forbidden"),
        (cut_off, "is not MNIST"),
        (cut_off_in_a_chunk, "IncompleteRead"),
        (nonsense_chunks, "IncompleteRead"),
        (no_http, "220 smtp.example.org"),
        (nothing, "closed connection"),
        (one_bit_wrong, "not MNIST"),
        (far_too_much, "is not MNIST"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_server_that_misbehaves(tmp_path, serve, capsys, answer, reason):
    serve(answer)
    assert_standin(capsys, reason)
    assert no_mnist_kept(tmp_path)


def test_nobody_listens(tmp_path, serve, capsys):
    serve(whole).server_close()
    begun = time.perf_counter()
    assert_standin(capsys, "downloaded here")
    assert time.perf_counter() - begun < data.TOO_LONG
    assert no_mnist_kept(tmp_path)


@pytest.mark.parametrize(
    "answer",
    [before_the_head, within_the_head, half_the_body],
    ids=lambda answer: answer.__name__,
)
def test_a_stall_is_given_up(tmp_path, monkeypatch, serve, capsys, answer):
    serve(answer)
    monkeypatch.setattr(data, "PATIENCE", 0.5)
    begun = time.perf_counter()
    assert_standin(capsys, "no byte came within 0.5 seconds")
    assert 0.5 <= time.perf_counter() - begun < 10
    assert no_mnist_kept(tmp_path)


def test_a_name_that_is_never_resolved_is_given_up(monkeypatch, serve, capsys):
    over = serve(whole).over
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: over.wait(60))
    monkeypatch.setattr(data, "PATIENCE", 0.5)
    begun = time.perf_counter()
    assert_standin(capsys, "no byte came within 0.5 seconds")
    assert time.perf_counter() - begun < 10


def dripping(n, seconds):
    """Return an answer of which the first bytes come one by one."""

    def drip(to):
        to.head()
        for byte in CONTENT[:n]:
            to.wfile.write(bytes([byte]))
            time.sleep(seconds)
        to.wfile.write(CONTENT[n:])

    return drip


def test_a_slow_download_is_not_given_up_while_bytes_come(monkeypatch, serve):
    serve(dripping(10, 0.2))
    monkeypatch.setattr(data, "PATIENCE", 1)
    begun = time.perf_counter()
    assert_is(data.load_mnist(), SMALL)
    assert time.perf_counter() - begun > 1.5


def test_an_endless_answer_is_cut_off(monkeypatch, serve):
    hung_up = threading.Event()

    def flood(to):
        try:
            far_too_much(to)
        except OSError:
            hung_up.set()

    serve(flood)
    with memory(20e6):
        data.load_mnist()
    assert hung_up.wait(5)


def test_a_proxy_is_used(monkeypatch, serve):
    server = serve(whole)
    monkeypatch.setattr(data, "MNIST_URLS", ("http://mnist.invalid/mnist.npz",))
    monkeypatch.setenv("http_proxy", server.url)
    assert_is(data.load_mnist(), SMALL)
    assert server.asked == ["http://mnist.invalid/mnist.npz"]


def test_keras_address_is_asked_for_through_a_proxy(monkeypatch, serve, capsys):
    server = serve(forbidden)
    address = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
    monkeypatch.setattr(data, "MNIST_URLS", (address,))
    monkeypatch.setenv("https_proxy", server.url)
    assert_standin(capsys, "403 Forbidden")
    assert server.asked == ["storage.googleapis.com:443"]


def test_a_proxy_that_is_no_address(monkeypatch, serve, capsys):
    serve(whole)
    monkeypatch.setattr(data, "MNIST_URLS", ("http://mnist.invalid/mnist.npz",))
    monkeypatch.setenv("http_proxy", "http:///")
    assert_standin(capsys)


@pytest.mark.skipif(not shutil.which("openssl"), reason="makes no certificate")
def test_a_certificate_that_nobody_vouches_for_is_refused(
    tmp_path, monkeypatch, serve, capsys
):
    server = serve(whole)
    command = "openssl req -x509 -nodes -newkey rsa:2048 -subj /CN=localhost -days 2"
    command += " -addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem"
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    monkeypatch.setattr(data, "MNIST_URLS", (server.url.replace("http", "https"),))
    assert_standin(capsys, "certificate verify failed")
    assert server.asked == []
    # The same server, once somebody vouches for it.
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    assert_is(data.load_mnist(), SMALL)


# A download that has failed slowly is remembered


@pytest.fixture
def stalled(tmp_path, monkeypatch, serve, capsys):
    """A server that has stalled once, and the file that remembers it."""
    monkeypatch.setattr(data, "PATIENCE", 0.3)
    monkeypatch.setattr(data, "TOO_LONG", 0.2)
    server = serve(half_the_body)
    failed = tmp_path / "cache" / "download-failed.txt"
    told = assert_standin(capsys, "no byte came", f"if you delete {failed}")
    assert failed.exists()
    return server, failed, told


def test_a_network_that_drops_packets_costs_its_seconds_once(stalled, capsys):
    server, failed, told = stalled
    assert assert_standin(capsys) == told
    os.utime(failed, times=2 * (time.time() - 0.9 * 3600,))
    assert assert_standin(capsys) == told
    assert len(server.asked) == 1


@pytest.mark.parametrize("hours", [None, -1.1, 1.1], ids=["deleted", "old", "ahead"])
def test_it_is_tried_again(stalled, hours):
    server, failed, _ = stalled
    if hours is None:
        failed.unlink()
    else:  # a clock that has been set right leaves a time ahead
        os.utime(failed, times=2 * (time.time() + hours * 3600,))
    server.answer = whole
    assert_is(data.load_mnist(), SMALL)
    assert len(server.asked) == 2


def test_keras_cache_counts_whatever_is_remembered(tmp_path, stalled):
    cached = tmp_path / "keras/datasets/mnist.npz"
    cached.parent.mkdir(parents=True, exist_ok=True)
    cached.write_bytes(CONTENT)
    assert_is(data.load_mnist(), SMALL)


def test_what_fails_at_once_is_not_remembered(tmp_path, serve, capsys):
    server = serve(forbidden)
    told = assert_standin(capsys)
    assert "hour" not in told
    assert not (tmp_path / "cache" / "download-failed.txt").exists()
    server.answer = whole
    assert_is(data.load_mnist(), SMALL)


def test_where_nothing_can_be_remembered_nothing_breaks(
    tmp_path, monkeypatch, serve, capsys
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("DIGITKIT_CACHE", str(tmp_path / "file/cache"))
    monkeypatch.setattr(data, "PATIENCE", 0.3)
    monkeypatch.setattr(data, "TOO_LONG", 0.2)
    server = serve(before_the_head)
    for _ in range(2):
        assert "hour" not in assert_standin(capsys, "not cached in")
    assert len(server.asked) == 2


# Caches that cannot be written


def disk_is_full(path, content):
    with path.open("wb") as file:
        file.write(content[: len(content) // 2])
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def test_no_disk_left_is_said_plainly(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Path, "write_bytes", disk_is_full)
    reason = f"not cached in {tmp_path / 'cache'}: No space left on device"
    assert_standin(capsys, reason)
    assert kept(tmp_path) == []


def test_a_download_counts_where_no_disk_is_left(tmp_path, monkeypatch, serve, capsys):
    serve(whole)
    download = data._download

    def write(url, path):
        if tmp_path / "keras" in Path(path).parents:
            disk_is_full(Path(path), CONTENT)
        download(url, path)

    monkeypatch.setattr(data, "_download", write)
    assert_is(data.load_mnist(), SMALL)
    assert data.data_source() == "mnist"
    told = capsys.readouterr().out
    folder = tmp_path / "keras" / "datasets"
    assert f"not cached in {folder}: No space left on device" in told
    assert told.count("\n") == 1
    assert kept(tmp_path) == []


def test_a_cache_that_cannot_be_read_or_replaced(tmp_path, serve, capsys):
    serve(whole)
    (tmp_path / "keras/datasets/mnist.npz").mkdir(parents=True)
    assert_is(data.load_mnist(), SMALL)
    assert "not cached in" in capsys.readouterr().out
    assert kept(tmp_path) == []


LOADER = """
import hashlib, json, os, pathlib, sys, time
from digitkit import data

changes, waiting = json.loads(sys.argv[1]), pathlib.Path(sys.argv[2])
for name, value in changes.items():
    setattr(data, name, value)

def draw():
    x_train, y_train, x_test, y_test = data.read_arrays(waiting.with_suffix(".npz"))
    return (x_train, y_train), (x_test, y_test)

data.stand_in.draw_data_set = draw
exec(sys.argv[3])
(x_train, y_train), (x_test, y_test) = data.load_mnist()
digest = hashlib.sha256()
for array in (x_train, y_train, x_test, y_test):
    digest.update(array)
print(data.data_source(), digest.hexdigest(), file=sys.stderr)
"""


@pytest.fixture
def kernel(tmp_path):
    """A function that starts a fresh process which loads the data."""
    waiting = tmp_path / "waiting"
    waiting.mkdir()
    names = ("MNIST_URLS", "MNIST_NPZ_SIZE", "MNIST_NPZ_SHA256", "PATIENCE")
    started = []

    def start(before="", command=(), **environment):
        """Start one; the `environment`'s empty variables are taken out of it."""
        waiting.with_suffix(".npz").write_bytes(npz(**STANDIN))
        changes = {name: getattr(data, name) for name in names}
        python = [sys.executable, "-c", LOADER]
        changes["MNIST_ARRAYS_SHA256"] = data.MNIST_ARRAYS_SHA256
        started.append(
            subprocess.Popen(
                [*command, *python, json.dumps(changes), waiting, before],
                env={k: v for k, v in (os.environ | environment).items() if v},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def ended(process, seconds=60):
    """Return what a kernel found: source, checksum; and the line that it printed."""
    out, err = process.communicate(timeout=seconds)
    assert process.returncode == 0, err
    assert out.count("Data: ") == 1
    source, digest = err.split()  # and nothing else is on stderr
    return source, digest, out


def test_two_kernels_download_at_once(tmp_path, serve, kernel):
    both = threading.Barrier(2, timeout=60)

    def together(to):
        to.head()
        both.wait()
        to.wfile.write(CONTENT[: len(CONTENT) // 2])
        both.wait()
        to.wfile.write(CONTENT[len(CONTENT) // 2 :])

    server = serve(together)
    for process in [kernel(), kernel()]:
        assert ended(process)[:2] == ("mnist", checksum())
    assert len(server.asked) == 2
    assert kept(tmp_path) == ["mnist.npz"]
    assert ended(kernel())[0] == "mnist"
    assert len(server.asked) == 2


TOGETHER = """
def together(draw=data.stand_in.draw_data_set):
    (waiting / str(os.getpid())).touch()
    while len(list(waiting.iterdir())) < 2:  # until both kernels are here
        time.sleep(0.01)
    return draw()

data.stand_in.draw_data_set = together
"""


def test_two_kernels_draw_at_once(tmp_path, kernel):
    for process in [kernel(TOGETHER), kernel(TOGETHER)]:
        assert ended(process)[:2] == ("stand-in", checksum(STANDIN))
    (cached,) = kept(tmp_path)
    assert_is(data.load_mnist(tmp_path / "cache" / cached), STANDIN)


WRITES_HALF = """
def write_half(url, path):
    with open(path, "wb") as file:
        file.write(bytes(1000))
        file.flush()
        print("half is written", flush=True)
        time.sleep(60)

data._download = write_half
"""


def test_a_kernel_killed_while_it_writes_leaves_no_cache(tmp_path, serve, kernel):
    serve(whole)
    process = kernel(WRITES_HALF)
    assert process.stdout.readline() == "half is written\n"
    process.kill()
    process.wait(60)
    (part,) = kept(tmp_path)
    assert part != "mnist.npz"
    assert_is(data.load_mnist(), SMALL)
    assert (tmp_path / "keras/datasets/mnist.npz").read_bytes() == CONTENT


# Homes that cannot be written, in fresh processes

OWN_HOME = {  # nothing says where caches lie but the home folder
    name: ""
    for name in ("KERAS_HOME", "DIGITKIT_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA")
}


def mounted(folder, options):
    """Return the command that runs another with an empty disk mounted at a folder."""
    folder.mkdir()
    mount = f'mount -t tmpfs -o {options} none {shlex.quote(str(folder))} && exec "$@"'
    for way in ["--mount"], ["--user", "--map-root-user", "--mount"]:
        command = ["unshare", *way, "sh", "-c", mount, "-"]
        try:
            subprocess.run([*command, "true"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            refused = error
        else:
            return command
    pytest.skip(f"this system lets nobody mount a disk for a test: {refused}")


def test_a_home_below_a_file(tmp_path, serve, kernel):
    serve(whole)
    (tmp_path / "file").touch()
    home = str(tmp_path / "file/home")
    source, digest, told = ended(kernel(HOME=home, USERPROFILE=home, **OWN_HOME))
    assert (source, digest) == ("mnist", checksum())
    assert f"not cached in {Path(home, '.keras', 'datasets')}" in told


@pytest.mark.parametrize(
    ("source", "options", "reason"),
    [
        ("mnist", "ro", "Read-only file system"),
        ("mnist", "size=1m,nr_inodes=1", "No space left on device"),
        ("stand-in", "size=8k", "No space left on device"),
    ],
)
def test_a_home_that_is_read_only_or_full(
    tmp_path, serve, kernel, source, options, reason
):
    serve(whole if source == "mnist" else forbidden)
    home = tmp_path / "home"
    loading = kernel(command=mounted(home, options), HOME=str(home), **OWN_HOME)
    found, digest, told = ended(loading)
    assert found == source
    assert digest == checksum(SMALL if source == "mnist" else STANDIN)
    folder = home / (".keras/datasets" if source == "mnist" else ".cache/digitkit")
    assert f"not cached in {folder}: {reason}" in told


# The long ones


@pytest.mark.soak
@pytest.mark.parametrize(
    "answer", [before_the_head, half_the_body], ids=lambda answer: answer.__name__
)
def test_a_stall_costs_15_seconds_and_no_more(tmp_path, serve, kernel, answer):
    serve(answer)
    begun = time.perf_counter()
    source, digest, told = ended(kernel())  # and nothing keeps the process alive
    assert 15 <= time.perf_counter() - begun < 18
    assert (source, digest) == ("stand-in", checksum(STANDIN))
    assert "no byte came within 15 seconds" in told
    assert no_mnist_kept(tmp_path)
    begun = time.perf_counter()
    assert "no byte came within 15 seconds" in ended(kernel())[2]
    assert time.perf_counter() - begun < 3


@pytest.mark.soak
def test_one_byte_a_second_is_not_given_up(serve, kernel):
    serve(dripping(20, 1))
    assert ended(kernel())[0] == "mnist"


@pytest.mark.soak
def test_many_kernels_at_once(tmp_path, serve, kernel):
    serve(whole)
    for _ in range(20):
        shutil.rmtree(tmp_path / "keras", ignore_errors=True)
        for process in [kernel() for _ in range(4)]:
            assert ended(process)[:2] == ("mnist", checksum())
        assert kept(tmp_path) == ["mnist.npz"]


@pytest.mark.soak
def test_the_real_stand_in_in_a_home_that_is_read_only(tmp_path, serve, kernel):
    serve(forbidden)
    home = tmp_path / "home"
    command = mounted(home, "ro")
    before = "import importlib; importlib.reload(data.stand_in)"
    loading = kernel(before, command=command, HOME=str(home), **OWN_HOME)
    source, digest, told = ended(loading, 300)
    assert source == "stand-in"
    assert digest != checksum(STANDIN)
    assert "Read-only file system" in told
