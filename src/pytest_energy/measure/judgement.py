"""From rounds to a verdict, a reason in one sentence, and the test's record; pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pytest_energy.carbon.intensity import Intensity
from pytest_energy.errors import INPUTS_NOT_COVERED, Reason, code_of
from pytest_energy.limits.budget import Budget, Declaration, Scope, limit_figure, suggestion
from pytest_energy.limits.limit import Quantity
from pytest_energy.limits.suggest import upper_end_of_one
from pytest_energy.measure.coverage import Coverage
from pytest_energy.measure.explanation import Surroundings, explain, is_crowded, other_cores
from pytest_energy.measure.protocol import WARMUP_SHARE, Round
from pytest_energy.record.schema import (
    CPU_TIME_METHOD,
    BudgetRecord,
    ChannelRecord,
    Explanation,
    RoundRecord,
    TestRecord,
)
from pytest_energy.rules.verdict import LOOKS, MIN_ROUNDS, Estimate, Verdict, estimate, look
from pytest_energy.sensors.accelerators import torch_threads
from pytest_energy.sensors.base import Channel, Kind, Provenance, SensorFault
from pytest_energy.units import (
    CPU_TIME,
    Scale,
    energy_scale,
    interval,
    per_unit,
    percent,
    time_and_power,
)

#: A process tree that uses less than this share of one core did no inference here.
IDLE_SHARE = 0.05
#: Part of some chips; work there leaves the CPU idle.
NEURAL_ENGINE = "ane:0"
#: Without a limit, measure until the interval is this narrow.
NARROW = 0.03
#: Reason codes of verdicts that a figure within its interval comes to.
CODES = {
    Verdict.FAIL: "over-limit",
    Verdict.CLOSE: "close-to-limit",
    Verdict.NO_BUDGET: "no-limit",
}
#: Others on the machine are worth a word when they use more than this beside the test.
NEIGHBOUR_SHARE = 0.10
NEIGHBOUR_CORES = 0.05


@dataclass(frozen=True)
class Job:
    """What is measured, for whom. `attempt` counts reruns from 1.

    budgets: at least one, without a limit where none stands. units: what is counted; the first is
    the unit of a test without a limit. cycle: how many calls see each input once; rounds of whole
    cycles do the same work. notices: what the summary says of its limits. is_compared: with another
    work, so that it needs no limit. empty_call_seconds: how long a call of nothing takes here.
    """

    test_id: str
    declaration: Declaration
    budgets: tuple[Budget, ...]
    units: tuple[str, ...]
    name: str | None = None
    attempt: int = 1
    cycle: int = 1
    notices: tuple[str, ...] = ()
    is_compared: bool = False
    empty_call_seconds: Callable[[], float] = float

    def unit_of(self, budget: Budget) -> str:
        return budget.unit if budget.limit is not None else self.units[0]


@dataclass
class Judgement:
    """One budget, what it covers, its limit as `judge` takes it, and the verdict once reached."""

    budget: Budget
    unit: str
    coverage: Coverage
    limit: float | None
    cycle: int = 1
    """How many calls see each input once."""
    verdict: Verdict | None = None
    measured: tuple[Round, ...] = ()
    """The rounds that the verdict was reached on."""

    @property
    def tolerance(self) -> float:
        chosen = self.budget.tolerance
        return self.coverage.tolerance if chosen is None else chosen

    def look(self, measured: Sequence[Round], *, final: bool) -> None:
        """Decide, if it can be decided now; a verdict once reached stays."""
        if self.verdict is None:
            self.measured = tuple(measured)
            self.verdict = judge(self, final)


@dataclass(frozen=True)
class Bench:
    """The judgements of one measurement, one for each of its budgets."""

    judgements: tuple[Judgement, ...]

    @property
    def channels(self) -> tuple[Channel, ...]:
        channels = [each for one in self.judgements for each in one.coverage.channels]
        return tuple(dict.fromkeys(channels))

    @property
    def window_seconds(self) -> float:
        return max(each.coverage.window_seconds for each in self.judgements)

    def is_done(self, measured: Sequence[Round], *, final: bool) -> bool:
        for each in self.judgements:
            each.look(measured, final=final)
        return all(each.verdict is not None for each in self.judgements)


def judge(judgement: Judgement, final: bool) -> Verdict | None:
    """The verdict on the rounds so far against the limit for one unit; None to go on.

    The limit is in joules, or CPU seconds where the coverage's method is "cpu-time".
    """
    if problem_of(judgement, final):
        return Verdict.UNMEASURED
    values, units = values_of(judgement), units_of(judgement)
    if judgement.limit is not None:
        return look(values, judgement.limit, judgement.tolerance, final=final, units=units)
    if final:
        return Verdict.NO_BUDGET
    if len(values) in LOOKS:
        found = estimate(values, units)
        if found.interval is not None and found.interval[1] <= found.centre * (1 + NARROW):
            return Verdict.NO_BUDGET
    return None


def problem_of(judgement: Judgement, final: bool) -> str:
    """Why these rounds are no measurement, or "". Each round is looked at by itself."""
    coverage, measured = judgement.coverage, judgement.measured
    if coverage.problem:
        return coverage.problem
    for each in measured:
        if each.units.get(judgement.unit, 0.0) <= 0:
            return Reason(
                "no-units", "no units were counted: the count of the work's results was 0"
            )
        for channel in coverage.gated:
            if each.window.seconds < channel.shortest_seconds:
                return Reason(
                    "window-too-short",
                    f"{channel.name} needs a window of {channel.shortest_seconds:.3g} s "
                    f"({channel.source}), and the work took {each.window.seconds:.2f} s",
                )
        try:
            if each.window.joules(coverage.gated_names) <= 0:
                names = ", ".join(coverage.gated_names)
                return Reason(
                    "zero-joules", f"{names} did not move: 0 J in {each.window.seconds:.2f} s"
                )
        except SensorFault as fault:
            return fault.reason
    return _idle(measured, coverage) if final or len(measured) >= MIN_ROUNDS else ""


def _is_gpu_busy(judgement: Judgement) -> bool:
    seconds = sum(each.window.seconds for each in judgement.measured)
    return any(
        each.kind is Kind.GPU
        and each.is_busy_at(sum(_joules(one, each.name) for one in judgement.measured) / seconds)
        for each in (judgement.coverage.gated if seconds else ())
    )


def _idle(measured: Sequence[Round], coverage: Coverage) -> str:
    """Work that happened somewhere else: the processes were idle and no GPU rose above idle."""
    seconds = sum(each.window.seconds for each in measured)
    cpu_seconds = sum(each.window.cpu_seconds for each in measured)
    devices = [each.name for each in coverage.channels if each.kind is Kind.GPU]
    devices += [each.name for each in coverage.channels if each.name == NEURAL_ENGINE]
    watts = {name: sum(_joules(each, name) for each in measured) / seconds for name in devices}
    moved = any(
        each.is_busy_at(watts[each.name]) for each in coverage.channels if each.name in watts
    )
    if cpu_seconds >= IDLE_SHARE * seconds or (moved and not coverage.guessed):
        return ""
    if coverage.guessed:
        return Reason(
            "gpu-unknown",
            f"the test's processes used {percent(cpu_seconds / seconds)} of one core, and nothing "
            "tells which GPU they used, if any; name those in use with --energy-gpus",
        )
    return Reason(
        "no-work-seen",
        f"the test's processes used {percent(cpu_seconds / seconds)} of one core and no GPU in use "
        "rose above its idle power, so the work happened where no sensor looks (a server, "
        "another machine), or there was none",
    )


def _joules(each: Round, name: str) -> float:
    reading = each.window.readings.get(name)
    return reading if isinstance(reading, float) else 0.0


def values_of(judgement: Judgement) -> list[float]:
    """What is compared, for one unit, in each round."""
    coverage, unit = judgement.coverage, judgement.unit
    if coverage.method == CPU_TIME_METHOD:
        return [each.window.cpu_seconds / each.units[unit] for each in judgement.measured]
    return _joules_per_unit(judgement, coverage.gated)


def units_of(judgement: Judgement) -> list[float]:
    """How many units lie behind each of the values."""
    return [each.units[judgement.unit] for each in judgement.measured]


def _joules_per_unit(judgement: Judgement, channels: Sequence[Channel]) -> list[float]:
    names = [channel.name for channel in channels]
    return [each.window.joules(names) / each.units[judgement.unit] for each in judgement.measured]


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
    if not (_is_gpu_busy(judgement) or coverage.scope is Scope.MACHINE):
        problem = problem or around.elsewhere
    if code_of(problem) == "no-work-seen":
        problem = around.elsewhere or problem
    verdict = Verdict.UNMEASURED if problem else judgement.verdict or Verdict.UNMEASURED
    other_processes = around.strangers_on(coverage.gated_names)
    contention = _counts_cpu_time(coverage) and is_crowded(measured)
    doubt, unseen, explanation, joules, compared = "", "", None, None, None
    if not problem:
        values = values_of(judgement)
        units = units_of(judgement)
        compared = estimate(values, units)
        joules = estimate(_joules_per_unit(judgement, coverage.gated), units)
        explanation = explain(measured, unit, values, coverage.gated, around)
        doubt = _doubt(judgement, values, other_processes, contention=contention)
        unseen = _unseen_inputs(judgement)
    if unseen or (verdict is Verdict.FAIL and doubt):
        verdict, doubt = Verdict.INCONCLUSIVE, unseen or doubt
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
        cpu_seconds_per_unit=_cpu_seconds(judgement),
        channels=tuple(
            _channel(judgement, channel, channel in coverage.gated) for channel in coverage.channels
        ),
        rounds=tuple(_round(each, coverage, unit) for each in (*warmup, *measured)),
        budget=_budget(judgement),
        limit_joules_per_unit=None if budget.counts_cpu_time else limit,
        fraction_of_limit=compared.centre / limit if compared and limit else None,
        verdict=str(verdict),
        reason=problem or _reason(verdict, judgement, compared, explanation, doubt, intensity),
        method=coverage.method,
        attempt=job.attempt,
        other_cores=other_cores(measured),
        other_processes=other_processes,
        contention=contention,
        code=code_of(problem, "unmeasured") if problem else _code(verdict, doubt, compared),
        explanation=explanation,
        notes=(
            *job.notices,
            *coverage.notes,
            *_neighbours(measured, coverage),
            *(f"{each} added its joules to this figure" for each in other_processes),
            *around.unknown_on(coverage.gated_names),
            *(_crowd() if contention else ()),
            *_drift(explanation),
            *(() if job.is_compared else _suggested(declaration, judgement, joules)),
        ),
    )


def _doubt(
    judgement: Judgement,
    values: Sequence[float],
    other_processes: Sequence[str],
    *,
    contention: bool,
) -> str:
    """Why a figure may be larger than the work's own, or ""."""
    if other_processes:
        return Reason(
            "other-process",
            f"{other_processes[0]} added joules, so it is unknown whose they are: "
            "measure without it",
        )
    # CPU time grows in a crowd, most of all that of threads which spin while they wait.
    if judgement.limit is None or not contention:
        return ""
    least = min(values) / judgement.limit
    if least > 1 + judgement.tolerance:
        return ""
    return Reason(
        "contention",
        f"there was CPU contention, and the lowest round is at {percent(least)} of the limit",
    )


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


