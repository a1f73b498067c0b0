"""Energy counters of CPU packages and their memory (RAPL), read from Linux's powercap files.

A counter is refreshed about every millisecond, so a window opens and closes at the work itself.
The counters are kept only together: a sum in which one package is missing would be too low.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_energy.sensors.base import (
    Access,
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
    stalled,
    stalled_after_work,
    too_much,
)
from pytest_energy.sensors.powercap import DEVICES, Refusal, Zone, is_usual, zones_to_count
from pytest_energy.sensors.rapl_counters import (
    POLL_SECONDS,
    Counter,
    WatchedCounter,
    ceiling_watts,
    watch_counters,
)

#: Longer than a counter that is refreshed each millisecond may stand still, so that two equal
#: polls tell.
EQUAL_POLLS_SECONDS = 0.04
MIN_WINDOW_SECONDS = 0.2
WINDOW_PERIODS = 100
#: May read the counters, where a user follows the remedy.
GROUP = "energy"


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
    """`cpu:package-N` for every package, `dram:N` for memory with a counter of its own."""

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

    def poll_seconds(self, names: frozenset[str]) -> float:
        mine = any(domain.channel.name in names for domain in self._domains)
        return EQUAL_POLLS_SECONDS if mine else math.inf

    def poll(self) -> None:
        for domain, stretch in self._stretches.items():
            point = self._point(domain)
            if isinstance(point, _Point):  # a fault is reported when the window closes
                stretch.see(point)

    def close(self, ended: float) -> Mapping[str, Reading]:
        # In reverse, so that each window lies within that of the counter before it.
        closing = {domain: self._point(domain) for domain in reversed(self._opening)}

        def changed(waiting: Collection[_Domain]) -> list[_Domain]:
            return [each for each in waiting if _value(self._point(each)) != _value(closing[each])]

        answering = [each for each, point in closing.items() if isinstance(point, _Point)]
        periods = {each: each.channel.update_seconds for each in answering}
        stopped = stalled_after_work(periods, changed, self._clock, POLL_SECONDS)
        dead = {**self._stalled(), **stopped}
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
    """A counter as a channel. ceiling_watts: more than this it cannot draw."""

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


def _value(point: _Point | SensorFault) -> int | None:
    return point.microjoules if isinstance(point, _Point) else None


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


# What to do where the counters cannot be used


def remedy_for(refusal: Refusal, root: Path, counted: Sequence[Zone]) -> str:
    match refusal.access:
        case Access.ABSENT:
            return _load_the_module(root)
        case Access.MASKED:
            return _show_to_the_container()
        case Access.DENIED:
            return _let_a_group_read(root, counted)
        case _:
            return (
                "# The kernel, the firmware or a virtual machine is at fault; no setting helps.\n"
                "# The CPU's energy is estimated."
            )


def _load_the_module(root: Path) -> str:
    check = (
        "# Check that energy_cpu_counter_folder names the folder intel-rapl or the one above it.\n"
    )
    return ("" if is_usual(root) else check) + (
        "# Virtual machines and ARM processors have no such counters.\n"
        "# An Intel or AMD machine may only lack the kernel module:\n"
        "sudo modprobe intel_rapl_msr"
    )


def _show_to_the_container() -> str:
    # Not `systempaths=unconfined`: AppArmor would still deny the usual path, and it bares /proc.
    return (
        "# Container runtimes hide these counters, because a process that reads them can spy on\n"
        "# others through their power (CVE-2020-8694). Run the tests on the host, or mount the\n"
        "# counters into a container that you trust, under another path (podman: the same):\n"
        "docker run -v /sys/devices/virtual/powercap:/powercap:ro IMAGE "
        "pytest -o energy_cpu_counter_folder=/powercap"
    )


def _let_a_group_read(root: Path, counted: Sequence[Zone]) -> str:
    custom = not is_usual(root)
    if not counted and not custom:
        return _show_to_the_container()
    if not counted:
        return (
            f"# Let the group {GROUP!r} list the folder, join it, and log in again.\n"
            "# POWERCAP_ROOT stands for the folder that energy_cpu_counter_folder names.\n"
            f"sudo groupadd -f {GROUP}\n"
            f'sudo usermod -aG {GROUP} "$USER"\n'
            f'sudo chgrp -R {GROUP} "$POWERCAP_ROOT"\n'
            'sudo chmod -R g+rX "$POWERCAP_ROOT"'
        )
    spelled = '"$POWERCAP_ROOT"' if custom else str(root)
    files = " ".join(f"{spelled}/{zone.folder.relative_to(root)}/energy_uj" for zone in counted)
    variable = "# POWERCAP_ROOT stands for the folder that energy_cpu_counter_folder names.\n"
    return (
        f"# Let the group {GROUP!r} read the counters, join it, and log in again. Its members can\n"
        "# spy on other processes through their power (CVE-2020-8694).\n"
        f"{variable if custom else ''}"
        f"sudo groupadd -f {GROUP}\n"
        f'sudo usermod -aG {GROUP} "$USER"\n'
        f"sudo chgrp {GROUP} {files}\n"
        f"sudo chmod g+r {files}\n"
        "# To keep it when the machine starts again:\n"
        f"printf 'z \"%s\" 0440 root {GROUP} -\\n' {files} | "
        "sudo tee /etc/tmpfiles.d/pytest-energy.conf\n"
        "# In a container, do this on the host; where AppArmor still denies the usual path, mount\n"
        f"# {DEVICES} under another one and name that in energy_cpu_counter_folder."
    )
