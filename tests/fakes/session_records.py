"""Run records of one test on several days, for tests of baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from records import NEW, RECORD

from pytest_energy.baselines.baseline import Baselines, Line
from pytest_energy.baselines.regression import compared
from pytest_energy.baselines.update import Mode, update
from pytest_energy.limits.budget import MaxIncrease
from pytest_energy.record.schema import (
    ChannelRecord,
    GpuRecord,
    LapsRecord,
    MachineRecord,
    RoundRecord,
    RunRecord,
    TestRecord,
)
from pytest_energy.record.schema import judged as with_findings
from pytest_energy.rules.verdict import Finding, Rule, Verdict

ID = "tests/test_q.py::test_q"
#: Five rounds whose mean of logarithms is theirs alone.
SHAPE = (0.99, 1.0, 1.01, 1.0, 1.0)
#: 7.56 J / query are 2.1 Wh / 1000 queries.
JOULES = 7.56
A100 = GpuRecord(name="NVIDIA A100", uuid="GPU-1", power_limit_watts=400.0, channel="gpu:0")
H100 = GpuRecord(name="NVIDIA H100", uuid="GPU-2", power_limit_watts=700.0, channel="gpu:0")
ESTIMATE = ChannelRecord(
    name="cpu:process",
    kind="cpu",
    source="CPU time of the process tree x 4 W a core",
    provenance="estimated",
    gated=True,
    joules_per_unit=1.0,
)
ON_CPU: dict[str, Any] = {"channels": (ESTIMATE,), "scope": "cpu", "method": "estimated"}
LAPS = LapsRecord(laps=400, seconds=0.005, affected=0.5, rounds_left_out=1, spread=0.04)
ASKED = MaxIncrease(0.05, "test_q.py:4")


def rounds(joules: float = JOULES, shape: Sequence[float] = SHAPE) -> tuple[RoundRecord, ...]:
    """One round to warm up, and measured ones of ten queries each."""
    measured = (
        RoundRecord(
            joules=joules * 10 * each,
            seconds=1.1,
            units=10.0,
            warmup=False,
            cpu_seconds=0.2,
            calls=10,
        )
        for each in shape
    )
    return (
        RoundRecord(joules=99.0, seconds=1.0, units=1.0, warmup=True, cpu_seconds=0.1, calls=1),
        *measured,
    )


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
    test = replace(test, **changes)
    limit = Finding(
        rule=Rule.LIMIT, verdict=Verdict(test.verdict), reason=test.reason, code=test.code
    )
    return with_findings(test, limit)


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


def channels(*indices: int) -> tuple[ChannelRecord, ...]:
    return tuple(
        ChannelRecord(
            name=f"gpu:{each}",
            kind="gpu",
            source="NVML energy counter",
            provenance="measured",
            gated=True,
            joules_per_unit=1.0,
        )
        for each in indices
    )


def lines(*records: RunRecord) -> tuple[Line, ...]:
    return update((), records, Mode.ADD).lines


def stored(*records: RunRecord) -> Baselines:
    return Baselines("energy-baselines", {"a.jsonl": lines(*records)})


def judged(
    test: TestRecord,
    before: Baselines,
    asked: MaxIncrease = ASKED,
    machine: MachineRecord | None = None,
) -> TestRecord:
    return compared(test, machine or session().machine, before, asked)
