"""RAPL counters: opened, watched for a moment, and kept where they add up to the whole.

A sum in which one package is missing would be too low, so one counter that cannot be trusted is a
Refusal of all of them. `rapl` measures with those that are kept.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from io import FileIO
from itertools import pairwise
from statistics import median

from pytest_energy.sensors.base import Access, Clock, Kind, SensorFault
from pytest_energy.sensors.clock import real
from pytest_energy.sensors.powercap import (
    HiddenFile,
    Refusal,
    Zone,
    cannot_read,
    number,
    open_file,
    read_file,
    shown,
    text_of,
)

POLL_SECONDS = 0.0005
PROBE_REFRESHES = 5
PROBE_SECONDS = 1.0
MAX_PLAUSIBLE_WATTS = 1000.0
DEFAULT_WATTS = {Kind.CPU: 1000.0, Kind.DRAM: 500.0}


@dataclass(frozen=True)
class Counter:
    """The open counter of a zone, in microjoules; it starts again at 0 above `range_uj`."""

    zone: Zone
    file: FileIO
    range_uj: int

    def read(self) -> int:
        """Raises SensorFault."""
        try:
            text = real.pread(self.file.fileno(), 64, 0)
        except OSError as error:
            raise SensorFault(cannot_read(self.zone, "energy_uj", error)) from None
        value = number(text)
        if value is None or value > self.range_uj:
            raise SensorFault(
                f"energy_uj of {self.zone.label} reads {shown(text)}; "
                f"expected a number from 0 to {self.range_uj}"
            )
        return value

    def between(self, earlier: int, later: int) -> int:
        """Microjoules from one value to the next, over one wrap at most."""
        return later - earlier + (self.range_uj if later < earlier else 0)


@dataclass(kw_only=True)
class WatchedCounter:
    """What was seen of one counter while it was watched.

    first, last: its value before and after all other counters were read, at the beginning and at
    the end. refreshed: when. step_uj: the most that came with one refresh.
    """

    counter: Counter
    first: tuple[int, int]
    last: tuple[int, int]
    refreshed: list[float] = field(default_factory=list)
    step_uj: int = 0
    seconds: float = 0.0

    @property
    def watts(self) -> float | None:
        """What it drew on average while it was watched."""
        joules = self.counter.between(self.first[1], self.last[0]) / 1e6
        return joules / self.seconds if self.seconds > 0 else None

    @property
    def period(self) -> float:
        """Seconds between two refreshes; no shorter than those between two polls."""
        intervals = [later - earlier for earlier, later in pairwise(self.refreshed)]
        return median(intervals) if intervals else PROBE_SECONDS


def watch_counters(
    zones: Sequence[Zone], files: ExitStack, clock: Clock, left_out: dict[str, str]
) -> list[WatchedCounter]:
    """Open the counters of all zones, and watch them for up to a second.

    files: closes them. left_out: is given why a counter is not counted. Raises Refusal where one
    cannot be trusted.
    """
    return _worth_counting(_watch(_open(zones, files), clock), left_out)


def _open(zones: Sequence[Zone], files: ExitStack) -> list[Counter]:
    """Raises Refusal with all zones that share the gravest reason."""
    counters: list[Counter] = []
    masked: list[str] = []
    denied: list[str] = []
    faults: list[str] = []
    for zone in zones:
        try:
            file = files.enter_context(open_file(zone.folder / "energy_uj"))
            if not os.pread(file.fileno(), 1, 0):
                masked.append(zone.label)  # /dev/null is mounted over it
                continue
            counter = Counter(zone, file, _range(zone))
            counter.read()
            counters.append(counter)
        except PermissionError:
            denied.append(zone.label)
        except HiddenFile:
            masked.append(zone.label)
        except FileNotFoundError:
            masked.append(zone.label)
        except OSError as error:
            faults.append(cannot_read(zone, "energy_uj", error))
        except SensorFault as fault:
            faults.append(str(fault))
    if masked:
        raise Refusal(
            Access.MASKED, f"the counters of {', '.join(masked)} are hidden, as in a container"
        )
    if denied:
        raise Refusal(Access.DENIED, f"this user may not read energy_uj of {', '.join(denied)}")
    if faults:
        raise Refusal(Access.FAULTY, "; ".join(faults))
    return counters


def _watch(counters: Sequence[Counter], clock: Clock) -> list[WatchedCounter]:
    """Watch counters together until each has been refreshed a few times, or the time is over."""
    try:
        seen = [
            WatchedCounter(counter=counter, first=both, last=both)
            for counter, both in _there_and_back(counters)
        ]
        values = [each.first[1] for each in seen]
        started = now = clock.now()
        while now - started < PROBE_SECONDS and any(
            len(each.refreshed) <= PROBE_REFRESHES for each in seen
        ):
            clock.sleep(POLL_SECONDS)
            for index, each in enumerate(seen):
                now = clock.now()
                value = each.counter.read()
                if value != values[index]:
                    step = each.counter.between(values[index], value)
                    each.step_uj = max(each.step_uj, step)
                    each.refreshed.append(now)
                    values[index] = value
        for each, (_, both) in zip(seen, _there_and_back(counters), strict=True):
            each.last = both
            each.seconds = clock.now() - started
    except SensorFault as fault:
        raise Refusal(Access.FAULTY, str(fault)) from None
    return seen


def _there_and_back(counters: Sequence[Counter]) -> list[tuple[Counter, tuple[int, int]]]:
    """Each counter's values before and after all that follow it were read."""
    there = [counter.read() for counter in counters]
    back = [counter.read() for counter in reversed(counters)]
    return list(zip(counters, zip(there, reversed(back), strict=True), strict=True))


