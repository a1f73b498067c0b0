"""Energy counters of Apple silicon (macOS's IOReport), read through zeus-apple-silicon.

Experimental: written from the library's source and tested against a stand-in of it. No privileges
are needed. A reading takes milliseconds and holds all counters, in whole millijoules. Where macOS
refreshes them at every reading or every few milliseconds, a window opens and closes at the work
itself; where it does so every 2 s (macOS 27), the counter is not used.

Those of memory and of the neural engine are kept only together with the CPU's: a sum without it
would be too low.
"""

from __future__ import annotations

import importlib
import platform
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median
from typing import Any

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
    went_back,
)

SOURCE = "Apple IOReport energy counter (experimental)"
INSTALL = 'pip install "pytest-energy[apple]"'
CPU = "cpu:package-0"

POLL_SECONDS = 0.002
PROBE_SECONDS = 1.0
#: With fewer in PROBE_SECONDS a window would take too long.
PROBE_REFRESHES = 5
#: Of a counter that rested while it was watched, where the CPU's period is unknown.
UNSEEN_SECONDS = 0.1
#: A window doesn't open on a refresh, and a reading takes milliseconds: in a shorter one either may
#: be more than 1 %.
MIN_WINDOW_SECONDS = 1.0
WINDOW_PERIODS = 100
CEILING_WATTS = 1000.0  # no chip draws as much
TRIAL_SECONDS = 30.0


def probe(clock: Clock, library: Any = None) -> Probe:
    """Read the counters, and watch them for up to a second.

    library: in place of the module zeus_apple_silicon, which is imported on a Mac only.
    """
    if library is None:
        library = _library()
    if isinstance(library, Probe):
        return library
    try:
        monitor = library.AppleEnergyMonitor()
    except Exception as error:  # the library may raise anything
        return _unavailable(Access.DENIED, f"macOS refuses its energy counters: {error}")
    left_out: dict[str, str] = {}
    try:
        counters = _counters(_read(monitor), left_out)
        channels = _channels(_watch(monitor, counters, clock), left_out)
    except SensorFault as fault:
        return _unavailable(Access.FAULTY, str(fault))
    if not channels:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        return _unavailable(Access.FAULTY, reasons, left_out=left_out)
    sensor = AppleSilicon(monitor, channels, clock)
    return replace(Probe.of(sensor), left_out=left_out)


class AppleSilicon(Sensor):
    """`cpu:package-0`, `dram:0`, `gpu:0` and `ane:0`, as far as this Mac counts them."""

    def __init__(self, monitor: Any, channels: Mapping[_Counter, Channel], clock: Clock) -> None:
        self._monitor = monitor
        self._channels = dict(channels)
        self._clock = clock
        self._wanted: tuple[_Counter, ...] = ()
        self._opening: _Snapshot | None = None

    @property
    def channels(self) -> tuple[Channel, ...]:
        return tuple(self._channels.values())

    def open(self, names: frozenset[str]) -> None:
        self._wanted = tuple(each for each in self._channels if each.name in names)
        self._opening = self._snapshot()

    def close(self, ended: float) -> Mapping[str, Reading]:
        if self._opening is None:
            return {}
        closing = self._snapshot()
        steady = {
            each: self._channels[each].update_seconds for each in self._wanted if not each.rests
        }

        def changed(waiting: Collection[_Counter]) -> list[_Counter]:
            now = self._snapshot().values
            return [each for each in waiting if now[each] != closing.values[each]]

        dead = stalled_after_work(steady, changed, self._clock, POLL_SECONDS)
        readings: dict[str, Reading] = {}
        for counter in self._wanted:
            period = self._channels[counter].update_seconds
            found = _joules(counter, period, self._opening, closing)
            is_fault = isinstance(found, SensorFault)
            readings[counter.name] = found if is_fault else dead.get(counter, found)
        return readings

    def abandon(self) -> None:
        self._opening = None

    def _snapshot(self) -> _Snapshot:
        values: dict[_Counter, int | SensorFault] = {}
        try:
            metrics = _read(self._monitor)
        except SensorFault as fault:
            values = dict.fromkeys(self._wanted, fault)
        else:
            for counter in self._wanted:
                try:
                    values[counter] = counter.millijoules(metrics)
                except SensorFault as fault:
                    values[counter] = fault
        return _Snapshot(self._clock.now(), values)


