"""From judged rounds to the test's record: figure, finding, notes; pure."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace

from pytest_energy.carbon.intensity import Intensity
from pytest_energy.errors import BESIDE_FLOPS, INPUTS_NOT_COVERED, Reason, code_of
from pytest_energy.limits.budget import Declaration, Scope, budget_record, limit_figure, suggestion
from pytest_energy.limits.headroom import upper_end_of_one
from pytest_energy.measure.coverage import Coverage
from pytest_energy.measure.explanation import Surroundings, explain, has_contention, other_cores
from pytest_energy.measure.judgement import (
    Job,
    Judgement,
    cleaned_of,
    is_gpu_busy,
    joules_per_unit,
    problem_of,
    units_of,
    values_of,
)
from pytest_energy.measure.laps import Cleaned
from pytest_energy.measure.protocol import WARMUP_SHARE, Round
from pytest_energy.record.contention import added_joules, doubt_of_excess
from pytest_energy.record.schema import (
    CPU_TIME_METHOD,
    ChannelRecord,
    Explanation,
    LapsRecord,
    RoundRecord,
    TestRecord,
    judged,
)
from pytest_energy.rules.estimate import MIN_ROUNDS, Estimate, estimate
from pytest_energy.rules.verdict import Finding, Rule, Verdict
from pytest_energy.sensors.accelerators import torch_threads
from pytest_energy.sensors.base import Channel, Kind, Provenance, SensorFault
from pytest_energy.units import (
    CPU_TIME,
    Quantity,
    Scale,
    energy_scale,
    interval,
    per_unit,
    percent,
    time_and_power,
)

#: Reason codes of verdicts that a figure within its interval comes to.
CODES = {
    Verdict.FAIL: "over-limit",
    Verdict.CLOSE: "close-to-limit",
    Verdict.NO_BUDGET: "no-limit",
}
#: Other processes are reported when they use more than this next to the test.
NEIGHBOUR_SHARE = 0.10
NEIGHBOUR_CORES = 0.05
#: Of laps; a quiet machine disturbs fewer.
WORTH_SAYING = 0.10
#: Calls with the same input that differ by more have a spread of their own.
OWN_SPREAD = 0.20


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
    if not (is_gpu_busy(judgement) or coverage.scope is Scope.MACHINE):
        problem = problem or around.elsewhere
    if code_of(problem) == "no-work-seen":
        problem = around.elsewhere or problem
    verdict = Verdict.UNMEASURED if problem else judgement.verdict or Verdict.UNMEASURED
    other_processes = around.other_processes_on(coverage.gated_names)
    contention = _counts_cpu_time(coverage) and has_contention(measured)
    doubt, unseen, explanation, joules, compared, clean = "", "", None, None, None, None
    if not problem:
        clean = cleaned_of(judgement)
        values = values_of(judgement)
        units = units_of(judgement)
        compared = estimate(values, units)
        joules = estimate(joules_per_unit(judgement, coverage.gated), units)
        explanation = explain(measured, unit, values, coverage.gated, around)
        lowest = min(values) / limit if contention and limit is not None else None
        doubt = doubt_of_excess(other_processes, lowest, 1 + judgement.tolerance, "limit")
        unseen = _unseen_inputs(judgement)
    if unseen or (verdict is Verdict.FAIL and doubt):
        verdict, doubt = Verdict.INCONCLUSIVE, unseen or doubt
    finding = Finding(
        rule=Rule.MEASUREMENT if problem else Rule.LIMIT,
        verdict=verdict,
        reason=problem or _reason(verdict, judgement, compared, explanation, doubt, intensity),
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
        laps=_laps(clean),
        notes=(
            *job.notices,
            *coverage.notes,
            *_neighbours(measured, coverage),
            *(added_joules(each, "this figure") for each in other_processes),
            *around.unknown_on(coverage.gated_names),
            *_contention(contention, clean, measured),
            *_drift(explanation),
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


def _counts_cpu_time(coverage: Coverage) -> bool:
    return coverage.method in (CPU_TIME_METHOD, Provenance.ESTIMATED)


def _laps(clean: Cleaned | None) -> LapsRecord | None:
    if clean is None:
        return None
    return LapsRecord(
        laps=clean.laps,
        seconds=clean.seconds,
        affected=clean.affected,
        rounds_left_out=clean.values.count(None),
        spread=clean.spread if math.isfinite(clean.spread) else None,
        problem=clean.problem,
    )


def _contention(
    contention: bool, clean: Cleaned | None, measured: Sequence[Round]
) -> tuple[str, ...]:
    """What others did to the CPU time, what was done about it, and what is the work's own spread.

    contention: whether others kept the test from its cores.
    """
    if clean is None or not (clean.values or clean.problem):
        return _contention_remedy() if contention else ()
    if clean.problem:
        disturbed = contention or clean.affected >= WORTH_SAYING
        why = f"its figure holds what others add: {clean.problem}"
        return (*_contention_remedy(), why) if disturbed else ()
    notes = []
    if contention or clean.affected >= WORTH_SAYING:
        cores = other_cores(measured)
        used = (
            "" if cores is None else f"other processes used {cores:.1f} of {os.cpu_count()} cores; "
        )
        windows = f"{clean.laps:,} short windows ({clean.seconds * 1000:.0f} ms)"
        left_out = (
            f"{percent(clean.affected)} of {windows} were disturbed, and the figure leaves them out"
            if clean.affected
            else f"none of {windows} was disturbed"
        )
        notes.append(f"CPU contention: {used}{left_out}")
    if clean.spread >= OWN_SPREAD:
        notes.append(
            f"calls with the same input differ by {percent(clean.spread)} also where nothing "
            "disturbs them: the work's own spread, which the figure is the mean of"
        )
    return tuple(notes)


def _contention_remedy() -> tuple[str, ...]:
    """What helps against CPU contention."""
    threads = torch_threads()
    remedy = "measure on a quieter machine"
    if threads > 1:
        remedy = (
            f"torch uses {threads} threads: torch.set_num_threads(1), or OMP_WAIT_POLICY=PASSIVE "
            "in the environment before torch is imported, keeps its CPU time steady"
        )
    return (f"CPU contention increased the CPU time; {remedy}",)


def _drift(explanation: Explanation | None) -> tuple[str, ...]:
    slope = explanation.drift_per_round if explanation is not None else None
    if slope is None:
        return ()
    way, why = "rises", "the machine warms up, or memory grows"
    if slope < 0:
        way, why = "falls", "the work isn't warm yet, or other processes ended"
    return (f"the figure {way} by {percent(slope)} from round to round: {why}",)


def _cpu_seconds(judgement: Judgement, clean: Cleaned | None) -> float | None:
    if clean is not None and clean.values:
        undisturbed = [value for value in clean.values if value is not None]
        return estimate(undisturbed, units_of(judgement)).centre
    units = sum(each.units.get(judgement.unit, 0.0) for each in judgement.measured)
    seconds = sum(each.window.cpu_seconds for each in judgement.measured)
    return seconds / units if units > 0 else None


def _neighbours(measured: Sequence[Round], coverage: Coverage) -> tuple[str, ...]:
    """Others whose energy the CPU's counters hold too."""
    cores = other_cores(measured)
    kinds = {each.kind for each in coverage.gated if each.provenance is Provenance.MEASURED}
    if cores is None or not kinds & {Kind.CPU, Kind.DRAM}:
        return ()
    own = sum(each.window.cpu_seconds for each in measured)
    own /= sum(each.window.seconds for each in measured)
    if cores <= max(NEIGHBOUR_CORES, NEIGHBOUR_SHARE * own):
        return ()
    return (
        f"other processes kept {cores:.1f} cores busy, next to the {own:.1f} of this test, and "
        "the CPU's counters hold their energy too",
    )


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


