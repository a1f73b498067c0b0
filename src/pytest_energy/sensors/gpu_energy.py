"""GPU energy counters, read on their own ticks.

A counter is refreshed every 20-100 ms, so a plain difference over T is wrong by up to period/T, and
low on average, because the work after the last refresh is missing. So a window opens on a tick and
closes on the first tick after the work; what the board used outside the work is taken off, going by
its power in the two tick intervals right after (see `tail`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from pytest_energy.sensors.base import (
    Channel,
    Clock,
    Kind,
    Provenance,
    Reading,
    Sensor,
    SensorFault,
)
from pytest_energy.sensors.nvml import Gpu, Nvml
from pytest_energy.sensors.tail import Interval, tail_joules

POLL_SECONDS = 0.0005
#: Of a period, this much is slept through before a counter is polled again.
SLEEP_SHARE = 0.85
#: A refresh counts where it is known to this part of a period: on a busy machine polls come late.
PRECISION = 0.1
AFTER_TICKS = 3
PROBE_TICKS = 5
#: Intervals that differ more than this make a counter erratic: its longest is its period then.
ERRATIC = 2.5
PROBE_SECONDS = 1.5
WINDOW_PERIODS = 10
MIN_WINDOW_SECONDS = 1.0
QUICK_SECONDS = 0.005


@dataclass(frozen=True)
class Tick:
    """One refresh of a counter: when it was seen, and the joules since the driver was loaded."""

    seconds: float
    joules: float


class GpuEnergy(Sensor):
    """`gpu:N` for every board whose energy counter moves."""

    def __init__(
        self,
        nvml: Nvml,
        clock: Clock,
        periods: Mapping[Gpu, float],
        idle_watts: Mapping[Gpu, float],
    ) -> None:
        self._nvml = nvml
        self._clock = clock
        self._periods = dict(periods)
        self._idle_watts = dict(idle_watts)
        self._opening: dict[Gpu, Tick | SensorFault] = {}
        self._latest: dict[Gpu, float] = {}
        """When each counter was last seen to be refreshed."""
        self._started = 0.0

    @property
    def channels(self) -> tuple[Channel, ...]:
        return tuple(
            Channel(
                name=gpu.channel,
                kind=Kind.GPU,
                source=f"NVML energy counter of {gpu.name}",
                provenance=Provenance.MEASURED,
                update_seconds=period,
                window_seconds=max(WINDOW_PERIODS * period, MIN_WINDOW_SECONDS),
                idle_watts=self._idle_watts.get(gpu),
            )
            for gpu, period in self._periods.items()
        )

    def open(self, names: frozenset[str]) -> None:
        wanted = [gpu for gpu in self._periods if gpu.channel in names]
        seen = self._next_ticks(wanted, 1)
        self._opening = {gpu: _first(each) for gpu, each in seen.items()}
        self._started = self._clock.now()

    def close(self, ended: float) -> Mapping[str, Reading]:
        ticked = [gpu for gpu, each in self._opening.items() if isinstance(each, Tick)]
        after = self._next_ticks(ticked, AFTER_TICKS)
        return {
            gpu.channel: opening
            if isinstance(opening, SensorFault)
            else self._between(opening, after[gpu], ended)
            for gpu, opening in self._opening.items()
        }

    def abandon(self) -> None:
        pass  # nothing is running between two readings

    def _between(self, opening: Tick, after: list[Tick] | SensorFault, ended: float) -> Reading:
        if isinstance(after, SensorFault):
            return after
        for earlier, later in pairwise([opening, *after]):
            if later.joules < earlier.joules:
                return SensorFault(
                    f"the energy counter went back from {earlier.joules:.3f} J to "
                    f"{later.joules:.3f} J: it was reset in the window"
                )
        intervals = [
            Interval(later.seconds - earlier.seconds, later.joules - earlier.joules)
            for earlier, later in pairwise(after)
        ]
        first, second = intervals
        # With several boards, the work begins when the last of them has ticked.
        head = max(self._started - opening.seconds, 0.0)
        joules = after[0].joules - opening.joules - second.watts * head
        tail = max(after[0].seconds - ended, 0.0)
        return joules - tail_joules(joules, ended - self._started, tail, first, second)

    def _next_ticks(self, gpus: Sequence[Gpu], count: int) -> dict[Gpu, list[Tick] | SensorFault]:
        """The next refreshes of each counter, all watched together."""
        patience = {gpu: (3 * count + 6) * self._periods[gpu] + 0.05 for gpu in gpus}
        found: dict[Gpu, list[Tick] | SensorFault] = {}
        watched = _watch(
            self._nvml, self._clock, gpus, count, patience, self._periods, self._latest
        )
        for gpu, seen in watched.items():
            if isinstance(seen, list) and seen:
                self._latest[gpu] = seen[-1].seconds
            if isinstance(seen, list) and len(seen) < count:
                found[gpu] = SensorFault(
                    f"the energy counter stood still for {patience[gpu]:.2f} s, or the machine was "
                    "too busy to see it move, though it is refreshed every "
                    f"{self._periods[gpu] * 1000:.0f} ms"
                )
            else:
                found[gpu] = seen
        return found


def _first(seen: list[Tick] | SensorFault) -> Tick | SensorFault:
    return seen if isinstance(seen, SensorFault) else seen[0]


@dataclass(frozen=True)
class Probed:
    """Counters that move, with their refresh period in seconds; and why others can't be used.

    idle_watts: of the boards meanwhile. notes: sentences about counters that are refreshed
    erratically.
    """

    periods: Mapping[Gpu, float]
    idle_watts: Mapping[Gpu, float]
    faults: Mapping[Gpu, str]
    notes: tuple[str, ...]


def probe(nvml: Nvml, clock: Clock, gpus: Sequence[Gpu]) -> Probed:
    """Watch all counters for a few refreshes."""
    periods: dict[Gpu, float] = {}
    faults: dict[Gpu, str] = {}
    idle_watts: dict[Gpu, float] = {}
    notes: list[str] = []
    patience = dict.fromkeys(gpus, PROBE_SECONDS)
    for gpu, seen in _watch(nvml, clock, gpus, PROBE_TICKS, patience, {}, {}).items():
        if isinstance(seen, SensorFault):
            faults[gpu] = str(seen)
            continue
        intervals = [later.seconds - earlier.seconds for earlier, later in pairwise(seen)]
        if not intervals:
            faults[gpu] = f"the energy counter did not move in {PROBE_SECONDS:g} s"
            continue
        idle_watts[gpu] = (seen[-1].joules - seen[0].joules) / sum(intervals)
        periods[gpu] = median(intervals)
        longest = max(intervals)
        if longest > ERRATIC * min(intervals) and longest > QUICK_SECONDS:
            notes.append(
                f"{gpu.channel}: the energy counter is refreshed erratically, every "
                f"{min(intervals) * 1000:.0f} to {longest * 1000:.0f} ms; windows are as long as "
                "the longest needs"
            )
            periods[gpu] = longest
    return Probed(periods, idle_watts, faults, tuple(notes))


def _watch(
    nvml: Nvml,
    clock: Clock,
    gpus: Sequence[Gpu],
    ticks: int,
    patience: Mapping[Gpu, float],
    periods: Mapping[Gpu, float],
    latest: Mapping[Gpu, float],
) -> dict[Gpu, list[Tick] | SensorFault]:
    """Watch counters until each has been refreshed `ticks` times, or its patience is over.

    Where the period and the latest refresh are known, most of the time until the next one is slept
    through: reading takes processor time, and reading all the time disturbs some counters.
    """
    seen: dict[Gpu, list[Tick] | SensorFault] = {}
    last: dict[Gpu, tuple[float, float]] = {}
    nap = {gpu: SLEEP_SHARE * periods.get(gpu, 0.0) for gpu in gpus}
    due = {gpu: latest.get(gpu, -math.inf) + nap[gpu] for gpu in gpus}
    late = {gpu: max(PRECISION * periods.get(gpu, math.inf), QUICK_SECONDS) for gpu in gpus}
    asleep: set[Gpu] = set()
    started = clock.now()
    waiting = list(gpus)
    while waiting:
        for gpu in tuple(waiting):
            found = seen.setdefault(gpu, [])
            assert isinstance(found, list)
            before = clock.now()
            if gpu in last and before < due[gpu]:
                asleep.add(gpu)
                continue
            try:
                joules = nvml.joules(gpu)
            except SensorFault as fault:
                seen[gpu] = fault
                waiting.remove(gpu)
                continue
            # When a refresh came that was slept through, or polled late, isn't known; the next one
            # is waited for.
            polled, shown = last.get(gpu, (before, joules))
            if joules != shown and gpu not in asleep and before - polled <= late[gpu]:
                # The refresh lies between two readings: halfway is off by half a poll at most.
                found.append(Tick((polled + before) / 2, joules))
                due[gpu] = before + nap[gpu]
            asleep.discard(gpu)
            last[gpu] = (before, joules)
            if len(found) >= ticks or before - started > patience[gpu]:
                waiting.remove(gpu)
        if waiting:
            clock.sleep(max(min(due[gpu] for gpu in waiting) - clock.now(), POLL_SECONDS))
    return seen
