"""Records made by hand, for tests of what is written and printed."""

from __future__ import annotations

from dataclasses import replace

from pytest_energy.carbon import Intensity
from pytest_energy.record import (
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
        ChannelRecord("gpu:0", "gpu", "NVML energy counter of A100", "measured", True, 12.312),
        ChannelRecord("cpu:process", "cpu", "CPU time x 4 W a core", "estimated", False, 0.08),
    ),
    rounds=(
        RoundRecord(13.0, 1.0, 1.0, True, 0.1, 1),
        RoundRecord(123.12, 1.1, 10.0, False, 0.2, 10),
    ),
    budget=BudgetRecord("2.1 Wh / 1000 queries", "tests/test_models.py:12"),
    limit_joules_per_unit=7.56,
    used=12.312 / 7.56,
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
    used=None,
    verdict="unmeasured",
    reason="an Apple GPU (MPS) was used, and no sensor reads it",
    method="",
)
NEW = replace(
    TEST,
    id="tests/test_models.py::test_new",
    task=None,
    unit="token",
    budget=None,
    limit_joules_per_unit=None,
    used=None,
    verdict="no-budget",
    attempt=2,
    notes=('no limit yet:\n    @pytest.mark.energy_budget("3.77 Wh / 1000 tokens", count=128)',),
)
RECORD = RunRecord(
    run=Run(
        "7d0b", "2026-11-22T05:48:00+00:00", "2026-11-22T05:49:00+00:00", {"python": "3"}, None
    ),
    machine=MachineRecord("Linux", "x86_64", "Xeon", 2, (GpuRecord("A100", "GPU-1", 400.0),)),
    carbon=carbon_record(Intensity(300.0, "--energy-carbon-intensity")),
    tests=(TEST, UNMEASURED, NEW),
)
