"""Sensors of other plugins, by the hook `pytest_energy_sensors`."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pytest_energy.errors import EnergyError, InputError
from pytest_energy.plugin.hookspec import call_each
from pytest_energy.sensors.base import Sensor

HOOK = "pytest_energy_sensors"
#: Names of channels that are ours.
OURS = ("gpu:", "cpu:", "dram:", "ane:")


def added_sensors(config: pytest.Config) -> tuple[Sensor, ...]:
    """Those of all plugins. Raises InputError, which names the plugin, for any that is unusable."""
    found: list[Sensor] = []
    owners: dict[str, str] = {}
    for plugin, sensors in call_each(config, HOOK, config=config):
        where = f"{HOOK} of plugin {plugin!r}"
        if isinstance(sensors, EnergyError):
            raise InputError(f"{where}: {sensors}")
        if isinstance(sensors, Exception):
            raise InputError(f"{where} failed: {type(sensors).__name__}: {sensors}")
        if not isinstance(sensors, Sequence) or not all(isinstance(s, Sensor) for s in sensors):
            raise InputError(f"{where} returned {sensors!r}; expected a list of sensors")
        for name in (channel.name for sensor in sensors for channel in sensor.channels):
            if name.startswith(OURS) or name in owners:
                owner = owners.get(name, "pytest-energy")
                raise InputError(f"{where}: channel {name!r} is taken by {owner}; rename it")
            owners[name] = f"plugin {plugin!r}"
        found += sensors
    return tuple(found)
