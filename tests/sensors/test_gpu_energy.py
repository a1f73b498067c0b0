"""Edge-synchronised windows on a virtual counter of known truth."""

from __future__ import annotations

import random
from statistics import fmean, pstdev
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual import VirtualBoard

from pytest_energy.sensors.base import SensorFault
from pytest_energy.sensors.gpu_choice import Board
from pytest_energy.sensors.gpu_counter import probe_counters
from pytest_energy.sensors.gpu_energy import GpuEnergy
from pytest_energy.sensors.nvml import Gpu, Nvml
from pytest_energy.testing import VirtualTime

GPU = Gpu(Board(0, "GPU-a"), None, "virtual", None)
OTHER = Gpu(Board(1, "GPU-b"), None, "virtual", None)
LIMITED = Gpu(Board(0, "GPU-a"), None, "virtual", 400.0)
NAMES = frozenset({"gpu:0", "gpu:1"})


class VirtualNvml:
    """NVML with virtual boards."""

    def __init__(self, boards: dict[Gpu, Any]) -> None:
        self._boards = boards

    def joules(self, gpu: Gpu) -> float:
        return cast(float, self._boards[gpu].joules())


def meter(time: VirtualTime, boards: dict[Gpu, Any]) -> GpuEnergy:
    nvml = cast(Nvml, VirtualNvml(boards))
    probed = probe_counters(nvml, time.clock, list(boards))
    assert not probed.faults
    powers = {gpu: each.watts for gpu, each in boards.items() if isinstance(each, VirtualBoard)}
    return GpuEnergy(nvml, time.clock, probed, powers)


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
    assert abs(relative_error(board, sensor, seconds, watts)) < 0.005  # 1 of 1,300 is beyond 0.002


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


def test_an_erratic_counter_is_reported_and_gets_longer_windows() -> None:
    time = VirtualTime()
    board = VirtualBoard(time, 0.02, 0.0, jitter=0.2, seed=8)
    probed = probe_counters(cast(Nvml, VirtualNvml({GPU: board})), time.clock, [GPU])
    (note,) = probed.notes
    assert "refreshed irregularly, every " in note
    assert probed.periods[GPU] > 0.1
    sensor = GpuEnergy(cast(Nvml, VirtualNvml({GPU: board})), time.clock, probed)
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
        self._time.pass_by(20e-6)
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
    probed = probe_counters(cast(Nvml, VirtualNvml({GPU: counter})), time.clock, [GPU])
    assert not probed.periods
    assert probed.faults[GPU] == "the energy counter did not change in 3 s"


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ("frozen_at", "stalled for at least 0.25 s (expected a new value every 99.8 ms)"),
        ("reset_at", "was reset during the window"),
        ("lost_at", "lost"),
    ],
)
def test_a_fault_inside_a_window_is_reported(event: str, words: str) -> None:
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


# What a window's polls see


def polled(board: VirtualBoard, sensor: GpuEnergy, seconds: float) -> float | SensorFault:
    sensor.open(NAMES)
    board.work(seconds, 300.0, sensor)
    return sensor.close(board.time.seconds)["gpu:0"]


def assert_fault(reading: float | SensorFault, code: str, words: str) -> None:
    assert isinstance(reading, SensorFault)
    assert reading.code == code
    assert words in str(reading)


@pytest.mark.parametrize("phase", [0.0, 0.03, 0.06, 0.09])
@pytest.mark.parametrize(
    ("seconds", "since", "until"), [(1.3, 0.3, 0.9), (0.5, 0.1, 0.5), (1.0, 0.5, 1.9), (3, 1, 1.5)]
)
def test_a_counter_that_stands_still_for_a_while_is_unmeasured(
    phase: float, seconds: float, since: float, until: float
) -> None:
    time = VirtualTime()
    board = VirtualBoard(time, 0.1, phase, jitter=0.008)
    sensor = meter(time, {GPU: board})
    now = time.seconds + 0.1  # about when the window opens
    board.halted = [(now + since, now + until)]
    assert_fault(polled(board, sensor, seconds), "counter-stalled", "stalled for at least 0.")


def test_a_running_counter_is_never_reported_as_frozen() -> None:
    time = VirtualTime()
    board = VirtualBoard(time, 0.1, 0.0, jitter=0.05, latency=0.02)
    sensor = meter(time, {GPU: board})
    for _ in range(50):
        assert isinstance(polled(board, sensor, 1.0), float)


@pytest.mark.parametrize("since", [0.3, 0.5, 0.9])
def test_a_counter_that_is_reset_near_zero_is_unmeasured(since: float) -> None:
    time = VirtualTime()
    board = VirtualBoard(time, 0.1, 0.03, jitter=0.008)
    sensor = meter(time, {GPU: board})
    board.extra_joules = 5.0 - board.joules()  # it began a moment ago
    sensor.open(NAMES)
    board.work(since, 300.0, sensor, ends=False)
    board.extra_joules = -board.joules() + board.extra_joules
    board.work(2.0, 300.0, sensor)
    reading = sensor.close(time.seconds)["gpu:0"]
    assert_fault(reading, "counter-reset", "it was reset during the window")


