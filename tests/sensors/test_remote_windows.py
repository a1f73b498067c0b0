"""Windows on a counter of another machine, on a virtual clock."""

from __future__ import annotations

import pytest
from exporters import BUSY_WATTS, IDLE_WATTS, VirtualExporter
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_energy.sensors.base import Probe, SensorFault
from pytest_energy.sensors.remote import Remote, probe
from pytest_energy.sensors.remote_counters import Taken
from pytest_energy.sensors.remote_metrics import Endpoint
from pytest_energy.testing import VirtualTime, assert_sensor_conforms

BOX = Endpoint("box", "http://192.0.2.7:9400/metrics")


def look_at(exporter: VirtualExporter, said: list[str] | None = None) -> Probe:
    say = print if said is None else said.append
    return probe(BOX, (), exporter.time.clock, Taken(), say, exporter.look)


def sensor_of(exporter: VirtualExporter) -> Remote:
    found = look_at(exporter)
    assert found.sensors, found.problem
    (sensor,) = found.sensors
    assert isinstance(sensor, Remote)
    return sensor


def window(
    exporter: VirtualExporter, sensor: Remote, seconds: float, watts: float = BUSY_WATTS
) -> float | SensorFault:
    (channel,) = sensor.channels
    names = frozenset({channel.name})
    every = sensor.poll_seconds(names)
    sensor.open(names)
    exporter.draw(watts)
    ends = exporter.time.seconds + seconds
    while (left := ends - exporter.time.seconds) > 0:
        exporter.time.pass_by(min(every, left))
        sensor.poll()
    ended = exporter.time.seconds
    exporter.draw(IDLE_WATTS)
    return sensor.close(ended)[channel.name]


@pytest.mark.parametrize("period", [0.0, 0.1, 1.0, 2.0, 30.0])
def test_the_refresh_period_is_found_by_watching(period: float) -> None:
    (channel,) = sensor_of(VirtualExporter(VirtualTime(), period)).channels
    assert channel.name == "box:gpu-0"
    assert channel.update_seconds == pytest.approx(period, rel=0.05)
    assert channel.window_seconds >= max(1.0, 3 * period)
    assert channel.idle_watts == pytest.approx(IDLE_WATTS, rel=0.05)
    assert channel.hardware == "NVIDIA L40S"
    assert channel.provenance == "measured"


@settings(max_examples=25)
@given(
    period=st.sampled_from([0.0, 0.1, 1.0, 5.0]),
    behind=st.floats(0.0, 1.0),
    length=st.floats(1.0, 4.0),
    seed=st.integers(0, 10_000),
)
def test_a_window_holds_the_work_however_old_the_values_are(
    period: float, behind: float, length: float, seed: int
) -> None:
    """behind: of a period, at most one of which an exporter's own interval can add."""
    exporter = VirtualExporter(VirtualTime(), period, behind * period, seed)
    sensor = sensor_of(exporter)
    (channel,) = sensor.channels
    sensor.open(frozenset({channel.name}))
    began = exporter.time.seconds
    exporter.work(length * channel.window_seconds)
    ended = exporter.time.seconds
    joules = sensor.close(ended)[channel.name]
    assert isinstance(joules, float)
    assert joules == pytest.approx(BUSY_WATTS * (ended - began), rel=0.02)


def test_windows_have_no_bias() -> None:
    errors = []
    for seed in range(40):
        exporter = VirtualExporter(VirtualTime(), 1.0, 0.5, seed)
        found = window(exporter, sensor_of(exporter), 3.0)
        assert isinstance(found, float)
        errors.append(found / (BUSY_WATTS * 3.0) - 1)
    assert abs(sum(errors) / len(errors)) < 0.003


def test_how_long_a_test_takes_is_said_before_it_begins() -> None:
    said: list[str] = []
    found = look_at(VirtualExporter(VirtualTime(), 30.0), said)
    assert said[0] == "energy: waiting for box, to see how often its counters are refreshed"
    (sentence,) = said[1:]
    assert "refreshed every 30" in sentence and "--energy-max-seconds" in sentence
    assert sentence in found.notes
    said.clear()
    look_at(VirtualExporter(VirtualTime(), 0.0), said)
    assert said == []


def test_a_page_is_read_seldom_inside_a_window() -> None:
    exporter = VirtualExporter(VirtualTime(), 2.0)
    sensor = sensor_of(exporter)
    assert sensor.poll_seconds(frozenset({"box:gpu-0"})) == pytest.approx(1.0, rel=0.05)
    assert sensor.poll_seconds(frozenset({"gpu:0"})) == float("inf")


