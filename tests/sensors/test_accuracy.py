"""The accuracy that is promised, on virtual instruments of known truth; benchmarks has the rest."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks" / "accuracy"))
instruments: Any = importlib.import_module("instruments")
loads: Any = importlib.import_module("loads")
physics: Any = importlib.import_module("physics")

pytestmark = pytest.mark.simulation

TARGET = 0.005
PHASES = 200
#: Longer windows take longer to simulate, and are easier.
LONGEST = 2.0


def cells() -> list[Any]:
    """Every integrating counter, in windows of ten periods and longer."""
    return [
        pytest.param(
            instrument,
            window,
            id=f"{instrument.name.split(',')[0]}, {window:g} s",
        )
        for instrument in instruments.INSTRUMENTS
        for window in instruments.WINDOWS
        if instrument.asks(window) and window <= LONGEST
    ]


def assert_on_target(instrument: Any, load: Any, window: float) -> None:
    cell = instruments.measure(instrument, load, window, PHASES)
    assert not cell.refused
    assert abs(cell.bias) <= TARGET, load.name
    assert cell.sd <= TARGET, load.name


@pytest.mark.parametrize(("instrument", "window"), cells())
def test_an_integrating_counter_is_read_within_half_a_percent(
    instrument: Any, window: float
) -> None:
    for load in loads.LOADS:
        assert_on_target(instrument, load, window)


@pytest.mark.parametrize("load", loads.ENDINGS, ids=[each.name for each in loads.ENDINGS])
def test_work_that_ends_at_another_power_than_its_mean_is_read_as_well(load: Any) -> None:
    assert_on_target(instruments.SLOW, load, 1.0)
    assert_on_target(instruments.QUICK, load, 1.0)
    assert abs(instruments.measure(instruments.SLOW, load, 0.3, PHASES).bias) < 0.02


@pytest.mark.parametrize("instrument", instruments.LAGGING)
def test_a_counter_that_shows_the_past_has_no_figure(instrument: Any) -> None:
    for load in (loads.LOADS[0], *loads.ENDINGS):
        cell = instruments.measure(instrument, load, 1.0, PHASES)
        assert cell.refused >= PHASES / 2  # of one window; a measurement has five or more


@pytest.mark.parametrize("instrument", [instruments.QUICK, instruments.SLOW])
def test_a_plain_difference_misses_the_target(instrument: Any) -> None:
    window = 10 * instrument.period
    cell = instruments.measure(instrument, loads.LOADS[0], window, PHASES, naive=True)
    # The last (period + jitter / 2) / 2 is missing at full power, what comes before is idle.
    expected = -(instrument.period + instrument.jitter / 2) / 2 * (300.0 - 50.0)
    expected *= physics.MEAN_INVERSE / (300.0 * window)
    assert cell.bias == pytest.approx(expected, abs=4 * cell.sd / PHASES**0.5)
    assert cell.sd > 5 * TARGET


# A counter that samples 25 of every 100 ms; physics says what it allows.


def part_time(load: Any, window: float) -> Any:
    cell = instruments.measure(instruments.PART_TIME, load, window, PHASES)
    assert not cell.refused
    return cell


@pytest.mark.parametrize("window", [1.0, 2.0])
@pytest.mark.parametrize(
    ("load", "first_watts", "mean_watts"),
    [(loads.LOADS[0], 300.0, 300.0), (loads.LOADS[1], 100.0, 200.0)],
    ids=["constant", "ramp"],
)
def test_sampling_late_loses_what_the_end_of_the_work_used(
    load: Any, first_watts: float, mean_watts: float, window: float
) -> None:
    cell = part_time(load, window)
    expected = physics.end_bias(instruments.PART_TIME, window, first_watts, mean_watts)
    assert cell.bias == pytest.approx(expected, abs=4 * cell.sd / PHASES**0.5)
    # At least nothing is missing, at most what an interval doesn't sample. A ramp also gains up to
    # as much, since each sample is later, and so higher, than the interval that it stands for.
    most = physics.end_worst(instruments.PART_TIME, window, 300.0, mean_watts)
    gain = -most if first_watts < mean_watts else TARGET / 5
    assert most - TARGET / 5 <= min(cell.errors) <= max(cell.errors) <= gain


def test_a_slow_fall_after_the_work_hides_less_than_a_sudden_one() -> None:
    cell = part_time(loads.LOADS[5], 1.0)
    sudden = physics.end_bias(instruments.PART_TIME, 1.0, 300.0, 300.0)
    most = physics.end_worst(instruments.PART_TIME, 1.0, 300.0, 300.0)
    assert abs(cell.bias) < abs(sudden)
    assert abs(cell.worst) < abs(most)


@pytest.mark.parametrize("load", loads.LOADS[2:5], ids=[each.name for each in loads.LOADS[2:5]])
@pytest.mark.parametrize("window", [1.0, 10.0])
def test_power_between_two_samples_is_not_seen(load: Any, window: float) -> None:
    cell = part_time(load, window)
    assert abs(cell.worst) <= physics.unseen_worst(instruments.PART_TIME, window, load)


@pytest.mark.parametrize("window", [1.0, 10.0])
def test_a_load_in_step_with_the_sampling_is_misread_however_long_the_window(window: float) -> None:
    load = loads.LOADS[3]
    cell = instruments.measure(instruments.LOCKED, load, window, PHASES)
    assert cell.sd == pytest.approx(physics.locked_sd(instruments.LOCKED, load), rel=0.1)
