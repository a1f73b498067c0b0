"""`pytest-energy compare` as users have it: real repositories, real pytest processes, signals."""

from __future__ import annotations

import getpass
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pexpect
import pytest

pytestmark = pytest.mark.realtime

SHOP = '''
import os
import time

def answer(milliseconds=float(os.environ.get("WORK", {work}))):
    """Use this much CPU time."""
    end = time.process_time() + milliseconds / 1000
    while time.process_time() < end:
        pass
'''
# The limit is far too low on purpose: a red budget is no reason not to compare.
TESTS = """
import pytest
from shop.work import answer

@pytest.mark.energy_budget("0.1 cpu-ms / query")
def test_answer():
    answer()
"""
QUICK = ("--energy-max-seconds=0.3",)


@dataclass
class Ended:
    status: int
    output: str
    errors: str

    @property
    def words(self) -> str:
        """The output with blanks for its line ends."""
        return " ".join(self.output.split())


@dataclass
class Project:
    """A git repository with a package `shop` in src, as its user sees it."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def git(self, *arguments: str) -> str:
        settings = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        answer = subprocess.run(
            ["git", *settings, *arguments],
            cwd=self.root,
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
        return answer.stdout

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def commit(self) -> None:
        self.git("add", ".")
        self.git("commit", "--quiet", "--message", "more")

    def snapshot(self) -> dict[str, bytes | str]:
        """All files, git's own with them, and what git says."""
        found: dict[str, bytes | str] = {
            str(path.relative_to(self.root)): path.read_bytes() if path.is_file() else "folder"
            for path in self.root.rglob("*")
        }
        for command in ("status --porcelain", "worktree list", "branch --all", "stash list"):
            found[command] = self.git(*command.split())
        return found

    @property
    def environment(self) -> dict[str, str]:
        # PYTHONPATH holds this clone's own source; the project's is added to it.
        paths = [self.env.get("PYTHONPATH"), os.environ.get("PYTHONPATH")]
        return {
            **os.environ,
            **self.env,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "COLUMNS": "80",
        }

    def start(self, *arguments: str, folder: str = ".") -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest_energy.cli", "compare", *arguments],
            cwd=self.root / folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def end_all(self) -> None:
        """What a failed test left running would hold the machine's lock for minutes."""
        for each in self.processes:
            if each.poll() is None:
                os.killpg(each.pid, signal.SIGKILL)
                each.communicate()

    def compare(self, *arguments: str, folder: str = ".") -> Ended:
        process = self.start(*arguments, folder=folder)
        output, errors = process.communicate(timeout=600)
        return Ended(process.returncode, output, errors)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """One commit on main whose answers take 4 ms; sources are found by a relative PYTHONPATH."""
    # Git's variables and configuration are of the machine, not of this project.
    for name in [each for each in os.environ if each.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    made = Project(tmp_path / "shop project", {"PYTHONPATH": "src"})
    made.root.mkdir()
    made.git("init", "--quiet", "--initial-branch=main")
    # Other plugins of this environment take longer to start than the rest.
    others = ("asyncio", "anyio", "hypothesispytest", "rerunfailures")
    made.write(
        "pytest.ini", f"[pytest]\naddopts = {' '.join(f'-p no:{each}' for each in others)}\n"
    )
    made.write("src/shop/__init__.py", "")
    made.write("src/shop/work.py", SHOP.format(work=4))
    made.write("tests/test_shop.py", TESTS)
    made.commit()
    yield made
    made.end_all()


def test_a_tree_that_does_twice_the_work_regresses_and_is_left_as_it_was(
    project: Project, tmp_path: Path
) -> None:
    project.git("branch", "other")
    project.write("README", "stashed")
    project.git("add", ".")
    project.git("stash")
    project.write("staged.txt", "staged")
    project.git("add", "staged.txt")
    project.write("src/shop/work.py", SHOP.format(work=8))
    project.write("untracked.txt", "untracked")
    # A hook may do anything, so it doesn't run.
    project.write(".git/hooks/post-checkout", f"#!/bin/sh\ntouch '{tmp_path}/hooked'\n")
    (project.root / ".git/hooks/post-checkout").chmod(0o755)
    before = project.snapshot()
    outputs = ["--json", str(tmp_path / "a.json"), "--markdown", str(tmp_path / "b.md")]
    ended = project.compare("--base", "main", "--pairs", "3", *outputs, "--", *QUICK)
    assert ended.status == 1, ended
    assert project.snapshot() == before
    assert not (tmp_path / "hooked").exists()
    assert "your tree, commit" in ended.output
    assert "with uncommitted changes" in ended.output
    assert re.search(r"over the reference's [\d.]+ cpu-ms / query", ended.words)
    steps = [line.partition(" ")[2] for line in ended.errors.splitlines()]  # no terminal
    assert all(re.fullmatch(r"pair \d+ of \d+, in turns", each) for each in steps), steps
    plain = json.loads((tmp_path / "a.json").read_bytes())
    (test,) = plain["tests"]
    assert (test["id"], test["outcome"], len(test["pairs"])) == (
        "tests/test_shop.py::test_answer",
        "regressed",
        3,
    )
    assert test["ratio"] == pytest.approx(2.0, rel=0.3)
    assert plain["reference"]["commit"] == project.git("rev-parse", "main").strip()
    for path in ("a.json", "b.md"):
        text = (tmp_path / path).read_text(encoding="utf-8")
        for private in (str(tmp_path), "/pytest-energy-", socket.gethostname()):
            assert private not in text
        assert f"/{getpass.getuser()}" not in text


def test_setup_runs_in_each_tree_before_its_processes(project: Project, tmp_path: Path) -> None:
    # As pip install . does: both trees are installed into one place.
    site, log = tmp_path / "site", tmp_path / "log"
    project.env["PYTHONPATH"] = str(site)
    setup = f'echo "$PWD" >> "{log}" && rm -rf "{site}" && cp -r src "{site}"'
    project.write("src/shop/work.py", SHOP.format(work=2))
    project.commit()
    before = project.snapshot()
    ended = project.compare(
        "--base", "HEAD~1", "--pairs", "3", "--setup", setup, "--", *QUICK, "tests/test_shop.py"
    )
    assert ended.status == 0, ended
    assert "within 3 %: 1 figure, 1 of them improved" in ended.words
    assert project.snapshot() == before
    places = log.read_text(encoding="utf-8").splitlines()
    yours = str(project.root)
    # A B | B A | A B, a tree whenever the other ran before it, and the user's at the end
    assert [place == yours for place in places] == [False, True, False, True]
    assert not any(Path(place).exists() for place in places if place != yours)


def test_the_users_tree_is_set_up_last_whatever_happened(project: Project, tmp_path: Path) -> None:
    log = tmp_path / "log"
    project.write("tests/test_shop.py", TESTS + "    assert False\n")
    project.commit()
    project.write("tests/test_shop.py", TESTS)
    ended = project.compare("--base", "main", "--setup", f'echo "$PWD" >> "{log}"')
    assert ended.status == 2
    assert "tests failed in the run of the base" in ended.words
    assert "assert False" in ended.errors
    places = log.read_text(encoding="utf-8").splitlines()
    assert (len(places), places[-1]) == (2, str(project.root))


def test_an_editable_install_of_the_users_tree_is_refused_as_a_base(project: Project) -> None:
    project.env["PYTHONPATH"] = str(project.root / "src")
    project.write("src/shop/work.py", SHOP.format(work=2))
    before = project.snapshot()
    ended = project.compare("--base", "main", "--", *QUICK)
    assert ended.status == 2, ended
    assert "src/shop/__init__.py of your tree was loaded in the run of the base" in ended.words
    assert "--setup 'pip install -e .'" in ended.words
    assert project.snapshot() == before


def test_an_installed_copy_is_neither_tree(project: Project, tmp_path: Path) -> None:
    project.env["PYTHONPATH"] = str(tmp_path / "site")
    project.write("src/shop/work.py", SHOP.format(work=2))
    (project.root / "src").rename(tmp_path / "site")
    project.git("checkout", "src")
    project.write("src/shop/work.py", SHOP.format(work=2))
    ended = project.compare("--base", "main", "--", *QUICK)
    assert ended.status == 2, ended
    assert "src/shop/work.py differs between the trees" in ended.words
    assert "the run of the base loaded an installed copy" in ended.words
    assert "--setup 'pip install .'" in ended.words


def ctrl_c(process: subprocess.Popen[str]) -> str:
    """As a terminal does, to all processes in its foreground; twice, as by an impatient user."""
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.1)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    return "SIGINT"


