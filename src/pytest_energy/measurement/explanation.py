"""What makes a figure: time, power, and how the machine was meanwhile; pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pytest_energy.measurement.protocol import Round
from pytest_energy.record.schema import Explanation, GpuStateRecord
from pytest_energy.rules.statistics import drift
from pytest_energy.sensors.base import Channel

#: More involuntary context switches for a CPU second than a quiet machine has.
CROWDED_SWITCHES_PER_CPU_SECOND = 30.0
#: Others that use less of the machine than this cause no contention.
CROWD_CORES = 0.1
#: A smaller trend from the first round to the last isn't reported.
DRIFT = 0.02


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What was seen around the rounds of one measurement.

    other_processes: by channel. unknown: sentences about boards whose users are unknown, by
    channel. before, after: the boards by channel. problem: why the rounds don't
    hold the work that the test asks for, or "". elsewhere: why a part of it may have been done by a
    process that isn't counted, or "".
    """

    other_processes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)
    before: Mapping[str, GpuStateRecord] = field(default_factory=dict)
    after: Mapping[str, GpuStateRecord] = field(default_factory=dict)
    problem: str = ""
    elsewhere: str = ""

    def other_processes_on(self, channels: Sequence[str]) -> tuple[str, ...]:
        return tuple(each for name in channels for each in self.other_processes.get(name, ()))

    def unknown_on(self, channels: Sequence[str]) -> tuple[str, ...]:
        return tuple(self.unknown[name] for name in channels if name in self.unknown)


def explain(
    measured: Sequence[Round],
    unit: str,
    values: Sequence[float],
    gated: Sequence[Channel],
    around: Surroundings,
) -> Explanation:
    """The explanation of rounds that are a measurement; `values` is what was compared in each."""
    seconds = sum(each.window.seconds for each in measured)
    names = [channel.name for channel in gated]
    joules = sum(each.window.joules(names) for each in measured)
    units: dict[str, float] = {}
    for each in measured:
        for word, number in each.units.items():
            units[word] = units.get(word, 0.0) + number
    idle = [channel.idle_watts for channel in gated]
    idle_watts = sum(watts for watts in idle if watts is not None)
    net = (joules - idle_watts * seconds) / units[unit]
    slope = drift([math.log(value) for value in values])
    switches = [each.window.involuntary_switches for each in measured]
    known = [each for each in switches if each is not None]
    return Explanation(
        seconds=seconds,
        units=units,
        units_per_second=units[unit] / seconds,
        mean_watts=joules / seconds,
        net_joules_per_unit=None if None in idle else net,
        involuntary_switches_per_unit=sum(known) / units[unit]
        if len(known) == len(switches)
        else None,
        gpus_before=tuple(around.before[name] for name in names if name in around.before),
        gpus_after=tuple(around.after[name] for name in names if name in around.after),
        drift_per_round=slope if abs(slope) * (len(values) - 1) > DRIFT else None,
    )


def without_disturbed_laps(
    found: Explanation, joules_per_unit: float, seconds_per_unit: float
) -> Explanation:
    """The same with time and power of the laps that the figure rests on."""
    return replace(
        found,
        units_per_second=1 / seconds_per_unit,
        mean_watts=joules_per_unit / seconds_per_unit,
    )


def other_cores(measured: Sequence[Round]) -> float | None:
    """How many cores other processes kept busy in these rounds; None where nothing tells."""
    seconds = sum(each.window.seconds for each in measured)
    others = [each.window.other_cpu_seconds for each in measured]
    known = [each for each in others if each is not None]
    return sum(known) / seconds if seconds > 0 and len(known) == len(others) else None


def has_contention(measured: Sequence[Round]) -> bool:
    """Whether others made the test leave its cores so often that its CPU time can't be believed.

    Threads of the test's own that get in one another's way are no contention.
    """
    cores = other_cores(measured)
    if cores is not None and cores < CROWD_CORES:
        return False
    cpu_seconds = sum(each.window.cpu_seconds for each in measured)
    switches = sum(each.window.involuntary_switches or 0 for each in measured)
    return cpu_seconds > 0 and switches / cpu_seconds > CROWDED_SWITCHES_PER_CPU_SECOND