def _reason(
    verdict: Verdict,
    judgement: Judgement,
    compared: Estimate | None,
    explanation: Explanation | None,
    doubt: str,
    intensity: Intensity | None,
) -> str:
    assert compared is not None
    budget, coverage, limit = judgement.budget, judgement.coverage, judgement.limit
    evidence = f"{', '.join(coverage.gated_names)}, {coverage.method}"
    if coverage.guessed:
        evidence += ", all allotted GPUs counted because it is unknown which are in use"
    if budget.limit is None or limit is None:
        return (
            f"{per_unit(compared.centre, judgement.unit)}, no limit to compare with, {evidence}"
            + (f"; but {doubt}" if doubt else "")
        )
    chosen = budget.limit
    shown = chosen.describe(limit_figure(chosen, compared.centre, intensity))
    scale = Scale(chosen.symbol, chosen.size)
    if chosen.per != 1 or chosen.quantity is Quantity.CARBON:
        shown = f"{per_unit(compared.centre, judgement.unit)} ({shown})"
        scale = energy_scale([compared.centre])
    if chosen.quantity is Quantity.CPU_TIME:
        shown = per_unit(compared.centre, judgement.unit, Quantity.CPU_TIME)
        scale = CPU_TIME
    against = f"the limit of {chosen} ({budget.origin})"
    if intensity is not None and limit_figure(chosen, 1.0, intensity) != 1.0:
        evidence += f", at {intensity}"
    if compared.interval:
        spread = f"(interval {interval(*compared.interval, scale)} {scale.symbol})"
    else:
        spread = f"(fewer than {MIN_ROUNDS} rounds, so no interval)"
    over = compared.centre / limit - 1
    by = percent(over)
    side = "over" if over > 0 else "under"
    made = (
        f"; {time_and_power(explanation.units_per_second, explanation.mean_watts, judgement.unit)}"
        if explanation is not None
        else ""
    )
    match verdict:
        case Verdict.FAIL:
            return f"{shown} is over {against} by {by} {spread}, {evidence}{made}"
        case Verdict.PASS:
            return f"{shown} is under {against} by {by} {spread}, {evidence}"
        case Verdict.CLOSE:
            return f"{shown} is close to {against}: {side} by {by} {spread}, {evidence}"
        case _ if doubt:
            return f"{shown} is {side} {against} by {by} {spread}, {evidence}; but {doubt}"
        case _ if compared.interval and compared.interval[0] > limit:
            return (
                f"{shown} is over {against} by {by} {spread}, {evidence}: within the tolerance of "
                f"{percent(judgement.tolerance)} that another session could explain, and more than "
                "the 10 % that is close; a counter instead of an estimate, or more room in the "
                "limit, would tell"
            )
        case _:
            return (
                f"{shown} cannot be distinguished from {against}: {side} by {by} {spread}, "
                f"{evidence}; {_would_tell(compared, coverage)}"
            )


def _would_tell(compared: Estimate, coverage: Coverage) -> str:
    """The smallest difference that shows here, and what makes a smaller one show."""
    smallest = ""
    if compared.interval:
        half = max(compared.interval[1] / compared.centre, compared.centre / compared.interval[0])
        smallest = f"smallest detectable difference here: {percent(half - 1)}; "
    helps = "a quieter machine, more --energy-max-seconds or more room in the limit would tell"
    if _counts_cpu_time(coverage):
        helps = f"energy.compare with the model in use, a limit in FLOPs, {helps}"
    return smallest + helps