def terminated(process: subprocess.Popen[str]) -> str:
    process.terminate()
    return "SIGTERM"


def waited_for(path: Path) -> str:
    """What a process writes into a file, once it has."""
    deadline = time.monotonic() + 60
    while not (path.exists() and path.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("stop", [ctrl_c, terminated])
def test_a_signal_leaves_the_repository_as_it_was(
    project: Project, tmp_path: Path, stop: Callable[[subprocess.Popen[str]], str]
) -> None:
    started = tmp_path / "started"
    project.write(
        "tests/test_shop.py",
        TESTS.replace(
            "    answer()",
            f"    import os, pathlib\n    pathlib.Path({str(started)!r}).write_text("
            "f'{os.getpid()} {os.getcwd()}')\n    answer(60_000)",
        ),
    )
    project.commit()
    project.write("src/shop/work.py", SHOP.format(work=2))
    before = project.snapshot()
    process = project.start("--base", "main")
    pid, folder = waited_for(started).split(" ", 1)
    assert len(project.git("worktree", "list").splitlines()) == 2
    assert Path(folder) != project.root
    name = stop(process)
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, f"interrupted by {name}" in output) == (2, True)
    assert project.snapshot() == before
    assert not Path(folder).exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_a_signal_during_setup_leaves_the_users_tree_set_up(
    project: Project, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    project.write("src/shop/work.py", SHOP.format(work=2))
    before = project.snapshot()
    first = f'mkdir "{tmp_path}/once" 2> {os.devnull} && sleep=60'
    setup = f'sleep=0; {first}; echo "$PWD" >> "{log}"; sleep $sleep'
    process = project.start("--base", "main", "--setup", setup)
    base = waited_for(log).strip()
    ctrl_c(process)
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, "interrupted by SIGINT" in output) == (2, True)
    assert log.read_text(encoding="utf-8").splitlines() == [base, str(project.root)]
    assert not Path(base).exists()
    assert project.snapshot() == before


