"""Energy counters of GPUs, watched until they are refreshed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from pytest_energy.sensors.base import Clock, SensorFault
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
class Sight:
    """A counter's value at some moment between two times."""

    earliest: float
    latest: float
    joules: float


#: Is given all that is seen of a counter; says why it is of no use any more.
Notice = Callable[[Gpu, Sight], SensorFault | None]


def sight(nvml: Nvml, clock: Clock, gpu: Gpu) -> Sight:
    """Read one counter. Raises SensorFault."""
    before = clock.now()
    joules = nvml.joules(gpu)
    return Sight(before, clock.now(), joules)


@dataclass(frozen=True, kw_only=True)
class Probed:
    """Counters that move, with their refresh period in seconds; and why others can't be used.

    jitter: by how much the seconds between two refreshes differ. idle_watts: of the boards
    meanwhile. notes: sentences about counters that are refreshed erratically.
    """

    periods: Mapping[Gpu, float]
    jitter: Mapping[Gpu, float] = field(default_factory=dict)
    idle_watts: Mapping[Gpu, float] = field(default_factory=dict)
    faults: Mapping[Gpu, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def probe(nvml: Nvml, clock: Clock, gpus: Sequence[Gpu]) -> Probed:
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
            faults[gpu] = f"the energy counter did not move in {PROBE_SECONDS:g} s"
            continue
        idle_watts[gpu] = (seen[-1].joules - seen[0].joules) / sum(intervals)
        periods[gpu] = median(intervals)
        jitter[gpu] = max(intervals) - min(intervals)
        longest = max(intervals)
        if longest > ERRATIC * min(intervals) and longest > QUICK_SECONDS:
            notes.append(
                f"{gpu.channel}: the energy counter is refreshed erratically, every "
                f"{min(intervals) * 1000:.0f} to {longest * 1000:.0f} ms; windows are as long as "
                "the longest needs"
            )
            periods[gpu] = longest
    return Probed(
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
    notice: Notice | None = None,
) -> dict[Gpu, list[Tick] | SensorFault]:
    """Watch counters until each has been refreshed `ticks` times, or its patience is over.

    Where the period and the latest refresh are known, most of the time until the next one is slept
    through: reading takes processor time, and reading all the time disturbs some counters.
    """
    seen: dict[Gpu, list[Tick] | SensorFault] = {}
    last: dict[Gpu, Sight] = {}
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
                now = sight(nvml, clock, gpu)
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