@pytest.mark.parametrize("joules", [1e6, 500.0])
@pytest.mark.parametrize("polls", [True, False])
def test_more_than_a_board_draws_is_unmeasured(joules: float, polls: bool) -> None:
    time = VirtualTime()
    board = VirtualBoard(time, 0.1, 0.03, jitter=0.008)
    sensor = meter(time, {LIMITED: board})
    sensor.open(NAMES)
    board.work(0.2, 300.0, sensor if polls else None, ends=False)
    board.extra_joules += joules
    board.work(0.2, 300.0, sensor if polls else None)
    reading = sensor.close(time.seconds)["gpu:0"]
    assert_fault(reading, "implausible-power", "can draw at most 800 W")


def test_most_that_a_board_draws_is_measured() -> None:
    time = VirtualTime()
    board = VirtualBoard(time, 0.1, 0.03, jitter=0.008)
    sensor = meter(time, {LIMITED: board})
    sensor.open(NAMES)
    board.work(1.0, 640.0, sensor)
    assert sensor.close(time.seconds)["gpu:0"] == pytest.approx(640.0, rel=0.005)


# The power at the end of the work isn't that of the window

Pieces = list[tuple[float, float]]
BURST: Pieces = [(0.8, 50.0), (0.2, 300.0)]
SHORT_BURST: Pieces = [(0.2, 50.0), (0.1, 300.0)]
PREPARATION: Pieces = [(0.2, 60.0), (0.1, 300.0)]
RAMP: Pieces = [(0.02, 104.0 + 4 * step) for step in range(50)]
SHORT_RAMP: Pieces = [(0.02, 110.0 + 14 * step) for step in range(15)]
PREFILL: Pieces = [(0.06, 350.0), (0.1, 223.0), (0.105, 230.0), (0.105, 236.0), (0.045, 80.0)]
DECODE: Pieces = [(0.7, 230.0), (0.06, 350.0), (0.24, 225.0)]


@pytest.mark.parametrize("fall", [0.0, 0.015, 0.03, 0.08, 0.15, 0.3])
@pytest.mark.parametrize(
    ("pieces", "target"),
    [
        pytest.param([(1.0, 300.0)], 0.005, id="constant"),
        pytest.param(BURST, 0.005, id="burst"),
        pytest.param(RAMP, 0.005, id="ramp"),
        pytest.param([*PREFILL, *PREFILL, *PREFILL[:3]], 0.005, id="prefill-decode"),
        pytest.param(DECODE, 0.005, id="decode-prefill-decode"),
        pytest.param(SHORT_BURST, 0.02, id="burst in 0.3 s"),
        pytest.param(PREPARATION, 0.02, id="preparation in 0.3 s"),
        pytest.param(SHORT_RAMP, 0.02, id="ramp in 0.3 s"),
        pytest.param(PREFILL, 0.02, id="prefill-decode in 0.4 s"),
    ],
)
@pytest.mark.parametrize("jitter", [0.0, 0.008])
def test_work_that_ends_at_another_power_than_its_mean_is_read_as_well(
    pieces: Pieces, target: float, fall: float, jitter: float
) -> None:
    if target == 0.02 and fall == 0.015:
        target = 0.05  # over before the next refresh, and two intervals don't tell what was usual
    errors = []
    for number in range(20):
        time = VirtualTime()
        board = VirtualBoard(time, 0.1, 0.005 * number, jitter, decay=fall, seed=number)
        sensor = meter(time, {GPU: board})
        time.pass_by(0.3)
        sensor.open(NAMES)
        for index, (seconds, watts) in enumerate(pieces):
            longer = seconds * (1 + number / 40)  # so that it ends in any phase
            board.work(longer, watts, sensor, ends=index == len(pieces) - 1)
            sensor.poll()
        reading = sensor.close(time.seconds)["gpu:0"]
        assert isinstance(reading, float)
        errors.append(reading / board.true_joules_of_work - 1)
    assert abs(fmean(errors)) < target
    assert pstdev(errors) < target


def test_a_window_without_polls_still_knows_the_interval_in_which_it_ended() -> None:
    for number in range(20):
        time = VirtualTime()
        board = VirtualBoard(time, 0.1, 0.005 * number, decay=0.08)
        sensor = meter(time, {GPU: board})
        sensor.open(NAMES)
        board.work(0.8, 50.0, ends=False)
        board.work(0.2 + 0.005 * number, 300.0)
        reading = sensor.close(time.seconds)["gpu:0"]
        assert reading == pytest.approx(board.true_joules_of_work, rel=0.01)


