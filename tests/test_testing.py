"""What authors of extensions use: the scripted sensor, the check of a sensor, and the hook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_energy.errors import EnergyError, InputError
from pytest_energy.plugin.sensors import added_probes
from pytest_energy.sensors import clock
from pytest_energy.sensors.base import (
    Access,
    Clock,
    Device,
    Kind,
    Probe,
    Reading,
    SensorFault,
)
from pytest_energy.testing import (
    ScriptedSensor,
    VirtualTime,
    assert_sensor_conforms,
    run_with_sensors,
)

TEST = """
import time
import pytest

def spin():
    end = time.thread_time() + 0.005
    while time.thread_time() < end:
        pass

@pytest.mark.energy_budget("{limit}", scope="machine")
def test_it():
    spin()
"""
REAL = Clock(clock.now, clock.sleep)


def test_the_scripted_sensor_conforms() -> None:
    time = VirtualTime()
    assert_sensor_conforms(ScriptedSensor(100.0, time.clock), time.clock, time.pass_by)


class Falling(ScriptedSensor):
    def close(self, ended: float) -> Mapping[str, Reading]:
        return dict.fromkeys(super().close(ended), -1.0)


class Silent(ScriptedSensor):
    def close(self, ended: float) -> Mapping[str, Reading]:
        return {}


@pytest.mark.parametrize(("kind", "words"), [(Falling, "joules don't fall"), (Silent, "returns")])
def test_a_sensor_that_does_not_conform_is_named(kind: type[ScriptedSensor], words: str) -> None:
    time = VirtualTime()
    with pytest.raises(AssertionError, match=words):
        assert_sensor_conforms(kind(100.0, time.clock), time.clock, time.pass_by)


OFF = Probe.unavailable("plug", Access.ABSENT, {Kind.MACHINE}, "no plug answers", "# Plug it in.")


def test_a_probe_without_a_sensor_conforms_where_it_says_what_is_missing() -> None:
    time = VirtualTime()
    assert_sensor_conforms(OFF, time.clock, time.pass_by)
    (missing,) = OFF.missing
    assert (missing.what, missing.why, missing.remedy) == ("plug", OFF.problem, "# Plug it in.")


def test_a_probe_is_closed_after_the_check() -> None:
    time, closed = VirtualTime(), []
    probe = replace(
        Probe.of(ScriptedSensor(100.0, time.clock)), close=lambda: closed.append(time.seconds)
    )
    assert_sensor_conforms(probe, time.clock, time.pass_by)
    assert closed == [time.seconds]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"access": Access.ABSENT}, "READABLE where there is a sensor"),
        ({"problem": "no plug"}, "why there is no sensor"),
        ({"kinds": frozenset()}, "`kinds` contains"),
        ({"devices": (Device(channel="npu:1", name="N1"),)}, "npu:1: a device has a channel"),
    ],
)
def test_a_probe_that_contradicts_itself_is_named(change: dict[str, Any], words: str) -> None:
    time = VirtualTime()
    probe = replace(Probe.of(ScriptedSensor(100.0, time.clock)), **change)
    with pytest.raises(AssertionError, match=words):
        assert_sensor_conforms(probe, time.clock, time.pass_by)


def test_a_limit_of_the_machine_without_a_meter_says_why(pytester: pytest.Pytester) -> None:
    run = run_with_sensors(
        pytester, TEST.format(limit="1 kJ / query"), lambda: [OFF], "--energy-max-seconds=2"
    )
    (test,) = run.tests
    assert (test["verdict"], test["code"]) == ("unmeasured", "no-sensor")
    assert "no sensor of the whole machine: no plug answers" in test["reason"]


@pytest.mark.parametrize(("limit", "verdict"), [("1 kJ / query", "pass"), ("1 mJ / query", "fail")])
def test_a_limit_of_the_machine_is_judged_by_an_added_sensor(
    pytester: pytest.Pytester, limit: str, verdict: str
) -> None:
    options = ("--energy-max-seconds=60", "--energy-max-rounds=5")
    run = run_with_sensors(
        pytester, TEST.format(limit=limit), lambda: [ScriptedSensor(100.0, REAL)], *options
    )
    (test,) = run.tests
    assert (test["verdict"], test["method"], test["scope"]) == (verdict, "measured", "machine")
    (gated,) = [each for each in test["channels"] if each["gated"]]
    assert gated["name"] == "machine:scripted"
    measured = [each for each in test["rounds"] if not each["warmup"]]
    seconds = [each["seconds"] / each["units"] for each in measured]
    # The figure is a robust centre of the rounds, which differ on a busy machine.
    assert 0.9 * min(seconds) <= test["joules_per_unit"] / 100.0 <= 1.1 * max(seconds)


def test_a_fault_of_an_added_sensor_makes_the_test_unmeasured(pytester: pytest.Pytester) -> None:
    faults = [SensorFault("the plug is off", "plug-off")] * 50
    run = run_with_sensors(
        pytester,
        TEST.format(limit="1 kJ / query"),
        lambda: [ScriptedSensor(100.0, REAL, faults=faults)],
        "--energy-max-seconds=3",
    )
    (test,) = run.tests
    assert (test["verdict"], test["code"]) == ("unmeasured", "plug-off")
    assert "the plug is off" in test["reason"]


def test_without_a_sensor_of_the_machine_its_scope_is_unmeasured(pytester: pytest.Pytester) -> None:
    run = run_with_sensors(
        pytester, TEST.format(limit="1 kJ / query"), list, "--energy-max-seconds=2"
    )
    (test,) = run.tests
    assert test["verdict"] == "unmeasured"
    assert "install a plugin that has one" in test["reason"]


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (
            lambda: [ScriptedSensor(1.0, REAL, name="gpu:0")],
            "'gpu:0' is taken by pytest",
        ),
        (
            lambda: [ScriptedSensor(1.0, REAL), ScriptedSensor(1.0, REAL)],
            "is taken by plugin",
        ),
        (
            lambda: [replace(OFF, devices=(Device(channel="gpu:7", name="N1"),))],
            "'gpu:7' is taken by pytest",
        ),
        (lambda: None, "returned None; expected a list of sensors or probes"),
        (lambda: ["meter"], "expected a list of sensors or probes"),
        (lambda: 1 / 0, "failed: ZeroDivisionError"),
    ],
)
def test_sensors_that_cannot_be_used_name_their_plugin(made: object, words: str) -> None:
    call = SimpleNamespace(
        plugin_name="wall", argnames=(), function=made, hookwrapper=False, wrapper=False
    )
    caller = SimpleNamespace(get_hookimpls=lambda: [call])
    config = SimpleNamespace(hook=SimpleNamespace(pytest_energy_sensors=caller))
    with pytest.raises(InputError, match="pytest_energy_sensors of plugin 'wall'.*" + words):
        added_probes(config)  # type: ignore[arg-type]


class Refusing:
    """An extension whose instrument does not answer."""

    def pytest_energy_sensors(self) -> list[ScriptedSensor]:
        raise EnergyError("no plug answers at that address")


def test_what_an_extension_says_reaches_the_user(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TEST.format(limit="1 kJ / query"))
    result = pytester.runpytest_inprocess(plugins=[Refusing()])
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*pytest_energy_sensors of plugin *no plug answers at that*"])
