"""Energy counters of CPU packages and their memory (RAPL), read from Linux's powercap files.

A counter is refreshed about every millisecond, so a window opens and closes at the work itself.
The counters are kept only together: a sum in which one package is missing would be too low.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from io import FileIO
from itertools import pairwise
from pathlib import Path
from statistics import median

from pytest_energy.sensors.base import (
    Access,
    Channel,
    Clock,
    Kind,
    Missing,
    Probe,
    Provenance,
    Reading,
    Sensor,
    SensorFault,
)
from pytest_energy.sensors.powercap import (
    HiddenFile,
    Refusal,
    Zone,
    cannot_read,
    number,
    open_file,
    read_file,
    remedy_for,
    shown,
    text_of,
    zones_to_count,
)
from pytest_energy.sensors.real import real
from pytest_energy.sensors.standstill import STILL_PERIODS, beyond, stood_still, stopped_after

POLL_SECONDS = 0.0005
#: Longer than a counter that is refreshed each millisecond may stand still, so that two equal
#: glances tell.
GLANCE_SECONDS = 0.04
PROBE_REFRESHES = 5
PROBE_SECONDS = 1.0
MIN_WINDOW_SECONDS = 0.2
WINDOW_PERIODS = 100
MAX_PLAUSIBLE_WATTS = 1000.0
DEFAULT_WATTS = {Kind.CPU: 1000.0, Kind.DRAM: 500.0}


def probe(root: Path, clock: Clock) -> Probe:
    """Find the zones below `root` and watch their counters for up to a second.

    There is a sensor only where every package, and all memory that counts, can be trusted. It keeps
    files open: `close` the probe at the end. All texts can be shown in public: they spell a root
    other than the usual one as a variable.
    """
    counted: list[Zone] = []
    left_out: dict[str, str] = {}
    with ExitStack() as files:
        try:
            counted += zones_to_count(root, left_out)
            counters = _open(counted, files)
            seen = _watch(counters, clock)
            domains = _domains(_worth_counting(seen, left_out))
        except Refusal as refusal:
            remedy = remedy_for(refusal, root, counted)
            return Probe(
                access=refusal.access,
                problem=str(refusal),
                remedy=remedy,
                left_out=left_out,
                missing=(Missing("CPU counter (RAPL)", str(refusal), remedy),),
            )
        sensor = Rapl(domains, clock, files.pop_all())
        return Probe(
            access=Access.READABLE, sensors=(sensor,), left_out=left_out, close=sensor.release
        )


class Rapl(Sensor):
    """`cpu:package-N` for every package, `dram:N` for its memory where that is counted apart."""

    def __init__(self, domains: Sequence[_Domain], clock: Clock, files: ExitStack) -> None:
        self._domains = tuple(domains)
        self._clock = clock
        self._files = files
        self._opening: dict[_Domain, _Point | SensorFault] = {}
        self._stretches: dict[_Domain, _Stretch] = {}

    @property
    def channels(self) -> tuple[Channel, ...]:
        return tuple(domain.channel for domain in self._domains)

    def open(self, names: frozenset[str]) -> None:
        wanted = [domain for domain in self._domains if domain.channel.name in names]
        self._opening = {domain: self._point(domain) for domain in wanted}
        self._stretches = {domain: _Stretch() for domain in wanted}

    def glance_seconds(self, names: frozenset[str]) -> float:
        mine = any(domain.channel.name in names for domain in self._domains)
        return GLANCE_SECONDS if mine else math.inf

    def glance(self) -> None:
        for domain, stretch in self._stretches.items():
            point = self._point(domain)
            if isinstance(point, _Point):  # a fault is met again when the window closes
                stretch.see(point)

    def close(self, ended: float) -> Mapping[str, Reading]:
        # In reverse, so that each window lies within that of the counter before it.
        closing = {domain: self._point(domain) for domain in reversed(self._opening)}
        dead = {**self._stalled(), **self._dead(closing)}
        readings: dict[str, Reading] = {}
        for domain, opened in self._opening.items():
            found = _joules(domain, opened, closing[domain])
            is_fault = isinstance(found, SensorFault)
            readings[domain.channel.name] = found if is_fault else dead.get(domain, found)
        return readings

    def _stalled(self) -> dict[_Domain, SensorFault]:
        """The counters that stood still for a while inside the window."""
        return {
            domain: stood_still(domain.counter.zone.label, stretch.longest, period)
            for domain, stretch in self._stretches.items()
            for period in [domain.channel.update_seconds]
            if stretch.longest > STILL_PERIODS * period
        }

    def _dead(self, closing: Mapping[_Domain, _Point | SensorFault]) -> dict[_Domain, SensorFault]:
        """The counters that are no longer refreshed: they may have stopped during the work."""
        waiting = {domain: each for domain, each in closing.items() if isinstance(each, _Point)}
        began = self._clock.now()
        while waiting:
            for domain, each in tuple(waiting.items()):
                now = self._point(domain)
                if isinstance(now, SensorFault) or now.microjoules != each.microjoules:
                    del waiting[domain]
            seconds = self._clock.now() - began
            patience = {domain: STILL_PERIODS * domain.channel.update_seconds for domain in waiting}
            if all(seconds > each for each in patience.values()):
                break
            self._clock.sleep(POLL_SECONDS)
        return {
            domain: stopped_after(domain.counter.zone.label, seconds, domain.channel.update_seconds)
            for domain in waiting
        }

    def abandon(self) -> None:
        self._opening = {}
        self._stretches = {}

    def release(self) -> None:
        """Close the files of the counters; nothing can be read after it."""
        self._opening = {}
        self._files.close()

    def _point(self, domain: _Domain) -> _Point | SensorFault:
        try:
            return _Point(self._clock.now(), domain.counter.read())
        except SensorFault as fault:
            return fault


@dataclass(frozen=True)
class _Counter:
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
                f"energy_uj of {self.zone.label} reads {shown(text)}, "
                f"which is no number from 0 to {self.range_uj}"
            )
        return value

    def between(self, earlier: int, later: int) -> int:
        """Microjoules from one value to the next, over one wrap at most."""
        return later - earlier + (self.range_uj if later < earlier else 0)


@dataclass(frozen=True, eq=False)  # a key by identity: hashing all fields takes time in a window
class _Domain:
    """A counter as a channel. ceiling_watts: more than this it can't draw."""

    channel: Channel
    counter: _Counter
    ceiling_watts: float


