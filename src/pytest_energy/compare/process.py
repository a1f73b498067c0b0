"""One pytest process of a comparison: started, waited for, and what it left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pytest_energy.compare import inside
from pytest_energy.compare.interrupts import Interrupts
from pytest_energy.compare.outcome import CouldNotCompare
from pytest_energy.record import schema as record
from pytest_energy.record.schema import RunRecord

#: Lines of output that are shown when something failed.
TAIL_LINES = 40
#: Seconds that an interrupted process has to end by itself.
GRACE_SECONDS = 5.0
#: Variables by which git finds a repository other than the one of the folder it is in; a hook that
#: calls us has them set.
_GIT = ("DIR", "WORK_TREE", "INDEX_FILE", "OBJECT_DIRECTORY", "COMMON_DIR", "PREFIX", "NAMESPACE")
GIT_VARIABLES = frozenset(f"GIT_{name}" for name in _GIT)


@dataclass(frozen=True)
class Ran:
    """What one process measured, and the modules that it loaded: (name, file)."""

    record: RunRecord
    modules: frozenset[tuple[str, Path]]


@dataclass(frozen=True)
class PytestProcess:
    """How pytest is started for one side. side: what sentences call it."""

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
            except record.RecordError as error:
                raise CouldNotCompare(
                    f"the run record of {self.side} can't be read", str(error)
                ) from None
            modules = _modules(scratch)
            if not modules:
                raise CouldNotCompare(
                    f"the run of {self.side} ended before it could tell which modules it loaded",
                    output,
                )
            return Ran(found, modules)


def _why(status: int) -> str:
    known = {
        1: "tests failed",
        2: "pytest was interrupted, or tests couldn't be collected,",
        4: "pytest was used wrongly",
        5: "no tests were found",
    }
    if status < 0:
        return f"pytest was ended by {signal.Signals(-status).name}"
    return known.get(status, f"pytest ended with exit status {status}")


def _modules(folder: Path) -> frozenset[tuple[str, Path]]:
    """Of the process and of its pytest-xdist workers."""
    answers = [json.loads(answer.read_bytes()) for answer in folder.glob("*.modules")]
    return frozenset((name, Path(file)) for each in answers for name, file in each.items())


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