def test_two_variants_of_one_tree(project: Project, tmp_path: Path) -> None:
    project.write(".gitignore", "")
    before = project.snapshot()
    path = tmp_path / "a.json"
    variants = ["--variant", "old:WORK=2", "--variant", "new:WORK=2.0", "--json", str(path)]
    ended = project.compare(*variants, "--pairs=3", "--max-increase=60%", "--", *QUICK)
    assert ended.status == 0, ended
    assert "reference: old\ncandidate: new\n" in ended.output
    assert "0:00 pair 1 of 3, in turns\n" in ended.errors
    assert "not in turns" not in ended.words
    assert project.snapshot() == before
    plain: dict[str, Any] = json.loads(path.read_bytes())
    assert plain["tests"][0]["reference"] == pytest.approx(0.002, rel=0.3)
    assert "WORK" not in path.read_text(encoding="utf-8")


def test_what_can_not_run_beside_the_other_is_measured_one_after_the_other(
    project: Project,
) -> None:
    project.write(
        "conftest.py",
        "import pathlib\nPORT = pathlib.Path('port')\n"
        "def pytest_sessionstart(): PORT.touch(exist_ok=False)\n"
        "def pytest_sessionfinish(): PORT.unlink()\n",
    )
    variants = ["--variant", "old:WORK=2", "--variant", "new:WORK=8", "--pairs=3"]
    ended = project.compare(*variants, "--", *QUICK)
    assert ended.status == 1, ended
    assert "one after the other, not in turns: the run of new failed beside" in ended.words
    ended = project.compare(*variants, "--sequential", "--", *QUICK)
    assert ended.status == 1, ended
    assert "not in turns" not in ended.words


