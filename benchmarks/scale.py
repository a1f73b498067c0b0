"""How time and memory grow with size: files and reports, each in a process of its own.

    python benchmarks/scale.py [SIZE]

SIZE is a part of the full sizes (default 0.1). Each case runs at a quarter of its size and at all
of it: a ratio of about 4 is linear. Memory is the most that a process holds, Python included.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import types
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "fakes"))

import pytest
from records import RECORD, TEST
from session_records import measured, session

from pytest_energy.baselines.file import read_folder, text_of
from pytest_energy.baselines.update import Mode, update
from pytest_energy.limits.budget import Declaration
from pytest_energy.limits.file import BudgetsFile, parse_budgets
from pytest_energy.limits.resolve import Subject, matched
from pytest_energy.measurement import judgement
from pytest_energy.record.file import read, write
from pytest_energy.report.formats import format_named
from pytest_energy.sensors import clock
from pytest_energy.testing import ScriptedSensor, VirtualTime

#: A file of baselines has 256 MiB at most.
LINES_OF_A_FILE = 100_000


def budgets(number: int) -> Callable[[], BudgetsFile]:
    text = "schema = 1\n" + "".join(
        f'[[budget]]\ntests = "t.py::test_{each}"\nmax = "1 J / query"\n' for each in range(number)
    )
    return lambda: parse_budgets(text, "b.toml")


def budgets_by_tests(number: int) -> Callable[[], object]:
    """A thousand tests look for their budgets among this many."""
    file = budgets(number)()
    subjects = [Subject(f"t.py::test_{each}", frozenset()) for each in range(1000)]
    return lambda: [matched(Declaration(), each, file) for each in subjects]


def rounds(number: int) -> Callable[[], object]:
    found = replace(RECORD, tests=(replace(TEST, rounds=TEST.rounds[1:] * number),))
    path = Path("record.json")
    write(found, path)
    return lambda: read(path)


def report(number: int, name: str) -> Callable[[], object]:
    tests = tuple(replace(TEST, id=f"t.py::test_{each}") for each in range(number))
    found = replace(RECORD, tests=tests)
    return lambda: format_named(name)(found)


def baselines(number: int) -> Callable[[], object]:
    (line,) = update((), [session(measured())], Mode.ADD).lines
    text, folder = text_of([line]), Path("stored")
    folder.mkdir()
    for start in range(0, number, LINES_OF_A_FILE):
        with (folder / f"{start}.jsonl").open("w", encoding="utf-8") as file:
            for each in range(start, min(start + LINES_OF_A_FILE, number)):
                file.write(text.replace("test_q.py::test_q", f"test_q.py::test_{each}"))
    return lambda: read_folder(folder, "stored")


def disabled(number: int) -> Callable[[], object]:
    """A run of marked tests that nothing measures."""
    return run_of("pass", number, "--energy-disable")


def on_a_virtual_instrument(number: int) -> Callable[[], object]:
    """A run of marked tests on an instrument and a clock that take no time themselves."""
    virtual = VirtualTime()
    sensor = ScriptedSensor(100.0, virtual.clock)
    vars(clock).update(now=virtual.clock.now, sleep=virtual.clock.sleep)
    vars(judgement)["IDLE_SHARE"] = 0.0  # such work uses no CPU time
    sys.modules["instrument"] = types.ModuleType("instrument")
    vars(sys.modules["instrument"])["work"] = lambda: virtual.pass_by(0.05)

    class Extension:
        def pytest_energy_sensors(self) -> list[ScriptedSensor]:
            return [sensor]

    return run_of("instrument.work()", number, "--energy-gpus=none", plugins=[Extension()])


def run_of(
    body: str, number: int, *options: str, plugins: Sequence[object] = ()
) -> Callable[[], object]:
    """A run of so many marked tests with this body."""
    source = "import sys, pytest\ninstrument = sys.modules.get('instrument')\n" + "".join(
        "@pytest.mark.energy_budget('1 kJ / query', scope='machine')\n"
        f"def test_{each}():\n    {body}\n"
        for each in range(number)
    )
    Path("test_it.py").write_text(source, encoding="utf-8")
    quiet = ["-q", *(f"-pno:{each}" for each in ("cacheprovider", "hypothesispytest", "asyncio"))]
    quiet += ["--energy-lock-folder=."]
    return lambda: passed(pytest.main([*quiet, *options], plugins=plugins))


def passed(status: int) -> None:
    if status:
        raise SystemExit(f"pytest ended with status {status}")


#: What it is -> its full size, and what makes it.
CASES: dict[str, tuple[int, Callable[[int], Callable[[], object]]]] = {
    "parse budgets": (10_000, budgets),
    "budgets, for 1,000 tests: find theirs": (10_000, budgets_by_tests),
    "read a record of rounds": (100_000, rounds),
    "report of tests, markdown": (2_000, lambda number: report(number, "markdown")),
    "report of tests, html": (2_000, lambda number: report(number, "html")),
    "read lines of baselines": (1_000_000, baselines),
    "run of disabled tests": (10_000, disabled),
    "run of tests on a virtual instrument": (2_000, on_a_virtual_instrument),
}


def measure(make: Callable[[int], Callable[[], object]], number: int) -> tuple[float, float]:
    """CPU seconds of the work without its making, and MiB at most of all."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what runs print
            work = make(number)
            began = time.process_time()
            work()
            os.write(theirs, json.dumps(time.process_time() - began).encode())
        os._exit(0)
    os.close(theirs)
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit(f"the work ended with status {status}")
    with os.fdopen(ours) as told:
        return float(told.read()), usage.ru_maxrss / 1024


def main() -> None:
    size = float(sys.argv[1]) if len(sys.argv) > 1 else 0.1
    print("| work | size | CPU seconds | MiB | seconds against a quarter |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, (full, make) in CASES.items():
        number = int(full * size)
        quarter, _ = measure(make, number // 4)
        seconds, mib = measure(make, number)
        print(f"| {name} | {number:,} | {seconds:.2f} | {mib:.0f} | x {seconds / quarter:.1f} |")


if __name__ == "__main__":
    main()
