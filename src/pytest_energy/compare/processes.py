"""The processes of a comparison: interleaved, interrupted cleanly, and what each left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

from pytest_energy.compare import inside
from pytest_energy.compare.figures import CANDIDATE, REFERENCE
from pytest_energy.compare.judgement import Pair, is_undecided
from pytest_energy.compare.outcome import CouldNotCompare
from pytest_energy.compare.question import MIN_PAIRS, Plan
from pytest_energy.record import file as record
from pytest_energy.record.plain import RecordError
from pytest_energy.record.schema import RunRecord
from pytest_energy.record.scratch import scratch_folder
from pytest_energy.report.progress import Step

#: The file of the run record.
RECORD = "record.json"
#: Lines of output that are shown when something failed.
TAIL_LINES = 40
#: Seconds for an interrupted process to end by itself.
GRACE_SECONDS = 5.0
#: Variables by which git finds a repository other than the one of the folder it is in; a hook that
#: calls us has them set.
_GIT = ("DIR", "WORK_TREE", "INDEX_FILE", "OBJECT_DIRECTORY", "COMMON_DIR", "PREFIX", "NAMESPACE")
GIT_VARIABLES = frozenset(f"GIT_{name}" for name in _GIT)
SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)

#: Called with each step before it begins.
OnStep = Callable[[Step], None]


def run_pairs(
    runs: tuple[Callable[[], RunRecord], Callable[[], RunRecord]],
    plan: Plan,
    now: Callable[[], float],
    on_step: OnStep,
    in_turns: Callable[[int], Pair | None] | None = None,
) -> list[Pair]:
    """Run pairs A B B A A B ... until enough is known or time is up, at least three if undecided.

    runs: one process of the reference, one of the candidate. now: seconds of a clock. in_turns:
    both at once, where they can; which is the first is its argument.
    """
    started = now()
    pairs: list[Pair] = []
    longest = 0.0
    while True:
        pair_started = now()
        number = len(pairs) + 1
        first = (number + 1) % 2
        next_look = min([look for look in plan.rule.looks if look >= number] or [plan.max_pairs])

        def show(what: str, done: int, number: int = number, look: int = next_look) -> None:
            on_step(Step(f"pair {number} of {look}, {what}", 2 * number - 2 + done, 2 * look))

        pair = None
        if in_turns is not None:
            show("in turns", 0)
            pair = in_turns(first)
        if pair is None:
            records: dict[int, RunRecord] = {}
            for side in (first, 1 - first):
                show((REFERENCE, CANDIDATE)[side], len(records))
                records[side] = runs[side]()
            pair = Pair(records[0], records[1])
        pairs.append(pair)
        longest = max(longest, now() - pair_started)
        if number >= plan.max_pairs or not is_undecided(pairs, plan.rule):
            return pairs
        if number >= MIN_PAIRS and now() - started + longest > plan.max_seconds:
            return pairs


@dataclass(frozen=True)
class Ran:
    """What one process measured, and the modules that it loaded: (name, file)."""

    record: RunRecord
    modules: frozenset[tuple[str, Path]]


@dataclass(frozen=True)
class PytestProcess:
    """How pytest is started for one side. side: its name in messages."""

    side: str
    arguments: Sequence[str]
    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def run(self, interrupts: Interrupts) -> Ran:
        """Raises CouldNotCompare where tests fail or nothing is recorded."""
        with self.started(interrupts) as running:
            running.child.wait()
            return running.ran()

    @contextmanager
    def started(
        self, interrupts: Interrupts, pipes: tuple[int, ...] = ()
    ) -> Iterator[RunningPytest]:
        """It runs until the end of this. pipes: those of its turns, which it inherits."""
        with scratch_folder() as scratch:
            left = scratch.folder
            # Last, so that they win over what the user gave. What pytest keeps between runs would
            # be left in the user's tree, and would let the first process choose the tests of the
            # second (--lf).
            ours = ["-p", inside.__name__, f"--energy-json={left / RECORD}"]
            ours.append(f"-ocache_dir={left}/cache")
            command = [sys.executable, "-m", "pytest", *self.arguments, *ours]
            more = {**self.variables, inside.FOLDER: str(left), "PYTHONDONTWRITEBYTECODE": "1"}
            if pipes:
                more[inside.PIPES] = ",".join(map(str, pipes))
            # It keeps its folder from being removed where this process is killed before it.
            kept = (*pipes, scratch.lock)
            with started(command, self.folder, more, interrupts, kept) as child:
                yield RunningPytest(self.side, child, left)


@dataclass(frozen=True)
class RunningPytest:
    """A process of one side. scratch: the folder for what it leaves."""

    side: str
    child: Child
    scratch: Path

    def ran(self) -> Ran:
        """What it left, once it has ended. Raises CouldNotCompare."""
        status, output, path = self.child.status, self.child.output(), self.scratch / RECORD
        if status != 0:
            raise CouldNotCompare(f"{_why(status)} in the run of {self.side}", output)
        if not path.exists():
            raise CouldNotCompare(f"nothing was measured in the run of {self.side}", output)
        try:
            found = record.read(path)
        except RecordError as error:
            raise CouldNotCompare(
                f"the run record of {self.side} can't be read", str(error)
            ) from None
        # Of the process and of its pytest-xdist workers.
        lists = [json.loads(each.read_bytes()) for each in self.scratch.glob("*.modules")]
        modules = frozenset((name, Path(file)) for each in lists for name, file in each.items())
        if not modules:
            raise CouldNotCompare(
                f"the run of {self.side} ended before it listed the modules that it loaded",
                output,
            )
        return Ran(found, modules)


def _why(status: int) -> str:
    known = {
        1: "tests failed",
        2: "tests could not be collected, or pytest was interrupted,",
        4: "pytest rejected its options",
        5: "no tests were found",
    }
    if status < 0:
        return f"pytest was ended by {signal.Signals(-status).name}"
    return known.get(status, f"pytest ended with exit status {status}")


def run(
    command: Sequence[str] | str,
    folder: Path,
    variables: Mapping[str, str],
    interrupts: Interrupts,
) -> tuple[int, str]:
    """Exit status and the end of what it wrote; a text is run by the shell."""
    with started(command, folder, variables, interrupts) as child:
        return child.wait(), child.output()


class Child:
    """A process that was started, and what it writes."""

    def __init__(self, process: subprocess.Popen[bytes], written: IO[bytes]) -> None:
        self._process = process
        self._written = written

    def wait(self) -> int:
        return self._process.wait()

    @property
    def status(self) -> int:
        """Its exit status; it must have ended."""
        assert self._process.returncode is not None
        return self._process.returncode

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def is_stopped(self) -> bool:
        """Whether a signal stopped it, and none has let it go on."""
        if self.has_ended or not hasattr(os, "waitid"):
            return False
        flags = os.WSTOPPED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, flags) is not None

    def output(self) -> str:
        """The end of what it wrote."""
        self._written.seek(0)
        lines = self._written.read().decode("utf-8", "replace").splitlines()
        return "\n".join(lines[-TAIL_LINES:])


@contextmanager
def started(
    command: Sequence[str] | str,
    folder: Path,
    variables: Mapping[str, str],
    interrupts: Interrupts,
    pipes: tuple[int, ...] = (),
) -> Iterator[Child]:
    """A process; it and all that it started are ended with this. pipes: what it inherits."""
    kept = {name: value for name, value in os.environ.items() if name not in GIT_VARIABLES}
    process = None
    with tempfile.TemporaryFile() as written:
        try:
            with interrupts.deferred():  # else it could be started, and be known to nobody
                process = subprocess.Popen(
                    command,
                    shell=isinstance(command, str),
                    cwd=folder,
                    env={**kept, "PWD": str(folder), **variables},
                    stdin=subprocess.DEVNULL,
                    stdout=written,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=pipes,
                )
            yield Child(process, written)
        finally:
            if process is not None and process.poll() is None:
                _end(process)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Let pytest tear down its fixtures, and end what is left of its group."""
    for each in (signal.SIGINT, signal.SIGCONT):  # it may be stopped
        with suppress(OSError):
            os.killpg(child.pid, each)
    with suppress(subprocess.TimeoutExpired):
        child.wait(GRACE_SECONDS)
    with suppress(OSError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


class Interrupted(BaseException):
    """A signal asked to stop; not an Exception, so that no handler takes it for an error."""


class Interrupts:
    """While entered, the first of the signals raises Interrupted, and later ones are ignored.

    They are ignored to the end of this process, because only the clean-up and a message are left,
    and by processes that it starts: a second Ctrl-C doesn't stop git from removing a worktree.
    """

    def __init__(self) -> None:
        self._deferring = False
        self._waiting: Interrupted | None = None

    def __enter__(self) -> Interrupts:
        # One that is ignored stays so: that is what nohup does.
        taken = [each for each in SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
        self._before = {each: signal.signal(each, self._stop) for each in taken}
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            if signal.getsignal(each) is not signal.SIG_IGN:
                signal.signal(each, handler)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """While this holds, Interrupted waits for its end."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False
            if (waiting := self._waiting) is not None:
                self._waiting = None
                raise waiting

    def _stop(self, number: int, _: FrameType | None) -> None:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        interrupted = Interrupted(f"interrupted by {signal.Signals(number).name}")
        if not self._deferring:
            raise interrupted
        self._waiting = interrupted
