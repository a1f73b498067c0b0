"""Temporary folders: what a killed process left goes, and nothing else does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from session_records import measured, session

from pytest_energy.baselines.change import change_folder
from pytest_energy.baselines.update import Mode, update
from pytest_energy.errors import EnergyError
from pytest_energy.record import lock
from pytest_energy.record.scratch import LOCK, PREFIX, scratch_folder

KILLED = """
import os, signal, subprocess, sys
from pytest_energy.record.scratch import scratch_folder
with scratch_folder() as scratch:
    (scratch.folder / "work").mkdir()
    if len(sys.argv) > 1:
        child = subprocess.Popen(["sleep", "60"], pass_fds=(scratch.lock,))
        print(child.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, of this process and of those that it starts."""
    found = tmp_path / "tmp"
    found.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(found))
    monkeypatch.setenv("TMPDIR", str(found))
    return found


def killed(*arguments: str) -> str:
    # What it prints goes to a file: its child holds the output open.
    with tempfile.TemporaryFile("w+") as printed:
        done = subprocess.run([sys.executable, "-c", KILLED, *arguments], stdout=printed)
        assert done.returncode == -signal.SIGKILL
        printed.seek(0)
        return printed.read()


def test_a_folder_is_gone_at_its_end(home: Path) -> None:
    with scratch_folder() as scratch, scratch_folder() as other:
        assert scratch.folder.is_dir()
        assert other.folder != scratch.folder
    assert list(home.iterdir()) == []


def test_what_a_killed_process_left_goes_with_the_next(home: Path) -> None:
    killed()
    (home / f"{PREFIX}killed_before_its_lock").mkdir()
    assert len(list(home.iterdir())) == 2
    with scratch_folder() as scratch:
        assert list(home.iterdir()) == [scratch.folder]


def test_a_folder_stays_while_a_child_of_the_killed_process_lives(home: Path) -> None:
    child = int(killed("with a child"))
    try:
        with scratch_folder():
            assert len(list(home.iterdir())) == 2
    finally:
        os.kill(child, signal.SIGKILL)


def test_what_is_not_ours_stays(home: Path, tmp_path: Path) -> None:
    mine = home / f"{PREFIX}mine"
    mine.mkdir()
    (mine / "thesis.tex").touch()
    aim = tmp_path / "aim"
    aim.mkdir()
    (aim / LOCK).touch()
    (home / f"{PREFIX}link").symlink_to(aim)
    linked = home / f"{PREFIX}linked_lock"
    linked.mkdir()
    (linked / LOCK).symlink_to(aim / LOCK)
    before = sorted(home.rglob("*"))
    with scratch_folder():
        pass
    assert sorted(home.rglob("*")) == before
    assert (aim / LOCK).exists()


def test_without_a_place_for_temporary_files_the_message_says_what_to_do(
    home: Path,
) -> None:
    home.rmdir()
    with pytest.raises(EnergyError, match="no temporary folder can be made"), scratch_folder():
        pass


def test_locks_do_not_grow_with_the_number_of_projects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "DEFAULT_FOLDER", tmp_path / "locks")
    monkeypatch.setattr("pytest_energy.baselines.change.DEFAULT_FOLDER", tmp_path / "locks")
    for number in range(60):
        folder = tmp_path / str(number)
        change_folder(
            folder, "stored", lambda lines: update(lines, [session(measured())], Mode.NEW), folder
        )
    names = {each.name for each in (tmp_path / "locks").glob("baselines-*")}
    assert 0 < len(names) <= 2 * 16
