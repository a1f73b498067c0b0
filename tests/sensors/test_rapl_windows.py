"""RAPL in windows: joules over wraps and resets, ceilings, counters that stop, open files."""

from __future__ import annotations

import gc
import re
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_powercap import RANGE_UJ, UNIT_UJ, Layout, VirtualPowercap, Zone, running
from hypothesis import given, settings
from hypothesis import strategies as st
from rapl_bench import ALL, DRAM, PACKAGE, SERVER, RaplBench, dies

from pytest_energy.sensors.base import SensorFault
from pytest_energy.sensors.clock import real


@pytest.fixture
def server(rapl_bench: RaplBench) -> VirtualPowercap:
    return rapl_bench.tree(SERVER)


def one_window(
    seconds: float, *, watts: float, start_uj: int, reset_after: float | None = None
) -> tuple[float | SensorFault, float]:
    """What is read of a package that can draw 200 W, and the truth in joules."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as files:
        rapl_bench = RaplBench(Path(folder), files)
        tree = rapl_bench.tree([replace(PACKAGE, watts=1.0, start_uj=start_uj)])
        sensor = rapl_bench.sensor(tree)
        tree.set_watts("intel-rapl:0", watts)
        tree.pass_by(0.01)
        sensor.open(frozenset({"cpu:package-0"}))
        before = tree.joules("intel-rapl:0")
        if reset_after is not None:
            tree.pass_by(reset_after)
            tree.reset("intel-rapl:0")
        tree.pass_by(seconds - (reset_after or 0))
        truth = tree.joules("intel-rapl:0") - before
        return sensor.close(tree.seconds)["cpu:package-0"], truth


ANYWHERE = st.one_of(
    st.integers(0, RANGE_UJ),
    st.integers(0, 10**9).map(lambda before: RANGE_UJ - before),  # up to 1 kJ before the wrap
)


@settings(max_examples=150, deadline=None)
@given(start=ANYWHERE, watts=st.floats(0.5, 200), seconds=st.floats(0.001, 1200))
def test_joules_are_true_to_one_refresh_over_a_wrap_too(
    start: int, watts: float, seconds: float
) -> None:
    joules, truth = one_window(seconds, watts=watts, start_uj=start)
    # A refresh comes up to 1.2 ms late; a wrap counts one unit less than it should.
    assert joules == pytest.approx(truth, abs=watts * 0.0013 + 3 * UNIT_UJ / 1e6, rel=1e-6)


@settings(max_examples=50, deadline=None)
@given(start=ANYWHERE, watts=st.floats(240, 4000), seconds=st.floats(0.5, 60))
def test_more_than_the_package_can_draw_is_refused(
    start: int, watts: float, seconds: float
) -> None:
    fault, _ = one_window(seconds, watts=watts, start_uj=start)
    assert isinstance(fault, SensorFault)
    assert "and the device can draw at most 200 W, so the counter was reset" in str(fault)


@settings(max_examples=50, deadline=None)
@given(
    start=st.integers(4 * 10**9, RANGE_UJ * 9 // 10),  # less can't be told from work
    seconds=st.floats(0.01, 60),
    part=st.floats(0, 1),
)
def test_a_counter_reset_in_the_window_is_refused(start: int, seconds: float, part: float) -> None:
    fault, _ = one_window(seconds, watts=60.0, start_uj=start, reset_after=seconds * part)
    assert isinstance(fault, SensorFault)
    assert "so the counter was reset" in str(fault)


@settings(max_examples=50, deadline=None)
@given(start=ANYWHERE, watts=st.floats(0.5, 200), seconds=st.floats(2700, 90000))
def test_a_window_that_may_hold_two_wraps_is_refused(
    start: int, watts: float, seconds: float
) -> None:
    fault, _ = one_window(seconds, watts=watts, start_uj=start)
    assert isinstance(fault, SensorFault)
    assert "starts again after 262,143 J" in str(fault)
    assert "measure in windows shorter than 1,310.7 s" in str(fault)


def test_the_fault_states_the_figures() -> None:
    fault, _ = one_window(0.998, watts=4300, start_uj=0)
    assert re.fullmatch(
        r"the energy counter rose by 4,29\d\.\d J in 0\.998 s, which takes 4,2[89]\d W, and the "
        "device can draw at most 200 W, so the counter was reset or the reading is wrong; run the "
        "test again",
        str(fault),
    )


def test_only_the_named_channels_are_read(rapl_bench: RaplBench, server: VirtualPowercap) -> None:
    sensor = rapl_bench.sensor(server)
    sensor.open(frozenset({"dram:1", "cpu:package-0", "gpu:0"}))
    server.pass_by(2.0)
    readings = sensor.close(server.seconds)
    assert readings == {
        "cpu:package-0": pytest.approx(120, rel=0.002),
        "dram:1": pytest.approx(14, rel=0.002),
    }


def test_an_abandoned_window_leaves_nothing(rapl_bench: RaplBench, server: VirtualPowercap) -> None:
    sensor = rapl_bench.sensor(server)
    sensor.open(frozenset(ALL))
    sensor.abandon()
    assert sensor.close(server.seconds) == {}


def test_counters_are_read_in_reverse_when_a_window_closes(
    rapl_bench: RaplBench, server: VirtualPowercap, monkeypatch: pytest.MonkeyPatch
) -> None:
    sensor = rapl_bench.sensor(server)
    order: list[int] = []
    pread = real.pread

    def noted(file: int, length: int, offset: int) -> bytes:
        order.append(file)
        return pread(file, length, offset)

    monkeypatch.setattr(real, "pread", noted)
    sensor.open(frozenset(ALL))
    sensor.close(server.seconds)
    assert len(set(order)) == 4
    assert order[4:8] == order[3::-1]


def test_a_counter_that_stands_still_in_a_window_is_refused(
    rapl_bench: RaplBench, server: VirtualPowercap
) -> None:
    sensor = rapl_bench.sensor(server)
    sensor.open(frozenset({"cpu:package-0"}))
    server.set_watts("intel-rapl:0", 0.0)
    sensor.close(server.seconds)
    server.pass_by(0.1)
    sensor.open(frozenset({"cpu:package-0", "dram:0"}))
    server.pass_by(0.5)
    readings = sensor.close(server.seconds)
    assert str(readings["cpu:package-0"]).startswith(
        "the energy counter stalled for at least 0.50 s (expected a new value every 1"
    )
    assert readings["dram:0"] == pytest.approx(2.5, rel=0.01)


def test_a_very_short_window_without_a_refresh_is_not_a_fault(
    rapl_bench: RaplBench, server: VirtualPowercap
) -> None:
    sensor = rapl_bench.sensor(server)
    server.set_watts("intel-rapl:0", 0.0)
    server.pass_by(0.1)
    sensor.open(frozenset({"cpu:package-0"}))
    server.pass_by(0.015)
    ended = server.seconds
    server.energies["intel-rapl:0"].set_watts(ended + 0.005, 40.0)
    assert sensor.close(ended) == {"cpu:package-0": 0.0}


def test_a_counter_that_stops_during_the_work_is_a_fault(
    rapl_bench: RaplBench, server: VirtualPowercap
) -> None:
    sensor = rapl_bench.sensor(server)
    sensor.open(frozenset(ALL))
    server.pass_by(0.5)
    server.set_watts("intel-rapl:1", 0.0)  # a counter that stops shows no more energy
    server.pass_by(0.5)
    readings = sensor.close(server.seconds)
    assert readings["cpu:package-0"] == pytest.approx(60.0, rel=0.01)
    assert isinstance(readings["cpu:package-1"], SensorFault)
    assert "it may have stopped during the work" in str(readings["cpu:package-1"])


def test_a_window_that_the_counter_cannot_resolve_is_named(rapl_bench: RaplBench) -> None:
    tree = rapl_bench.tree([Zone("package-0", period=0.02, jitter=0.0)])
    (channel,) = rapl_bench.sensor(tree).channels
    assert channel.window_seconds == pytest.approx(2.0, rel=0.1)
    assert channel.shortest_seconds == channel.window_seconds


@pytest.mark.parametrize("when", ["open", "close"])
def test_an_error_while_reading_is_the_reading(
    rapl_bench: RaplBench, server: VirtualPowercap, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    sensor = rapl_bench.sensor(server)

    def broken(*_: Any) -> bytes:
        raise OSError(5, "Input/output error", "/home/somebody")

    with monkeypatch.context() as patch:
        if when == "open":
            patch.setattr(real, "pread", broken)
        sensor.open(frozenset({"dram:1"}))
        server.pass_by(1.0)
        if when == "close":
            patch.setattr(real, "pread", broken)
        else:
            patch.undo()
        fault = sensor.close(server.seconds)["dram:1"]
    assert isinstance(fault, SensorFault)
    assert str(fault) == "energy_uj of dram of package-1 cannot be read: Input/output error"


@pytest.mark.parametrize("text", ["", "lots\n", f"{RANGE_UJ + 1}\n"])
def test_nonsense_in_a_window_is_the_reading(
    rapl_bench: RaplBench, server: VirtualPowercap, text: str
) -> None:
    sensor = rapl_bench.sensor(server)
    sensor.open(frozenset(ALL))
    server.pass_by(1.0)
    server.write("intel-rapl:1", text)
    readings = sensor.close(server.seconds)
    assert isinstance(readings["cpu:package-1"], SensorFault)
    assert "energy_uj of package-1 reads" in str(readings["cpu:package-1"])
    assert readings["cpu:package-0"] == pytest.approx(60, rel=0.01)


@pytest.mark.parametrize(
    ("files", "watts"),
    [
        ({}, 1000),
        ({"constraint_0_power_limit_uw": "65000000\n"}, 130),
        ({"constraint_0_power_limit_uw": "0\n", "constraint_0_max_power_uw": "90000000\n"}, 180),
        (
            {
                "constraint_0_power_limit_uw": "28000000\n",
                "constraint_1_power_limit_uw": "64000000\n",
                "constraint_0_max_power_uw": "15000000\n",
            },
            128,
        ),
        # A board without limits lets the processor draw more than it was made for.
        (
            {
                "constraint_0_power_limit_uw": "4095875000\n",
                "constraint_0_max_power_uw": "125000000",
            },
            1000,
        ),
        (
            {
                "constraint_0_power_limit_uw": "90000000\n",
                "constraint_0_max_power_uw": "32767000000",
            },
            180,
        ),
        ({"constraint_0_power_limit_uw": "none\n"}, 1000),
    ],
)
def test_the_ceiling_is_twice_the_largest_plausible_limit(
    rapl_bench: RaplBench, files: dict[str, str], watts: int
) -> None:
    tree = rapl_bench.tree([Zone("package-0", files=files, start_uj=0)])
    sensor = rapl_bench.sensor(tree)
    for factor, refused in [(0.97, False), (1.03, True)]:
        tree.set_watts("intel-rapl:0", factor * watts)
        tree.pass_by(0.1)
        sensor.open(frozenset({"cpu:package-0"}))
        tree.pass_by(2.0)
        reading = sensor.close(tree.seconds)["cpu:package-0"]
        assert isinstance(reading, SensorFault) is refused
        if refused:
            assert f"can draw at most {watts:,} W" in str(reading)


def test_memory_without_limits_may_draw_500_watts(rapl_bench: RaplBench) -> None:
    tree = rapl_bench.tree([replace(PACKAGE, parts=[replace(DRAM, start_uj=0)])])
    sensor = rapl_bench.sensor(tree)
    tree.set_watts("intel-rapl:0:0", 550)
    tree.pass_by(0.1)
    sensor.open(frozenset({"dram:0"}))
    tree.pass_by(2.0)
    assert "can draw at most 500 W" in str(sensor.close(0.0)["dram:0"])


def open_files() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize(
    "zones",
    [
        [PACKAGE, Zone("package-1", files={"energy_uj": "lots"})],
        [PACKAGE, Zone("package-1", files={"energy_uj": ""})],
        [PACKAGE, Zone("package-1", watts=0.0)],
    ],
)
def test_a_probe_without_a_sensor_leaves_no_file_open(
    rapl_bench: RaplBench, zones: list[Zone]
) -> None:
    tree = rapl_bench.tree(zones)
    before = open_files()
    assert not rapl_bench.look(tree.root, tree.clock).sensors
    assert open_files() == before


def test_a_released_sensor_leaves_no_file_open(rapl_bench: RaplBench) -> None:
    tree = rapl_bench.tree(dies(mirrors="intel-rapl:0"))
    before = open_files()
    sensor = rapl_bench.sensor(tree)
    assert open_files() > before
    sensor.release()
    sensor.release()
    assert open_files() == before


@pytest.mark.realtime
def test_in_real_time_the_joules_are_true_within_two_percent(rapl_bench: RaplBench) -> None:
    root = rapl_bench.root()
    with running(root, SERVER, Layout.LINKED) as process:
        found = rapl_bench.look(root)
        assert found.sensors, found.problem
        (sensor,) = found.sensors
        assert all(each.update_seconds < 0.01 for each in sensor.channels)
        assert process.stdin is not None
        for watts in (60, 150):  # the first window holds a wrap, 100 mJ after the start
            process.stdin.write(f"intel-rapl:0 {watts}\n")
            process.stdin.flush()
            time.sleep(0.1)
            sensor.open(frozenset(ALL))
            began = time.perf_counter()
            time.sleep(1.0)
            readings = sensor.close(time.perf_counter())
            seconds = time.perf_counter() - began
            assert readings["cpu:package-0"] == pytest.approx(watts * seconds, rel=0.02)
            assert readings["dram:1"] == pytest.approx(7 * seconds, rel=0.02)
