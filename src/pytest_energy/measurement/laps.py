"""Laps: rounds of CPU time in short pieces, so that those beside busy neighbours are left out.

What neighbours add to CPU time comes in bursts of 0.1 to 1 s, and a round inherits it. A lap of
about 5 ms lies inside a burst or outside, and a fixed piece of work, timed before and after each
lap, tells which. It knows nothing of the measured work, so work that costs now more, now less is
not made to look cheaper: the figure is a mean of laps that were chosen by something else. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from pytest_energy.errors import Reason, code_of
from pytest_energy.measurement.meter import Lap, Window
from pytest_energy.record.contention import CHEAPEST, MOST, STEADY
from pytest_energy.rules.estimate import MIN_ROUNDS
from pytest_energy.rules.statistics import robust_centre
from pytest_energy.units import percent

#: Long enough that timing the fixed work costs less than 1 % of it.
LAP_SECONDS = 0.005
#: Longer calls are longer than many bursts.
LONGEST_SECONDS = 0.3
#: The fixed work is at its quickest at this quantile, and slowed beyond so many times that.
QUICK = 0.05
SLOWED = 1.12
#: Laps miss work where they hold less than this share of the process tree's CPU time.
WHOLE = 0.98
#: Neighbours multiply CPU time by less, so laps that are left out and cost more did other work.
ADDED = 2.0
#: A round counts when this share of its laps was undisturbed, and an input with so many laps.
ROUND_SHARE = 0.10
INPUT_LAPS = 3
#: How far (a logarithm) the typical ratio of two works may lie from that of their sums.
TYPICAL = math.log(1.03)
#: So many turns have a robust centre.
ROBUST_TURNS = 5


_CROWDED = "contention"


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """The CPU seconds of each round for one unit, without its disturbed laps.

    values, units: of each round; None and 0 for one that is left out. seconds_per_unit: how long
    one unit took. laps, seconds: how many there were, and their mean length. affected: the share of
    them that was disturbed. spread: by how much undisturbed laps of the same input differ, as a
    fraction. problem: why no lap is left out and every round counts as a whole, or "".
    """

    values: tuple[float | None, ...] = ()
    units: tuple[float, ...] = ()
    seconds_per_unit: float = 0.0
    laps: int = 0
    seconds: float = 0.0
    affected: float = 0.0
    spread: float = 0.0
    problem: str = ""

    @property
    def counted(self) -> int:
        """How many rounds the figure rests on."""
        return len(self.values) - self.values.count(None)

    @property
    def may_improve(self) -> bool:
        """Whether more rounds could solve the problem."""
        return code_of(self.problem) == _CROWDED


def cleaned(windows: Sequence[Window], unit: str) -> Cleaned | None:
    """The rounds without their disturbed laps; None where they have no laps."""
    laps = [lap for window in windows for lap in window.laps]
    if not windows or not all(window.laps for window in windows):
        return None
    quick = _quantile([each.before for each in laps] + [each.after for each in laps], QUICK)
    begun = [each for each in laps if each.before <= SLOWED * quick]
    both = [each for each in begun if each.after <= SLOWED * quick]
    # The end of a lap may choose too where it can't prefer the cheaper ones: the laps that are left
    # hardly differ, and are a third or more. Of calls twice as long a ninth would be left then, and
    # those would show in the spread if they were more than 1 % of all calls.
    spread = _spread(both, unit)
    steady = len(both) >= MOST * len(begun) and spread <= STEADY
    chosen = both if steady else begun
    found = Cleaned(
        laps=len(laps),
        seconds=fmean([each.seconds for each in laps]),
        affected=1 - len(both) / len(laps),
        spread=spread if steady else _spread(begun, unit),
    )
    if problem := _problem(windows, laps, chosen):
        return replace(found, problem=problem)
    groups = _by_position(chosen)
    rates = {position: _Rate.of(mine, unit) for position, mine in groups.items()}
    counted = sum(each.units for each in rates.values())
    if not counted:  # what the rounds say of themselves is the reason then
        return None
    figure = sum(each.seconds for each in rates.values()) / counted
    if len(chosen) < len(laps):  # asked after each round, so only where any was left out
        every = [_Rate.of(mine, unit) for mine in _by_position(laps).values()]
        of_all = sum(each.seconds for each in every) / sum(each.units for each in every)
        if of_all > ADDED * figure:
            return replace(found, problem=_other_work(of_all / figure))
    kept = {id(each) for each in chosen}
    values: list[float | None] = []
    units: list[float] = []
    for window in windows:
        mine = [each for each in window.laps if id(each) in kept]
        expected = sum(rates[each.position].expected(each, unit) for each in mine)
        used = sum(each.cpu_seconds for each in mine)
        counts = len(mine) >= ROUND_SHARE * len(window.laps) and min(expected, used) > 0
        values.append(figure * used / expected if counts else None)
        units.append(expected / figure if counts else 0.0)
    took = sum(fmean([each.seconds for each in mine]) for mine in groups.values())
    whole = replace(
        found, values=tuple(values), units=tuple(units), seconds_per_unit=took / counted
    )
    if None in values and whole.counted < MIN_ROUNDS:
        return replace(
            found, problem=Reason(_CROWDED, f"{percent(found.affected)} of the laps were disturbed")
        )
    return whole


def least(windows: Sequence[Window], unit: str) -> float | None:
    """The CPU seconds of one unit in the cheapest laps of each input.

    Others only add, so a figure is at least this; where calls with the same input differ by
    themselves, it is more. None where there are no laps, or where they miss work.
    """
    laps = [lap for window in windows for lap in window.laps]
    if not laps_hold_all(windows, laps):
        return None
    groups = _by_position(laps).values()
    seconds = units = 0.0
    for mine in groups:
        rate = _Rate.of(mine, unit)
        if rate.units <= 0:
            return None
        expected = [rate.expected(each, unit) for each in mine]
        costs = [
            each.cpu_seconds / usual
            for each, usual in zip(mine, expected, strict=True)
            if usual > 0
        ]
        seconds += rate.seconds * _quantile(costs, CHEAPEST) if costs else 0.0
        units += rate.units
    return seconds / units if units else None


def paired_ratios(
    candidate: Sequence[Window], reference: Sequence[Window], unit: str
) -> list[float]:
    """Candidate over reference, for one unit, in each round in which they took turns lap by lap.

    A round's ratio is the robust centre of its turns, because what neighbours do to single laps is
    far from normal. What one of the works costs in a few calls must count, though: where these
    ratios differ from those of the sums by more than 3 % on average, the sums are taken. Turns in
    which either was disturbed are left out where what is left hardly differs, and is a third or
    more; so are rounds without such a turn, if there are enough others.
    """
    pairs = zip(candidate, reference, strict=True)
    rounds = [list(zip(mine.laps, its.laps, strict=True)) for mine, its in pairs]
    turns = [turn for each in rounds for turn in each]
    ends = [end for turn in turns for lap in turn for end in (lap.before, lap.after)]
    slow = SLOWED * _quantile(ends, QUICK)
    kept = {id(turn) for turn in turns if all(max(lap.before, lap.after) <= slow for lap in turn)}
    left = [turn for turn in turns if id(turn) in kept]
    if len(left) >= MOST * len(turns) and all(
        _spread(mine, unit) <= STEADY for mine in zip(*left, strict=True)
    ):
        undisturbed = [[turn for turn in each if id(turn) in kept] for each in rounds]
        counted = [each for each in undisturbed if _has_ratio(each, unit)]
        rounds = counted if len(counted) >= MIN_ROUNDS else rounds
    sums = [_ratio(each, unit) for each in rounds]
    typical = [_typical_ratio(each, unit) for each in rounds]
    apart = fmean(map(math.log, sums)) - fmean(map(math.log, typical))
    return typical if abs(apart) <= TYPICAL else sums


def _typical_ratio(turns: Sequence[tuple[Lap, Lap]], unit: str) -> float:
    if len(turns) < ROBUST_TURNS or not all(_has_ratio([turn], unit) for turn in turns):
        return _ratio(turns, unit)
    return math.exp(robust_centre([math.log(_ratio([turn], unit)) for turn in turns]).value)


def _has_ratio(turns: Sequence[tuple[Lap, Lap]], unit: str) -> bool:
    """Whether both works did something in these turns."""
    return all(
        any(turn[side].units.get(unit, 0.0) > 0 for turn in turns)
        and any(turn[side].cpu_seconds > 0 for turn in turns)
        for side in (0, 1)
    )


def _ratio(turns: Sequence[tuple[Lap, Lap]], unit: str) -> float:
    """Of the CPU seconds for one unit."""
    seconds = [sum(turn[side].cpu_seconds for turn in turns) for side in (0, 1)]
    units = [sum(turn[side].units.get(unit, 0.0) for turn in turns) for side in (0, 1)]
    return seconds[0] / units[0] / (seconds[1] / units[1])


def _problem(windows: Sequence[Window], laps: Sequence[Lap], chosen: Sequence[Lap]) -> str:
    if not laps_hold_all(windows, laps):
        seen = sum(each.cpu_seconds for each in laps)
        used = sum(each.cpu_seconds for each in windows)
        return (
            f"{percent(1 - seen / used if used else 0.0)} of the CPU time was used outside the "
            "short windows, for example in child processes"
        )
    length = fmean(each.seconds for each in laps)
    if length > LONGEST_SECONDS:
        return (
            f"a call takes {length:.2g} s, longer than many bursts of other processes; "
            "energy.compare, which alternates two candidates, is less affected"
        )
    left = _by_position(chosen)
    for position, mine in _by_position(laps).items():
        if len(left.get(position, ())) >= min(INPUT_LAPS, len(mine)):
            continue
        return Reason(_CROWDED, "some inputs were hardly called while the core was undisturbed")
    return ""


def _other_work(times: float) -> str:
    return Reason(
        _CROWDED,
        f"all laps take {times:.1f} times the CPU time of the undisturbed ones, more than other "
        "processes add, so some calls cost much more than others",
    )


def laps_hold_all(windows: Sequence[Window], laps: Sequence[Lap]) -> bool:
    """Whether these laps hold the CPU time of the whole process tree in the windows."""
    seen = sum(each.cpu_seconds for each in laps)
    used = sum(each.cpu_seconds for each in windows)
    return WHOLE * used <= seen <= used / WHOLE


@dataclass(frozen=True)
class _Rate:
    """What a lap at one place in the cycle of inputs costs and does on average."""

    seconds: float
    units: float
    calls: float

    @classmethod
    def of(cls, laps: Sequence[Lap], unit: str) -> _Rate:
        return cls(
            # Of lists: there are tens of thousands of laps, and fmean counts a generator in Python.
            fmean([each.cpu_seconds for each in laps]),
            fmean([each.units.get(unit, 0.0) for each in laps]),
            fmean([each.calls for each in laps]),
        )

    def expected(self, lap: Lap, unit: str) -> float:
        """The CPU seconds of a lap that did so many units."""
        if self.units > 0:
            return self.seconds * lap.units.get(unit, 0.0) / self.units
        return self.seconds * lap.calls / self.calls


def _by_position(laps: Iterable[Lap]) -> Mapping[int, Sequence[Lap]]:
    found: dict[int, list[Lap]] = {}
    for each in laps:
        found.setdefault(each.position, []).append(each)
    return found


def _spread(laps: Sequence[Lap], unit: str) -> float:
    """The coefficient of variation within each place of the cycle; infinite for too few laps."""
    groups = _by_position(laps).values()
    freedom = len(laps) - len(groups)
    if freedom < 1:
        return math.inf
    squares = 0.0
    for mine in groups:
        rate = _Rate.of(mine, unit)
        for each in mine:
            expected = rate.expected(each, unit)
            squares += (each.cpu_seconds / expected - 1) ** 2 if expected > 0 else math.inf
    return math.sqrt(squares / freedom)


def _quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]
