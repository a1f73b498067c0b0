"""Records of a reference and a candidate, made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from records import RECORD, TEST

from pytest_energy.compare.judgement import Rule
from pytest_energy.record.schema import GpuRecord, RoundRecord, RunRecord, TestRecord
from pytest_energy.rules.paired import MAX_RATIO_INCREASE

RULE = Rule(MAX_RATIO_INCREASE)
BOARDS = (
    GpuRecord(name="A100", uuid="GPU-1", power_limit_watts=400.0),
    GpuRecord(name="A100", uuid="GPU-2", power_limit_watts=400.0),
)


def measured(joules: float, rounds: int = 5, **changes: Any) -> TestRecord:
    """A measured test whose rounds all show the same figure."""
    each = RoundRecord(
        joules=joules * 10,
        seconds=1.0,
        units=10.0,
        warmup=False,
        cpu_seconds=joules / 4 * 10,
        calls=10,
    )
    made = replace(TEST, joules_per_unit=joules, rounds=(TEST.rounds[0], *[each] * rounds))
    return replace(made, **changes)


def run_of(*tests: TestRecord) -> RunRecord:
    machine = replace(RECORD.machine, gpus=BOARDS)
    return replace(RECORD, tests=tests, machine=machine)


def noisy(i: int) -> float:
    return 1.5 if i % 2 else 0.8
