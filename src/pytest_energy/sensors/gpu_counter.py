"""The energy counter of one GPU: when it is refreshed, and what it shows during a window.

Two readings do not show that a counter stood still between them, jumped, or began again near zero.
All readings in between do.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from pytest_energy.sensors.base import Clock, SensorFault
from pytest_energy.sensors.counter import stalled, too_much, went_back
from pytest_energy.sensors.nvml import Gpu, Nvml

POLL_SECONDS = 0.0005
#: Of a period, this much is slept through before a counter is polled again.
SLEEP_SHARE = 0.85
#: A refresh counts where it is known to this part of a period: on a busy machine polls come late.
PRECISION = 0.1
QUICK_SECONDS = 0.005
#: Polls may lie this much further apart than reading takes at its quickest.
SLOW_CALLS = 1.5
PROBE_TICKS = 5
#: Long enough for three refreshes of a counter that is refreshed once in a second.
PROBE_SECONDS = 3.0
#: Intervals that differ more than this make a counter erratic: its longest is its period then.
ERRATIC = 2.5
#: Values of a counter that are kept.
KEPT = 200
#: A reading that took longer than so many periods, and this, was interrupted.
READING_PERIODS = 0.25
SLOW_SECONDS = 0.03


@dataclass(frozen=True)
class Tick:
    """One refresh of a counter: when it was seen, and the joules since the driver was loaded.

    before_joules: what the counter showed until then. slack: the seconds, give or take.
    """

    seconds: float
    joules: float
    before_joules: float
    slack: float


@dataclass(frozen=True)
class Sighting:
    """A reading: the counter's value at some moment between two times."""

    earliest: float
    latest: float
    joules: float


#: Takes each reading of a counter; returns a fault where the counter cannot be used any more.
Observe = Callable[[Gpu, Sighting], SensorFault | None]


def read_counter(nvml: Nvml, clock: Clock, gpu: Gpu) -> Sighting:
    """Read one counter. Raises SensorFault."""
    before = clock.now()
    joules = nvml.joules(gpu)
    return Sighting(before, clock.now(), joules)


