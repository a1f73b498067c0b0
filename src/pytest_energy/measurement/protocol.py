"""Warm-up, rounds and looks, as a generator that asks for calls.

The generator yields the index of the work each time this is to be called once (0 where there is
only one), and is sent what this call did, by unit. So one protocol drives plain functions,
coroutines and test bodies alike, and a test can drive it with a virtual clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol, TypeVar

from pytest_energy.measurement.meter import Lap, Meter, Window
from pytest_energy.sensors.base import Channel, Clock

__tracebackhide__ = True  # a failing test's traceback ends in the user's lines

WARMUP_ROUNDS = 2
WARMUP_SECONDS = 3.0
CPU_WARMUP_SECONDS = 0.5
#: Warm-up never takes more of a test's time than this.
WARMUP_SHARE = 0.25
#: Rounds of a quiet machine differ by less.
SPREAD_FLOOR = 0.02
#: Windows are aimed a little longer than they must be, so that few are found too short.
MARGIN = 1.1
MAX_CALLS = 10_000_000
#: Laps of less than this part of their length are far too short.
SHORT_LAP = 10
#: So many times the rounds are measured where others disturb most of them.
MOST_ROUNDS = 3

#: What one call did, by unit.
Units = Mapping[str, float]


@dataclass(frozen=True)
class Round:
    """One window in which the work was called `calls` times and did `units`."""

    window: Window
    calls: int
    units: Units
    warmup: bool


class Judge(Protocol):
    """Says what is read once warm-up has shown what is in use, and when the rounds are enough."""

    @property
    def channels(self) -> tuple[Channel, ...]: ...

    @property
    def window_seconds(self) -> float: ...

    @property
    def lap_seconds(self) -> float:
        """How long a lap is; 0 for rounds that are read as a whole."""

    def counted(self, measured: Sequence[Round]) -> int:
        """How many of these rounds count; those that others disturbed throughout don't."""

    def is_done(self, measured: Sequence[Round], *, final: bool) -> bool:
        """Whether nothing is left to decide; asked first without any round."""


SomeJudge = TypeVar("SomeJudge", bound=Judge)
Rounds = tuple[Round, ...]
Calls = Generator[int, Units, tuple[Rounds, SomeJudge]]


