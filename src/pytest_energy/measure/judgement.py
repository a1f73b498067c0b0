"""From rounds to a verdict, a reason in one sentence, and the test's record; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_energy.budgets import Budget, limit_figure, suggestion
from pytest_energy.carbon import Intensity
from pytest_energy.measure.coverage import CPU_TIME_METHOD, Coverage
from pytest_energy.measure.protocol import Round, Rounds
from pytest_energy.record import BudgetRecord, ChannelRecord, RoundRecord, TestRecord
from pytest_energy.sensors.base import Channel, Kind, Provenance, SensorFault
from pytest_energy.units import figure, plural, watt_hours_per_1000
from pytest_energy.verdict import LOOKS, MIN_ROUNDS, Estimate, Verdict, estimate, look

#: A process tree that uses less than this share of one core did no inference here.
IDLE_SHARE = 0.05
#: Without a limit, measure until the interval is this narrow.
NARROW = 0.03
#: Headroom of a suggested limit over the interval's upper end.
HEADROOM = 0.10
ESTIMATE_HEADROOM = 0.25


@dataclass(frozen=True)
class Job:
    """What is measured, for whom. `attempt` counts reruns from 1."""

    test_id: str
    budget: Budget
    unit: str
    name: str | None = None
    attempt: int = 1
    cycle: int = 1
    """How many calls see each input once; rounds of whole cycles do the same work."""


def judge(
    limit: float | None, measured: Sequence[Round], coverage: Coverage, final: bool
) -> Verdict | None:
    """The verdict on these rounds against the limit for one unit; None to go on.

    `limit` is in joules, or CPU seconds where the coverage's method is "cpu-time".
    """
    if problem_of(measured, coverage, final):
        return Verdict.UNMEASURED
    values = _values(measured, coverage)
    if limit is not None:
        return look(values, limit, coverage.tolerance, final=final)
    if final:
        return Verdict.NO_BUDGET
    if len(values) in LOOKS:
        found = estimate(values)
        if found.interval is not None and found.interval[1] <= found.centre * (1 + NARROW):
            return Verdict.NO_BUDGET
    return None


def problem_of(measured: Sequence[Round], coverage: Coverage, final: bool) -> str:
    """Why these rounds are no measurement, or "". Each round is looked at by itself."""
    if coverage.problem:
        return coverage.problem
    for each in measured:
        if each.units <= 0:
            return "no units were counted: the count of the work's results was 0"
        for channel in coverage.gated:
            if each.window.seconds < _shortest(channel):
                return (
                    f"{channel.name} needs a window of {channel.window_seconds:g} s "
                    f"({channel.source}), and the work took {each.window.seconds:.2f} s"
                )
        try:
            if each.window.joules(coverage.gated_names) <= 0:
                names = ", ".join(coverage.gated_names)
                return f"{names} did not move: 0 J in {each.window.seconds:.2f} s"
        except SensorFault as fault:
            return str(fault)
    return _idle(measured, coverage) if final or len(measured) >= MIN_ROUNDS else ""


def _shortest(channel: Channel) -> float:
    """The shortest window whose figure means something: counters are read on their own ticks."""
    return channel.window_seconds if channel.provenance is Provenance.INTEGRATED else 0.0


def _idle(measured: Sequence[Round], coverage: Coverage) -> str:
    """Work that happened somewhere else: the processes were idle and no GPU in use moved."""
    seconds = sum(each.window.seconds for each in measured)
    cpu_seconds = sum(each.window.cpu_seconds for each in measured)
    gpus = [each.name for each in coverage.channels if each.kind is Kind.GPU]
    moved = any(_joules(each, name) for each in measured for name in gpus)
    if cpu_seconds >= IDLE_SHARE * seconds or (moved and not coverage.guessed):
        return ""
    if coverage.guessed:
        return (
            f"the test's processes used {cpu_seconds / seconds:.1%} of one core, and nothing tells "
            "which GPU they used, if any; name those in use with --energy-gpus"
        )
    return (
        f"the test's processes used {cpu_seconds / seconds:.1%} of one core and no GPU in use "
        "moved, so the work happened where no sensor looks (a server, another machine), "
        "or there was none"
    )


def _joules(each: Round, name: str) -> float:
    reading = each.window.readings.get(name)
    return reading if isinstance(reading, float) else 0.0


def _values(measured: Sequence[Round], coverage: Coverage) -> list[float]:
    """What is compared, for one unit, in each round."""
    if coverage.method == CPU_TIME_METHOD:
        return [each.window.cpu_seconds / each.units for each in measured]
    return [each.window.joules(coverage.gated_names) / each.units for each in measured]


def test_record(
    job: Job, rounds: Rounds, limit: float | None, intensity: Intensity | None
) -> TestRecord:
    """The record of one measurement; `limit` as `judge` takes it."""
    budget, unit, coverage = job.budget, job.unit, rounds.coverage
    problem = problem_of(rounds.measured, coverage, True)
    verdict = Verdict.UNMEASURED if problem else rounds.verdict or Verdict.UNMEASURED
    joules = None if problem else _estimate_joules(rounds.measured, coverage.gated)
    compared = None if problem else estimate(_values(rounds.measured, coverage))
    return TestRecord(
        id=job.test_id,
        name=job.name,
        task=budget.task,
        model=budget.model,
        labels=dict(budget.labels),
        unit=unit,
        scope=str(coverage.scope),
        joules_per_unit=joules.centre if joules else None,
        interval=joules.interval if joules else None,
        grams_per_unit=intensity.grams(joules.centre) if joules and intensity else None,
        cpu_seconds_per_unit=_cpu_seconds(rounds.measured),
        channels=tuple(
            _channel(rounds.measured, channel, channel in coverage.gated)
            for channel in coverage.channels
        ),
        rounds=tuple(_round(each, coverage) for each in rounds.rounds),
        budget=BudgetRecord(budget.limit.text, budget.origin) if budget.limit else None,
        limit_joules_per_unit=None if budget.counts_cpu_time else limit,
        used=compared.centre / limit if compared and limit else None,
        verdict=str(verdict),
        reason=problem or _reason(verdict, budget, unit, compared, limit, coverage, intensity),
        method=coverage.method,
        attempt=job.attempt,
        notes=(*coverage.notes, *_suggested(budget, unit, joules, coverage)),
    )


def _estimate_joules(measured: Sequence[Round], channels: Sequence[Channel]) -> Estimate:
    names = [channel.name for channel in channels]
    return estimate([each.window.joules(names) / each.units for each in measured])


def _cpu_seconds(measured: Sequence[Round]) -> float | None:
    units = sum(each.units for each in measured)
    return sum(each.window.cpu_seconds for each in measured) / units if units > 0 else None


def _channel(measured: Sequence[Round], channel: Channel, gated: bool) -> ChannelRecord:
    try:
        joules = _estimate_joules(measured, [channel]).centre if measured else None
    except (SensorFault, ValueError, ZeroDivisionError):  # a fault, 0 J or no units: no figure
        joules = None
    return ChannelRecord(
        name=channel.name,
        kind=str(channel.kind),
        source=channel.source,
        provenance=str(channel.provenance),
        gated=gated,
        joules_per_unit=joules,
    )


def _round(each: Round, coverage: Coverage) -> RoundRecord:
    try:
        joules = each.window.joules(coverage.gated_names)
    except (SensorFault, KeyError):
        joules = None
    return RoundRecord(
        joules=joules,
        seconds=each.window.seconds,
        units=each.units,
        warmup=each.warmup,
        cpu_seconds=each.window.cpu_seconds,
        calls=each.calls,
    )


def _suggested(
    budget: Budget, unit: str, joules: Estimate | None, coverage: Coverage
) -> tuple[str, ...]:
    if budget.limit is not None or joules is None:
        return ()
    upper = joules.interval[1] if joules.interval else joules.centre
    headroom = ESTIMATE_HEADROOM if coverage.method == Provenance.ESTIMATED else HEADROOM
    line = suggestion(budget, unit, upper, headroom)
    return (f"no limit yet; the line to paste, with {headroom:.0%} headroom:\n    {line}",)


def _reason(
    verdict: Verdict,
    budget: Budget,
    unit: str,
    compared: Estimate | None,
    limit: float | None,
    coverage: Coverage,
    intensity: Intensity | None,
) -> str:
    assert compared is not None
    evidence = f"{', '.join(coverage.gated_names)}, {coverage.method}"
    if coverage.guessed:
        evidence += ", all allotted GPUs counted because none could be told to be in use"
    if budget.limit is None or limit is None:
        watt_hours = figure(watt_hours_per_1000(compared.centre))
        return f"{watt_hours} Wh / 1000 {plural(unit)}, no limit to compare with, {evidence}"
    chosen = budget.limit

    def amount(value: float) -> float:
        return chosen.amount_of(limit_figure(chosen, value, intensity))

    shown = f"{figure(amount(compared.centre))} {chosen.symbol} / {chosen.units}"
    against = f"the limit of {chosen} ({budget.origin})"
    if intensity is not None and limit_figure(chosen, 1.0, intensity) != 1.0:
        evidence += f", at {intensity}"
    if compared.interval:
        low, high = (figure(amount(value)) for value in compared.interval)
        spread = f"(interval {low}..{high})"
    else:
        spread = f"(fewer than {MIN_ROUNDS} rounds, so no interval)"
    over = compared.centre / limit - 1
    by = f"{abs(over):.0%}".replace("%", " %")
    side = "over" if over > 0 else "under"
    match verdict:
        case Verdict.FAIL:
            return f"{shown} is over {against} by {by} {spread}, {evidence}"
        case Verdict.PASS:
            return f"{shown} is under {against} by {by} {spread}, {evidence}"
        case Verdict.CLOSE:
            return f"{shown} is close to {against}: {side} by {by} {spread}, {evidence}"
        case _:
            return (
                f"{shown} can't be told from {against}: {side} by {by} {spread}, {evidence}; "
                "a quieter machine, more --energy-max-seconds or more room in the limit would tell"
            )
