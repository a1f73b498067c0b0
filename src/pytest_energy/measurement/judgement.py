"""What one measurement is judged by, and the verdict that its rounds come to; pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_energy.errors import Reason
from pytest_energy.limits.budget import Budget, Declaration
from pytest_energy.measurement.coverage import Coverage
from pytest_energy.measurement.laps import LAP_SECONDS, Cleaned, cleaned, least
from pytest_energy.measurement.meter import Lap
from pytest_energy.measurement.protocol import Round
from pytest_energy.record.schema import CPU_TIME_METHOD, LoadRecord
from pytest_energy.rules.estimate import LOOKS, MIN_ROUNDS, estimate
from pytest_energy.rules.limit import look, undetectable
from pytest_energy.rules.verdict import Verdict
from pytest_energy.sensors import reference
from pytest_energy.sensors.base import Channel, Kind, SensorFault
from pytest_energy.units import percent

#: A process tree that uses less than this share of one core did no inference here.
IDLE_SHARE = 0.05
#: Part of some chips; work there leaves the CPU idle.
NEURAL_ENGINE = "ane:0"
#: Without a limit, measure until the interval is this narrow.
NARROW = 0.03
#: Half of an interval of CPU time. A wider one is worth a few more rounds where five took less.
WIDEST, SHORT_SECONDS = 0.05, 1.5


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is measured, for whom. `attempt` counts reruns from 1.

    budgets: at least one, without a limit where none stands. units: what is counted; the first is
    the unit of a test without a limit. cycle: how many calls see each input once; rounds of whole
    cycles do the same work. notices: what the summary says of its limits. is_compared: with another
    work, so that it needs no limit. empty_laps: measures calls of nothing.
    load: the requests that were kept in flight.
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
    empty_laps: Callable[[], Sequence[Lap]] = tuple
    load: LoadRecord | None = None

    def unit_of(self, budget: Budget) -> str:
        return budget.unit if budget.units_of is not None else self.units[0]


@dataclass(kw_only=True)
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
    _cleaned: tuple[tuple[Round, ...], Cleaned | None] = ((), None)
    """Rounds, and what was made of them."""

    @property
    def tolerance(self) -> float:
        chosen = self.budget.tolerance
        return self.coverage.tolerance if chosen is None else chosen

    @property
    def cleaned(self) -> Cleaned | None:
        """The rounds without their disturbed laps; None where they have none.

        Computed once for the same rounds: many ask for it, and it takes milliseconds.
        """
        rounds, found = self._cleaned
        if rounds != self.measured:
            windows = [each.window for each in self.measured]
            found = cleaned(windows, self.unit) if self.coverage.is_cpu_time else None
            self._cleaned = (self.measured, found)
        return found

    def see(self, measured: Sequence[Round]) -> None:
        """Take these rounds, unless the verdict was reached."""
        if self.verdict is None:
            self.measured = tuple(measured)

    def look(self, measured: Sequence[Round], *, final: bool) -> None:
        """Decide, if it can be decided now; a verdict once reached stays."""
        self.see(measured)
        if self.verdict is None:
            self.verdict = judge(self, final)


@dataclass(frozen=True)
class BudgetJudge:
    """Judges the rounds of one measurement by each of its budgets."""

    judgements: tuple[Judgement, ...]

    @property
    def channels(self) -> tuple[Channel, ...]:
        channels = [each for one in self.judgements for each in one.coverage.channels]
        return tuple(dict.fromkeys(channels))

    @property
    def window_seconds(self) -> float:
        return max(each.coverage.window_seconds for each in self.judgements)

    @property
    def lap_seconds(self) -> float:
        """Counters can't be read in short pieces; what times them would be in their figures."""
        is_cpu_time = all(each.coverage.is_cpu_time for each in self.judgements)
        return LAP_SECONDS if is_cpu_time and reference.is_readable() else 0.0

    def counted(self, measured: Sequence[Round]) -> int:
        """How many of these rounds count; those that others disturbed throughout don't."""
        if not self.lap_seconds:
            return len(measured)
        undecided = [each for each in self.judgements if each.verdict is None]
        for each in undecided:
            each.see(measured)
        found = [each.cleaned for each in undecided]
        return min(
            (
                len(measured)
                if clean is None or not (clean.may_improve or clean.values)
                else clean.counted
                for clean in found
            ),
            default=len(measured),
        )

    @property
    def coverage(self) -> Coverage:
        """Of the first budget."""
        return self.judgements[0].coverage

    def undetectable(self, rounds: int) -> float | None:
        """The difference (a fraction) below which so many rounds will likely show nothing."""
        is_open = [each for each in self.judgements if each.verdict is None]
        found = [
            undetectable(values_of(each), each.limit, each.tolerance, units_of(each), rounds)
            for each in is_open
            if each.limit is not None and not problem_of(each, False)
        ]
        return max((each for each in found if each is not None), default=None)

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
    clean = judgement.cleaned
    if clean is not None and clean.may_improve and not final:
        return None
    values, units = values_of(judgement), units_of(judgement)
    if judgement.limit is not None:
        return look(
            values,
            judgement.limit,
            judgement.tolerance,
            final=final,
            units=units,
            widest=WIDEST if _is_short(judgement) else math.inf,
        )
    if final:
        return Verdict.NO_BUDGET
    if len(values) in LOOKS:
        found = estimate(values, units)
        if found.interval is not None and found.interval[1] <= found.centre * (1 + NARROW):
            return Verdict.NO_BUDGET
    return None


