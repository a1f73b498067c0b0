"""Edge-synchronised windows on a virtual counter of known truth."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_energy.sensors.base import SensorFault
from pytest_energy.sensors.gpu_energy import GpuEnergy, probe
from pytest_energy.sensors.nvml import Gpu, Nvml
from pytest_energy.sensors.visible import Board
from virtual import VirtualBoard, VirtualTime

GPU = Gpu(Board(0, "GPU-a"), None, "virtual", None)
OTHER = Gpu(Board(1, "GPU-b"), None, "virtual", None)
NAMES = frozenset({"gpu:0", "gpu:1"})


class VirtualNvml:
    """NVML with virtual boards; a reading takes 20 microseconds."""

    def __init__(self, time: VirtualTime, boards: dict[Gpu, Any]) -> None:
        self._time = time
        self._boards = boards

    def joules(self, gpu: Gpu) -> float:
        self._time.pass_by(20e-6)
        return cast(float, self._boards[gpu].joules())


def meter(time: VirtualTime, boards: dict[Gpu, Any]) -> GpuEnergy:
    nvml = cast(Nvml, VirtualNvml(time, boards))
    probed = probe(nvml, time.clock, list(boards))
    assert not probed.faults
    return GpuEnergy(nvml, time.clock, probed.periods, probed.idle_watts)


def relative_error(board: VirtualBoard, sensor: GpuEnergy, seconds: float, watts: float) -> float:
    board.true_joules_of_work = 0.0
    sensor.open(NAMES)
    board.work(seconds, watts)
    joules = sensor.close(board.time.seconds)["gpu:0"]
    assert isinstance(joules, float)
    return joules / board.true_joules_of_work - 1


@settings(max_examples=60, deadline=None)
@given(
    phase=st.floats(min_value=0, max_value=0.1),
    period=st.sampled_from([0.02, 0.1]),
    watts=st.sampled_from([80.0, 300.0, 700.0]),
    seed=st.integers(min_value=0, max_value=1000),
)
def test_ten_periods_are_read_within_half_a_percent(
    phase: float, period: float, watts: float, seed: int
) -> None:
    time = VirtualTime()
    board = VirtualBoard(time, period, phase, jitter=0.08 * period, seed=seed)
    sensor = meter(time, {GPU: board})
    window = max(10 * period, 1.0)
    assert abs(relative_error(board, sensor, window, watts)) < 0.005


def test_the_error_does_not_add_up_over_windows() -> None:
    time = VirtualTime()
    board = VirtualBoard(time, 0.1, 0.037, jitter=0.008)
    sensor = meter(time, {GPU: board})
    errors = [relative_error(board, sensor, 1.0, 300.0) for _ in range(40)]
    assert abs(sum(errors) / len(errors)) < 0.001


@settings(max_examples=60, deadline=None)
@given(
    decay=st.sampled_from([0.05, 0.1, 0.2, 0.5]),
    phase=st.floats(min_value=0, max_value=0.1),
    seconds=st.floats(min_value=1.0, max_value=1.2),
    watts=st.sampled_from([80.0, 300.0, 700.0]),
)
def test_a_board_that_decays_after_the_work_is_read_as_well(
    decay: float, phase: float, seconds: float, watts: float
) -> None:
    time = VirtualTime()
    board = VirtualBoard(time, 0.1, phase, jitter=0.008, decay=decay)
    sensor = meter(time, {GPU: board})
    assert abs(relative_error(board, sensor, seconds, watts)) < 0.002


def test_most_of_the_wait_is_slept_through() -> None:
    time = VirtualTime()
    board = VirtualBoard(time, 0.1, 0.037, jitter=0.008)
    sensor = meter(time, {GPU: board})
    readings = board.readings
    for _ in range(10):
        sensor.open(NAMES)
        board.work(1.0, 300.0)
        sensor.close(time.seconds)
    # Polled every half millisecond, four periods are 800 readings.
    assert (board.readings - readings) / 10 < 250


def test_an_erratic_counter_is_told_and_gets_longer_windows() -> None:
    time = VirtualTime()
    board = VirtualBoard(time, 0.02, 0.0, jitter=0.2, seed=8)
    probed = probe(cast(Nvml, VirtualNvml(time, {GPU: board})), time.clock, [GPU])
    (note,) = probed.notes
    assert "refreshed erratically, every " in note
    assert probed.periods[GPU] > 0.1
    sensor = GpuEnergy(cast(Nvml, VirtualNvml(time, {GPU: board})), time.clock, probed.periods, {})
    assert abs(relative_error(board, sensor, 2.0, 300.0)) < 0.005


def test_two_boards_are_read_in_one_window() -> None:
    time = VirtualTime()
    busy = VirtualBoard(time, 0.1, 0.02)
    idle = VirtualBoard(time, 0.1, 0.09)
    sensor = meter(time, {GPU: busy, OTHER: idle})
    sensor.open(NAMES)
    busy.work(1.0, 300.0)
    readings = sensor.close(time.seconds)
    assert readings["gpu:0"] == pytest.approx(300.0, rel=0.005)
    assert readings["gpu:1"] == pytest.approx(50.0, rel=0.01)


def test_probing_finds_the_period() -> None:
    time = VirtualTime()
    sensor = meter(time, {GPU: VirtualBoard(time, 0.1, 0.03), OTHER: VirtualBoard(time, 0.02, 0.0)})
    slow, quick = sensor.channels
    assert slow.update_seconds == pytest.approx(0.1, abs=0.001)
    assert slow.window_seconds == pytest.approx(1.0, abs=0.01)
    assert quick.update_seconds == pytest.approx(0.02, abs=0.001)


class Scripted:
    """A counter that is refreshed every 0.1 s until something happens to it."""

    def __init__(self, time: VirtualTime) -> None:
        self._time = time
        self.frozen_at: float | None = None
        self.reset_at = float("inf")
        self.lost_at = float("inf")

    def joules(self) -> float:
        now = self._time.seconds
        if now >= self.lost_at:
            raise SensorFault("GPU is lost")
        if now >= self.reset_at:
            return (now - self.reset_at) // 0.1 * 5.0
        now = now if self.frozen_at is None else min(now, self.frozen_at)
        return 1000 + now // 0.1 * 5.0


def test_a_frozen_counter_is_refused_when_probed() -> None:
    time = VirtualTime()
    counter = Scripted(time)
    counter.frozen_at = 0.0
    probed = probe(cast(Nvml, VirtualNvml(time, {GPU: counter})), time.clock, [GPU])
    assert not probed.periods
    assert probed.faults[GPU] == "the energy counter did not move in 1.5 s"


@pytest.mark.parametrize(
    ("event", "words"),
    [("frozen_at", "stood still"), ("reset_at", "was reset in the window"), ("lost_at", "lost")],
)
def test_what_happens_inside_a_window_is_said(event: str, words: str) -> None:
    time = VirtualTime()
    counter = Scripted(time)
    sensor = meter(time, {GPU: counter})
    sensor.open(NAMES)
    time.pass_by(0.5)
    setattr(counter, event, time.seconds)
    time.pass_by(0.5)
    reading = sensor.close(time.seconds)["gpu:0"]
    assert isinstance(reading, SensorFault)
    assert words in str(reading)
