"""For the authors of sensors: a virtual clock, a scripted sensor, and a check of any sensor.

Import it in tests only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

# pytester forgets what a run in this process imports first: a second copy's enums would differ.
import pytest_energy.measurement.gate  # noqa: F401
from pytest_energy.errors import EnergyError
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


class VirtualTime:
    """Time that passes only when somebody sleeps or works."""

    def __init__(self) -> None:
        self.seconds = 100.0
        self.clock = Clock(lambda: self.seconds, self.pass_by)

    def pass_by(self, seconds: float) -> None:
        self.seconds += seconds


class ScriptedSensor(Sensor):
    """A channel with a known power, in watts, on the clock that it is given.

    faults: what `close` returns in place of joules, one a window, None for joules.
    """

    def __init__(
        self,
        watts: float,
        clock: Clock,
        *,
        name: str = "machine:scripted",
        kind: Kind = Kind.MACHINE,
        faults: Sequence[SensorFault | None] = (),
    ) -> None:
        self.watts = watts
        self.windows: list[float] = []
        """Seconds of each window that was closed."""
        self.abandoned = 0
        self._clock = clock
        self._opened = 0.0
        self._faults = list(faults)
        self._channel = Channel(
            name=name,
            kind=kind,
            source="scripted power",
            provenance=Provenance.MEASURED,
            update_seconds=0.0,
            window_seconds=0.1,
        )

    @property
    def channels(self) -> tuple[Channel, ...]:
        return (self._channel,)

    def open(self, names: frozenset[str]) -> None:  # noqa: ARG002  (there is one channel)
        self._opened = self._clock.now()

    def close(self, ended: float) -> Mapping[str, Reading]:
        seconds = ended - self._opened
        self.windows.append(seconds)
        fault = self._faults.pop(0) if self._faults else None
        return {self._channel.name: self.watts * seconds if fault is None else fault}

    def abandon(self) -> None:
        self.abandoned += 1


def assert_sensor_conforms(
    found: Sensor | Probe, clock: Clock, work: Callable[[float], None]
) -> None:
    """Check what the measurement relies on, in real or in virtual time.

    found: what the hook `pytest_energy_sensors` returns for one instrument. clock: the one that its
    sensors use. work: uses so many seconds of it. Raises AssertionError that names the channel and
    what was expected. The sensor is released, and the probe closed, at the end.
    """
    probe = Probe.of(found) if isinstance(found, Sensor) else found
    try:
        _assert_probe_conforms(probe)
        for sensor in probe.sensors:
            _assert_sensor_conforms(sensor, clock, work)
    finally:
        probe.close()


def _assert_probe_conforms(probe: Probe) -> None:
    is_readable = probe.access is Access.READABLE
    assert is_readable is bool(probe.sensors), (
        f"access is READABLE where there is a sensor, and only there; it is {probe.access.name} "
        f"with {len(probe.sensors)} sensors"
    )
    assert is_readable is not bool(probe.problem), (
        f"`problem` says in one sentence why there is no sensor, and is empty where there is one; "
        f"it is {probe.problem!r}"
    )
    if not is_readable and probe.applies:
        assert probe.missing, "`missing` lists the instrument that does not answer, for the doctor"
    for each in probe.missing:
        assert each.what and each.why, f"{each}: `what` and `why` are not empty"
    kinds = {channel.kind for channel in probe.channels}
    assert probe.kinds >= kinds, f"`kinds` contains {sorted(kinds)}, not {sorted(probe.kinds)}"
    known = {*(channel.name for channel in probe.channels), *probe.faults}
    for device in probe.devices:
        assert device.name, f"{device.channel}: a device has a name"
        assert device.channel in known, (
            f"{device.channel}: a device has a channel, or `faults` says why it has none"
        )
        device.state()
        device.process_ids()


def _assert_sensor_conforms(sensor: Sensor, clock: Clock, work: Callable[[float], None]) -> None:
    channels = sensor.channels
    names = frozenset(each.name for each in channels)
    assert channels, "a sensor has at least one channel; return no sensor where nothing answers"
    assert len(names) == len(channels), f"channel names are unique, not {sorted(names)}"
    for each in channels:
        assert each.source, f"{each.name}: `source` names the instrument for people"
        assert each.update_seconds >= 0, f"{each.name}: `update_seconds` is not negative"
        assert each.window_seconds > 0, f"{each.name}: `window_seconds` is above zero"
        assert each.shortest_seconds <= each.window_seconds, (
            f"{each.name}: a round ({each.window_seconds} s) is no shorter than the shortest "
            f"window that can be resolved ({each.shortest_seconds} s)"
        )
    seconds = max(each.window_seconds for each in channels)
    for length in (seconds, 2 * seconds):
        sensor.open(names)
        began = clock.now()
        work(length)
        ended = clock.now()
        assert ended - began >= length * 0.9, "`work` uses the seconds that it is asked for"
        readings = sensor.close(ended)
        assert set(readings) == names, f"`close` returns {sorted(names)}, not {sorted(readings)}"
        for name, reading in readings.items():
            if isinstance(reading, SensorFault):
                assert str(reading) and reading.code, f"{name}: a fault has a message and a code"
            else:
                assert reading >= 0, f"{name}: joules don't fall, so {reading} J is a SensorFault"
    sensor.open(names)
    sensor.abandon()  # the work raised
    sensor.open(frozenset())
    unasked = sensor.close(clock.now())
    assert set(unasked) <= names, f"`close` returns its own channels, not {sorted(unasked)}"


@dataclass(frozen=True)
class Run:
    """What a run of a test file came to.

    result: pytest's own. tests: the tests of the run record, as plain data (docs/record.md).
    """

    result: pytest.RunResult
    tests: Sequence[Mapping[str, Any]]


def run_with_sensors(
    pytester: pytest.Pytester,
    source: str,
    sensors: Callable[[], Sequence[Sensor | Probe]],
    *options: str,
) -> Run:
    """Run a test file in this process with the sensors of an extension.

    sensors: what the extension's `pytest_energy_sensors` returns or raises.
    """

    class Extension:
        def pytest_energy_sensors(self) -> Sequence[Sensor | Probe]:
            return sensors()

    pytester.makepyfile(source)
    path = pytester.path / "record.json"
    locks = f"--energy-lock-folder={pytester.path / 'locks'}"
    result = pytester.runpytest_inprocess(
        f"--energy-json={path}", "--energy-gpus=none", locks, *options, plugins=[Extension()]
    )
    if not path.exists():
        raise EnergyError(f"the run wrote no record (exit status {result.ret})")
    return Run(result, json.loads(path.read_bytes())["tests"])
