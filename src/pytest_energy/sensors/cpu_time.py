"""CPU time of this process and its descendants, turned into joules with a pinned wattage.

CPU time is counted by the kernel; only the watts are an estimate. Own clock, reaped children and
live descendants are summed so that the sum never falls when a child is reaped: its past moves from
one part of the sum to another, and a difference between two sums holds only what ran between them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from pytest_energy.sensors.base import Channel, Kind, Provenance, Reading, Sensor, SensorFault

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

CHANNEL = "cpu:process"
WINDOW_SECONDS = 0.2


class CpuTime(Sensor):
    """`cpu:process`: CPU seconds of the process tree x watts a core."""

    def __init__(self, watts_per_core: float, tree: ProcessTree | None = None) -> None:
        self._watts_per_core = watts_per_core
        self._tree = tree or ProcessTree()
        self._opened = 0.0
        self._switches: int | None = None
        self.cpu_seconds = 0.0
        """CPU seconds of the process tree in the window closed last."""
        self.involuntary_switches: int | None = None
        """How often in that window this process or a finished child had to leave a core."""
        counted = "process tree" if self._tree.visible else "process and its finished children"
        if self._tree.listed:
            counted += f" and of process {', '.join(map(str, self._tree.listed))}"
        self._channel = Channel(
            name=CHANNEL,
            kind=Kind.CPU,
            source=f"CPU time of the {counted} x {watts_per_core:g} W a core",
            provenance=Provenance.ESTIMATED,
            update_seconds=0.0,
            window_seconds=WINDOW_SECONDS,
        )

    @property
    def channels(self) -> tuple[Channel, ...]:
        return (self._channel,)

    def open(self, names: frozenset[str]) -> None:
        # The reading's own cost stays outside: our clock is read last here and first in close.
        self._switches = _switches()
        self._opened = self._tree.others_seconds() + time.process_time()

    def close(self, ended: float) -> Mapping[str, Reading]:
        own = time.process_time()
        self.cpu_seconds = own + self._tree.others_seconds() - self._opened
        now = _switches()
        self.involuntary_switches = None
        if now is not None and self._switches is not None:
            self.involuntary_switches = now - self._switches
        if ended_ones := self._tree.ended():
            names = ", ".join(map(str, ended_ones))
            return {CHANNEL: SensorFault(f"process {names} of --energy-pids has ended")}
        if self.cpu_seconds < 0:
            return {CHANNEL: SensorFault("a process ended without its CPU time being counted")}
        return {CHANNEL: self.cpu_seconds * self._watts_per_core}

    def abandon(self) -> None:
        pass  # nothing is running between two readings


class ProcessTree:
    """This process, the processes that a user lists, and the descendants of all these."""

    def __init__(self, listed: Sequence[int] = ()) -> None:
        """Raises ValueError for a listed process that isn't there."""
        self.listed = tuple(listed)
        self._listed = {pid: _started(pid) for pid in listed}
        if gone := [pid for pid, started in self._listed.items() if not started]:
            raise ValueError(
                f"--energy-pids: there is no process {', '.join(map(str, gone))} on this machine; "
                "give the ids of running processes, for example --energy-pids 4711"
            )
        self._adopted: dict[int, str] = {}
        """Descendants seen so far by start time: one stays ours after its parent has ended."""
        self.visible = Path(f"/proc/self/task/{os.getpid()}/children").exists()
        """Whether this system lists live descendants (Linux)."""

    def pids(self) -> frozenset[int]:
        """This process, the listed ones, and their live descendants."""
        return frozenset({os.getpid(), *self._listed, *self._descendants()})

    def ended(self) -> tuple[int, ...]:
        """Listed processes that are gone, and their CPU time with them."""
        return tuple(pid for pid, started in self._listed.items() if _started(pid) != started)

    def others_seconds(self) -> float:
        """CPU seconds of reaped children and live descendants, without our own."""
        while True:
            reaped = _reaped_seconds()
            others = {*self._listed, *self._descendants()} - {os.getpid()}
            live = sum(_live_seconds(pid) for pid in others)
            # A child reaped between the two would be counted twice or not at all: read again.
            if _reaped_seconds() == reaped:
                return reaped + live

    def _descendants(self) -> dict[int, str]:
        if not self.visible:
            return {}
        found = {pid: start for pid, start in self._adopted.items() if _started(pid) == start}
        waiting = [os.getpid(), *self._listed, *found]
        while waiting:
            for child in _children(waiting.pop()):
                if child not in found and (started := _started(child)):
                    found[child] = started
                    waiting.append(child)
        self._adopted = found
        return found


def _reaped_seconds() -> float:
    if resource is None:
        return 0.0
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _switches() -> int | None:
    """Involuntary context switches so far; None where the system doesn't count them."""
    if resource is None:
        return None
    everyone = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(who).ru_nivcsw for who in everyone)


def _children(pid: int) -> list[int]:
    try:
        tasks = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 (as in _read)
    except OSError:
        return []
    lists = (_read(f"/proc/{pid}/task/{task}/children") for task in tasks)
    return [int(child) for each in lists for child in each.split()]


def _read(path: str) -> bytes:
    """A file of /proc; empty where it is gone.

    Without Path, which takes longer than the kernel, because every window reads some.
    """
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return b""
    try:
        return b"".join(iter(lambda: os.read(file, 65536), b""))
    except OSError:
        return b""
    finally:
        os.close(file)


def _stat(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat from the third on; empty where the process is gone."""
    return _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()


def _started(pid: int) -> str:
    fields = _stat(pid)
    return fields[19].decode() if len(fields) > 19 else ""


def _live_seconds(pid: int) -> float:
    """CPU seconds of a live or unreaped process, with the children that it has reaped itself."""
    try:
        # The clock of another process, in nanoseconds (/proc counts ticks of 10 ms):
        # see clock_getcpuclockid(3) for the number.
        own = time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0
    fields = _stat(pid)
    if len(fields) < 15:
        return own
    return own + (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")
