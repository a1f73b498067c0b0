"""The processes whose work counts: this one, those that a user lists, and their descendants.

Each look takes a snapshot. A process that is gone since the last one has left its CPU time to the
parent that waited for it. Where no parent did, that time is lost: see `ProcessTree.lost`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pytest_energy.errors import InputError
from pytest_energy.sensors.base import SensorFault
from pytest_energy.sensors.clock import real
from pytest_energy.sensors.proc import ProcFiles

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

#: The kernel counts the time of reaped grandchildren in ticks of 10 ms, user and system apart.
TICKS_SECONDS = 0.02
#: The time of our own children is exact but for this.
ROUNDING = 0.001
#: So many process ids are looked at one by one; of more, those that are listed.
FEW_PIDS = 100
_SIGCHLD_BIT = 1 << 16
_CURRENT_TEST = "PYTEST_CURRENT_TEST"
#: Whose test it is: another run on this machine may be in a test of the same name.
_OWNER = "_PYTEST_ENERGY_OWNER"


@dataclass(frozen=True)
class PidChoice:
    """What --energy-pids says: processes by id; "auto" for servers that a test talks to, too."""

    listed: tuple[int, ...] = ()
    is_auto: bool = False


@dataclass(frozen=True)
class Process:
    """A live or unreaped process: its start time, parent, and CPU seconds.

    reaped: of the children that it has waited for.
    """

    started: str
    parent: int
    seconds: float
    reaped: float


@dataclass(frozen=True)
class Snapshot:
    """All processes of the tree but our own, and the CPU seconds of children that we reaped."""

    at: float = 0.0
    reaped: float = 0.0
    processes: Mapping[int, Process] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return self.reaped + sum(each.seconds + each.reaped for each in self.processes.values())


@dataclass(frozen=True)
class Lost:
    """Processes that ended and whose CPU time no parent inherited.

    seconds: what they had used when they were last seen. unseen_seconds: for how long at most they
    ran after that.
    """

    pids: tuple[int, ...] = ()
    seconds: float = 0.0
    unseen_seconds: float = 0.0

    def __add__(self, other: Lost) -> Lost:
        return Lost(
            (*self.pids, *other.pids),
            self.seconds + other.seconds,
            self.unseen_seconds + other.unseen_seconds,
        )


class ProcessTree:
    """This process, the processes that a user lists, and the descendants of all these."""

    def __init__(self, listed: Sequence[int] = ()) -> None:
        """Raises InputError for a listed process that does not exist."""
        self._files = ProcFiles()
        self._me = real.getpid()
        real.environ[_OWNER] = str(self._me)  # the processes that a test starts inherit it
        self.listed = tuple(listed)
        self._listed = {pid: self._started(pid) for pid in listed}
        self._added: set[int] = set()
        if gone := [pid for pid, started in self._listed.items() if not started]:
            raise InputError(
                f"--energy-pids: there is no process {', '.join(map(str, gone))} on this machine; "
                "give the ids of running processes, for example --energy-pids 4711"
            )
        self.visible = bool(self._files.entries("/proc/self/task")) and self._lists_children()
        """Whether this system lists live descendants (Linux)."""
        self._newest = self._newest_pid()
        self._ancestors = self._ancestors_of_ours()
        self._latest = Snapshot()
        """Descendants seen last: one stays ours after its parent has ended."""

    def pids(self) -> frozenset[int]:
        """This process, the listed ones, and their live descendants."""
        try:
            found = self.look().processes
        except SensorFault:
            found = self._latest.processes
        return frozenset({self._me, *self._listed, *found})

    def runnable(self) -> int:
        """How many threads run or wait for a core, but this one; 0 where the system doesn't say."""
        if not self.visible:
            return 0
        try:
            here = real.get_native_id()
            states = [
                self._files.read(f"/proc/{pid}/task/{task}/stat").rpartition(b")")[2].split()[:1]
                for pid in (self._me, *self.look_again().processes)
                for task in self._files.entries(f"/proc/{pid}/task")
                if task != str(here)
            ]
        except SensorFault:
            return 0
        return states.count([b"R"])

    def add(self, pid: int) -> bool:
        """Let a process belong to the tree until `forget`; False where it can't be counted."""
        if pid in self._listed or pid in self._ancestors_of_ours() or self._process(pid) is None:
            return False
        self._listed[pid] = self._started(pid)
        self._added.add(pid)
        return True

    def forget(self) -> None:
        """Let go of the processes that were added, and of their descendants."""
        known = self._latest.processes

        def is_added(pid: int) -> bool:
            while pid in known and pid not in self._added:
                pid = known[pid].parent
            return pid in self._added

        kept = {pid: each for pid, each in known.items() if not is_added(pid)}
        self._latest = replace(self._latest, processes=kept)
        self._listed = {pid: at for pid, at in self._listed.items() if pid not in self._added}
        self._added.clear()

    def ended(self) -> tuple[int, ...]:
        """Listed processes that are gone, and their CPU time with them. Raises SensorFault."""
        return tuple(pid for pid, started in self._listed.items() if self._started(pid) != started)

    def look(self) -> Snapshot:
        """The tree at this moment. Raises SensorFault where it cannot be read."""
        while True:
            reaped = _reaped_seconds()
            found = Snapshot(real.perf_counter(), reaped, self._processes())
            # A child reaped between the two would be counted twice or not at all: look again.
            if _reaped_seconds() == reaped:
                self._latest = found
                return found

    def look_again(self) -> Snapshot:
        """The same in less time: new processes are looked for only where the machine has some."""
        if not self.visible or self._newest_pid() == self._newest:
            while True:
                reaped = _reaped_seconds()
                kept = self._still(self._latest.processes)
                if _reaped_seconds() == reaped:
                    self._latest = Snapshot(real.perf_counter(), reaped, kept)
                    return self._latest
        return self.look()

    def lost(self, before: Snapshot, after: Snapshot) -> Lost:
        """Processes that ended between two snapshots without leaving their time to a parent."""
        gone = {
            pid: each
            for pid, each in before.processes.items()
            if pid not in self._listed
            and (pid not in after.processes or after.processes[pid].started != each.started)
        }
        left: dict[int, list[int]] = {}
        for pid, each in gone.items():
            heir = each.parent
            while heir in gone:  # what it waited for went on to its own parent
                heir = gone[heir].parent
            left.setdefault(heir, []).append(pid)
        lost = Lost()
        for heir, pids in left.items():
            seconds = sum(gone[pid].seconds + gone[pid].reaped for pid in pids)
            inherited = self._inherited(heir, before, after)
            missing = seconds - inherited
            if missing > (TICKS_SECONDS if heir in after.processes else ROUNDING * inherited):
                lost += Lost(tuple(pids), missing, (after.at - before.at) * len(pids))
        return lost

    def ignores_children(self) -> bool:
        """Whether the kernel reaps our children, so that their CPU time is lost."""
        lines = self._files.read("/proc/self/status").splitlines()
        masks = [line.split()[1] for line in lines if line.startswith(b"SigIgn:")]
        return any(int(mask, 16) & _SIGCHLD_BIT for mask in masks)

    def _inherited(self, heir: int, before: Snapshot, after: Snapshot) -> float:
        if heir == self._me:
            return after.reaped - before.reaped
        if heir in before.processes and heir in after.processes:
            return after.processes[heir].reaped - before.processes[heir].reaped
        return 0.0

    def _processes(self) -> dict[int, Process]:
        newest = self._newest_pid()
        found = self._still(self._latest.processes)
        listed = self._read(self._listed).items()
        found |= {pid: each for pid, each in listed if each.started == self._listed[pid]}
        if self.visible:
            self._add_children([self._me, *found], found)
            orphans = self._read(self._orphans(newest, found))
            found |= orphans
            self._add_children(list(orphans), found)
            self._newest = newest
        return found

    def _add_children(self, of: list[int], found: dict[int, Process]) -> None:
        while of:
            new = self._read(self._children(of.pop(), found))
            found |= new
            of += new

    def _read(self, pids: Iterable[int]) -> dict[int, Process]:
        """Those of these processes that are there."""
        processes = {pid: self._process(pid) for pid in pids}
        return {pid: each for pid, each in processes.items() if each is not None}

    def _still(self, known: Mapping[int, Process]) -> dict[int, Process]:
        """Those of these processes that are still there; an id may be another one's by now."""
        now = self._read(known)
        return {pid: each for pid, each in now.items() if each.started == known[pid].started}

    def _process(self, pid: int) -> Process | None:
        fields = self._stat(pid)
        if len(fields) < 20:
            return None
        try:
            # The clock of another process, in nanoseconds (/proc counts ticks of 10 ms):
            # see clock_getcpuclockid(3) for the number.
            seconds = real.clock_gettime((~pid << 3) | 2)
        except OSError:
            return None
        reaped = (int(fields[13]) + int(fields[14])) / real.sysconf("SC_CLK_TCK")
        return Process(fields[19].decode(), int(fields[1]), seconds, reaped)

    def _stat(self, pid: int) -> list[bytes]:
        """The fields of /proc/PID/stat from the third on; empty where the process is gone."""
        return self._files.read(f"/proc/{pid}/stat").rpartition(b")")[2].split()

    def _started(self, pid: int) -> str:
        fields = self._stat(pid)
        return fields[19].decode() if len(fields) > 19 else ""

    def _children(self, pid: int, known: Mapping[int, Process]) -> list[int]:
        found: list[int] = []
        for task in self._files.entries(f"/proc/{pid}/task"):
            listed = self._files.read(f"/proc/{pid}/task/{task}/children").split()
            found += [child for child in map(int, listed) if child not in known]
        return found

    def _lists_children(self) -> bool:
        path = f"/proc/self/task/{self._me}"
        return "children" in self._files.entries(path)

    # Orphans: processes whose parent ended before the two were seen together

    def _orphans(self, newest: int, known: Mapping[int, Process]) -> list[int]:
        """New processes on this machine that a process of ours left behind."""
        pids: Iterable[int] = range(self._newest + 1, newest + 1)
        if not 0 <= newest - self._newest <= FEW_PIDS:
            listed = map(int, filter(str.isdecimal, self._files.entries("/proc")))
            pids = [pid for pid in listed if newest < self._newest or self._newest < pid <= newest]
        return [pid for pid in pids if pid not in known and self._is_orphan(pid, known)]

    def _is_orphan(self, pid: int, known: Mapping[int, Process]) -> bool:
        try:
            fields = self._stat(pid)
            if len(fields) < 20 or pid == self._me:
                return False
            parent = int(fields[1])
            if parent != 1 and parent not in self._ancestors:
                return False
            theirs = self._files.read(f"/proc/{pid}/environ").split(b"\0")
            if test := real.environ.get(_CURRENT_TEST):
                # pytest names the test and its phase: "test_it.py::test_it (call)".
                mine = f"{_CURRENT_TEST}={test.rpartition(' ')[0]} ".encode()
                owned = f"{_OWNER}={self._me}".encode()
                if owned in theirs and any(each.startswith(mine) for each in theirs):
                    return True
            # A process that was only forked shows what we were started with.
            forked = parent == 1 or parent != real.getppid()
            return forked and all(
                self._files.read(f"/proc/{pid}/{file}") == self._files.read(f"/proc/self/{file}")
                for file in ("cmdline", "environ")
            )
        except SensorFault:
            return False  # another user's

    def _ancestors_of_ours(self) -> frozenset[int]:
        """Who may become the parent of an orphan of ours."""
        found: list[int] = []
        parent = real.getppid() if self.visible else 0
        while parent and parent not in found:
            found.append(parent)
            fields = self._stat(parent)
            parent = int(fields[1]) if len(fields) > 1 else 0
        return frozenset(found)

    def _newest_pid(self) -> int:
        """The process id that was assigned last; 0 where that is unknown."""
        words = self._files.read("/proc/loadavg").split()
        return int(words[-1]) if words and words[-1].isdigit() else 0


def _reaped_seconds() -> float:
    if resource is None:
        return 0.0
    usage = real.getrusage(resource.RUSAGE_CHILDREN)
    return float(usage.ru_utime + usage.ru_stime)
