"""Several works, measured alternately, so that what the machine does affects all of them.

Counters are read window by window. CPU time is read in laps of about 5 ms, so works whose CPU time
decides take turns lap by lap inside one window: a burst of a neighbour then hits all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Protocol, TypeVar

from pytest_energy.measurement.laps import laps_hold_all
from pytest_energy.measurement.meter import Lap, Meter, Window
from pytest_energy.measurement.protocol import (
    MARGIN,
    GrowingLaps,
    Round,
    Setup,
    Units,
    calls_for,
    calls_in_lap,
    feasible_cycle,
    one_round,
    warm_up,
)
from pytest_energy.sensors.base import Channel, Reading, SensorFault
from pytest_energy.sensors.cpu_time import CHANNEL

__tracebackhide__ = True  # a failing test's traceback ends in the user's lines

#: Calls have collapsed below this share of the first one.
COLLAPSED = 0.1
#: The measured rounds of each work.
InterleavedRounds = Sequence[Sequence[Round]]


class PairsJudge(Protocol):
    """Says what is read once warm-up has shown what is in use, and when the rounds are enough."""

    @property
    def channels(self) -> tuple[Channel, ...]: ...

    @property
    def window_seconds(self) -> float: ...

    @property
    def lap_seconds(self) -> float:
        """How long each work's turn is; 0 for a whole window."""

    def is_done(self, measured: InterleavedRounds, *, final: bool) -> bool:
        """Whether nothing is left to decide; asked first without any round."""


SomeJudge = TypeVar("SomeJudge", bound=PairsJudge)


def run_interleaved(
    setup: Setup, cycle: int, works: int, make_judge: Callable[[], SomeJudge]
) -> Generator[int, Units, tuple[list[list[Round]], SomeJudge]]:
    """Warm every work up, then measure one round of each, alternately forwards and backwards.

    Of two works that is A B B A A B ..., so what drifts evenly favours neither. A round of each
    shares one window where they take turns lap by lap. Gives all rounds of
    each work, warm-up first, and the judge. The arguments are those of `run_rounds`; each work
    but the first has the time that one measurement has.
    """
    meter, clock, limits = setup.meter, setup.clock, setup.limits
    max_seconds = limits.max_seconds * max(works - 1, 1)
    started = clock.now()
    rounds: list[list[Round]] = []
    for work in range(works):
        warm = yield from warm_up(setup, cycle, work)
        rounds.append(warm)
    judge = make_judge()
    measured: list[list[Round]] = [[] for _ in range(works)]
    if judge.is_done(measured, final=False):
        return rounds, judge
    names = [channel.name for channel in judge.channels]
    aim = judge.window_seconds * MARGIN
    calls = [calls_for(each[-1], aim) for each in rounds]
    share = (started + max_seconds - clock.now()) / works
    cycle = min(feasible_cycle(each, cycle, share) for each in rounds)
    lap_calls = max(calls_in_lap(each[-1], judge.lap_seconds, cycle) for each in rounds)
    while True:
        before = clock.now()
        order = list(range(works) if len(measured[0]) % 2 == 0 else reversed(range(works)))
        if lap_calls:
            shared = yield from _shared_round(
                meter,
                names,
                judge.window_seconds * works,
                order,
                cycle,
                lap_calls,
                judge.lap_seconds,
            )
            if shared is None:
                lap_calls = 0
                continue
            for work, latest in enumerate(shared):
                measured[work].append(latest)
                rounds[work].append(latest)
        for work in () if lap_calls else order:
            latest = yield from one_round(
                meter,
                names,
                calls[work],
                judge.window_seconds,
                warmup=False,
                work=work,
                cycle=cycle,
            )
            measured[work].append(latest)
            rounds[work].append(latest)
            calls[work] = max(calls[work], calls_for(latest, aim))
        for work in order:
            if _has_collapsed(rounds[work]):
                many = calls_for(rounds[work][-1], aim)
                alone = yield from one_round(
                    meter,
                    names,
                    many,
                    aim,
                    warmup=True,
                    work=work,
                    cycle=cycle,
                    lap_calls=lap_calls
                    and calls_in_lap(rounds[work][-1], judge.lap_seconds, cycle),
                    lap_seconds=judge.lap_seconds,
                )
                rounds[work].append(alone)
        setup.progress(rounds[0])
        took = clock.now() - before
        final = len(measured[0]) >= limits.max_rounds or clock.now() - started + took > max_seconds
        if judge.is_done(measured, final=final) or final:
            return rounds, judge


def _has_collapsed(rounds: Sequence[Round]) -> bool:
    """Whether a first call that was all of warm-up took much longer than those that followed.

    In a turn of a few quick calls, turning takes longer than they do. Many of them alone show
    whether there is any work.
    """
    first, *following = rounds
    if any(each.warmup for each in following):
        return False
    latest = following[-1]
    return latest.window.seconds / latest.calls < COLLAPSED * first.window.seconds / first.calls


def _shared_round(
    meter: Meter,
    names: Sequence[str],
    at_least_seconds: float,
    order: Sequence[int],
    cycle: int,
    lap_calls: int,
    lap_seconds: float,
) -> Generator[int, Units, list[Round] | None]:
    """One window in which the works take turns lap by lap, as a round of each.

    None where laps don't hold the CPU time that was used, so that nothing tells whose it was.
    """
    laps = GrowingLaps(len(order), lap_calls, lap_seconds, cycle)
    done = 0
    with meter.window(names, laps=True) as measured:
        while done % cycle or not laps.of[0] or meter.elapsed() < at_least_seconds:
            made = laps.end(done) - done
            for work in order:
                units: dict[str, float] = {}
                for _ in range(made):
                    for unit, number in (yield work).items():
                        units[unit] = units.get(unit, 0.0) + number
                laps.of[work].append(meter.lap(done % cycle, made, units))
            done += made
            order = order[::-1]
            laps.grow(done)
    window = measured.window
    if not laps_hold_all([window], [lap for mine in laps.of for lap in mine]):
        return None
    calls = sum(each.calls for each in laps.of[0])
    return [Round(_part(window, mine), calls, _units(mine), warmup=False) for mine in laps.of]


def _part(window: Window, laps: Sequence[Lap]) -> Window:
    """What one work took of a window: CPU time as in its laps, all else by its time."""
    seconds = sum(each.seconds for each in laps)
    cpu_seconds = sum(each.cpu_seconds for each in laps)
    of_time = seconds / window.seconds
    of_cpu = cpu_seconds / window.cpu_seconds if window.cpu_seconds else of_time
    readings: dict[str, Reading] = {}
    for name, reading in window.readings.items():
        share = of_cpu if name == CHANNEL else of_time
        readings[name] = reading if isinstance(reading, SensorFault) else reading * share
    others, switches = window.other_cpu_seconds, window.involuntary_switches
    waited = window.waited_seconds
    return Window(
        seconds=seconds,
        readings=readings,
        cpu_seconds=cpu_seconds,
        other_cpu_seconds=None if others is None else others * of_time,
        involuntary_switches=None if switches is None else round(switches * of_time),
        waited_seconds=None if waited is None else waited * of_time,
        laps=tuple(laps),
    )


def _units(laps: Sequence[Lap]) -> Units:
    units: dict[str, float] = {}
    for lap in laps:
        for unit, number in lap.units.items():
            units[unit] = units.get(unit, 0.0) + number
    return units