@dataclass(frozen=True, kw_only=True)
class ProbedCounters:
    """Counters that change, with their refresh period in seconds; and why others cannot be used.

    jitter: by how much the seconds between two refreshes differ. idle_watts: of the boards
    meanwhile. notes: sentences about counters that are refreshed erratically.
    """

    periods: Mapping[Gpu, float]
    jitter: Mapping[Gpu, float] = field(default_factory=dict)
    idle_watts: Mapping[Gpu, float] = field(default_factory=dict)
    faults: Mapping[Gpu, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def probe_counters(nvml: Nvml, clock: Clock, gpus: Sequence[Gpu]) -> ProbedCounters:
    """Watch all counters for a few refreshes."""
    periods: dict[Gpu, float] = {}
    jitter: dict[Gpu, float] = {}
    faults: dict[Gpu, str] = {}
    idle_watts: dict[Gpu, float] = {}
    notes: list[str] = []
    patience = dict.fromkeys(gpus, PROBE_SECONDS)
    for gpu, seen in watch(nvml, clock, gpus, PROBE_TICKS, patience, {}, {}).items():
        if isinstance(seen, SensorFault):
            faults[gpu] = str(seen)
            continue
        intervals = [later.seconds - earlier.seconds for earlier, later in pairwise(seen)]
        if not intervals:
            faults[gpu] = f"the energy counter did not change in {PROBE_SECONDS:g} s"
            continue
        idle_watts[gpu] = (seen[-1].joules - seen[0].joules) / sum(intervals)
        periods[gpu] = median(intervals)
        jitter[gpu] = max(intervals) - min(intervals)
        longest = max(intervals)
        if longest > ERRATIC * min(intervals) and longest > QUICK_SECONDS:
            notes.append(
                f"{gpu.channel}: the energy counter is refreshed irregularly, every "
                f"{min(intervals) * 1000:.0f} to {longest * 1000:.0f} ms, so windows are longer"
            )
            periods[gpu] = longest
    return ProbedCounters(
        periods=periods, jitter=jitter, idle_watts=idle_watts, faults=faults, notes=tuple(notes)
    )


def watch(
    nvml: Nvml,
    clock: Clock,
    gpus: Sequence[Gpu],
    ticks: int,
    patience: Mapping[Gpu, float],
    periods: Mapping[Gpu, float],
    latest: Mapping[Gpu, float],
    notice: Observe | None = None,
) -> dict[Gpu, list[Tick] | SensorFault]:
    """Watch counters until each has been refreshed `ticks` times, or its patience is over.

    Where the period and the latest refresh are known, most of the time until the next one is slept
    through: reading takes processor time, and reading all the time disturbs some counters.
    """
    seen: dict[Gpu, list[Tick] | SensorFault] = {}
    last: dict[Gpu, Sighting] = {}
    nap = {gpu: SLEEP_SHARE * periods.get(gpu, 0.0) for gpu in gpus}
    due = {gpu: latest.get(gpu, -math.inf) + nap[gpu] for gpu in gpus}
    late = {gpu: max(PRECISION * periods.get(gpu, math.inf), QUICK_SECONDS) for gpu in gpus}
    quickest = dict.fromkeys(gpus, math.inf)
    asleep: set[Gpu] = set()
    started = clock.now()
    waiting = list(gpus)
    while waiting:
        for gpu in tuple(waiting):
            found = seen.setdefault(gpu, [])
            assert isinstance(found, list)
            if gpu in last and clock.now() < due[gpu]:
                asleep.add(gpu)
                continue
            try:
                now = read_counter(nvml, clock, gpu)
                if notice is not None and (fault := notice(gpu, now)):
                    raise fault
            except SensorFault as fault:
                seen[gpu] = fault
                waiting.remove(gpu)
                continue
            # When a refresh came that was slept through, or polled late, isn't known; the next one
            # is waited for. Polls are late only beside what reading all boards takes anyway.
            quickest[gpu] = min(quickest[gpu], now.latest - now.earliest)
            reading = SLOW_CALLS * sum(quickest[each] for each in waiting if each in last)
            shown = last.get(gpu, now)
            between = now.earliest - shown.earliest
            if (
                now.joules != shown.joules
                and gpu not in asleep
                and between <= max(late[gpu], reading)
            ):
                # The refresh lies between two readings: halfway is off by half a poll at most.
                moment = (shown.earliest + now.earliest) / 2
                found.append(Tick(moment, now.joules, shown.joules, between / 2))
                due[gpu] = now.earliest + nap[gpu]
            asleep.discard(gpu)
            last[gpu] = now
            if len(found) >= ticks or now.earliest - started > patience[gpu]:
                waiting.remove(gpu)
        if waiting:
            clock.sleep(max(min(due[gpu] for gpu in waiting) - clock.now(), POLL_SECONDS))
    return seen


# What a counter shows during a window


@dataclass(frozen=True)
class Step:
    """A value that a counter took on between `after` and `by`, in seconds.

    read_from: when the reading began that ended at `by`.
    """

    after: float
    by: float
    joules: float
    read_from: float = -math.inf


@dataclass(frozen=True, kw_only=True)
class LastInterval:
    """The refresh interval in which the work ended, and the power in the one before.

    began: in seconds, give or take `slack`, since that refresh was not seen. joules: what the
    counter showed from then on. watts: before, within a part `doubt`; None where it was not seen.
    """

    began: float
    slack: float
    joules: float
    watts: float | None
    doubt: float


@dataclass(kw_only=True)
class History:
    """One counter, since the refresh on which its window opened.

    ceiling_watts: more than this the board cannot draw.
    """

    period: float
    ceiling_watts: float
    fault: SensorFault | None = None
    steps: deque[Step] = field(default_factory=lambda: deque(maxlen=KEPT))
    _last: Sighting | None = None
    _since: float = 0.0

    def see(self, seen: Sighting) -> SensorFault | None:
        """Take in a later reading; the first fault stays."""
        last = self._last
        if self.fault is None and last is not None:
            self.fault = self._compared(last, seen)
        if last is None or seen.joules != last.joules:
            self._since = seen.latest
            if last is not None:
                self.steps.append(Step(last.earliest, seen.latest, seen.joules, seen.earliest))
        self._last = seen
        return self.fault

    def values(self) -> list[tuple[float, float]]:
        """When the counter was refreshed, about, and the joules that it showed from then on.

        Without those that a thread read which had to wait: they may have come long before.
        """
        found: list[tuple[float, float]] = []
        period = self._usual_period()
        for each in self.steps:
            # It is the latest value before it was seen; some before it may not have been.
            if each.by - each.read_from > max(READING_PERIODS * period, SLOW_SECONDS):
                continue
            earliest = max(each.after, each.by - period)
            expected = (earliest + each.by) / 2
            if found and period:
                before = found[-1][0]
                expected = before + (each.by - before) // period * period
            found.append((min(max(expected, earliest), each.by), each.joules))
        return found

    def _usual_period(self) -> float:
        """Between the first and the last refresh, which are polled for."""
        if not self.steps or not self.period:
            return self.period
        span = self.steps[-1].by - self.steps[0].by
        return span / max(round(span / self.period), 1)

    def last_interval(
        self, opening: Tick, closing: Tick, usual: float, slack: float
    ) -> LastInterval | None:
        """The interval that ends with `closing`; None where another value came in between.

        usual: seconds of an interval, give or take `slack`.
        """
        span = closing.seconds - opening.seconds
        number = max(round(span / usual), 1) if usual else 1
        interval, joules = span / number, closing.before_joules
        began = closing.seconds - interval
        if number == 1:
            is_whole = joules == opening.joules
            return (
                LastInterval(began=opening.seconds, slack=0.0, joules=joules, watts=None, doubt=0.0)
                if is_whole
                else None
            )
        earlier = [Step(opening.seconds, opening.seconds, opening.joules)]
        earlier += [each for each in self.steps if opening.joules < each.joules < joules]
        latest = earlier[-1]
        intervals = max(round((began - (latest.after + latest.by) / 2) / interval), 1)
        watts = (joules - latest.joules) / interval if intervals == 1 else None
        return LastInterval(
            began=began, slack=slack, joules=joules, watts=watts, doubt=2 * slack / interval
        )

    def _compared(self, last: Sighting, seen: Sighting) -> SensorFault | None:
        joules = seen.joules - last.joules
        if joules < 0:
            return went_back(last.joules, seen.joules)
        if joules > 0:
            return too_much(joules, seen.latest - last.earliest, self.period, self.ceiling_watts)
        return stalled(seen.earliest - self._since, self.period)
