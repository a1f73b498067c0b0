"""The hooks of pytest-energy: add a sensor, a report format or an exporter from another plugin.

A plugin implements any of these functions by its name, as it does pytest's own hooks; see
docs/architecture.md. VERSION grows when a hook changes so that an implementation has to follow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_energy.record.schema import RunRecord
    from pytest_energy.sensors.base import Probe, Sensor

VERSION = 1


@pytest.hookspec
def pytest_energy_sensors(config: pytest.Config) -> Sequence[Sensor | Probe]:
    """Sensors that are read beside those of pytest-energy, or what is missing for them.

    Called once in each process that measures, and by `pytest-energy doctor`, before the first
    measurement. Read the instrument here. Return a `Sensor` for one that answered, or a
    `pytest_energy.sensors.base.Probe`, which also has devices and notes, and says why an instrument
    does not answer and what to do (`Probe.unavailable`). Raise `pytest_energy.errors.EnergyError`
    for a setting that cannot be used. A channel of the kind "machine" is covered by limits with
    scope="machine", one of the kind "cpu" or "dram" by scope="cpu".
    """
    raise NotImplementedError


@pytest.hookspec
def pytest_energy_report_formats(
    config: pytest.Config,
) -> Mapping[str, Callable[[RunRecord], str]]:
    """Report formats by name, for `--energy-report NAME:PATH` and `pytest-energy report --to NAME`.

    Each is a function from the run record to the text of the report, without any I/O. A name that
    is taken, by pytest-energy or by another plugin, ends the run with a message.
    """
    raise NotImplementedError


@pytest.hookspec
def pytest_energy_record(config: pytest.Config, record: RunRecord) -> None:
    """Take the finished run record, for example to a database or an experiment tracker.

    Called once at the end of a session in which tests were to be measured, under pytest-xdist on
    the controller. An exception is reported with the plugin's name and makes the run fail; the
    verdicts stand.
    """


def call_each(config: pytest.Config, hook: str, /, **arguments: object) -> list[tuple[str, object]]:
    """The result of each plugin's implementation, or the exception it raised, with its name.

    One plugin's mistake must not keep the others from being called.
    """
    found: list[tuple[str, object]] = []
    for each in getattr(config.hook, hook).get_hookimpls():
        asked = {name: arguments[name] for name in each.argnames}
        try:
            if each.hookwrapper or each.wrapper:
                raise TypeError(f"{hook} can't be a wrapper; write a plain function")
            found.append((each.plugin_name, each.function(**asked)))
        except Exception as error:
            found.append((each.plugin_name, error))
    return found
