"""Apple silicon's energy counters, on virtual Macs of known energy."""

from __future__ import annotations

import platform
import sys
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import fake_apple_silicon
import pytest
from fake_apple_silicon import (
    LAPTOP,
    M5_MAX,
    READING_SECONDS,
    ULTRA,
    AppleEnergyMetrics,
    VirtualMac,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_energy.sensors.apple import INSTALL, AppleSilicon, probe
from pytest_energy.sensors.base import Access, Clock, Kind, Probe, Provenance, SensorFault

ALL = ["cpu:package-0", "dram:0", "gpu:0", "ane:0"]


def look(mac: VirtualMac) -> Probe:
    found = probe(mac.time.clock, mac.library)
    assert bool(found.problem) is (not found.sensors) is (found.access is not Access.READABLE)
    return found


def sensor_of(mac: VirtualMac) -> AppleSilicon:
    found = look(mac)
    (sensor,) = found.sensors
    assert isinstance(sensor, AppleSilicon)
    return sensor


def names(found: Probe) -> list[str]:
    return [each.name for each in found.channels]


def window(mac: VirtualMac, seconds: float = 2.0) -> dict[str, float | SensorFault]:
    sensor = sensor_of(mac)
    sensor.open(frozenset(ALL))
    mac.time.pass_by(seconds)
    return dict(sensor.close(mac.time.seconds))


def fault(reading: float | SensorFault) -> str:
    assert isinstance(reading, SensorFault)
    return str(reading)


# What is counted


def test_a_mac_counts_its_cpu_memory_gpu_and_neural_engine() -> None:
    found = look(VirtualMac())
    assert names(found) == ALL
    assert found.sensors
    kinds = [each.kind for each in found.channels]
    assert kinds == [Kind.CPU, Kind.DRAM, Kind.GPU, Kind.CPU]
    for each in found.channels:
        assert each.source == "Apple IOReport energy counter (experimental)"
        assert each.provenance is Provenance.MEASURED
    assert not found.left_out
    assert not found.why_not("cpu:package-0")


PARTS = st.floats(0.5, 100)


@settings(max_examples=150, deadline=None)
@given(
    cpu=PARTS,
    gpu=PARTS,
    sram=PARTS,
    ane=PARTS,
    start=st.floats(0, 1e9),
    period=st.one_of(st.just(0.0), st.floats(0.01, 0.1)),
    seconds=st.floats(2.5, 60),
)
def test_joules_are_true_to_one_refresh(
    cpu: float, gpu: float, sram: float, ane: float, start: float, period: float, seconds: float
) -> None:
    mac = VirtualMac(period=period, start_joules=start)
    sensor = sensor_of(mac)
    mac.draw(cpu=cpu, gpu=gpu, sram=sram, ane=ane)
    mac.time.pass_by(1.0)
    sensor.open(frozenset(ALL))
    words = {"cpu:package-0": ["CPU Energy"], "gpu:0": ["GPU Energy", "GPU SRAM"]}
    words |= {"dram:0": ["DRAM"], "ane:0": ["ANE"]}
    before = {name: sum(map(mac.joules, each)) for name, each in words.items()}
    mac.time.pass_by(seconds)
    truth = {name: sum(map(mac.joules, each)) - before[name] for name, each in words.items()}
    watts = {"cpu:package-0": cpu, "gpu:0": gpu + sram, "dram:0": 0.5, "ane:0": ane}
    readings = sensor.close(mac.time.seconds)
    assert list(readings) == ALL
    for name, joules in readings.items():
        late = watts[name] * (1.25 * period + READING_SECONDS)
        assert joules == pytest.approx(truth[name], abs=late + 0.003), name


def test_only_the_channels_asked_for_are_given() -> None:
    mac = VirtualMac()
    sensor = sensor_of(mac)
    sensor.open(frozenset({"gpu:0", "elsewhere:0"}))
    mac.time.pass_by(1.0)
    assert dict(sensor.close(mac.time.seconds)) == {"gpu:0": 0.0}


def test_nothing_is_read_of_an_abandoned_window() -> None:
    mac = VirtualMac()
    sensor = sensor_of(mac)
    sensor.open(frozenset(ALL))
    sensor.abandon()
    assert not sensor.close(mac.time.seconds)


@pytest.mark.parametrize("part", ["gpu", "ane"])
def test_a_part_that_rests_uses_nothing_and_what_it_does_is_seen(part: str) -> None:
    mac = VirtualMac()
    assert window(mac)[f"{part}:0"] == 0.0
    mac.draw(**{part: 3.0})
    assert window(mac)[f"{part}:0"] == pytest.approx(6.0, rel=0.01)


# How often a counter is refreshed


@pytest.mark.parametrize("period", [0.01, 0.03, 0.05, 0.1])
def test_the_refresh_period_is_seen(period: float) -> None:
    mac = VirtualMac(period=period)
    mac.draw(gpu=5.0)
    began = mac.time.seconds
    for each in sensor_of(mac).channels:
        assert each.update_seconds == pytest.approx(period, abs=period / 4 + 0.006)
        assert each.window_seconds == max(1.0, 100 * each.update_seconds)
        assert each.shortest_seconds == each.window_seconds
    assert mac.time.seconds - began < 8 * period + 0.05


def test_counters_that_are_refreshed_at_every_reading_need_a_second() -> None:
    for each in sensor_of(VirtualMac()).channels:
        assert each.update_seconds == pytest.approx(0.006, abs=1e-6)
        assert each.window_seconds == 1.0


def test_a_pause_while_the_counters_are_watched_does_not_matter() -> None:
    mac = VirtualMac()
    pauses = iter([0.0, 0.0, 0.2])
    clock = Clock(mac.time.clock.now, lambda wish: mac.time.pass_by(wish + next(pauses, 0.0)))
    found = probe(clock, mac.library)
    assert found.sensors
    assert found.channels[0].update_seconds == pytest.approx(0.006, abs=1e-6)


def test_a_counter_that_rests_is_taken_to_be_refreshed_like_the_cpus() -> None:
    cpu, _, gpu, ane = sensor_of(VirtualMac(period=0.05)).channels
    assert cpu.update_seconds == gpu.update_seconds == ane.update_seconds


def test_a_gpu_at_work_shows_its_own_period() -> None:
    mac = VirtualMac()
    mac.rails["GPU Energy"].period = mac.rails["GPU SRAM0"].period = 0.05
    for each in mac.named("DRAM"):
        each.period = 0.1  # so that the watching takes long enough
    mac.draw(gpu=5.0)
    cpu, _, gpu, _ = sensor_of(mac).channels
    assert cpu.update_seconds < 0.01
    assert gpu.update_seconds == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize("period", [0.25, 2.1])
def test_counters_that_are_refreshed_too_seldom_are_left_out(period: float) -> None:
    mac = VirtualMac(period=period)
    mac.rails["GPU Energy"].period = 0.0  # as in macOS 27
    mac.draw(gpu=5.0)
    began = mac.time.seconds
    found = look(mac)
    assert names(found) == ["gpu:0"]
    assert mac.time.seconds - began == pytest.approx(1.0, abs=0.02)
    assert found.why_not("cpu:package-0").startswith("the energy counter was refreshed ")
    assert found.why_not("cpu:package-0").endswith(
        " times in 1 s; expected more than 5, because a window needs 100 refreshes"
    )
    assert found.left_out["ane:0"] == "a sum without the CPU's counter would be too low"
    assert "the energy counter was refreshed" in found.left_out["dram:0"]


def test_without_a_cpu_a_gpu_that_rests_is_given_long_windows() -> None:
    mac = VirtualMac(period=2.1)
    (gpu,) = sensor_of(mac).channels
    assert (gpu.name, gpu.window_seconds) == ("gpu:0", 10.0)


# Parts that aren't counted


def test_memory_without_a_counter_of_its_own_is_reported() -> None:
    found = look(VirtualMac(M5_MAX))
    assert names(found) == ALL
    assert found.left_out == {"SRAM of gpu:0": "is not counted separately on this Mac"}


@pytest.mark.parametrize(
    ("channel", "name", "left"),
    [
        ("DRAM0", "dram:0", ["cpu:package-0", "gpu:0", "ane:0"]),
        ("ANE0", "ane:0", ["cpu:package-0", "dram:0", "gpu:0"]),
        ("GPU Energy", "gpu:0", ["cpu:package-0", "dram:0", "ane:0"]),
        ("CPU Energy", "cpu:package-0", ["gpu:0"]),
    ],
)
def test_a_part_without_a_counter_is_left_out_with_the_reason(
    channel: str, name: str, left: list[str]
) -> None:
    found = look(VirtualMac({key: unit for key, unit in LAPTOP.items() if key != channel}))
    assert names(found) == left
    assert found.left_out[name] == "this Mac has no energy counter for it"


def test_of_two_dies_one_would_be_counted_so_neither_is() -> None:
    found = look(VirtualMac(ULTRA))
    assert names(found) == ["gpu:0"]
    assert "only one of them would be counted" in found.why_not("cpu:package-0")
    assert {"cpu:package-0", "dram:0", "ane:0"} == set(found.left_out)


def test_a_mac_without_any_counter_has_no_sensor() -> None:
    found = look(VirtualMac({}))
    assert found.access is Access.FAULTY
    assert "cpu:package-0: this Mac has no energy counter for it" in found.problem
    assert found.why_not("cpu:package-0") == found.problem


@pytest.mark.parametrize("part", ["CPU Energy", "DRAM"])
def test_a_counter_that_stands_still_is_left_out(part: str) -> None:
    mac = VirtualMac()
    for rail in mac.named(part):
        rail.stopped = mac.time.seconds
    found = look(mac)
    assert "was refreshed 0 times in 1 s" in "".join(found.left_out.values())
    assert names(found) == (["gpu:0"] if part == "CPU Energy" else ALL[:1] + ALL[2:])


# Windows that can't be trusted


@pytest.mark.parametrize(
    ("part", "name"), [("CPU Energy", "cpu:package-0"), ("DRAM", "dram:0"), ("GPU", "gpu:0")]
)
def test_a_counter_that_goes_back_was_reset(part: str, name: str) -> None:
    mac = VirtualMac()
    mac.draw(gpu=5.0)
    sensor = sensor_of(mac)
    sensor.open(frozenset(ALL))
    mac.time.pass_by(0.5)
    for rail in mac.named(part):
        rail.start_joules = -rail.joules(mac.time.seconds)
    mac.time.pass_by(0.5)
    readings = dict(sensor.close(mac.time.seconds))
    assert "went back from " in fault(readings.pop(name))
    assert all(isinstance(each, float) for each in readings.values())


@pytest.mark.parametrize("channel", [0, 1])
def test_a_steady_counter_that_stands_still_for_the_whole_window_is_a_fault(channel: int) -> None:
    mac = VirtualMac()
    sensor = sensor_of(mac)
    for rail in mac.named(["CPU Energy", "DRAM"][channel]):
        rail.stopped = mac.time.seconds
    sensor.open(frozenset(ALL))
    mac.time.pass_by(2.0)
    readings = sensor.close(mac.time.seconds)
    assert "stalled for at least 2.00 s (expected a new value every" in fault(
        readings[ALL[channel]]
    )
    assert isinstance(readings[ALL[1 - channel]], float)


@pytest.mark.parametrize("period", [0.0, 0.1])
@pytest.mark.parametrize("channel", [0, 1])
def test_a_counter_that_stops_in_the_work_is_a_fault(channel: int, period: float) -> None:
    mac = VirtualMac(period=period)
    sensor = sensor_of(mac)
    sensor.open(frozenset(ALL))
    mac.time.pass_by(9.0)
    for rail in mac.named(["CPU Energy", "DRAM"][channel]):
        rail.stopped = mac.time.seconds
    mac.time.pass_by(1.0)
    readings = sensor.close(mac.time.seconds)
    assert "after the work (expected a new value every" in fault(readings[ALL[channel]])
    assert isinstance(readings[ALL[1 - channel]], float)


def test_more_than_any_chip_draws_is_refused() -> None:
    mac = VirtualMac()
    sensor = sensor_of(mac)
    sensor.open(frozenset(ALL))
    mac.time.pass_by(1.0)
    mac.rails["CPU Energy"].start_joules += 1100
    readings = sensor.close(mac.time.seconds)
    assert "can draw at most 1,000 W, so the counter was reset" in fault(readings[ALL[0]])


@pytest.mark.parametrize("value", [None, float("nan"), 1.5, "7", -(2**63)])
@pytest.mark.parametrize("first", [True, False])
def test_nonsense_in_the_window_is_named(value: Any, first: bool) -> None:
    mac = VirtualMac()
    sensor = sensor_of(mac)
    nonsense = {"cpu_total_mj": value, "gpu_sram_mj": value}
    mac.shows = nonsense if first else {}
    sensor.open(frozenset(ALL))
    mac.time.pass_by(1.0)
    mac.shows = {} if first else nonsense
    readings = sensor.close(mac.time.seconds)
    words = f"reads {value}; expected a number of millijoules"
    assert fault(readings["cpu:package-0"]) == f"cpu_total_mj {words}"
    assert fault(readings["gpu:0"]) == f"gpu_sram_mj {words}"
    assert isinstance(readings["dram:0"], float)


def test_nonsense_from_the_beginning_is_left_out() -> None:
    mac = VirtualMac()
    mac.shows = {"gpu_mj": -1}
    found = look(mac)
    assert names(found) == ["cpu:package-0", "dram:0", "ane:0"]
    assert found.left_out["gpu:0"].startswith("gpu_mj reads -1; expected a number")


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("error", [RuntimeError, ValueError])
def test_an_error_in_the_window_is_a_fault_in_words(error: type[Exception], first: bool) -> None:
    mac = VirtualMac()
    sensor = sensor_of(mac)
    raised = error("Unsupported or invalid energy unit provided: kWh")
    mac.broken = raised if first else None
    sensor.open(frozenset(ALL))
    mac.time.pass_by(1.0)
    mac.broken = None if first else raised
    readings = sensor.close(mac.time.seconds)
    assert {fault(each) for each in readings.values()} == {
        "the energy counters cannot be read: Unsupported or invalid energy unit provided: kWh"
    }
    mac.broken = None
    assert isinstance(window(mac)["cpu:package-0"], float)


def test_an_error_while_the_counters_are_watched_is_named() -> None:
    mac = VirtualMac()

    def fail_at_the_third(seconds: float) -> None:
        mac.broken = RuntimeError("gone")

    monitor = mac.library.AppleEnergyMonitor
    mac.library.AppleEnergyMonitor = lambda: Breaking(monitor(), fail_at_the_third)
    found = look(mac)
    assert (found.access, found.problem) == (
        Access.FAULTY,
        "the energy counters cannot be read: gone",
    )


class Breaking:
    """A monitor whose third reading fails."""

    def __init__(self, monitor: Any, breaks: Any) -> None:
        self._monitor, self._breaks, self._readings = monitor, breaks, 0

    def get_cumulative_energy(self) -> Any:
        self._readings += 1
        if self._readings == 3:
            self._breaks(0.0)
        return self._monitor.get_cumulative_energy()


def test_a_refused_subscription_is_named() -> None:
    mac = VirtualMac()
    mac.broken = RuntimeError("Failed to create IOReport subscription.")
    found = look(mac)
    assert found.access is Access.DENIED
    assert found.problem == (
        "macOS refuses its energy counters: Failed to create IOReport subscription."
    )


# Where there is no library


@pytest.fixture
def a_mac(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    monkeypatch.delitem(sys.modules, "zeus_apple_silicon", raising=False)
    return monkeypatch


def package(tmp_path: Path, patch: pytest.MonkeyPatch, source: str) -> None:
    (tmp_path / "zeus_apple_silicon.py").write_text(source, encoding="utf-8")
    patch.syspath_prepend(tmp_path)
    patch.setenv("PYTHONPATH", str(tmp_path))


@pytest.mark.parametrize(
    ("system", "machine", "problem"),
    [
        ("Linux", "aarch64", "this is no Mac"),
        ("Windows", "ARM64", "this is no Mac"),
        ("Darwin", "x86_64", "this Mac has no Apple silicon, or its Python is built for Intel"),
    ],
)
def test_elsewhere_nothing_is_imported(
    a_mac: pytest.MonkeyPatch, system: str, machine: str, problem: str
) -> None:
    a_mac.setattr(platform, "system", lambda: system)
    a_mac.setattr(platform, "machine", lambda: machine)
    a_mac.setitem(sys.modules, "zeus_apple_silicon", ModuleType("not to be touched"))
    found = probe(VirtualMac().time.clock)
    assert (found.access, found.sensors, found.problem) == (Access.ABSENT, (), problem)


def test_the_command_that_installs_the_library_is_shown(a_mac: pytest.MonkeyPatch) -> None:
    a_mac.setitem(sys.modules, "zeus_apple_silicon", None)
    found = probe(VirtualMac().time.clock)
    assert found.access is Access.ABSENT
    assert found.remedy == INSTALL == 'pip install "pytest-energy[apple]"'


def test_a_library_that_cannot_be_loaded_is_reported_without_its_paths(
    a_mac: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package(tmp_path, a_mac, "raise ImportError('dlopen(/Users/me/zeus_ext.so): too old')")
    found = probe(VirtualMac().time.clock)
    assert (found.access, found.problem) == (
        Access.FAULTY,
        "zeus-apple-silicon cannot be loaded",
    )


CRASHES = """
import os, signal
class AppleEnergyMonitor:
    def __init__(self):
        os.kill(os.getpid(), signal.SIGSEGV)
"""


def test_a_library_that_crashes_does_so_in_another_process(
    a_mac: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package(tmp_path, a_mac, CRASHES)
    found = probe(VirtualMac().time.clock)
    assert found.access is Access.DENIED
    assert found.problem.startswith("zeus-apple-silicon crashes on this machine (signal 11)")


def test_an_installed_library_is_tried_and_then_used(
    a_mac: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = Path(fake_apple_silicon.__file__).parent
    package(
        tmp_path,
        a_mac,
        f"import sys\nsys.path.append({str(fake)!r})\n"
        "from fake_apple_silicon import VirtualMac\n"
        "mac = VirtualMac()\nAppleEnergyMonitor = mac.library.AppleEnergyMonitor\n",
    )
    import zeus_apple_silicon  # type: ignore[import-not-found]

    found = probe(zeus_apple_silicon.mac.time.clock)
    assert names(found) == ALL


@pytest.mark.skipif(sys.platform != "darwin", reason="the real library runs on a Mac")
def test_the_real_library_has_the_interface_of_the_stand_in() -> None:
    library = pytest.importorskip("zeus_apple_silicon")
    metrics = library.AppleEnergyMonitor().get_cumulative_energy()
    assert all(hasattr(metrics, each.name) for each in fields(AppleEnergyMetrics))
    assert any(getattr(metrics, each.name) for each in fields(AppleEnergyMetrics))
