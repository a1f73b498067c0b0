"""Run records of one test on several days, for tests of baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pytest_energy.record import GpuRecord, MachineRecord, RoundRecord, RunRecord, TestRecord
from records import NEW, RECORD

ID = "tests/test_q.py::test_q"
#: Five rounds whose mean of logarithms is theirs alone.
SHAPE = (0.99, 1.0, 1.01, 1.0, 1.0)
#: 7.56 J / query are 2.1 Wh / 1000 queries.
JOULES = 7.56
A100 = GpuRecord("NVIDIA A100", "GPU-1", 400.0, "gpu:0")
H100 = GpuRecord("NVIDIA H100", "GPU-2", 700.0, "gpu:0")


def rounds(joules: float = JOULES, shape: Sequence[float] = SHAPE) -> tuple[RoundRecord, ...]:
    """One round to warm up, and measured ones of ten queries each."""
    measured = (RoundRecord(joules * 10 * each, 1.1, 10.0, False, 0.2, 10) for each in shape)
    return (RoundRecord(99.0, 1.0, 1.0, True, 0.1, 1), *measured)


def measured(joules: float = JOULES, shape: Sequence[float] = SHAPE, **changes: Any) -> TestRecord:
    """A test without a limit, measured on a GPU."""
    test = replace(
        NEW,
        id=ID,
        unit="query",
        joules_per_unit=joules,
        interval=(joules * 0.99, joules * 1.01),
        rounds=rounds(joules, shape),
        attempt=1,
        notes=(),
        reason="2.10 Wh / 1000 queries, no limit to compare with, gpu:0, measured",
    )
    return replace(test, **changes)


def session(
    *tests: TestRecord,
    day: int = 1,
    gpus: Sequence[GpuRecord] = (A100,),
    machine: MachineRecord | None = None,
    commit: str | None = "1f2e3d4c5b",
    run: str = "",
    driver: str = "570.11",
) -> RunRecord:
    """A run at six o'clock of a day in November."""
    about = replace(
        RECORD.run,
        uuid=run or f"run-{day}",
        start=f"2026-11-{day:02d}T06:00:00+00:00",
        commit=commit,
        versions={"python": "3.12", "driver": driver},
    )
    hardware = machine or replace(RECORD.machine, gpus=tuple(gpus))
    return replace(RECORD, run=about, tests=tests or (measured(),), machine=hardware)
