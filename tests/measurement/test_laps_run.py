"""Laps in real runs: what the record and the summary say of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from conftest import EnergyPytester
from pytest_energy.measurement.laps import Cleaned, cleaned
from pytest_energy.measurement.meter import Meter, Window
from pytest_energy.sensors import clock
from pytest_energy.sensors.base import Clock
from pytest_energy.sensors.cpu_time import CHANNEL, CpuTime


def laps_of(energy_pytester: EnergyPytester, source: str) -> dict[str, Any]:
    energy_pytester.write(source)
    energy_pytester.run(quick=False).assert_outcomes(passed=1)
    (test,) = energy_pytester.record()["tests"]
    return dict(test)


def test_cpu_time_is_read_in_laps(energy_pytester: EnergyPytester) -> None:
    test = laps_of(energy_pytester, "@budget('1 cpu-s / query')\ndef test_it():\n    spin(2)\n")
    assert test["laps"]["laps"] >= 5 * 20
    assert test["laps"]["seconds"] == pytest.approx(0.007, abs=0.006)
    assert test["laps"]["problem"] == ""
    counted = [each for each in test["rounds"] if each["undisturbed_cpu_seconds_per_unit"]]
    assert len(counted) >= 5
    assert not any(each["warmup"] for each in counted)
    # The work spins for its CPU time; a busy machine adds to each call, and to some rounds less.
    seconds = [each["undisturbed_cpu_seconds_per_unit"] for each in counted]
    assert min(seconds) == pytest.approx(0.002, rel=0.1)
    assert min(seconds) <= test["cpu_seconds_per_unit"] <= max(seconds)
    cheapest = test["laps"]["cheapest_cpu_seconds_per_unit"]
    assert 0.0019 < cheapest <= test["cpu_seconds_per_unit"]
    assert test["joules_per_unit"] == pytest.approx(4 * test["cpu_seconds_per_unit"], rel=1e-6)
    assert test["channels"][0]["joules_per_unit"] == test["joules_per_unit"]


def test_laps_are_looked_through_once_a_round(
    energy_pytester: EnergyPytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def counting(windows: Sequence[Window], unit: str) -> Cleaned | None:
        seen.append(len(windows))
        return cleaned(windows, unit)

    monkeypatch.setattr("pytest_energy.measurement.judgement.cleaned", counting)
    energy_pytester.write("@budget('1 cpu-s / query')\ndef test_it():\n    spin(2)\n")
    energy_pytester.run("--energy-max-seconds=2")
    (test,) = energy_pytester.record()["tests"]
    rounds = sum(not each["warmup"] for each in test["rounds"])
    assert seen == list(range(1, rounds + 1))


def test_the_fixed_work_is_in_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it takes far longer than it does."""
    monkeypatch.setattr("pytest_energy.measurement.meter.reference_seconds", lambda: _spin(0.02))
    meter = Meter([], CpuTime(4.0), lambda: None, Clock(clock.now, clock.sleep))
    laps = []
    with meter.window([CHANNEL], laps=True) as measured:
        for position in range(5):
            _spin(0.01)
            laps.append(meter.lap(position, 1, {"query": 1.0}))
    window = measured.window
    for lap in laps:
        assert lap.cpu_seconds == pytest.approx(0.01, rel=0.2)
        assert (lap.before, lap.after) == (0.02, 0.02)
    assert window.cpu_seconds == pytest.approx(0.05, rel=0.2)


def _spin(seconds: float) -> float:
    end = clock.real.process_time() + seconds
    while clock.real.process_time() < end:
        pass
    return seconds


def test_work_in_processes_that_it_starts_counts_as_a_whole(
    energy_pytester: EnergyPytester,
) -> None:
    test = laps_of(
        energy_pytester,
        """
        import subprocess, sys

        @budget("1 cpu-s / query")
        def test_it():
            subprocess.run([sys.executable, "-Sc", "sum(range(1_000_000))"], check=True)
        """,
    )
    assert "of the CPU time was used outside the short windows" in test["laps"]["problem"]
    assert test["laps"]["rounds_left_out"] == 0
    assert all(each["undisturbed_cpu_seconds_per_unit"] is None for each in test["rounds"])
    assert test["cpu_seconds_per_unit"] > 0.01


TURNS = """
    made = []

    def work(name):
        made.append(name)
        spin(2)

    def test_it(energy):
        energy.compare(lambda: work("A"), lambda: work("B"), max_increase="10 %")
        rows = [name for at, name in enumerate(made) if at == 0 or made[at - 1] != name]
        assert len(rows) > 45  # 20 pairs of windows would make 42
"""


def test_works_that_are_compared_take_turns_every_few_milliseconds(
    energy_pytester: EnergyPytester,
) -> None:
    test = laps_of(energy_pytester, TURNS)
    reference, measured = (
        [each for each in rounds if not each["warmup"]]
        for rounds in (test["reference"]["rounds"], test["rounds"])
    )
    assert len(reference) == len(measured) >= test["reference"]["pairs"]
    assert [each["calls"] for each in reference] == [each["calls"] for each in measured]
    for rounds in (reference, measured):
        least = min(each["cpu_seconds"] / each["calls"] for each in rounds)
        assert least == pytest.approx(0.002, rel=0.15)
    for each in (*reference, *measured):
        assert each["joules"] == pytest.approx(4 * each["cpu_seconds"])
    assert test["reference"]["ratio"] == pytest.approx(1, abs=0.05)


def test_works_in_other_processes_are_compared_window_by_window(
    energy_pytester: EnergyPytester,
) -> None:
    test = laps_of(
        energy_pytester,
        """
        import subprocess, sys

        def work():
            subprocess.run([sys.executable, "-Sc", "sum(range(1_000_000))"], check=True)

        def test_it(energy):
            energy.compare(work, work, max_increase="60 %")
        """,
    )
    assert test["laps"] is None
    assert test["reference"]["pairs"] >= 5
    assert test["cpu_seconds_per_unit"] > 0.01