def _worth_counting(
    seen: Sequence[WatchedCounter], left_out: dict[str, str]
) -> list[WatchedCounter]:
    """The counters that add up to the whole. Raises Refusal where one stands still."""
    kept: list[WatchedCounter] = []
    still: list[str] = []
    for each in seen:
        zone = each.counter.zone
        key = f"{zone.name} ({zone.id})"
        original = next((other for other in kept if _mirrors(other, each)), None)
        if not each.refreshed and zone.kind is Kind.DRAM and not any(each.last):
            left_out[key] = "has never counted any energy"
        elif not each.refreshed:
            still.append(f"the energy counter of {zone.label} does not change")
        elif original:
            left_out[key] = f"mirrors {original.counter.zone.label}"
        else:
            kept.append(each)
    if still:
        raise Refusal(Access.FAULTY, "; ".join(still))
    return kept


def _mirrors(one: WatchedCounter, other: WatchedCounter) -> bool:
    """Whether two zones of a package read the same counter, as the dies of some processors do.

    Then the other's value, read in between, lies between the values of the one, before and after;
    give or take one refresh, which may reach the dies one after the other.
    """
    a, b = one.counter, other.counter
    if (a.zone.kind, a.zone.package, a.range_uj) != (b.zone.kind, b.zone.package, b.range_uj):
        return False
    step = max(one.step_uj, other.step_uj)
    return all(
        (there - before + step) % a.range_uj <= a.between(before, after) + 2 * step
        for (before, after), (there, _) in ((one.first, other.first), (one.last, other.last))
    )


# Reading the other files of a zone


def _range(zone: Zone) -> int:
    """Raises SensorFault, or PermissionError."""
    try:
        text = read_file(zone.folder / "max_energy_range_uj")
    except PermissionError:
        raise
    except OSError as error:
        raise SensorFault(cannot_read(zone, "max_energy_range_uj", error)) from None
    if not (value := number(text)):
        raise SensorFault(
            f"max_energy_range_uj of {zone.label} reads {shown(text)}; expected a number above 0"
        )
    return value


def ceiling_watts(zone: Zone) -> float:
    """Twice the largest limit, since a limit holds on average only."""
    limits = list(_watts(zone, "constraint_*_power_limit_uw"))
    plausible = [
        watts
        for watts in (*limits, *_watts(zone, "constraint_*_max_power_uw"))
        if 0 < watts <= MAX_PLAUSIBLE_WATTS
    ]
    # Boards without limits (4,095 W) exceed the power that the processor was made for.
    unlimited = any(watts > MAX_PLAUSIBLE_WATTS for watts in limits)
    return DEFAULT_WATTS[zone.kind] if unlimited or not plausible else 2 * max(plausible)


def _watts(zone: Zone, pattern: str) -> Iterator[float]:
    for path in zone.folder.glob(pattern):
        if microwatts := number(text_of(path).encode()):
            yield microwatts / 1e6
