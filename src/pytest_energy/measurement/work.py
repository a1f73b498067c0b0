"""From the FLOPs of extra calls to the record of a limit in FLOPs; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_energy.errors import INPUTS_NOT_COVERED, Reason, code_of
from pytest_energy.limits.budget import Budget, budget_record
from pytest_energy.measurement.flops import why_none
from pytest_energy.measurement.judgement import Job
from pytest_energy.record.schema import (
    FLOPS_METHOD,
    FLOPS_SCOPE,
    RoundRecord,
    TestRecord,
    judged,
)
from pytest_energy.rules.verdict import Finding, Rule, Verdict
from pytest_energy.rules.work import ROUNDING, look
from pytest_energy.units import Quantity, all_flops, numbered, per_unit, percent


@dataclass(frozen=True, kw_only=True)
class WorkCount:
    """What torch counted in extra calls of one measurement, one call with each input.

    units: what the calls did, by unit. cycle: how many calls see each input once. problem: why
    there is no count, or "".
    """

    flops: int = 0
    units: Mapping[str, float] = field(default_factory=dict)
    calls: int = 0
    cycle: int = 1
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    problem: str = ""

    def per_unit(self, unit: str) -> float | None:
        """FLOPs for one unit; None where they are not countable."""
        units = self.units.get(unit, 0.0)
        return None if self.why_none(unit) else self.flops / units

    def why_none(self, unit: str) -> str:
        """Why there are no FLOPs for one of these units, or ""."""
        if self.problem:
            return self.problem
        if not self.flops:
            return why_none()
        if not self.units.get(unit):
            return Reason(
                "no-units", "no units were counted: the count of the work's results was 0"
            )
        return ""

    @property
    def unseen(self) -> str:
        """That some inputs were not called with, or ""."""
        if self.calls >= self.cycle:
            return ""
        return Reason(
            INPUTS_NOT_COVERED,
            f"FLOPs were counted for {self.calls:,} of {self.cycle:,} inputs, and the others may "
            "take more or fewer: pass fewer inputs, or more --energy-max-seconds",
        )


def work_record(job: Job, budget: Budget, count: WorkCount) -> TestRecord:
    """The record of one measurement against a limit in FLOPs."""
    declaration, limit = job.declaration, budget.limit
    assert limit is not None
    flops = count.per_unit(budget.unit)
    done = count.units.get(budget.unit, 0.0)
    counted = RoundRecord(
        joules=None,
        seconds=count.seconds,
        units=done,
        warmup=False,
        cpu_seconds=count.cpu_seconds,
        calls=count.calls,
        all_units=dict(count.units),
    )
    record = TestRecord(
        id=job.test_id,
        name=job.name,
        task=declaration.task,
        model=declaration.model,
        labels=dict(declaration.labels),
        unit=budget.unit,
        scope=FLOPS_SCOPE,
        joules_per_unit=None,
        interval=None,
        grams_per_unit=None,
        cpu_seconds_per_unit=None,
        channels=(),
        rounds=(counted,) if count.calls else (),
        budget=budget_record(budget, 0.0),
        limit_joules_per_unit=None,
        fraction_of_limit=None if flops is None else flops / limit.base_per_unit,
        verdict="",
        reason="",
        method=FLOPS_METHOD,
        attempt=job.attempt,
        notes=job.notices,
        flops_per_unit=flops,
    )
    return judged(record, _finding(budget, count, flops))


def _finding(budget: Budget, count: WorkCount, flops: float | None) -> Finding:
    limit = budget.limit
    assert limit is not None
    if flops is None:
        why = count.why_none(budget.unit)
        return Finding(
            rule=Rule.MEASUREMENT,
            verdict=Verdict.UNMEASURED,
            reason=why,
            code=code_of(why, "unmeasured"),
        )
    verdict = look(flops, limit.base_per_unit)
    over = flops / limit.base_per_unit - 1
    place = "at" if abs(over) <= ROUNDING else "over" if over > 0 else "under"
    shown = f"{per_unit(flops, budget.unit, Quantity.FLOPS)} ({all_flops(flops)})"
    by = f" by {percent(over)}" if place != "at" else ""
    reason = (
        f"{shown} is {place} the limit of {limit.text} ({budget.origin}){by}, counted by torch in "
        f"{numbered(count.calls, 'extra call')}"
    )
    code = "over-limit" if verdict is Verdict.FAIL else ""
    if count.unseen:
        verdict, code = Verdict.INCONCLUSIVE, code_of(count.unseen)
        reason += f"; but {count.unseen}"
    return Finding(rule=Rule.LIMIT, verdict=verdict, reason=reason, code=code)