@pytest.mark.parametrize("lag", [0.15, 0.2, 0.3])
@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("phase", [0.0, 0.03, 0.06, 0.09])
def test_a_counter_that_shows_the_past_is_unmeasured(
    lag: float, seconds: float, phase: float
) -> None:
    time = VirtualTime()
    board = VirtualBoard(time, 0.1, phase, jitter=0.008, lag=lag)
    sensor = meter(time, {GPU: board})
    assert_fault(polled(board, sensor, seconds), "counter-lags", "the energy counter lags 0.")


@pytest.mark.parametrize("power_lag", [0.0, 0.07, 0.15])
@pytest.mark.parametrize("pieces", [[(1.0, 300.0)], BURST, RAMP, PREPARATION, PREFILL])
@pytest.mark.parametrize("decay", [0.0, 0.08, 0.3])
@pytest.mark.parametrize("latency", [20e-6, 0.003, 0.02])
def test_power_that_lags_is_not_reported_as_a_fault_of_the_counter(
    power_lag: float, pieces: Pieces, decay: float, latency: float
) -> None:
    time = VirtualTime()
    board = VirtualBoard(time, 0.1, 0.05, jitter=0.01, decay=decay, latency=latency)
    board.power_lag = power_lag
    sensor = meter(time, {GPU: board})
    for _ in range(5):
        sensor.open(NAMES)
        for index, (seconds, watts) in enumerate(pieces):
            board.work(seconds, watts, sensor, ends=index == len(pieces) - 1)
        assert isinstance(sensor.close(time.seconds)["gpu:0"], float)


class StarvedBoard(VirtualBoard):
    """Who reads it must wait for a core now and then, `where` that is."""

    def __init__(self, time: VirtualTime, seed: int, where: str, **options: Any) -> None:
        super().__init__(time, seed=seed, **options)
        self._waits = random.Random(seed)
        self._where = where
        self.is_busy = False

    def _wait(self, where: str) -> None:
        if self.is_busy and self._where == where and self._waits.random() < 0.8:
            self.time.pass_by(self._waits.uniform(0.0, 0.3))

    def joules(self) -> float:
        self._wait("look")
        found = super().joules()
        self._wait("counter")
        return found

    def watts(self) -> float:
        self._wait("power")
        return super().watts()


@pytest.mark.parametrize("where", ["look", "counter", "power"])
@pytest.mark.parametrize("period", [0.02, 0.1])
def test_a_watcher_that_waits_for_a_core_takes_no_good_counter_for_one_that_lags(
    where: str, period: float
) -> None:
    for seed in range(12):
        time = VirtualTime()
        board = StarvedBoard(time, seed, where, period=period, phase=0.01, jitter=0.08 * period)
        sensor = meter(time, {GPU: board})
        sensor.open(NAMES)
        board.is_busy = True
        board.work(0.6, 60.0, sensor, ends=False)
        board.work(0.5, 300.0, sensor)
        board.is_busy = False
        assert getattr(sensor.close(time.seconds)["gpu:0"], "code", "") != "counter-lags"


# Slow counters and slow calls


@pytest.mark.parametrize("period", [0.5, 1.0])
@pytest.mark.parametrize("phase", [0.0, 0.4])
def test_a_counter_that_is_refreshed_once_a_second_is_measured(period: float, phase: float) -> None:
    time = VirtualTime()
    board = VirtualBoard(time, period, phase, jitter=0.02)
    sensor = meter(time, {GPU: board})
    (channel,) = sensor.channels
    assert channel.update_seconds == pytest.approx(period, rel=0.1)
    assert channel.window_seconds == pytest.approx(3.0, rel=0.1)
    assert polled(board, sensor, 3.0) == pytest.approx(900.0, rel=0.005)


@pytest.mark.parametrize(("number", "period", "latency"), [(8, 0.1, 0.002), (1, 0.02, 0.005)])
def test_slow_calls_do_not_hide_a_counters_refreshes(
    number: int, period: float, latency: float
) -> None:
    time = VirtualTime()
    boards = {
        Gpu(Board(index, f"GPU-{index}"), None, "virtual", 400.0): VirtualBoard(
            time, period, 0.011 * index, jitter=0.08 * period, seed=index, latency=latency
        )
        for index in range(number)
    }
    sensor = meter(time, boards)
    (board, *_) = boards.values()
    for _ in range(10):
        sensor.open(frozenset(gpu.channel for gpu in boards))
        board.work(1.0, 300.0, sensor)
        readings = sensor.close(time.seconds)
        assert all(isinstance(each, float) for each in readings.values())
        assert readings["gpu:0"] == pytest.approx(300.0, rel=0.01)
