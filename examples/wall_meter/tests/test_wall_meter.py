"""The extension against a real HTTP server on loopback, which stands for the plug."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pytest_energy_wall_meter import WallMeter, probe

from pytest_energy.errors import EnergyError
from pytest_energy.sensors.base import Access, Channel, Clock, SensorFault
from pytest_energy.testing import assert_sensor_conforms, run_with_sensors

pytest_plugins = ("pytester",)
WATTS = 5000.0  # so that a tenth of a second is more than fifty steps


class Plug:
    """A plug whose load draws a constant power; `answer` can be replaced."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.offset_wh = 12.0
        self.answer: Callable[[], bytes] = self.shelly
        plug = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = plug.answer()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/rpc/Switch.GetStatus?id=0"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def watt_hours(self) -> float:
        return self.offset_wh + WATTS * (time.perf_counter() - self.began) / 3600

    def shelly(self) -> bytes:
        counter = {"total": round(self.watt_hours(), 3)}
        return json.dumps({"id": 0, "output": True, "apower": WATTS, "aenergy": counter}).encode()

    def tasmota(self) -> bytes:
        energy = {"Total": round(self.watt_hours() / 1000, 3), "Power": WATTS}
        return json.dumps({"StatusSNS": {"ENERGY": energy}}).encode()


@pytest.fixture
def plug() -> Iterator[Plug]:
    made = Plug()
    yield made
    made.server.shutdown()
    made.server.server_close()


def meter_at(url: str, timeout_seconds: float = 2.0) -> WallMeter:
    (sensor,) = probe(url, timeout_seconds).sensors
    assert isinstance(sensor, WallMeter)
    return sensor


def window(
    meter: WallMeter, seconds: float, meanwhile: Callable[[], None] = lambda: None
) -> object:
    (channel,) = meter.channels
    meter.open(frozenset({channel.name}))
    time.sleep(seconds)
    meanwhile()
    return meter.close(time.perf_counter())[channel.name]


def test_a_window_holds_what_the_plug_counted(plug: Plug) -> None:
    began = time.perf_counter()
    joules = window(meter_at(plug.url), 0.3)
    most = WATTS * (time.perf_counter() - began)
    assert isinstance(joules, float)
    assert WATTS * 0.3 - 3.6 <= joules <= most + 3.6


def test_a_tasmota_plug_counts_in_steps_too_large_for_a_short_window(plug: Plug) -> None:
    plug.answer = plug.tasmota
    found = window(meter_at(plug.url), 0.1)
    assert isinstance(found, SensorFault)
    assert found.code == "window-too-short"
    assert "in steps of 3600 J" in str(found)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"<html>", "bad-answer"),
        (b"[]", "bad-answer"),
        (b'{"aenergy": {}}', "bad-answer"),
        (b'{"output": false, "aenergy": {"total": 1.0}}', "bad-answer"),
        (b'{"StatusSNS": {"ENERGY": {"Total": "many"}}}', "bad-answer"),
    ],
)
def test_an_answer_that_is_no_status_is_a_fault(plug: Plug, answer: bytes, code: str) -> None:
    def break_it() -> None:
        plug.answer = lambda: answer

    found = window(meter_at(plug.url), 0.1, break_it)
    assert isinstance(found, SensorFault)
    assert found.code == code


def test_a_counter_that_is_reset_is_a_fault(plug: Plug) -> None:
    def reset() -> None:
        plug.offset_wh = -1.0

    found = window(meter_at(plug.url), 0.1, reset)
    assert isinstance(found, SensorFault)
    assert found.code == "counter-reset"


def test_a_plug_that_hangs_or_is_off_is_a_fault(plug: Plug) -> None:
    meter = meter_at(plug.url, timeout_seconds=0.2)

    def late() -> bytes:
        time.sleep(0.6)
        return b""

    def hang() -> None:
        plug.answer = late

    found = window(meter, 0.1, hang)
    assert isinstance(found, SensorFault)
    assert found.code == "no-answer"
    plug.server.shutdown()
    plug.server.server_close()
    found = window(meter, 0.1)
    assert isinstance(found, SensorFault)
    assert found.code == "no-answer"


def test_a_plug_that_is_off_is_missing_with_what_to_do(plug: Plug) -> None:
    plug.server.shutdown()
    plug.server.server_close()
    found = probe(plug.url)
    assert found.access is Access.ABSENT
    (missing,) = found.missing
    assert missing.what == "smart plug"
    assert "the plug does not answer" in missing.why
    assert "Switch the plug and its relay on" in missing.remedy
    clock = Clock(time.perf_counter, time.sleep)
    assert_sensor_conforms(found, clock, time.sleep)


def test_a_relay_that_is_off_is_missing_with_what_to_do(plug: Plug) -> None:
    plug.answer = lambda: b'{"output": false, "aenergy": {"total": 1.0}}'
    found = probe(plug.url)
    assert found.access is Access.FAULTY
    assert "its relay is off" in found.problem


def test_a_url_that_is_none_is_refused_with_an_example() -> None:
    with pytest.raises(EnergyError, match=r"is not a URL; for example http://"):
        probe("plug.local")


TEST = """
import time
import pytest

@pytest.mark.energy_budget("{limit}", scope="machine")
def test_it(energy):
    with energy.window(count=10):
        end = time.perf_counter() + 0.3
        while time.perf_counter() < end:
            pass
"""


@pytest.mark.parametrize(("limit", "verdict"), [("1 kJ / query", "pass"), ("20 J / query", "fail")])
def test_a_limit_of_the_whole_machine_is_judged(
    pytester: pytest.Pytester, plug: Plug, limit: str, verdict: str
) -> None:
    run = run_with_sensors(pytester, TEST.format(limit=limit), lambda: [probe(plug.url)])
    (test,) = run.tests
    assert test["verdict"] == verdict
    (gated,) = [each for each in test["channels"] if each["gated"]]
    assert gated["name"] == "machine:wall"
    assert 0.3 * WATTS <= 10 * test["joules_per_unit"] < 0.6 * WATTS


def test_the_sensor_conforms(plug: Plug) -> None:
    class Quick(WallMeter):
        """Short windows, which the tests' plug can resolve."""

        @property
        def channels(self) -> tuple[Channel, ...]:
            (channel,) = super().channels
            return (replace(channel, window_seconds=0.2),)

    clock = Clock(time.perf_counter, time.sleep)
    found = replace(probe(plug.url), sensors=(Quick(plug.url, 2.0),))
    assert_sensor_conforms(found, clock, time.sleep)


def test_a_limit_of_the_machine_says_that_the_plug_is_off(
    pytester: pytest.Pytester, plug: Plug
) -> None:
    plug.server.shutdown()
    plug.server.server_close()
    source = TEST.format(limit="1 kJ / query")
    run = run_with_sensors(pytester, source, lambda: [probe(plug.url)])
    (test,) = run.tests
    assert test["verdict"] == "unmeasured"
    assert "the plug does not answer" in test["reason"]