@dataclass(frozen=True)
class _Counter:
    """Fields of a reading that make up a channel.

    rests: whether it stands still where there is no work for it.
    """

    name: str
    kind: Kind
    fields: tuple[str, ...]
    rests: bool

    def millijoules(self, metrics: Any) -> int:
        """Raises SensorFault."""
        total = 0
        for each in self.fields:
            value = getattr(metrics, each, None)
            if not isinstance(value, int) or value < 0:
                raise SensorFault(f"{each} reads {value}; expected a number of millijoules")
            total += value
        return total


#: The neural engine counts where the CPU does, since its user is unknown; it rests,
#: and adds nothing, where there is none.
_COUNTERS = (
    _Counter(CPU, Kind.CPU, ("cpu_total_mj",), rests=False),
    _Counter("dram:0", Kind.DRAM, ("dram_mj",), rests=False),
    _Counter("gpu:0", Kind.GPU, ("gpu_mj", "gpu_sram_mj"), rests=True),
    _Counter("ane:0", Kind.CPU, ("ane_mj",), rests=True),
)
#: Not every GPU's memory is counted apart.
_OPTIONAL = frozenset({"gpu_sram_mj"})
_CORES = (
    "efficiency_cores_mj",
    "performance_cores_mj",
    "efficiency_cluster_mj",
    "performance_cluster_mj",
)


@dataclass(frozen=True)
class _Snapshot:
    seconds: float
    values: Mapping[_Counter, int | SensorFault]


def _joules(counter: _Counter, period: float, opening: _Snapshot, closing: _Snapshot) -> Reading:
    opened, closed = opening.values[counter], closing.values[counter]
    if isinstance(opened, SensorFault):
        return opened
    if isinstance(closed, SensorFault):
        return closed
    seconds = closing.seconds - opening.seconds
    joules = (closed - opened) / 1000
    if joules < 0:
        return went_back(opened / 1000, closed / 1000)
    if joules == 0 and not counter.rests and (fault := stalled(seconds, period)):
        return fault
    return too_much(joules, seconds, period, CEILING_WATTS) or joules


# Finding the library


def _unavailable(access: Access, problem: str, remedy: str = "", **more: Any) -> Probe:
    kinds = {Kind.CPU, Kind.DRAM, Kind.GPU}
    return Probe.unavailable("Apple's energy counters", access, kinds, problem, remedy, **more)


def _library() -> Any:
    """The module, or the Probe that says why it cannot be used."""
    if platform.system() != "Darwin":
        return _unavailable(Access.ABSENT, "this is no Mac", applies=False)
    if platform.machine() != "arm64":
        return _unavailable(
            Access.ABSENT,
            "this Mac has no Apple silicon, or its Python is built for Intel",
            "# On a Mac with Apple silicon, install a Python for arm64. It prints arm64 here:\n"
            'python -c "import platform; print(platform.machine())"',
        )
    try:
        library = importlib.import_module("zeus_apple_silicon")
    except ModuleNotFoundError:
        return _unavailable(Access.ABSENT, "zeus-apple-silicon is not installed", INSTALL)
    except ImportError:  # its text holds paths
        remedy = f"{INSTALL} --force-reinstall"
        return _unavailable(Access.FAULTY, "zeus-apple-silicon cannot be loaded", remedy)
    if crash := _crash():
        return _unavailable(Access.DENIED, crash)
    return library