@pytest.mark.parametrize("period", [0.0, 1.0])
def test_a_counter_that_is_reset_is_a_fault(period: float) -> None:
    exporter = VirtualExporter(VirtualTime(), period)
    sensor = sensor_of(exporter)
    sensor.open(frozenset({"box:gpu-0"}))
    exporter.work(3.0)
    exporter.offset_joules -= exporter.joules(exporter.time.seconds) - 1000.0
    found = sensor.close(exporter.time.seconds)["box:gpu-0"]
    assert isinstance(found, SensorFault) and found.code == "counter-reset"


def test_a_page_that_is_no_longer_refreshed_is_a_fault() -> None:
    exporter = VirtualExporter(VirtualTime(), 1.0)
    sensor = sensor_of(exporter)
    exporter.time.pass_by(1.0)
    sensor.open(frozenset({"box:gpu-0"}))
    exporter.frozen = True
    found = window(exporter, sensor, 4.0)
    assert isinstance(found, SensorFault) and found.code == "counter-stalled"


def test_a_counter_that_jumps_is_a_fault() -> None:
    exporter = VirtualExporter(VirtualTime(), 1.0)
    sensor = sensor_of(exporter)
    sensor.open(frozenset({"box:gpu-0"}))
    exporter.work(3.0)
    exporter.offset_joules += 1e6
    found = sensor.close(exporter.time.seconds)["box:gpu-0"]
    assert isinstance(found, SensorFault) and found.code == "implausible-power"


def test_a_page_that_fails_once_does_no_harm() -> None:
    exporter = VirtualExporter(VirtualTime(), 1.0)
    sensor = sensor_of(exporter)
    sensor.open(frozenset({"box:gpu-0"}))
    began = exporter.time.seconds
    exporter.work(3.0)
    exporter.fault = SensorFault("HTTP status 500; expected 200", "bad-answer")
    sensor.poll()
    exporter.fault = None
    found = sensor.close(began + 3.0)["box:gpu-0"]
    assert found == pytest.approx(BUSY_WATTS * 3.0, rel=0.02)


@pytest.mark.parametrize("period", [0.0, 1.0])
def test_a_counter_that_is_left_out_now_and_then_does_no_harm(period: float) -> None:
    exporter = VirtualExporter(VirtualTime(), period)
    exporter.fails_every = 3
    found = window(exporter, sensor_of(exporter), 3.0)
    assert found == pytest.approx(BUSY_WATTS * 3.0, rel=0.02)


def test_a_page_that_keeps_failing_is_a_fault_that_says_why() -> None:
    exporter = VirtualExporter(VirtualTime(), 1.0)
    sensor = sensor_of(exporter)
    sensor.open(frozenset({"box:gpu-0"}))
    exporter.work(3.0)
    exporter.fault = SensorFault("no answer: Connection refused", "no-answer")
    found = sensor.close(exporter.time.seconds)["box:gpu-0"]
    assert isinstance(found, SensorFault) and found.code == "no-answer"


def test_a_pod_that_takes_over_the_board_changes_nothing() -> None:
    exporter = VirtualExporter(VirtualTime(), 1.0)
    sensor = sensor_of(exporter)
    sensor.open(frozenset({"box:gpu-0"}))
    began = exporter.time.seconds
    exporter.work(3.0)
    exporter.labels |= {"pod": "server-2", "DCGM_FI_DRIVER_VERSION": "590"}
    assert sensor.close(began + 3.0)["box:gpu-0"] == pytest.approx(BUSY_WATTS * 3.0, rel=0.02)


def test_a_board_that_is_replaced_is_a_fault() -> None:
    exporter = VirtualExporter(VirtualTime(), 1.0)
    sensor = sensor_of(exporter)
    sensor.open(frozenset({"box:gpu-0"}))
    exporter.work(3.0)
    exporter.labels["UUID"] = "GPU-0b"
    found = sensor.close(exporter.time.seconds)["box:gpu-0"]
    assert isinstance(found, SensorFault) and found.code == "series-gone"


def test_a_counter_that_stands_still_is_missing_with_what_to_do() -> None:
    exporter = VirtualExporter(VirtualTime(), 1.0)
    exporter.frozen = True
    found = look_at(exporter)
    assert not found.sensors
    assert "did not change twice in 13" in found.problem
    (missing,) = found.missing
    assert "docs/remote.md" in missing.remedy


@pytest.mark.parametrize("period", [0.0, 1.0])
def test_the_sensor_conforms(period: float) -> None:
    exporter = VirtualExporter(VirtualTime(), period)
    assert_sensor_conforms(look_at(exporter), exporter.time.clock, exporter.work)