@dataclass(frozen=True)
class _Point:
    seconds: float
    microjoules: int


@dataclass
class _Stretch:
    """For how long at least a counter has shown one value, and the longest that it ever did."""

    since: _Point | None = None
    longest: float = 0.0

    def see(self, point: _Point) -> None:
        if self.since is None or point.microjoules != self.since.microjoules:
            self.since = point
        self.longest = max(self.longest, point.seconds - self.since.seconds)


@dataclass
class _Seen:
    """What was seen of one counter while it was watched.

    first, last: its value before and after all other counters were read, at the beginning and at
    the end. refreshed: when. step_uj: the most that came with one refresh.
    """

    counter: _Counter
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


def _joules(domain: _Domain, opened: _Point | SensorFault, closed: _Point | SensorFault) -> Reading:
    if isinstance(opened, SensorFault):
        return opened
    if isinstance(closed, SensorFault):
        return closed
    counter, ceiling, label = domain.counter, domain.ceiling_watts, domain.counter.zone.label
    period = domain.channel.update_seconds
    seconds = closed.seconds - opened.seconds
    joules = counter.between(opened.microjoules, closed.microjoules) / 1e6
    if joules == 0 and seconds > STILL_PERIODS * period:
        return stood_still(label, seconds, period)
    if why := beyond(label, joules, seconds, period, ceiling):
        return SensorFault(why)
    range_joules = counter.range_uj / 1e6
    if not beyond(label, joules + range_joules, seconds, period, ceiling):
        return SensorFault(
            f"the energy counter of {label} starts again after {range_joules:,.0f} J, and may have "
            f"done so more than once in {seconds:,.0f} s: "
            f"measure in windows shorter than {range_joules / ceiling:,.1f} s"
        )
    return joules


# Opening and watching the counters


def _open(zones: Sequence[Zone], files: ExitStack) -> list[_Counter]:
    """Raises Refusal with all zones that share the gravest reason."""
    counters: list[_Counter] = []
    masked: list[str] = []
    denied: list[str] = []
    faults: list[str] = []
    for zone in zones:
        try:
            file = files.enter_context(open_file(zone.folder / "energy_uj"))
            if not os.pread(file.fileno(), 1, 0):
                masked.append(zone.label)  # /dev/null is mounted over it
                continue
            counter = _Counter(zone, file, _range(zone))
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


def _watch(counters: Sequence[_Counter], clock: Clock) -> list[_Seen]:
    """Watch counters together until each has been refreshed a few times, or the time is over."""
    try:
        seen = [_Seen(counter, both, both) for counter, both in _there_and_back(counters)]
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


def _there_and_back(counters: Sequence[_Counter]) -> list[tuple[_Counter, tuple[int, int]]]:
    """Each counter's values before and after all that follow it were read."""
    there = [counter.read() for counter in counters]
    back = [counter.read() for counter in reversed(counters)]
    return list(zip(counters, zip(there, reversed(back), strict=True), strict=True))


def _worth_counting(seen: Sequence[_Seen], left_out: dict[str, str]) -> list[_Seen]:
    """The counters that add up to the whole. Raises Refusal where one stands still."""
    kept: list[_Seen] = []
    still: list[str] = []
    for each in seen:
        zone = each.counter.zone
        key = f"{zone.name} ({zone.id})"
        original = next((other for other in kept if _mirrors(other, each)), None)
        if not each.refreshed and zone.kind is Kind.DRAM and not any(each.last):
            left_out[key] = "never counted anything"
        elif not each.refreshed:
            still.append(f"the energy counter of {zone.label} stands still")
        elif original:
            left_out[key] = f"mirrors {original.counter.zone.label}"
        else:
            kept.append(each)
    if still:
        raise Refusal(Access.FAULTY, "; ".join(still))
    return kept


def _mirrors(one: _Seen, other: _Seen) -> bool:
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


def _domains(kept: Sequence[_Seen]) -> list[_Domain]:
    names = [each.counter.zone.channel for each in kept]
    domains: list[_Domain] = []
    for each, name in zip(kept, names, strict=True):
        zone, period = each.counter.zone, each.period
        # A window doesn't open on a refresh, so in a shorter one that moment alone is 0.5 %.
        seconds = max(MIN_WINDOW_SECONDS, WINDOW_PERIODS * period)
        channel = Channel(
            name=name if names.count(name) == 1 else f"{name}@{zone.id}",
            kind=zone.kind,
            source=f"RAPL {zone.label} (Intel/AMD energy counter)",
            provenance=Provenance.MEASURED,
            update_seconds=period,
            window_seconds=seconds,
            shortest_seconds=seconds,
            idle_watts=each.watts,
        )
        domains.append(_Domain(channel, each.counter, _ceiling(zone)))
    return domains


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
            f"max_energy_range_uj of {zone.label} reads {shown(text)}, which is no range"
        )
    return value


def _ceiling(zone: Zone) -> float:
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