def _is_short(judgement: Judgement) -> bool:
    """Whether the rounds are so short that a few more keep the test within three seconds."""
    seconds = sum(each.window.seconds for each in judgement.measured)
    return judgement.coverage.is_cpu_time and seconds < SHORT_SECONDS


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


def is_device_busy(judgement: Judgement) -> bool:
    """Whether a gated GPU, or a counter of another machine, rose above its idle power."""
    seconds = sum(each.window.seconds for each in judgement.measured)
    return any(
        (each.kind is Kind.GPU or each.is_elsewhere)
        and each.is_busy_at(sum(_joules(one, each.name) for one in judgement.measured) / seconds)
        for each in (judgement.coverage.gated if seconds else ())
    )


def _idle(measured: Sequence[Round], coverage: Coverage) -> str:
    """Work that happened somewhere else: the processes were idle and no GPU rose above idle."""
    seconds = sum(each.window.seconds for each in measured)
    cpu_seconds = sum(each.window.cpu_seconds for each in measured)
    devices = [
        each.name for each in coverage.channels if each.kind is Kind.GPU or each.is_elsewhere
    ]
    devices += [each.name for each in coverage.channels if each.name == NEURAL_ENGINE]
    watts = {name: sum(_joules(each, name) for each in measured) / seconds for name in devices}
    moved = any(
        each.is_busy_at(watts[each.name]) for each in coverage.channels if each.name in watts
    )
    remote = [each for each in coverage.gated if each.is_elsewhere]
    if remote and not any(
        each.is_busy_at(watts[each.name]) for each in coverage.gated if each.name in watts
    ):
        names = ", ".join(
            f"{each.name} ({watts[each.name]:.3g} W, idle {each.idle_watts or 0.0:.3g} W)"
            for each in remote
        )
        return Reason(
            "no-work-seen",
            f"none of what --energy-remote names rose above its idle power: {names}; the work "
            "happened elsewhere, or other work ran there when the session began; check the "
            "address, and run the test again",
        )
    ran_seconds = sum(each.window.ran_seconds for each in measured)
    if cpu_seconds >= IDLE_SHARE * ran_seconds or (moved and not coverage.guessed):
        return ""
    if coverage.guessed:
        return Reason(
            "gpu-unknown",
            f"the test's processes used {percent(cpu_seconds / ran_seconds)} of one core, and "
            "nothing tells which GPU they used, if any; name those in use with --energy-gpus",
        )
    return Reason(
        "no-work-seen",
        f"the test's processes used {percent(cpu_seconds / ran_seconds)} of one core and no GPU in "
        "use rose above its idle power, so the work happened where no sensor looks (a server, "
        "another machine), or there was none; measure where the model runs, or add the process of "
        "a server with --energy-pids=PID",
    )


def _joules(each: Round, name: str) -> float:
    reading = each.window.readings.get(name)
    return reading if isinstance(reading, float) else 0.0


def values_of(judgement: Judgement) -> list[float]:
    """What is compared, for one unit, in each round that counts."""
    coverage = judgement.coverage
    if coverage.method != CPU_TIME_METHOD:
        return joules_per_unit(judgement, coverage.gated)
    return _undisturbed(judgement) or whole_values_of(judgement)


def whole_values_of(judgement: Judgement) -> list[float]:
    """The same of each round as a whole."""
    coverage = judgement.coverage
    if coverage.method == CPU_TIME_METHOD:
        amounts = [each.window.cpu_seconds for each in judgement.measured]
    else:
        amounts = [each.window.joules(coverage.gated_names) for each in judgement.measured]
    return _per_unit(judgement, amounts)


def units_of(judgement: Judgement) -> list[float]:
    """How many units lie behind each of the values."""
    clean = judgement.cleaned
    if clean is not None and clean.values:
        return [units for units in clean.units if units]
    return [each.units[judgement.unit] for each in judgement.measured]


def joules_per_unit(judgement: Judgement, channels: Sequence[Channel]) -> list[float]:
    names = [channel.name for channel in channels]
    joules = [each.window.joules(names) for each in judgement.measured]
    is_judged = tuple(names) == judgement.coverage.gated_names
    if is_judged and (seconds := _undisturbed(judgement)):
        watts = sum(joules) / sum(each.window.cpu_seconds for each in judgement.measured)
        return [watts * each for each in seconds]
    return _per_unit(judgement, joules)


def least_of(judgement: Judgement) -> float | None:
    """What is compared, for one unit, is at least this; None where no laps tell."""
    if not judgement.coverage.is_cpu_time:
        return None
    windows = [each.window for each in judgement.measured]
    found = least(windows, judgement.unit)
    if found is None or judgement.coverage.method == CPU_TIME_METHOD:
        return found
    joules = sum(each.joules(judgement.coverage.gated_names) for each in windows)
    return found * joules / sum(each.cpu_seconds for each in windows)


def _per_unit(judgement: Judgement, amounts: Sequence[float]) -> list[float]:
    """Amounts of each round, for one unit."""
    pairs = zip(amounts, judgement.measured, strict=True)
    return [amount / each.units[judgement.unit] for amount, each in pairs]


def _undisturbed(judgement: Judgement) -> list[float]:
    """CPU seconds for one unit; none where each round counts as a whole."""
    clean = judgement.cleaned
    return [] if clean is None else [value for value in clean.values if value is not None]
