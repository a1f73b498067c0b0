"""kill -9 at random moments of whole runs and comparisons, and what each leaves.

    python benchmarks/kills.py [KILLS] [JSON] [CASE ...]

KILLS (default 200) is the number for one run, for two at once, and for comparisons. Every other
kill comes at one of the operations that write, make, lock, rename or remove a file or start a
process, drawn at random: the process kills itself right before it. The others come after random
seconds, and end either the process alone or all that it has started. Joules come from a scripted
sensor in virtual time, so that no other program on the machine keeps a baseline out. A run of
pytest, also in a comparison, is a fork of a process that has imported what it needs: imports take a
second and write nothing. The seed is fixed. In JSON, a case replaces itself and leaves the others.

After each kill all files are read back. After each killed run, and each tenth killed comparison,
one goes on to its end, and nothing may be left of those before it.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import pytest

import pytest_energy
from pytest_energy.baselines.file import BaselineError, read_folder
from pytest_energy.cli import app
from pytest_energy.compare import processes
from pytest_energy.errors import EnergyError
from pytest_energy.record.file import read

for module in pkgutil.walk_packages(pytest_energy.__path__, "pytest_energy."):
    if ".study" not in module.name:
        importlib.import_module(module.name)
# Other plugins take longer to start than the rest.
os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
SEED = 16
CONFTEST = """
from pytest_energy.measurement import judgement
from pytest_energy.sensors import clock
from pytest_energy.testing import ScriptedSensor, VirtualTime

time = VirtualTime()
really_sleep = clock.sleep
clock.now = time.clock.now
clock.sleep = lambda seconds: really_sleep(min(seconds, 0.01))
judgement.IDLE_SHARE = 0.0  # work in virtual time uses no CPU

def pytest_energy_sensors():
    return [ScriptedSensor(100.0, time.clock)]
"""
TEST = """
import os
import pytest
import work

@pytest.mark.energy_budget("1 kJ / query", scope="machine")
@pytest.mark.parametrize("run", [os.environ["RUN"]])
def test_it(run):
    work.work()
