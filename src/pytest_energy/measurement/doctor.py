"""What this machine can measure: every instrument read live, and what to do about what is missing.

Nothing here names a host, a user or a path, so that a diagnosis can be pasted in public.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_energy.limits.budget import Budget, Scope
from pytest_energy.limits.limit import parse_limit
from pytest_energy.measurement.coverage import GpusInUse, cover
from pytest_energy.measurement.in_use import find_gpus_in_use, offer_of
from pytest_energy.measurement.meter import Meter, Window
from pytest_energy.record import machine
from pytest_energy.sensors.accelerators import DeviceUse
from pytest_energy.sensors.base import Channel, Clock, Missing, Provenance, SensorFault
from pytest_energy.sensors.discover import Instruments
from pytest_energy.sensors.proc import busy_seconds

SECONDS = 2.0
#: A board's power may exceed its limit for a moment.
OVER_POWER_LIMIT = 1.2
#: One core is kept busy while the instruments are read; less than this of it means contention.
BUSY_CORE = 0.5


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One channel over the seconds that were watched, with one core kept busy.

    watts: None where there was no number; `plausible` then says why, as it does for an odd one.
    update_seconds: how often the instrument refreshes its value, as seen; 0: at every reading.
    """

    channel: str
    source: str
    provenance: str
    watts: float | None
    update_seconds: float
    plausible: str


@dataclass(frozen=True, kw_only=True)
class Gated:
    """What a limit of scope auto covers: in which case, which channels, with which evidence."""

    case: str
    scope: str
    channels: tuple[str, ...]
    evidence: str
    tolerance: float
    problem: str


@dataclass(frozen=True)
class Device:
    """A device that a sensor found: a GPU board, a meter."""

    channel: str
    name: str
    power_limit_watts: float | None


@dataclass(frozen=True)
class Rules:
    """What the user's settings say of limits: the mode of --energy-gpus, and the defaults."""

    gpus: str = "auto"
    require_measured: bool = False
    scope: Scope = Scope.AUTO
    tolerance: float | None = None


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What this machine can measure. works: whether anything can be measured or estimated.

    notes: of instruments that other plugins have added.
    """

    os: str
    architecture: str
    cpu: str
    cpu_count: int
    devices: tuple[Device, ...]
    versions: dict[str, str]
    seconds: float
    readings: tuple[Reading, ...]
    other_cores: float | None
    gpus_in_use: tuple[str, ...]
    why_in_use: str
    auto: tuple[Gated, ...]
    missing: tuple[Missing, ...]
    left_out: dict[str, str]
    works: bool
    notes: tuple[str, ...] = ()


def diagnose(
    instruments: Instruments,
    rules: Rules,
    clock: Clock,
    spin: Callable[[float], None],
    seconds: float = SECONDS,
    problems: Sequence[str] = (),
) -> Diagnosis:
    """Read all instruments for `seconds`, while `spin` keeps one core busy for as long.

    problems: why settings of the user are left aside.
    """
    channels = instruments.channels
    meter = Meter(instruments.counters, instruments.cpu_time, busy_seconds, clock)
    with meter.window([channel.name for channel in channels]) as measured:
        spin(seconds)
    window = measured.window
    devices = [
        Device(each.channel, each.name, each.power_limit_watts) for each in instruments.devices
    ]
    limits = {each.channel: each.power_limit_watts for each in devices}
    here = machine.machine([])
    in_use = find_gpus_in_use(instruments, rules.gpus, DeviceUse(), DeviceUse())
    neighbours = window.other_cpu_seconds
    readings = tuple(_reading(each, window, limits.get(each.name)) for each in channels)
    return Diagnosis(
        os=here.os,
        architecture=here.architecture,
        cpu=here.cpu,
        cpu_count=here.cpu_count,
        devices=tuple(devices),
        versions=machine.versions(instruments.versions),
        seconds=window.seconds,
        readings=readings,
        other_cores=None if neighbours is None else neighbours / window.seconds,
        gpus_in_use=tuple(f"gpu:{each.board.index}" for each in in_use.devices),
        why_in_use=in_use.problem or in_use.note or in_use.why,
        auto=tuple(_auto(instruments, in_use, rules)),
        missing=(*(Missing("settings", each) for each in problems), *_missing(instruments)),
        left_out=dict(instruments.left_out),
        works=any(each.watts is not None for each in readings),
        notes=tuple(note for each in instruments.added for note in each.notes),
    )


def _reading(channel: Channel, window: Window, limit_watts: float | None) -> Reading:
    try:
        watts = window.joules([channel.name]) / window.seconds
        odd = _odd(channel, watts, limit_watts, window.cpu_seconds / window.seconds)
    except SensorFault as fault:
        watts, odd = None, str(fault).removeprefix(f"{channel.name}: ")
    return Reading(
        channel=channel.name,
        source=channel.source,
        provenance=str(channel.provenance),
        watts=watts,
        update_seconds=channel.update_seconds,
        plausible=odd or "yes",
    )


def _odd(channel: Channel, watts: float, limit_watts: float | None, cores: float) -> str:
    """Why a reading can't be believed, or ""."""
    if channel.provenance is Provenance.ESTIMATED:
        if cores < BUSY_CORE:
            return f"too low: CPU contention left {cores:.2f} of one busy core"
    elif watts <= 0:
        return "no: the counter did not move"
    elif limit_watts is not None and watts > OVER_POWER_LIMIT * limit_watts:
        return f"no: the board's power limit is {limit_watts:.0f} W"
    return ""


def _auto(instruments: Instruments, in_use: GpusInUse, rules: Rules) -> list[Gated]:
    """What a limit covers as things are, and for a test that uses the GPUs."""
    cases = [("a test that uses no GPU", GpusInUse(why=in_use.why))]
    if instruments.candidates:
        boards = ", ".join(f"gpu:{each.board.index}" for each in instruments.candidates)
        cases.append((f"a test that uses {boards}", GpusInUse(devices=instruments.candidates)))
    if in_use.devices:  # named by the user, or counted because nothing tells
        cases = [("any test", in_use)]
    return [_gated(case, used, instruments, rules) for case, used in cases]


def _gated(case: str, in_use: GpusInUse, instruments: Instruments, rules: Rules) -> Gated:
    budget = Budget(limit=parse_limit("1 J / query"), scope=rules.scope)
    coverage = cover(
        budget,
        in_use,
        DeviceUse(),
        offer_of(instruments),
        require_measured=rules.require_measured,
    )
    return Gated(
        case=case,
        scope=str(coverage.scope),
        channels=coverage.gated_names,
        evidence=coverage.method,
        tolerance=coverage.tolerance if rules.tolerance is None else rules.tolerance,
        problem=coverage.problem,
    )


def _missing(instruments: Instruments) -> list[Missing]:
    found = list(instruments.missing)
    if instruments.no_cpu:
        found.append(Missing("measured CPU energy", _estimate(instruments.channels), _PIN))
    if busy_seconds() is None:
        found.append(Missing("other processes", "this system does not report how busy they are"))
    return found


def _estimate(channels: Sequence[Channel]) -> str:
    (estimate,) = (each for each in channels if each.provenance is Provenance.ESTIMATED)
    return f"no CPU counter, so energy is estimated: {estimate.source}"


_PIN = (
    "# Pin the watts of a busy core of this processor, from its data sheet or a power meter:\n"
    "pytest --energy-cpu-watts-per-core 6"
)
