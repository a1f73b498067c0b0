"""kill -9 at random moments: no half file, no lost line, no lock that stays, nothing left over."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from pathlib import Path

import hypothesis
import killed_writers
import pytest

from pytest_energy.compare.processes import Interrupts
from pytest_energy.compare.worktree import Repository
from pytest_energy.record.scratch import LOCK, PREFIX

ROOT = Path(__file__).parents[2]
SEQUENTIAL = "compare --base --sequential"
#: Of the ordinary run, and of `pytest --hypothesis-profile=nightly`.
KILLS, NIGHTLY_KILLS = 10, 200


@pytest.mark.parametrize("writers", [1, 2])
def test_writers_that_are_killed_leave_whole_files(writers: int, tmp_path: Path) -> None:
    is_nightly = hypothesis.settings.get_current_profile_name() == "nightly"
    kills = NIGHTLY_KILLS if is_nightly else KILLS
    command = [sys.executable, killed_writers.__file__, str(tmp_path), str(kills), str(writers)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["stored"] > 4  # more than the sessions before the first kill, and the last one
    assert (found["lost"], found["left"]) == (0, 0)


def test_a_work_tree_that_a_killed_comparison_left_is_removed_by_the_next(tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()

    def git(*words: str) -> str:
        author = ("-c", "user.name=a", "-c", "user.email=a@b")
        done = subprocess.run(["git", *author, *words], cwd=root, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "first")
    for name in ("left", "used"):
        scratch = tmp_path / f"{PREFIX}{name}"
        scratch.mkdir()
        (scratch / LOCK).touch()
        git("worktree", "add", "-q", "--detach", str(scratch / "project"))
    repository = Repository(root.resolve())
    with (tmp_path / f"{PREFIX}used" / LOCK).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with repository.worktree("HEAD", Interrupts()) as own:
            assert own.is_dir()
            assert git("worktree", "list").count("\n") == 3  # the project's, the used one, and ours
    assert git("worktree", "list").count("\n") == 2
    assert not (tmp_path / f"{PREFIX}left").exists()
    assert (tmp_path / f"{PREFIX}used" / "project").is_dir()


def test_whole_runs_and_comparisons_that_are_killed_leave_nothing(tmp_path: Path) -> None:
    is_nightly = hypothesis.settings.get_current_profile_name() == "nightly"
    words = (NIGHTLY_KILLS,) if is_nightly else (3, "one run", "two runs at once", SEQUENTIAL)
    found = tmp_path / "found.json"
    script = ROOT / "benchmarks" / "kills.py"
    command = [sys.executable, script, str(words[0]), found, *words[1:]]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    cases = {each["case"]: each for each in json.loads(found.read_bytes())["cases"]}
    assert cases["one run"]["kills"] == words[0]
    assert cases[SEQUENTIAL]["kills"] == words[0] // 2
