"""CPU time of this process and its descendants, turned into joules with a pinned wattage.

CPU time is counted by the kernel; only the watts are an estimate. Own clock, reaped children and
live descendants are summed so that the sum never falls when a child is reaped: its past moves from
one part of the sum to another, and a difference between two sums holds only what ran between them.
Where no parent waits for a child, its time is in no part of the sum; polls during the window find
that.
"""

from __future__ import annotations

from collections.abc import Mapping

from pytest_energy.sensors.base import Channel, Kind, Provenance, Reading, Sensor, SensorFault
from pytest_energy.sensors.clock import real
from pytest_energy.sensors.proc import waited_seconds
from pytest_energy.sensors.process_tree import Lost, ProcessTree, Snapshot

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

CHANNEL = "cpu:process"
WINDOW_SECONDS = 0.2
#: Short enough that a lost process uses little unseen, long enough to cost next to nothing.
POLL_SECONDS = 0.08
_WAIT = "wait for every process that the test starts, and for those that they start"
_RESTORE = "restore it: signal.signal(signal.SIGCHLD, signal.SIG_DFL)"
#: Of a window's CPU time; more than this must not be missing from it.
MAX_UNSEEN = 0.02


class CpuTime(Sensor):
    """`cpu:process`: CPU seconds of the process tree x watts a core."""

    def __init__(self, watts_per_core: float, tree: ProcessTree | None = None) -> None:
        self._watts_per_core = watts_per_core
        self._tree = tree or ProcessTree()
        self._opened = 0.0
        self._switches: int | None = None
        self._waited: float | None = None
        self._began = self._latest = Snapshot()
        self._lost = Lost()
        self._forked = False
        self._discount = (0.0, 0)
        self._fault: SensorFault | None = None
        self.cpu_seconds = 0.0
        """CPU seconds of the process tree in the window closed last."""
        self.involuntary_switches: int | None = None
        """How often in that window this process or a finished child had to leave a core."""
        self.waited_seconds: float | None = None
        """How long in that window the thread that measures waited for a core."""
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

    def poll_seconds(self, names: frozenset[str]) -> float:
        return POLL_SECONDS

    def open(self, names: frozenset[str]) -> None:
        # The reading's own cost stays outside: our clock is read last here and first in close.
        self._switches, self._waited = _switches(), waited_seconds()
        self._lost, self._forked, self._fault = Lost(), False, None
        self._discount = (0.0, 0)
        try:
            self._latest = self._tree.look()
        except SensorFault as fault:
            self._fault = fault
        self._began = self._latest
        self._opened = self._latest.seconds + real.process_time()

    def poll(self) -> None:
        try:
            self._see(self._tree.look_again())
        except SensorFault as fault:
            self._fault = fault

    def discount(self, seconds: float, switches: int) -> None:
        """Leave out what measuring itself used and caused in the window that is about to close."""
        self._discount = (seconds, switches)

    def forks(self) -> None:
        """Remember that this process is about to fork."""
        self._forked = True

    def close(self, ended: float) -> Mapping[str, Reading]:
        seconds, switches = self._discount
        own = real.process_time() - seconds
        reading: Reading
        try:
            self._see(self._tree.look())
            self.cpu_seconds = own + self._latest.seconds + self._lost.seconds - self._opened
            reading = self._reading()
        except SensorFault as fault:
            self.cpu_seconds = max(own + self._latest.seconds - self._opened, 0.0)
            reading = fault
        now = _switches()
        self.involuntary_switches = None
        if now is not None and self._switches is not None:
            self.involuntary_switches = max(now - self._switches - switches, 0)
        waited = waited_seconds()
        self.waited_seconds = None
        if waited is not None and self._waited is not None:
            self.waited_seconds = max(waited - self._waited, 0.0)
        return {CHANNEL: reading}

    def abandon(self) -> None:
        pass  # nothing is running between two readings

    def _see(self, now: Snapshot) -> None:
        self._lost += self._tree.lost(self._latest, now)
        self._latest = now

    def _reading(self) -> Reading:
        if self._fault is not None:
            return self._fault
        if ended := self._tree.ended():
            names = ", ".join(map(str, ended))
            return SensorFault(
                f"process {names} of --energy-pids has ended; keep it running until the tests end",
                "process-ended",
            )
        lost = self._lost
        if lost.pids and lost.unseen_seconds > MAX_UNSEEN * self.cpu_seconds:
            which = f"process {lost.pids[0]} of the test"
            if len(lost.pids) > 1:
                which = f"{len(lost.pids)} processes of the test (one was process {lost.pids[0]})"
            why, remedy = "no parent waited for it", _WAIT
            if self._tree.ignores_children():
                why, remedy = "SIGCHLD is ignored", _RESTORE
            return SensorFault(
                f"{which} ended during the window and {why}, so part of the CPU time is unknown; "
                f"{remedy}",
                "children-unseen",
            )
        waited = self._latest.reaped > self._began.reaped
        if self._forked and not waited and self._tree.ignores_children():
            return SensorFault(
                "the test forked while SIGCHLD is ignored, so the CPU time of its children is "
                f"unknown; {_RESTORE}",
                "children-unseen",
            )
        if self.cpu_seconds < 0:
            return SensorFault(
                f"a process ended before its CPU time was read; {_WAIT}", "children-unseen"
            )
        return self.cpu_seconds * self._watts_per_core


def _switches() -> int | None:
    """Involuntary context switches so far; None where the system doesn't count them."""
    if resource is None:
        return None
    everyone = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(real.getrusage(who).ru_nivcsw for who in everyone)
