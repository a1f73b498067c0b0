"""The lock folder and the files in it never change what others own."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pytest_energy.record import lock
from pytest_energy.record.lock import CPU, Holder, Locks, read_holder
from pytest_energy.record.project_files import write_text


def test_a_folder_that_exists_is_never_changed(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with Locks(tmp_path, print).hold([CPU]):
        pass
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_is_named_is_made_for_its_user_alone(tmp_path: Path) -> None:
    Locks(tmp_path / "locks", print)
    assert (tmp_path / "locks").stat().st_mode & 0o777 == 0o700


def test_the_default_folder_is_made_for_all_users_and_may_be_no_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "DEFAULT_FOLDER", tmp_path / "shared")
    Locks(tmp_path / "shared", print)
    assert (tmp_path / "shared").stat().st_mode & 0o7777 == 0o1777
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    link = tmp_path / "link"
    link.symlink_to(target)
    monkeypatch.setattr(lock, "DEFAULT_FOLDER", link)
    with pytest.raises(OSError, match="a link"):
        Locks(link, print)
    assert target.stat().st_mode & 0o777 == 0o700
    assert not list(target.iterdir())


HOLD = """
import fcntl, os, sys
from pathlib import Path
from pytest_energy.record import lock

def is_held(path):
    with open(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
    raise AssertionError(path)

lock.DEFAULT_FOLDER = Path(sys.argv[1])
with lock.Locks(lock.DEFAULT_FOLDER, print).hold(["cpu"]):
    pass  # what is imported late, other users may not be able to read
os.umask(0o077)
for user in (1234, 4321, 1234):
    if os.fork() == 0:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
        locks = lock.Locks(lock.DEFAULT_FOLDER, print)
        # gpu:0 is the first user's, who is not that of the folder.
        with locks.hold(["cpu", "gpu:0", f"gpu:{user}"], f"user {user}"):
            if user == 4321:
                is_held(f"{lock.DEFAULT_FOLDER}/gpu_0.lock")
                if os.fork() == 0:  # it keeps nothing
                    kept = [each for each in Path("/proc/self/fd").iterdir() if each.exists()]
                    os._exit(any(each.resolve().suffix == ".lock" for each in kept))
                assert os.wait()[1] == 0
            print(lock.read_holder(lock.DEFAULT_FOLDER / "cpu.lock"), flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs two users")
def test_users_share_the_default_folder_and_its_locks() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:  # which any user can reach
        Path(name).chmod(0o755)
        done = subprocess.run(
            [sys.executable, "-c", HOLD, f"{name}/shared"], capture_output=True, text=True
        )
    users = [line.partition(" (process")[0] for line in done.stdout.splitlines()]
    assert users == ["user 1234", "user 4321", "user 1234"], done.stderr


def test_a_file_that_exists_is_never_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As fs.protected_regular has it: whoever creates what another user has made is refused."""
    with Locks(tmp_path, print).hold([CPU], "somebody else's"):
        pass
    opened = os.open

    def protected(path: str | Path, flags: int, *arguments: int, **keywords: int) -> int:
        if flags & os.O_CREAT and Path(path).parent == tmp_path and Path(path).exists():
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, flags, *arguments, **keywords)

    monkeypatch.setattr(os, "open", protected)
    with Locks(tmp_path, print).hold([CPU], "ours"):
        assert read_holder(tmp_path / "cpu.lock") == Holder(os.getpid(), "ours")


@pytest.mark.parametrize("kind", ["text", "link", "hard link"])
def test_a_file_that_is_not_a_lock_is_left_as_it_is(tmp_path: Path, kind: str) -> None:
    notes, found = tmp_path / "notes", tmp_path / "cpu.lock"
    notes.write_text("" if kind == "hard link" else "mine")
    if kind == "text":
        found.write_text("mine")
    elif kind == "link":
        found.symlink_to(notes)
    else:
        os.link(notes, found)
    with pytest.raises(OSError, match="this is no lock"):
        Locks(tmp_path, print)
    assert found.read_text() == notes.read_text()


def test_a_link_planted_under_a_temporary_name_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "victim"
    target.write_text("mine")
    monkeypatch.setattr("secrets.token_hex", lambda length: "0")
    for guessed in ("0", str(os.getpid())):
        (tmp_path / f".energy.json.{guessed}").symlink_to(target)
    with pytest.raises(FileExistsError):
        write_text(tmp_path / "energy.json", "{}")
    assert target.read_text() == "mine"
    assert not (tmp_path / "energy.json").exists()


def test_the_holder_of_a_lock_is_written_beside_it_while_it_is_held(tmp_path: Path) -> None:
    locks = Locks(tmp_path, print)
    lock = tmp_path / "cpu.lock"
    with locks.hold([CPU], "test_a.py::test_\x1b[31m"):
        with locks.hold([CPU], "inside"):
            pass
        assert read_holder(lock) == Holder(os.getpid(), "test_a.py::test_?[31m")
    assert read_holder(lock) is None


@pytest.mark.parametrize("kind", ["text", "link", "hard link"])
def test_a_file_beside_a_lock_that_others_put_there_is_left_as_it_is(
    tmp_path: Path, kind: str
) -> None:
    notes, found = tmp_path / "notes", tmp_path / "cpu.holder"
    notes.write_text("mine")
    if kind == "text":
        found.write_text("mine")
    elif kind == "link":
        found.symlink_to(notes)
    else:
        os.link(notes, found)
    with Locks(tmp_path, print).hold([CPU], "test_a"):
        assert read_holder(tmp_path / "cpu.lock") is None
    assert found.read_text() == notes.read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_that_leaves_the_measurement_frees_nothing(tmp_path: Path) -> None:
    locks, owner = Locks(tmp_path, print), os.getpid()
    with locks.hold([CPU], "test_forks"):
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            assert read_holder(tmp_path / "cpu.lock") == Holder(owner, "test_forks")
            assert held_by_others(tmp_path)
    if not child:
        os._exit(0)
    assert not held_by_others(tmp_path)


FORK = """
import os, sys, time
from pathlib import Path
from pytest_energy.record.lock import Locks

with Locks(Path(sys.argv[1]), print).hold(["cpu"]):
    if os.fork() == 0:
        print("forked", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_that_outlives_the_measurement_holds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FORK, str(tmp_path)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert parent.stdout is not None
        parent.stdout.readline()
        assert held_by_others(tmp_path)
        parent.kill()
        parent.wait()
        assert not held_by_others(tmp_path)
    finally:
        os.killpg(parent.pid, signal.SIGKILL)
        parent.communicate()


def held_by_others(folder: Path) -> bool:
    """Whether another open file holds the lock of the CPU."""
    file = os.open(folder / "cpu.lock", os.O_RDONLY)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(file)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder where nothing can be made")
def test_a_lock_whose_file_cannot_be_made_is_not_waited_for() -> None:
    with (
        pytest.raises(OSError, match="it can't be made"),
        Locks(Path("/proc/self"), print).hold([CPU]),
    ):
        pass