@dataclass(frozen=True)
class Limits:
    """How long a measurement may take."""

    max_rounds: int
    max_seconds: float


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a measurement is made with, whatever is measured.

    candidates: names of the channels that may turn out to be in use. warmup_seconds: that warm-up
    takes at least. progress: called with all rounds so far after each one.
    """

    meter: Meter
    clock: Clock
    limits: Limits
    candidates: Sequence[str]
    warmup_seconds: float
    progress: Callable[[Sequence[Round]], None]


class InputsUsedUp(Exception):
    """No input is left for the next call; thrown in where that call is asked for."""


def whole_cycles(calls: int, cycle: int) -> int:
    """Calls rounded up to whole cycles of the inputs.

    Rounds of whole cycles do the same work: every input counts, and none adds noise.
    """
    return math.ceil(calls / cycle) * cycle


def feasible_cycle(warm: Sequence[Round], cycle: int, seconds: float) -> int:
    """The cycle, or 1 where going through all inputs once takes longer than `seconds`."""
    settled = warm[1:] or warm  # the first call may compile
    pace = sum(each.window.seconds for each in settled) / sum(each.calls for each in settled)
    return cycle if cycle * pace <= seconds else 1


def run_rounds(setup: Setup, cycle: int, make_judge: Callable[[], SomeJudge]) -> Calls[SomeJudge]:
    """Measure until the judge is done: all rounds, and the judge.

    cycle: how many calls see each input once. make_judge: called once, after warm-up, when the
    devices in use have been seen. Where inputs are used up, the rounds until then count; raises
    InputsUsedUp where there is none.
    """
    clock, limits = setup.clock, setup.limits
    started = clock.now()
    rounds = yield from warm_up(setup, cycle)
    judge = make_judge()
    measured: list[Round] = []
    if judge.is_done(measured, final=False):
        return tuple(rounds), judge
    names = [channel.name for channel in judge.channels]
    calls = calls_for(rounds[-1], judge.window_seconds * MARGIN)
    ends = started + limits.max_seconds
    cycle = feasible_cycle(rounds, cycle, ends - clock.now())
    lap_calls = calls_in_lap(rounds[-1], judge.lap_seconds, cycle)
    while True:
        before = clock.now()
        try:
            latest = yield from one_round(
                setup.meter,
                names,
                calls,
                judge.window_seconds,
                warmup=False,
                cycle=cycle,
                at_most_seconds=ends - before,
                lap_calls=lap_calls,
                lap_seconds=judge.lap_seconds,
            )
        except InputsUsedUp:
            if not measured:
                raise
            judge.is_done(measured, final=True)
            return (*rounds, *measured), judge
        took = clock.now() - before
        is_whole = latest.calls % cycle == 0
        if is_whole or not measured:
            measured.append(latest)
        setup.progress([*rounds, *measured])
        calls = max(calls, calls_for(latest, judge.window_seconds * MARGIN))
        out_of_time = clock.now() + took > ends
        final = judge.counted(measured) >= limits.max_rounds or out_of_time or not is_whole
        final = final or len(measured) >= MOST_ROUNDS * limits.max_rounds
        if judge.is_done(measured, final=final) or final:
            return (*rounds, *measured), judge


def run_window(
    meter: Meter, names: Sequence[str], make_judge: Callable[[], SomeJudge]
) -> Calls[SomeJudge]:
    """One long run, called once: a single round without warm-up."""
    only = yield from one_round(meter, names, 1, 0.0, warmup=False)
    judge = make_judge()
    judge.is_done([only], final=True)
    return (only,), judge


def warm_up(setup: Setup, cycle: int, work: int = 0) -> Generator[int, Units, list[Round]]:
    """Rounds until two of them agree: at least two, `warmup_seconds`, and a call of each input."""
    clock, most_seconds = setup.clock, setup.limits.max_seconds * WARMUP_SHARE
    started = clock.now()
    rounds: list[Round] = []
    window_seconds = min(setup.warmup_seconds, most_seconds) / WARMUP_ROUNDS
    calls, aim, whole = 1, 0.0, 1
    while not _warm(rounds, clock.now() - started, setup.warmup_seconds, whole, most_seconds):
        latest = yield from one_round(
            setup.meter,
            setup.candidates,
            calls,
            aim,
            warmup=True,
            work=work,
            cycle=whole,
            at_most_seconds=most_seconds,
        )
        rounds.append(latest)
        whole = feasible_cycle(rounds, cycle, most_seconds)
        setup.progress(rounds)
        aim = window_seconds
        # The first inputs say little of a whole cycle, so that is what is looked at first.
        calls = calls_for(latest, aim) if whole == 1 else 1
    return rounds


def _warm(
    rounds: Sequence[Round], seconds: float, needed: float, cycle: int, most_seconds: float
) -> bool:
    if not rounds:
        return False
    if seconds >= most_seconds:
        return True
    if len(rounds) < WARMUP_ROUNDS or seconds < needed:
        return False
    paces = [math.log(each.window.seconds / each.calls) for each in rounds]
    return sum(each.calls for each in rounds) >= cycle and has_settled(paces)


def has_settled(paces: Sequence[float]) -> bool:
    """Whether the last two of these (logarithms) agree within twice the least difference before."""
    steps = [abs(later - earlier) for earlier, later in pairwise(paces)]
    return steps[-1] <= 2 * max(min(steps[:-1], default=0.0), SPREAD_FLOOR)


def one_round(
    meter: Meter,
    names: Sequence[str],
    calls: int,
    at_least_seconds: float,
    *,
    warmup: bool,
    work: int = 0,
    cycle: int = 1,
    at_most_seconds: float = math.inf,
    lap_calls: int = 0,
    lap_seconds: float = 0.0,
) -> Generator[int, Units, Round]:
    """One window of `calls` calls, and more where these took less than `at_least_seconds`.

    They are rounded up to whole cycles of the inputs. No more are made once they took
    `at_most_seconds`, and the window is as long as it must be: calls may come to take longer.
    A lap ends after every `lap_calls` of them, and with each cycle; 0 for no laps. Where that is
    far less than `lap_seconds`, it has more of them from then on.
    """
    units: dict[str, float] = {}
    laps = GrowingLaps(1, lap_calls, lap_seconds, cycle)
    most = max(at_most_seconds, at_least_seconds)
    done, wanted, is_late = 0, whole_cycles(calls, cycle), False
    with meter.window(names, laps=lap_calls > 0) as measured:
        while done < wanted and not is_late:
            until = min(done + calls, wanted)
            while done < until and not is_late:
                ends = min(laps.end(done), wanted) if lap_calls else until
                began = done
                lap_units: dict[str, float] = {}
                while done < ends and not is_late:
                    for unit, number in (yield work).items():
                        lap_units[unit] = lap_units.get(unit, 0.0) + number
                    done += 1
                    is_late = meter.running() >= most
                if lap_calls:
                    laps.of[0].append(meter.lap(began % cycle, done - began, lap_units))
                    laps.grow(done)
                for unit, number in lap_units.items():
                    units[unit] = units.get(unit, 0.0) + number
            if done == wanted and (seconds := meter.elapsed()) < most:
                calls = _calls_in(at_least_seconds - seconds, seconds / done)
                wanted += whole_cycles(calls, cycle)
    return Round(replace(measured.window, laps=tuple(laps.of[0])), done, units, warmup)


def calls_in_lap(latest: Round, seconds: float, cycle: int) -> int:
    """How many calls a lap has: a part of a cycle, or whole ones; 0 where laps have no length."""
    if not seconds:
        return 0
    calls = calls_for(latest, seconds)
    return calls if calls < cycle else whole_cycles(calls, cycle)


class GrowingLaps:
    """The laps of each work in one window. They grow where they are far too short.

    Calls may take much less than in warm-up, which ends with the first of them if that is slow.
    Then reading the clocks is a part of such laps that can be seen in their figures.
    """

    def __init__(self, works: int, calls: int, seconds: float, cycle: int) -> None:
        """calls: of a lap, which is to take so many seconds. cycle: calls that see each input."""
        self.of: list[list[Lap]] = [[] for _ in range(works)]
        self._calls = calls
        self._seconds = seconds
        self._cycle = cycle
        self._before = 0
        """How many laps of each work lie in the cycles before."""

    def end(self, done: int) -> int:
        """After how many calls the lap ends that begins after `done`."""
        if self._calls >= self._cycle:
            return done + self._calls
        return done + min(self._calls, self._cycle - done % self._cycle)

    def grow(self, done: int) -> None:
        """Where a cycle ends whose laps were too short: begin anew, with more calls a lap."""
        if done % self._cycle:
            return
        cycles = [mine[self._before :] for mine in self.of]
        took, calls = max(
            (sum(lap.seconds for lap in mine), sum(lap.calls for lap in mine)) for mine in cycles
        )
        if took < self._seconds / SHORT_LAP:
            self._calls = whole_cycles(_calls_in(self._seconds, took / calls), self._cycle)
            self.of = [[] for _ in self.of]
        self._before = len(self.of[0])


def calls_for(latest: Round, seconds: float) -> int:
    """How many calls take this long, going by the latest round."""
    return max(_calls_in(seconds, latest.window.seconds / latest.calls), 1)


def _calls_in(seconds: float, seconds_per_call: float) -> int:
    if seconds <= 0:
        return 0
    return min(max(math.ceil(seconds / max(seconds_per_call, 1e-9)), 1), MAX_CALLS)