def _crowd() -> tuple[str, ...]:
    """What helps against CPU contention."""
    threads = torch_threads()
    remedy = "run it on a quieter machine"
    if threads > 1:
        remedy = (
            f"torch uses {threads} threads: torch.set_num_threads(1), or OMP_WAIT_POLICY=PASSIVE "
            "in the environment before torch is imported, keeps its CPU time steady"
        )
    return (f"CPU contention makes CPU time grow here; {remedy}",)


def _drift(explanation: Explanation | None) -> tuple[str, ...]:
    slope = explanation.drift_per_round if explanation is not None else None
    if slope is None:
        return ()
    way, why = "rises", "the machine warms up, or memory grows"
    if slope < 0:
        way, why = "falls", "the work isn't warm yet, or other processes ended"
    return (f"the figure {way} by {percent(slope)} from round to round: {why}",)


def _budget(judgement: Judgement) -> BudgetRecord | None:
    budget = judgement.budget
    if budget.limit is None:
        return None
    tolerance = judgement.tolerance if judgement.coverage.method else None
    method = str(budget.method or "")
    return BudgetRecord(
        limit=budget.limit.text,
        origin=budget.origin,
        message=budget.message,
        tolerance=tolerance,
        method=method,
    )


def _cpu_seconds(judgement: Judgement) -> float | None:
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
        f"other processes kept {cores:.1f} cores busy beside the {own:.1f} of this test, and "
        "the CPU's counters hold their energy too",
    )


def _channel(judgement: Judgement, channel: Channel, gated: bool) -> ChannelRecord:
    try:
        values = _joules_per_unit(judgement, [channel])
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


def _round(each: Round, coverage: Coverage, unit: str) -> RoundRecord:
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
    )


def _suggested(
    declaration: Declaration, judgement: Judgement, joules: Estimate | None
) -> tuple[str, ...]:
    budget = judgement.budget
    is_new = budget.limit is None and budget.max_increase is None
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
        shown = per_unit(compared.centre, judgement.unit, is_cpu_time=True)
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
                f"{evidence}; a quieter machine, more --energy-max-seconds or more room in the "
                "limit would tell"
            )
