"""Energy counters of CPU packages and their memory (RAPL), read from Linux's powercap files.

A counter is refreshed about every millisecond, so a window opens and closes at the work itself.
The counters are kept only together: a sum in which one package is missing would be too low.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_energy.sensors.base import (
    Channel,
    Clock,
    Kind,
    Probe,
    Provenance,
    Reading,
    Sensor,
    SensorFault,
)
from pytest_energy.sensors.counter import (
    patience_seconds,
    stalled,
    stalled_after_work,
    too_much,
)
from pytest_energy.sensors.powercap import Refusal, Zone, remedy_for, zones_to_count
from pytest_energy.sensors.rapl_counters import (
    POLL_SECONDS,
    Counter,
    WatchedCounter,
    ceiling_watts,
    watch_counters,
)

#: Longer than a counter that is refreshed each millisecond may stand still, so that two equal
#: glances tell.
GLANCE_SECONDS = 0.04
MIN_WINDOW_SECONDS = 0.2
WINDOW_PERIODS = 100


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
            domains = _domains(watch_counters(counted, files, clock, left_out))
        except Refusal as refusal:
            return Probe.unavailable(
                "CPU counter (RAPL)",
                refusal.access,
                {Kind.CPU, Kind.DRAM},
                str(refusal),
                remedy_for(refusal, root, counted),
                left_out=left_out,
                applies=platform.system() != "Darwin",
            )
        return replace(Probe.of(Rapl(domains, clock, files.pop_all())), left_out=left_out)


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
            domain: fault
            for domain, stretch in self._stretches.items()
            for period in [domain.channel.update_seconds]
            if (fault := stalled(stretch.longest, period))
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
            patience = [patience_seconds(domain.channel.update_seconds) for domain in waiting]
            if all(seconds > each for each in patience):
                break
            self._clock.sleep(POLL_SECONDS)
        return {
            domain: stalled_after_work(seconds, domain.channel.update_seconds) for domain in waiting
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


@dataclass(frozen=True, eq=False)  # a key by identity: hashing all fields takes time in a window
class _Domain:
    """A counter as a channel. ceiling_watts: more than this it can't draw."""

    channel: Channel
    counter: Counter
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


def _joules(domain: _Domain, opened: _Point | SensorFault, closed: _Point | SensorFault) -> Reading:
    if isinstance(opened, SensorFault):
        return opened
    if isinstance(closed, SensorFault):
        return closed
    counter, ceiling = domain.counter, domain.ceiling_watts
    period = domain.channel.update_seconds
    seconds = closed.seconds - opened.seconds
    joules = counter.between(opened.microjoules, closed.microjoules) / 1e6
    if joules == 0 and (fault := stalled(seconds, period)):
        return fault
    if fault := too_much(joules, seconds, period, ceiling):
        return fault
    range_joules = counter.range_uj / 1e6
    if not too_much(joules + range_joules, seconds, period, ceiling):
        return SensorFault(
            f"the energy counter starts again after {range_joules:,.0f} J, and may have done so "
            f"more than once in {seconds:,.0f} s; "
            f"measure in windows shorter than {range_joules / ceiling:,.1f} s"
        )
    return joules


def _domains(kept: Sequence[WatchedCounter]) -> list[_Domain]:
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
        domains.append(_Domain(channel, each.counter, ceiling_watts(zone)))
    return domains
