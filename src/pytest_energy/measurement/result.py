"""From judged rounds to the test's record: figure, finding, notes; pure."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace

from pytest_energy.carbon.intensity import Intensity
from pytest_energy.errors import BESIDE_FLOPS, INPUTS_NOT_COVERED, Reason, code_of
from pytest_energy.limits.budget import Declaration, Scope, budget_record, suggestion
from pytest_energy.limits.headroom import upper_end_of_one
from pytest_energy.measurement.coverage import Coverage
from pytest_energy.measurement.explanation import (
    Surroundings,
    explain,
    has_contention,
    other_cores,
    without_disturbed_laps,
)
from pytest_energy.measurement.judgement import (
    Job,
    Judgement,
    is_device_busy,
    joules_per_unit,
    least_of,
    problem_of,
    units_of,
    values_of,
)
from pytest_energy.measurement.laps import Cleaned, least
from pytest_energy.measurement.protocol import WARMUP_SHARE, Round
from pytest_energy.measurement.sentences import (
    contention_notes,
    counts_cpu_time,
    drift_notes,
    host_notes,
    neighbour_notes,
    reason_of,
)
from pytest_energy.record.contention import added_joules, doubt_of_cheapest, doubt_of_excess
from pytest_energy.record.schema import (
    ChannelRecord,
    LapsRecord,
    RoundRecord,
    TestRecord,
    judged,
)
from pytest_energy.rules.estimate import MIN_ROUNDS, Estimate, estimate
from pytest_energy.rules.verdict import Finding, Rule, Verdict
from pytest_energy.sensors.base import Channel, Kind, Provenance, SensorFault
from pytest_energy.units import (
    percent,
)

#: Reason codes of verdicts that a figure within its interval comes to.
CODES = {
    Verdict.FAIL: "over-limit",
    Verdict.CLOSE: "close-to-limit",
    Verdict.NO_BUDGET: "no-limit",
}


def test_record(
    job: Job,
    judgement: Judgement,
    warmup: Sequence[Round],
    around: Surroundings,
    intensity: Intensity | None,
) -> TestRecord:
    """The record of one measurement against one of its budgets.

    What others add to a figure only makes it larger: a pass stands, and a fail is inconclusive.
    """
    declaration, budget, coverage = job.declaration, judgement.budget, judgement.coverage
    measured, unit, limit = judgement.measured, judgement.unit, judgement.limit
    problem = problem_of(judgement, True) or around.problem
    # The figure of a GPU that worked holds this test's work, and the whole machine all of its own
    # servers; a sensor may be read over a socket too.
    if not (is_device_busy(judgement) or coverage.scope is Scope.MACHINE):
        problem = problem or around.elsewhere
    if code_of(problem) == "no-work-seen":
        problem = around.elsewhere or problem
    verdict = Verdict.UNMEASURED if problem else judgement.verdict or Verdict.UNMEASURED
    other_processes = around.other_processes_on(coverage.gated_names)
    contention = counts_cpu_time(coverage) and has_contention(measured)
    doubt, unseen, explanation, joules, compared, clean = "", "", None, None, None, None
    if not problem:
        clean = judgement.cleaned
        values = values_of(judgement)
        units = units_of(judgement)
        compared = estimate(values, units)
        joules = estimate(joules_per_unit(judgement, coverage.gated), units)
        explanation = explain(measured, unit, values, coverage.gated, around)
        if clean is not None and clean.values and joules is not None:
            explanation = without_disturbed_laps(explanation, joules.centre, clean.seconds_per_unit)
        lowest = min(values) / limit if contention and limit is not None else None
        doubt = doubt_of_excess(other_processes, lowest, 1 + judgement.tolerance, "limit")
        if verdict is Verdict.FAIL:
            doubt = doubt or _cheap_calls(judgement)
        unseen = _unseen_inputs(judgement)
    if unseen or (verdict is Verdict.FAIL and doubt):
        verdict, doubt = Verdict.INCONCLUSIVE, unseen or doubt
    finding = Finding(
        rule=Rule.MEASUREMENT if problem else Rule.LIMIT,
        verdict=verdict,
        reason=problem or reason_of(verdict, judgement, compared, explanation, doubt, intensity),
        code=code_of(problem, "unmeasured") if problem else _code(verdict, doubt, compared),
    )
    return TestRecord(
        id=job.test_id,
        name=job.name,
        task=declaration.task,
        model=declaration.model,
        labels=dict(declaration.labels),
        unit=unit,
        scope=str(coverage.scope),
        joules_per_unit=joules.centre if joules else None,
        interval=joules.interval if joules else None,
        grams_per_unit=intensity.grams(joules.centre) if joules and intensity else None,
        cpu_seconds_per_unit=_cpu_seconds(judgement, clean),
        channels=tuple(
            _channel(judgement, channel, channel in coverage.gated) for channel in coverage.channels
        ),
        rounds=(
            *(_round(each, coverage, unit, None) for each in warmup),
            *(
                _round(each, coverage, unit, seconds)
                for each, seconds in zip(
                    measured,
                    (clean and clean.values) or [None] * len(measured),
                    strict=True,
                )
            ),
        ),
        budget=budget_record(budget, judgement.tolerance if coverage.method else None),
        limit_joules_per_unit=None if budget.counts_cpu_time else limit,
        fraction_of_limit=compared.centre / limit if compared and limit else None,
        verdict=str(finding.verdict),
        reason=finding.reason,
        method=coverage.method,
        attempt=job.attempt,
        other_cores=other_cores(measured),
        other_processes=other_processes,
        contention=contention,
        code=finding.code,
        findings=(finding,),
        explanation=explanation,
        laps=_laps(clean, judgement),
        load=job.load,
        notes=(
            *job.notices,
            *coverage.notes,
            *neighbour_notes(measured, coverage),
            *host_notes(measured, coverage),
            *(added_joules(each, "this figure") for each in other_processes),
            *around.unknown_on(coverage.gated_names),
            *contention_notes(contention, clean, measured),
            *drift_notes(explanation),
            *(() if job.is_compared else _suggested(declaration, judgement, joules)),
        ),
    )


def not_judged(record: TestRecord) -> TestRecord:
    """The record of energy that is shown beside a limit in FLOPs: it fails nothing."""
    reason, notes = record.reason, record.notes
    if record.verdict != Verdict.NO_BUDGET:
        reason = f"no energy limit to compare with; energy is {record.verdict}: {reason}"
        notes = (*notes, reason)
    (found,) = record.findings
    finding = replace(found, verdict=Verdict.NO_BUDGET, reason=reason, code=BESIDE_FLOPS)
    return replace(judged(record, finding), notes=notes)


def _cheap_calls(judgement: Judgement) -> str:
    """That a figure over its limit may hold what others added unseen, or ""."""
    cheapest, limit = least_of(judgement), judgement.limit
    ratio = cheapest / limit if cheapest and limit else None
    others = other_cores(judgement.measured)
    return doubt_of_cheapest(others, os.cpu_count() or 1, ratio, 1.0, "the limit")


def _unseen_inputs(judgement: Judgement) -> str:
    """That some inputs were never called, and may cost more than the others; or ""."""
    calls = sum(each.calls for each in judgement.measured)
    if calls >= judgement.cycle:
        return ""
    pace = sum(each.window.seconds for each in judgement.measured) / calls
    enough = pace * judgement.cycle * (MIN_ROUNDS + 1) / (1 - WARMUP_SHARE)
    return Reason(
        INPUTS_NOT_COVERED,
        f"{calls:,} of {judgement.cycle:,} inputs were called, and the others may cost more or "
        f"less: pass fewer inputs, or --energy-max-seconds {math.ceil(enough / 10) * 10}",
    )


def _laps(clean: Cleaned | None, judgement: Judgement) -> LapsRecord | None:
    if clean is None:
        return None
    return LapsRecord(
        laps=clean.laps,
        seconds=clean.seconds,
        affected=clean.affected,
        rounds_left_out=clean.values.count(None),
        spread=clean.spread if math.isfinite(clean.spread) else None,
        cheapest_cpu_seconds_per_unit=least(
            [each.window for each in judgement.measured], judgement.unit
        ),
        problem=clean.problem,
    )


def _cpu_seconds(judgement: Judgement, clean: Cleaned | None) -> float | None:
    if clean is not None and clean.values:
        undisturbed = [value for value in clean.values if value is not None]
        return estimate(undisturbed, units_of(judgement)).centre
    units = sum(each.units.get(judgement.unit, 0.0) for each in judgement.measured)
    seconds = sum(each.window.cpu_seconds for each in judgement.measured)
    return seconds / units if units > 0 else None


def _channel(judgement: Judgement, channel: Channel, gated: bool) -> ChannelRecord:
    try:
        values = joules_per_unit(judgement, [channel])
        joules = estimate(values, units_of(judgement)).centre if values else None
    except (SensorFault, KeyError, ValueError, ZeroDivisionError):
        joules = None  # a fault, 0 J or no units: no figure
    return ChannelRecord(
        name=channel.name,
        kind=str(channel.kind),
        source=channel.source,
        provenance=str(channel.provenance),
        gated=gated,
        joules_per_unit=joules,
        idle_watts=channel.idle_watts,
        hardware=channel.hardware,
    )


def _round(each: Round, coverage: Coverage, unit: str, undisturbed: float | None) -> RoundRecord:
    try:
        joules = each.window.joules(coverage.gated_names)
    except (SensorFault, KeyError):
        joules = None
    return RoundRecord(
        joules=joules,
        seconds=each.window.seconds,
        units=each.units.get(unit, 0.0),
        warmup=each.warmup,
        cpu_seconds=each.window.cpu_seconds,
        calls=each.calls,
        other_cpu_seconds=each.window.other_cpu_seconds,
        undisturbed_cpu_seconds_per_unit=undisturbed,
        all_units=dict(each.units),
    )


def _suggested(
    declaration: Declaration, judgement: Judgement, joules: Estimate | None
) -> tuple[str, ...]:
    budget = judgement.budget
    is_new = budget.units_of is None and budget.max_increase is None
    if not is_new or joules is None or _unseen_inputs(judgement):
        return ()
    upper, why = upper_end_of_one(joules, len(judgement.measured), judgement.coverage.method)
    headroom = upper / joules.centre - 1
    gated = judgement.coverage.gated
    if judgement.coverage.method == Provenance.MEASURED and all(
        each.kind is not Kind.GPU for each in gated
    ):  # another day the same test may be estimated, fifty times lower
        declaration = replace(declaration, method=Provenance.MEASURED)
    line = suggestion(declaration, judgement.unit, upper)
    sentence = f"{percent(headroom)} headroom{why}"
    return (f"no limit yet; the line to paste, with {sentence}:\n    {line}",)


def _code(verdict: Verdict, doubt: str, compared: Estimate | None) -> str:
    """The reason code of a verdict on a figure; "" for a pass."""
    if verdict is Verdict.INCONCLUSIVE:
        few = compared is not None and compared.interval is None
        return code_of(doubt) or ("few-rounds" if few else "too-noisy")
    return CODES.get(verdict, "")