def test_a_terminal_shows_the_pair_and_the_time_left(project: Project) -> None:
    variants = ["--variant", "old:WORK=2", "--variant", "new:WORK=3", "--pairs=3"]
    terminal = pexpect.spawn(
        sys.executable,
        ["-m", "pytest_energy.cli", "compare", *variants, "--", *QUICK],
        cwd=str(project.root),
        env={**project.environment, "TERM": "xterm"},
        timeout=120,
        dimensions=(24, 80),
        encoding="utf-8",
    )
    terminal.expect("pair 1 of 3, in turns")
    terminal.expect("pair 2 of 3, in turns .*0:0")
    terminal.expect("pair 3 of 3, in turns")
    terminal.expect("regressed: 1 of 1 figure")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 1


def broken_import(project: Project) -> list[str]:
    project.write("tests/test_shop.py", "import nothing_of_this_name\n")
    return ["--variant", "a:B=1", "--variant", "c:B=2"]


def no_tests(project: Project) -> list[str]:
    return ["--variant", "a:B=1", "--variant", "c:B=2", "--", "-k", "nothing"]


def nothing_marked(project: Project) -> list[str]:
    project.write("tests/test_shop.py", "def test_it(): pass\n")
    return ["--variant", "a:B=1", "--variant", "c:B=2"]


def disabled(project: Project) -> list[str]:
    return ["--variant", "a:B=1", "--variant", "c:B=2", "--", "--energy-disable"]


def ended_early(project: Project) -> list[str]:
    project.write("conftest.py", "import os\ndef pytest_unconfigure(): os._exit(0)\n")
    return ["--variant", "a:B=1", "--variant", "c:B=2", "--", *QUICK]


def unknown_option(project: Project) -> list[str]:
    return ["--variant", "a:B=1", "--variant", "c:B=2", "--", "--no-such-option"]


@pytest.mark.parametrize(
    ("prepare", "words", "tail"),
    [
        (
            broken_import,
            "tests could not be collected, or pytest was interrupted, in the run of a",
            "nothing_of_this_name",
        ),
        (no_tests, "no tests were found in the run of a", "1 deselected"),
        (nothing_marked, "no test was measured on both sides", ""),
        (disabled, "nothing was measured in the run of a", "--energy-disable"),
        (ended_early, "ended before it listed the modules that it loaded", ""),
        (unknown_option, "pytest rejected its options in the run of a", "--no-such-option"),
    ],
)
def test_a_process_without_figures_could_not_compare(
    project: Project, prepare: Callable[[Project], list[str]], words: str, tail: str
) -> None:
    ended = project.compare(*prepare(project))
    assert ended.status == 2
    assert words in ended.words
    assert tail in ended.errors


def test_an_impossible_base_is_reported_before_anything_runs(
    project: Project, tmp_path: Path
) -> None:
    ended = project.compare("--base", "HEAD")
    assert "there is nothing to compare" in ended.words
    assert ended.status == 2
    for ref in ("nowhere", "--output=x"):
        ended = project.compare(f"--base={ref}")
        assert f"{ref}: git finds no such commit" in ended.words
    assert ended.status == 2
    project.write("new/conftest.py", "")
    ended = project.compare("--base", "main", folder="new")
    assert (
        ended.status,
        "the folder new, in which the command runs, is missing in main" in ended.words,
    ) == (
        2,
        True,
    )
    sha = project.git("rev-parse", "HEAD").strip()
    project.git("update-index", "--add", "--cacheinfo", f"160000,{sha},vendored")
    project.git("commit", "--quiet", "--message", "submodule")
    ended = project.compare("--base", "main")
    assert "main has submodules (vendored)" in ended.words
    assert ended.status == 2
    project.env["TMPDIR"] = str(project.root)
    ended = project.compare("--base", "HEAD~1")
    assert "set TMPDIR" in ended.words
    assert ended.status == 2
    elsewhere = Project(tmp_path)
    ended = elsewhere.compare("--base", "main")
    assert "not in a git work tree" in ended.words
    assert ended.status == 2
    assert len(project.git("worktree", "list").splitlines()) == 1
