"""Temporary folders; those of processes that were killed are removed by the next one.

Each process holds a lock in its folder, and the kernel frees it when the process dies. A folder is
removed only where it has our name, our user and our lock file, which no process holds.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pytest_energy.errors import EnergyError
from pytest_energy.record.project_files import is_kept

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PREFIX = "pytest-energy-scratch-"
LOCK = ".pytest-energy-lock"


@dataclass(frozen=True)
class Scratch:
    """A temporary folder, without links; it is in use while any process has its lock open."""

    folder: Path
    lock: int


@contextmanager
def scratch_folder() -> Iterator[Scratch]:
    """A new folder, removed at the end; those that killed processes left beside it go first.

    Raises EnergyError where none can be made.
    """
    while True:
        try:
            home = Path(tempfile.gettempdir()).resolve()  # macOS's is behind a link
            remove_left(home)
            made = tempfile.TemporaryDirectory(prefix=PREFIX, dir=home)
        except OSError as error:
            raise EnergyError(
                f"no temporary folder can be made: {error.strerror}; set TMPDIR to one with room"
            ) from None
        with made as name:
            if (lock := _locked(Path(name, LOCK))) is None:
                continue
            try:
                yield Scratch(Path(name), lock)
                return
            finally:
                os.close(lock)


def _locked(path: Path) -> int | None:
    """The lock of a folder just made; None where another process has taken it for one left."""
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except FileNotFoundError:
        return None
    return lock if is_kept(lock) else None


def remove_left(home: Path) -> None:
    """Remove the folders in this one that killed processes have left."""
    if fcntl is None:
        return
    with suppress(OSError):
        for each in [each for each in os.scandir(home) if each.name.startswith(PREFIX)]:
            with suppress(OSError):
                if each.is_dir(follow_symlinks=False) and _is_mine(
                    each.stat(follow_symlinks=False)
                ):
                    _remove_one(Path(each.path))


def _remove_one(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()  # its process was killed, or has not come further yet, and then tries again
        return
    lock = os.open(folder / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def _is_mine(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid()
