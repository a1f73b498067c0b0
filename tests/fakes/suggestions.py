"""Records of a test without a limit, and what is suggested for it."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from records import NEW, RECORD

from pytest_energy.limits.budget import Declaration
from pytest_energy.limits.file import BudgetsFile, read_budgets
from pytest_energy.limits.limit import Limit
from pytest_energy.limits.resolve import MachineClass, Subject, resolve
from pytest_energy.limits.suggest import suggest
from pytest_energy.record.schema import MachineRecord, RoundRecord, RunRecord, TestRecord

FILE = "energy-budgets.toml"
ID = "tests/test_q.py::test_q"
ROUNDS = tuple(
    RoundRecord(joules=1.0, seconds=1.0, units=1.0, warmup=False, cpu_seconds=0.1, calls=1)
    for _ in range(5)
)
#: A test without a limit; 7.56 J / query are 2.1 Wh / 1000 queries.
OPEN = replace(
    NEW,
    id=ID,
    unit="query",
    joules_per_unit=7.56,
    interval=(7.55, 7.57),
    rounds=ROUNDS,
    attempt=1,
    notes=(),
)


def session(*tests: TestRecord, day: int = 1, machine: MachineRecord | None = None) -> RunRecord:
    run = replace(RECORD.run, uuid=f"run-{day}", start=f"2026-11-{day:02d}T05:48:00+00:00")
    return replace(RECORD, run=run, tests=tests, machine=machine or RECORD.machine)


def sessions(centres: Sequence[float], factor: float = 1.005, **changes: Any) -> list[RunRecord]:
    """A session a day for each centre in joules, whose interval is this factor wide each way."""
    return [
        session(
            replace(OPEN, joules_per_unit=each, interval=(each / factor, each * factor), **changes),
            day=day,
        )
        for day, each in enumerate(centres, start=1)
    ]


def read(text: str) -> BudgetsFile:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, FILE)
        path.write_bytes(text.encode())
        return read_budgets(path, FILE)


def limit_of(text: str, test_id: str = ID) -> Limit:
    """The one limit that stands for a test of this file."""
    (budget,) = resolve(Declaration(), Subject(test_id), MachineClass("Xeon"), read(text)).budgets
    assert budget.limit is not None
    return budget.limit


def suggested(records: Sequence[RunRecord]) -> tuple[float, str]:
    """What another session may use for one unit, and the reason beside it."""
    found = suggest(records, "", FILE)
    assert found.written == 1
    return limit_of(found.text).base_per_unit, found.messages[0]
