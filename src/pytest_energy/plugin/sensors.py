"""Sensors of other plugins, by the hook `pytest_energy_sensors`."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pytest_energy.errors import EnergyError, InputError
from pytest_energy.plugin.hookspec import call_each
from pytest_energy.sensors.base import Probe, Sensor

HOOK = "pytest_energy_sensors"
#: Names of channels that are ours.
OURS = ("gpu:", "cpu:", "dram:", "ane:")


def added_probes(config: pytest.Config) -> tuple[Probe, ...]:
    """Those of all plugins. Raises InputError, which names the plugin, for any that is unusable.

    A sensor stands for a probe of an instrument that answered.
    """
    found: list[Probe] = []
    owners: dict[str, str] = {}
    for plugin, returned in call_each(config, HOOK, config=config):
        where = f"{HOOK} of plugin {plugin!r}"
        if isinstance(returned, EnergyError):
            raise InputError(f"{where}: {returned}")
        if isinstance(returned, Exception):
            raise InputError(f"{where} failed: {type(returned).__name__}: {returned}")
        if not isinstance(returned, Sequence) or not all(
            isinstance(each, Sensor | Probe) for each in returned
        ):
            raise InputError(f"{where} returned {returned!r}; expected a list of sensors or probes")
        probes = [Probe.of(each) if isinstance(each, Sensor) else each for each in returned]
        for name in (name for probe in probes for name in _names(probe)):
            if name.startswith(OURS) or name in owners:
                owner = owners.get(name, "pytest-energy")
                raise InputError(f"{where}: channel {name!r} is taken by {owner}; rename it")
            owners[name] = f"plugin {plugin!r}"
        found += probes
    return tuple(found)


def _names(probe: Probe) -> list[str]:
    """Of its channels, and of devices that have none."""
    channels = [each.name for each in probe.channels]
    return [*channels, *{each.channel for each in probe.devices}.difference(channels)]
