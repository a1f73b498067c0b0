"""Files of /proc: read without a free descriptor, and what tells how busy the machine is."""

from __future__ import annotations

import errno
import os
from _thread import allocate_lock
from collections.abc import Callable
from typing import TypeVar

from pytest_energy.sensors.base import SensorFault
from pytest_energy.sensors.clock import real

_PROC_STAT = "/proc/stat"
_THREAD_SCHEDSTAT = "/proc/thread-self/schedstat"
_EXHAUSTED = (errno.EMFILE, errno.ENFILE)
_GONE = (errno.ENOENT, errno.ESRCH)

Found = TypeVar("Found")


class ProcFiles:
    """Keeps one descriptor in reserve, and gives it up for as long as a file is read."""

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._reserve = _Reserve()

    def read(self, path: str) -> bytes:
        """A whole file; empty where its process is gone. Raises SensorFault."""
        return self._call(_contents, path) or b""

    def entries(self, path: str) -> list[str]:
        """The names in a folder; none where its process is gone. Raises SensorFault."""
        return self._call(real.listdir, path) or []

    def _call(self, call: Callable[[str], Found], path: str) -> Found | None:
        """None where the file is gone."""
        try:
            try:
                return call(path)
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                with self._lock, self._reserve:
                    return call(path)
        except OSError as error:
            if error.errno in _GONE:
                return None
            raise SensorFault(
                f"{path} cannot be read ({os.strerror(error.errno or 0)}), so the CPU time of the "
                "test's processes is unknown",
                "process-unreadable",
            ) from None


class _Reserve:
    """A descriptor that is free while this is entered."""

    def __init__(self) -> None:
        self._file = self._taken()
        self._identity = self._of(self._file)

    def __enter__(self) -> None:
        # A test may have closed it, and its number may be another file's by now.
        if self._file is not None and self._of(self._file) == self._identity:
            real.close(self._file)
        self._file = None

    def __exit__(self, *exception: object) -> None:
        self._file = self._taken()
        self._identity = self._of(self._file)

    @staticmethod
    def _taken() -> int | None:
        try:
            return real.memfd_create("pytest-energy")  # each is a file of its own, unlike /dev/null
        except (AttributeError, OSError):
            return None

    @staticmethod
    def _of(file: int | None) -> tuple[int, int] | None:
        try:
            status = real.fstat(file) if file is not None else None
        except OSError:
            return None
        return (status.st_dev, status.st_ino) if status is not None else None


def _contents(path: str) -> bytes:
    # Without Path, which takes longer than the kernel, because every window reads some.
    file = real.open(path, os.O_RDONLY)
    try:
        return b"".join(iter(lambda: real.read(file, 65536), b""))
    finally:
        real.close(file)


def busy_seconds() -> float | None:
    """CPU seconds that all processes of the machine have used; None where that is unknown.

    In ticks of 10 ms a core. Idle time, waiting for disks and time stolen by a hypervisor are left
    out; guests are part of user time (proc(5)).
    """
    first = _beginning(_PROC_STAT).partition(b"\n")[0].split()  # it holds the sums
    try:
        user, nice, system, _, _, irq, softirq = (int(word) for word in first[1:8])
    except ValueError:
        return None
    return (user + nice + system + irq + softirq) / real.sysconf("SC_CLK_TCK")


def waited_seconds() -> float | None:
    """How long this thread has waited for a core; None where the kernel doesn't count it.

    Its second number, in nanoseconds (Documentation/scheduler/sched-stats.rst of Linux).
    """
    try:
        _, waited, _ = (int(word) for word in _beginning(_THREAD_SCHEDSTAT).split())
    except ValueError:
        return None
    return waited / 1e9


def _beginning(path: str) -> bytes:
    """The first 256 bytes of a file; none where it can't be read."""
    try:
        file = real.open(path, os.O_RDONLY)
        try:
            return real.read(file, 256)
        finally:
            real.close(file)
    except OSError:
        return b""
