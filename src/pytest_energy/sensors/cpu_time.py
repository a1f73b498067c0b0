"""CPU time of this process and its descendants, turned into joules with a pinned wattage.

CPU time is counted by the kernel; only the watts are an estimate. Own clock, reaped children and
live descendants are summed so that the sum never falls when a child is reaped: its past moves from
one part of the sum to another, and a difference between two sums holds only what ran between them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
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

    def __init__(self, watts_per_core: float) -> None:
        self._watts_per_core = watts_per_core
        self._tree = ProcessTree()
        self._opened = 0.0
        self.cpu_seconds = 0.0
        """CPU seconds of the process tree in the window closed last."""
        tree = "process tree" if self._tree.visible else "process and its finished children"
        self._channel = Channel(
            name=CHANNEL,
            kind=Kind.CPU,
            source=f"CPU time of the {tree} x {watts_per_core:g} W a core",
            provenance=Provenance.ESTIMATED,
            update_seconds=0.0,
            window_seconds=WINDOW_SECONDS,
        )

    @property
    def channels(self) -> tuple[Channel, ...]:
        return (self._channel,)

    def open(self, names: frozenset[str]) -> None:
        # The reading's own cost stays outside: our clock is read last here and first in close.
        self._opened = self._tree.others_seconds() + time.process_time()

    def close(self, ended: float) -> Mapping[str, Reading]:
        own = time.process_time()
        self.cpu_seconds = own + self._tree.others_seconds() - self._opened
        if self.cpu_seconds < 0:
            return {CHANNEL: SensorFault("a process ended without its CPU time being counted")}
        return {CHANNEL: self.cpu_seconds * self._watts_per_core}

    def abandon(self) -> None:
        pass  # nothing is running between two readings


class ProcessTree:
    """This process and its descendants."""

    def __init__(self) -> None:
        self._adopted: dict[int, str] = {}
        """Descendants seen so far by start time: one stays ours after its parent has ended."""
        self.visible = Path(f"/proc/self/task/{os.getpid()}/children").exists()
        """Whether this system lists live descendants (Linux)."""

    def pids(self) -> frozenset[int]:
        """This process and its live descendants."""
        return frozenset({os.getpid(), *self._descendants()})

    def others_seconds(self) -> float:
        """CPU seconds of reaped children and live descendants, without our own."""
        while True:
            reaped = _reaped_seconds()
            live = sum(_live_seconds(pid) for pid in self._descendants())
            # A child reaped between the two would be counted twice or not at all: read again.
            if _reaped_seconds() == reaped:
                return reaped + live

    def _descendants(self) -> dict[int, str]:
        if not self.visible:
            return {}
        found = {pid: start for pid, start in self._adopted.items() if _started(pid) == start}
        waiting = [os.getpid(), *found]
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


def _children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []
    found: list[int] = []
    for task in tasks:
        try:
            found += [int(word) for word in (task / "children").read_bytes().split()]
        except OSError:
            continue
    return found


def _stat(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat from the third on; empty where the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return []


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
