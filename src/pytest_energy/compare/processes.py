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

from pytest_energy.compare import inside
from pytest_energy.compare.figures import CANDIDATE, REFERENCE
from pytest_energy.compare.judgement import Pair, is_undecided
from pytest_energy.compare.outcome import CouldNotCompare
from pytest_energy.compare.question import MIN_PAIRS, Plan
from pytest_energy.record import file as record
from pytest_energy.record.plain import RecordError
from pytest_energy.record.schema import RunRecord
from pytest_energy.report.progress import Step

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
) -> list[Pair]:
    """Run pairs A B B A A B ... until enough is known or time is up, at least three if undecided.

    runs: one process of the reference, one of the candidate. now: seconds of a clock.
    """
    started = now()
    pairs: list[Pair] = []
    longest = 0.0
    while True:
        pair_started = now()
        number = len(pairs) + 1
        next_look = min([look for look in plan.rule.looks if look >= number] or [plan.max_pairs])
        records: dict[int, RunRecord] = {}
        for side in (0, 1) if number % 2 else (1, 0):
            text = f"pair {number} of {next_look}, {(REFERENCE, CANDIDATE)[side]}"
            on_step(Step(text, 2 * len(pairs) + len(records), 2 * next_look))
            records[side] = runs[side]()
        pairs.append((records[0], records[1]))
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
        # Resolved: macOS's temporary folder is behind a link.
        with tempfile.TemporaryDirectory(prefix="pytest-energy-") as name:
            scratch = Path(name).resolve()
            path = scratch / "record.json"
            # Last, so that they win over what the user gave. What pytest keeps between runs would
            # be left in the user's tree, and would let the first process choose the tests of the
            # second (--lf).
            ours = ["-p", inside.__name__, f"--energy-json={path}", f"-ocache_dir={scratch}/cache"]
            command = [sys.executable, "-m", "pytest", *self.arguments, *ours]
            more = {**self.variables, inside.FOLDER: str(scratch), "PYTHONDONTWRITEBYTECODE": "1"}
            status, output = run(command, self.folder, more, interrupts)
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
            lists = [json.loads(each.read_bytes()) for each in scratch.glob("*.modules")]
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
    """Exit status and the end of what it wrote; a text is run by the shell.

    It and all that it started are ended where this is interrupted.
    """
    kept = {name: value for name, value in os.environ.items() if name not in GIT_VARIABLES}
    child = None
    with tempfile.TemporaryFile() as output:
        try:
            with interrupts.deferred():  # else it could be started, and be known to nobody
                child = subprocess.Popen(
                    command,
                    shell=isinstance(command, str),
                    cwd=folder,
                    env={**kept, "PWD": str(folder), **variables},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            status = child.wait()
        finally:
            if child is not None and child.returncode is None:
                _end(child)
        output.seek(0)
        lines = output.read().decode("utf-8", "replace").splitlines()
    return status, "\n".join(lines[-TAIL_LINES:])


def _end(child: subprocess.Popen[bytes]) -> None:
    """Let pytest tear down its fixtures, and end what is left of its group."""
    with suppress(OSError):
        os.killpg(child.pid, signal.SIGINT)
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