def _crash() -> str:
    """Why the library cannot be used, found in another process; "" where it can.

    Where macOS has no such counters, as may be in a virtual machine, the library ends its process.
    """
    code = "import zeus_apple_silicon as z; z.AppleEnergyMonitor().get_cumulative_energy()"
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", code],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TRIAL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "zeus-apple-silicon did not answer"
    if done.returncode < 0:
        return (
            f"zeus-apple-silicon crashes on this machine (signal {-done.returncode}); a virtual "
            "machine has no energy counters"
        )
    return ""  # what it raises, it raises here too


def _read(monitor: Any) -> Any:
    """Raises SensorFault."""
    try:
        return monitor.get_cumulative_energy()
    except Exception as error:  # the library may raise anything
        raise SensorFault(f"the energy counters cannot be read: {error}") from None


def _counters(metrics: Any, left_out: dict[str, str]) -> list[_Counter]:
    """The counters that this Mac has."""
    found: list[_Counter] = []
    for each in _COUNTERS:
        missing = {name for name in each.fields if getattr(metrics, name, None) is None}
        fields = tuple(name for name in each.fields if name not in missing)
        counter = replace(each, fields=fields)
        if missing - _OPTIONAL:
            left_out[each.name] = "this Mac has no energy counter for it"
            continue
        if missing:
            left_out[f"SRAM of {each.name}"] = "is not counted separately on this Mac"
        try:
            counter.millijoules(metrics)
        except SensorFault as fault:
            left_out[each.name] = str(fault)
        else:
            found.append(counter)
    if CPU not in left_out and all(getattr(metrics, each, None) is None for each in _CORES):
        # Then zeus-apple-silicon takes the last of several dies for the whole.
        left_out[CPU] = (
            "zeus-apple-silicon does not know the cores of this chip; if the chip has two dies, "
            "only one of them would be counted"
        )
    return [each for each in found if each.name not in left_out]


def _watch(monitor: Any, counters: Sequence[_Counter], clock: Clock) -> dict[_Counter, list[float]]:
    """When each counter was refreshed: a few times, or until the time is over."""
    refreshed: dict[_Counter, list[float]] = {each: [] for each in counters}
    last: dict[_Counter, int] = {}
    started = now = clock.now()
    while now - started < PROBE_SECONDS and any(
        len(times) <= PROBE_REFRESHES for each, times in refreshed.items() if not each.rests
    ):
        metrics = _read(monitor)
        now = clock.now()
        for each in counters:
            value = each.millijoules(metrics)
            if value != last.get(each, value):
                refreshed[each].append(now)
            last[each] = value
        clock.sleep(POLL_SECONDS)
    return refreshed


def _channels(
    refreshed: Mapping[_Counter, list[float]], left_out: dict[str, str]
) -> dict[_Counter, Channel]:
    """A channel for each counter that can be trusted."""
    periods: dict[_Counter, float] = {}
    fallback = UNSEEN_SECONDS
    for each, times in refreshed.items():
        if len(times) > PROBE_REFRESHES:
            periods[each] = median(later - earlier for earlier, later in pairwise(times))
        elif each.rests:
            periods[each] = fallback
        else:
            left_out[each.name] = (
                f"the energy counter was refreshed {len(times)} times in "
                f"{PROBE_SECONDS:g} s; expected more than {PROBE_REFRESHES}, because a window "
                f"needs {WINDOW_PERIODS} refreshes"
            )
        if each.name == CPU:
            fallback = periods.get(each, fallback)
    if CPU in left_out:
        alone = [each for each in periods if each.kind is not Kind.GPU]
        for each in alone:
            del periods[each]
            left_out[each.name] = "a sum without the CPU's counter would be too low"
    return {
        each: Channel(
            name=each.name,
            kind=each.kind,
            source=SOURCE,
            provenance=Provenance.MEASURED,
            update_seconds=period,
            window_seconds=seconds,
            shortest_seconds=seconds,
        )
        for each, period in periods.items()
        for seconds in (max(MIN_WINDOW_SECONDS, WINDOW_PERIODS * period),)
    }
