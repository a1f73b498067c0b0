"""`--energy-wall-meter URL`: the energy counter of a smart plug as a sensor of pytest-energy."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from pytest_energy.errors import EnergyError
from pytest_energy.sensors.base import (
    Access,
    Channel,
    Device,
    Kind,
    Probe,
    Provenance,
    Reading,
    Sensor,
    SensorFault,
)

NAME = "machine:wall"
TIMEOUT_SECONDS = 2.0
JOULES_PER_WH = 3600.0
#: Fewer steps of the counter than this leave an error of more than 2 %.
FEWEST_STEPS = 50
LARGEST_BYTES = 100_000
REMEDY = """\
# Switch the plug and its relay on, and check that this machine reaches it; URL is the address
# that --energy-wall-meter names:
curl "$URL"
# A Shelly plug answers at /rpc/Switch.GetStatus?id=0, a Tasmota plug at /cm?cmnd=Status%2010."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("energy-wall-meter")
    group.addoption("--energy-wall-meter", metavar="URL", help="Read a smart plug at URL")


def pytest_energy_sensors(config: pytest.Config) -> Sequence[Probe]:
    url = config.getoption("--energy-wall-meter")
    return [] if url is None else [probe(url)]


def probe(url: str, timeout_seconds: float = TIMEOUT_SECONDS) -> Probe:
    """Read the plug once. Raises EnergyError for a URL that is none."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise EnergyError(
            f"--energy-wall-meter {url!r} is not a URL; for example "
            "http://192.0.2.7/rpc/Switch.GetStatus?id=0"
        )
    try:
        meter = WallMeter(url, timeout_seconds)
    except SensorFault as fault:
        # `pytest-energy doctor` lists it, and a limit with scope="machine" reports it.
        return Probe.unavailable(
            "smart plug",
            Access.ABSENT if fault.code == "no-answer" else Access.FAULTY,
            {Kind.MACHINE},
            f"--energy-wall-meter: {fault}",
            REMEDY,
            notes=(f"{NAME} is not measured: {fault}; pytest-energy doctor says what to do",),
        )
    return replace(Probe.of(meter), devices=(Device(channel=NAME, name="smart plug"),))


class WallMeter(Sensor):
    """One plug. Raises SensorFault where no plug answers."""

    def __init__(self, url: str, timeout_seconds: float) -> None:
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._opened: float | SensorFault = 0.0
        _, self._step_joules = self._read()
        self._channel = Channel(
            name=NAME,
            kind=Kind.MACHINE,
            source="energy counter of a smart plug",
            provenance=Provenance.MEASURED,
            update_seconds=1.0,
            window_seconds=10.0,
        )

    @property
    def channels(self) -> tuple[Channel, ...]:
        return (self._channel,)

    def open(self, names: frozenset[str]) -> None:
        self._opened = self._joules() if NAME in names else 0.0

    def close(self, ended: float) -> Mapping[str, Reading]:  # noqa: ARG002
        return {NAME: self._used(self._opened, self._joules())}

    def abandon(self) -> None:
        pass  # nothing is running between two readings

    def _joules(self) -> float | SensorFault:
        try:
            joules, _ = self._read()
        except SensorFault as fault:
            return fault
        return joules

    def _used(self, before: float | SensorFault, after: float | SensorFault) -> Reading:
        for reading in (before, after):
            if isinstance(reading, SensorFault):
                return reading
        assert isinstance(before, float) and isinstance(after, float)
        if after < before:
            return SensorFault(
                f"the plug's counter went back from {before:.0f} J to {after:.0f} J, so it was "
                "reset; run the test again",
                "counter-reset",
            )
        if after - before < FEWEST_STEPS * self._step_joules:
            return SensorFault(
                f"the plug counted {after - before:.1f} J in steps of {self._step_joules:g} J; "
                f"expected at least {FEWEST_STEPS} steps: measure longer",
                "window-too-short",
            )
        return after - before

    def _read(self) -> tuple[float, float]:
        """Joules since the plug began to count, and the step of that counter in joules."""
        try:
            with urlopen(self._url, timeout=self._timeout_seconds) as answer:
                text = answer.read(LARGEST_BYTES)
        except (URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            raise SensorFault(f"the plug does not answer: {reason}", "no-answer") from None
        try:
            return _counted(json.loads(text))
        except (ValueError, KeyError, TypeError) as error:
            raise SensorFault(
                f"the plug's answer is not the status of a Shelly or Tasmota plug ({error!r})",
                "bad-answer",
            ) from None


def _counted(status: Any) -> tuple[float, float]:
    """The count and the step of a Shelly (Wh, to a thousandth) or a Tasmota plug (kWh)."""
    if "aenergy" in status:
        if status.get("output") is False:
            raise ValueError("its relay is off")
        return float(status["aenergy"]["total"]) * JOULES_PER_WH, JOULES_PER_WH / 1000
    return float(status["StatusSNS"]["ENERGY"]["Total"]) * 1000 * JOULES_PER_WH, JOULES_PER_WH
