"""Which instruments are found, and that a new one is one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_energy.sensors import discover
from pytest_energy.sensors.base import Access, Device, Kind, Probe
from pytest_energy.sensors.discover import Choice, Instruments, Request
from pytest_energy.sensors.gpu_choice import GpuChoice
from pytest_energy.testing import ScriptedSensor, VirtualTime


@contextmanager
def found(tmp_path: Path, *added: Probe) -> Iterator[Instruments]:
    """On a machine without a CPU counter, all GPUs left out."""
    choice = Choice(
        gpus=GpuChoice("none"), cpu_watts_per_core=4.0, cpu_counter_folder=tmp_path / "nowhere"
    )
    instruments = discover.discover(choice, None, VirtualTime().clock, added)
    yield instruments
    instruments.close()


def npu(asked: Request) -> Probe:
    """A new built-in instrument."""
    device = Device(channel="npu:0", name="N1", id="N1-4711")
    sensor = ScriptedSensor(50.0, asked.clock, name="npu:0")
    return replace(Probe.of(sensor), devices=(device,), notes=("npu:0: its firmware is old",))


def test_a_new_built_in_sensor_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discover, "BUILT_IN", (*discover.BUILT_IN, npu))
    with found(tmp_path) as instruments:
        assert [each.name for each in instruments.channels] == ["npu:0", "cpu:process"]
        assert [each.name for each in instruments.devices] == ["N1"]
        assert instruments.notes[0] == "npu:0: its firmware is old"
        assert instruments.gpus == ()


def test_what_other_plugins_probed_is_opened_first_and_closed(tmp_path: Path) -> None:
    closed: list[str] = []
    time = VirtualTime()
    meter = Probe.of(ScriptedSensor(50.0, time.clock))
    meter = replace(meter, close=lambda: closed.append("meter"))
    off = Probe.unavailable("plug", Access.ABSENT, {Kind.MACHINE}, "no plug answers")
    with found(tmp_path, meter, off) as instruments:
        assert [each.name for each in instruments.channels] == ["machine:scripted", "cpu:process"]
        assert "plug" in [each.what for each in instruments.missing]
        assert instruments.no_machine == "no plug answers"
        assert closed == []
    assert closed == ["meter"]


def test_instruments_of_other_kinds_of_machines_are_not_missing(tmp_path: Path) -> None:
    with found(tmp_path) as instruments:
        assert [each.what for each in instruments.missing] == ["GPUs", "CPU counter (RAPL)"]
        assert instruments.no_chip_gpu == "this is no Mac"