"""
WORK = "from conftest import time\n\ndef work():\n    time.pass_by(0.2)\n"
INI = """
[pytest]
pythonpath = .
addopts = -q -p pytest_energy.plugin.entry --energy-gpus=none --energy-max-rounds=5
energy_lock_folder = {locks}
"""
RUN = ("pytest", "--energy-json=out/energy.json", "--energy-update=add")
COMPARE = (
    "compare",
    "--base",
    "HEAD",
    "--pairs=3",
    "--max-increase=50%",
    "--json=out/compared.json",
)
#: What a process does to files and processes, as the interpreter reports it before it does it.
OPERATIONS = frozenset(
    [
        *("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod"),
        *("fcntl.flock", "subprocess.Popen"),
    ]
)
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
KILLED = -signal.SIGKILL
LONGEST_SECONDS = 300


@dataclass(frozen=True)
class Process:
    """A fork that runs a command of ours."""

    name: str
    pid: int
    output: Path

    @classmethod
    def start(
        cls, name: str, words: Sequence[str], folder: Path, tmp: Path, die_at: int
    ) -> Process:
        """die_at: the operation before which it kills itself, from 1; 0 for none."""
        output = tmp / f"output-{name}"
        with output.open("wb") as file:
            more = {"RUN": name, "TMPDIR": str(tmp)}
            pid = _forked(lambda: _inside(words, tmp, die_at), folder, more, file)
        return cls(name, pid, output)

    def ended(self, seconds: float = LONGEST_SECONDS) -> int | None:
        """Its exit status; None where it still runs after these seconds."""
        ends = time.monotonic() + seconds
        while not (found := os.waitpid(self.pid, os.WNOHANG))[0]:
            if time.monotonic() > ends:
                return None
            time.sleep(0.002)
        return os.waitstatus_to_exitcode(found[1])


def _forked(
    work: Callable[[], int],
    folder: Path,
    variables: Mapping[str, str],
    output: IO[bytes],
    kept: Sequence[int] = (),
) -> int:
    """A fork that does this work as a process that was started would. kept: files it inherits."""
    sys.stdout.flush()
    if pid := os.fork():
        return pid
    status = 70
    try:
        for each in (1, 2):
            os.dup2(output.fileno(), each)
        for each in [int(each.name) for each in Path("/proc/self/fd").iterdir()]:
            if each > 2 and each not in kept:
                with suppress(OSError):
                    os.close(each)
        os.chdir(folder)
        os.environ.update(variables)
        status = work()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


class ForkedPytest:
    """In place of subprocess.Popen: a fork of this process, which need not import all again."""

    def __init__(self, command: Sequence[str], **options: Any) -> None:
        words = list(command[command.index("pytest") + 1 :])
        kept = options["pass_fds"]
        for each in kept:
            os.set_inheritable(each, True)

        def work() -> int:
            os.setsid()
            return int(pytest.main(words))

        sys.audit("subprocess.Popen")
        self.returncode: int | None = None
        self.pid = _forked(work, options["cwd"], options["env"], options["stdout"], kept)

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float = LONGEST_SECONDS) -> int:
        ends = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > ends:
                raise subprocess.TimeoutExpired("pytest", timeout)
            time.sleep(0.002)
        return status


def _inside(words: Sequence[str], tmp: Path, die_at: int) -> int:
    count, ours = 0, os.getpid()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if os.getpid() != ours:
            return
        if event in OPERATIONS or (event == "open" and (arguments[2] or 0) & WRITES):
            count += 1
            if count == die_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    if words[0] == "pytest":
        status = int(pytest.main(list(words[1:])))
    else:
        forking = SimpleNamespace(**vars(subprocess) | {"Popen": ForkedPytest})
        pytest.MonkeyPatch().setattr(processes, "subprocess", forking)  # git is started as ever
        status = int(app(list(words), standalone_mode=False) or 0)
    (tmp / "operations").write_text(str(count), encoding="utf-8")
    return status


@dataclass(kw_only=True)
class Found:
    """What is wrong after the kills of one case; each list is empty where all is well."""

    case: str
    kills: int = 0
    before_an_operation: int = 0
    with_all_it_started: int = 0
    ended_before: int = 0
    """Processes that had ended when their moment came."""
    corrupt: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    """Runs that were not killed and did not end well, or waited for the lock of a dead one."""


class Project:
    """A repository with one measured test; `tmp` is its folder for temporary files."""

    def __init__(self, folder: Path, words: Sequence[str], found: Found, seed: int) -> None:
        self.words, self.found = words, found
        self.root, self.tmp = folder / "project", folder / "tmp"
        self._random = random.Random(f"{seed} {found.case}")
        self._stored: set[str] = set()
        self._runs = 0
        self.tmp.mkdir(parents=True)
        (self.root / "out").mkdir(parents=True)
        files = {
            "conftest.py": CONFTEST,
            "test_it.py": TEST,
            "work.py": WORK,
            "pytest.ini": INI.format(locks="locks"),
            ".gitignore": "out\nlocks\nenergy-baselines\n__pycache__\n",
        }
        for name, text in files.items():
            (self.root / name).write_text(text, encoding="utf-8")
        for command in ("init -q", "add .", "-c user.name=n -c user.email=e commit -qm first"):
            self._git(*command.split())
        (self.root / "work.py").write_text(f"{WORK}\n# changed\n", encoding="utf-8")
        began = time.monotonic()
        self.to_the_end()
        self._longest = time.monotonic() - began
        self._operations = int((self.tmp / "operations").read_text(encoding="utf-8"))

    def to_the_end(self) -> None:
        """One that is not killed; nothing of those before it may be left."""
        for _ in range(100 * LONGEST_SECONDS):
            if not self._living():  # what a killed comparison started runs to its end
                break
            time.sleep(0.01)
        self.ended(self.start())
        self.look()
        left = [*self.root.rglob(".*.????????????????"), *self.tmp.glob("pytest-energy-*")]
        left += list((self.root / ".git").glob("worktrees/*"))
        self.found.left += [str(each) for each in left]

    def kill_one(self, beside: bool) -> None:
        """Kill one at a random moment. beside: while another goes on to its end."""
        other = self.start() if beside else None
        if self._random.random() < 0.5:
            self.found.before_an_operation += 1
            process = self.start(self._random.randint(1, self._operations))
            status = process.ended()
        else:
            process = self.start()
            status = process.ended(self._random.uniform(0, self._longest))
            if status is None:
                victims = [process.pid]
                if self._random.random() < 0.5:
                    self.found.with_all_it_started += 1
                    victims += _descendants(process.pid)
                for each in victims:
                    with suppress(ProcessLookupError):
                        os.kill(each, signal.SIGKILL)
                status = process.ended()
        self.found.kills += 1
        self.found.ended_before += status != KILLED
        if other is not None:
            self.ended(other)
        if status == 0:
            self._stored.add(process.name)
        self.look()

    def start(self, die_at: int = 0) -> Process:
        self._runs += 1
        return Process.start(str(self._runs), self.words, self.root, self.tmp, die_at)

    def ended(self, process: Process) -> None:
        """Wait for one that is not killed."""
        status, output = process.ended(), process.output.read_text("utf-8", "replace")
        if status != 0 or "waiting for the lock" in output:
            self.found.failed.append(f"run {process.name}, status {status}: {output[-2000:]}")
        else:
            self._stored.add(process.name)

    def look(self) -> None:
        """Whether each file can be read, and holds what ended runs have stored."""
        try:
            for path in (self.root / "out").glob("*.json"):
                json.loads(path.read_bytes())
            if self.words is RUN:
                read(self.root / "out" / "energy.json")
            folder = self.root / "energy-baselines"
            lines = read_folder(folder, "stored", self.root).lines
            if self.words is RUN:
                names = {each.test.partition("[")[2].strip("]") for each in lines}
                self.found.lost += sorted(self._stored - names)
        except (BaselineError, EnergyError, ValueError) as error:
            self.found.corrupt.append(str(error))

    def _living(self) -> bool:
        """Whether a process that ours have left works in one of our folders."""
        for each in Path("/proc").glob("[0-9]*/cwd"):
            with suppress(OSError):
                if str(each.readlink()).startswith(str(self.root.parent)):
                    return True
        return False

    def _git(self, *words: str) -> None:
        subprocess.run(["git", *words], cwd=self.root, check=True, capture_output=True)


def _descendants(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    except OSError:
        return []
    return [each for child in map(int, children) for each in (child, *_descendants(child))]


@dataclass(frozen=True, kw_only=True)
class Case:
    """share: of the kills. beside: whether another run goes on to its end beside it.

    every: so many kills come before one that is not killed.
    """

    words: Sequence[str]
    share: float = 1.0
    beside: bool = False
    every: int = 1


CASES = {
    "one run": Case(words=RUN),
    "two runs at once": Case(words=RUN, beside=True),
    "compare --base, in turns": Case(words=COMPARE, share=0.5, every=10),
    "compare --base --sequential": Case(words=(*COMPARE, "--sequential"), share=0.5, every=10),
}


def attack(case: str, folder: Path, kills: int, seed: int = SEED) -> Found:
    about, found = CASES[case], Found(case=case)
    project = Project(folder, about.words, found, seed)
    for number in range(1, kills + 1):
        project.kill_one(about.beside)
        if number % about.every == 0 or number == kills:
            project.to_the_end()
    return found


def main() -> int:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    path = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    wrong = False
    print("| case | kills | before an operation | with all it started | ended before |", end="")
    print(" corrupt | lost | left | failed |")
    print(f"| --- |{' ---: |' * 8}")
    for case in sys.argv[3:] or CASES:
        with tempfile.TemporaryDirectory() as folder:
            found = attack(case, Path(folder).resolve(), int(kills * CASES[case].share))
        row = asdict(found)
        figures = [len(each) if isinstance(each, list) else each for each in row.values()]
        print(f"| {' | '.join(map(str, figures))} |", flush=True)
        wrong = wrong or any(isinstance(each, list) and each for each in row.values())
        if path is not None:
            known = json.loads(path.read_bytes())["cases"] if path.exists() else []
            cases = [each for each in known if each["case"] != case] + [row]
            path.write_text(f"{json.dumps({'seed': SEED, 'cases': cases}, indent=2)}\n", "utf-8")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
