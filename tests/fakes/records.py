"""Records made by hand, for tests of what is written and printed."""

from __future__ import annotations

from dataclasses import replace

from pytest_energy.carbon.intensity import Intensity
from pytest_energy.limits.limit import parse_limit
from pytest_energy.record.schema import (
    BudgetRecord,
    ChannelRecord,
    GpuRecord,
    MachineRecord,
    RoundRecord,
    Run,
    RunRecord,
    TestRecord,
    carbon_record,
)


def budget_record(limit: str, origin: str, message: str = "") -> BudgetRecord:
    """A limit in a record, with its values."""
    found = parse_limit(limit)
    return BudgetRecord(
        limit=limit,
        origin=origin,
        message=message,
        amount=found.amount,
        symbol=found.symbol,
        per=found.per,
        unit=found.unit,
    )


TEST = TestRecord(
    id="tests/test_models.py::test_sentiment[distilbert]",
    name=None,
    task="text-classification",
    model="distilbert",
    labels={"dtype": "bf16"},
    unit="query",
    scope="gpu",
    joules_per_unit=12.312,
    interval=(12.06, 12.564),
    grams_per_unit=0.001026,
    cpu_seconds_per_unit=0.02,
    channels=(
        ChannelRecord(
            name="gpu:0",
            kind="gpu",
            source="NVML energy counter of A100",
            provenance="measured",
            gated=True,
            joules_per_unit=12.312,
        ),
        ChannelRecord(
            name="cpu:process",
            kind="cpu",
            source="CPU time x 4 W a core",
            provenance="estimated",
            gated=False,
            joules_per_unit=0.08,
        ),
    ),
    rounds=(
        RoundRecord(joules=13.0, seconds=1.0, units=1.0, warmup=True, cpu_seconds=0.1, calls=1),
        RoundRecord(
            joules=123.12, seconds=1.1, units=10.0, warmup=False, cpu_seconds=0.2, calls=10
        ),
    ),
    budget=budget_record("2.1 Wh / 1000 queries", "tests/test_models.py:12"),
    limit_joules_per_unit=7.56,
    fraction_of_limit=12.312 / 7.56,
    verdict="fail",
    reason="3.42 Wh / 1000 queries is over the limit",
    method="measured",
    attempt=1,
)
UNMEASURED = replace(
    TEST,
    id="tests/test_models.py::test_mps",
    joules_per_unit=None,
    interval=None,
    grams_per_unit=None,
    rounds=(),
    fraction_of_limit=None,
    verdict="unmeasured",
    reason="an Apple GPU (MPS) was used, and no sensor reads it",
    code="no-sensor",
    method="",
)
NEW = replace(
    TEST,
    id="tests/test_models.py::test_new",
    task=None,
    unit="token",
    budget=None,
    limit_joules_per_unit=None,
    fraction_of_limit=None,
    verdict="no-budget",
    attempt=2,
    notes=('no limit yet:\n    @pytest.mark.energy_budget("3.77 Wh / 1000 tokens", count=128)',),
)
RECORD = RunRecord(
    run=Run(
        uuid="7d0b",
        start="2026-11-22T05:48:00+00:00",
        end="2026-11-22T05:49:00+00:00",
        versions={"python": "3"},
        commit=None,
    ),
    machine=MachineRecord(
        os="Linux",
        architecture="x86_64",
        cpu="Xeon",
        cpu_count=2,
        gpus=(GpuRecord(name="A100", uuid="GPU-1", power_limit_watts=400.0),),
    ),
    carbon=carbon_record(Intensity(grams_per_kwh=300.0, source="--energy-carbon-intensity")),
    tests=(TEST, UNMEASURED, NEW),
)
