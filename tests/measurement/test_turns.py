"""The side of turns that measures: where it waits, and what waiting is left out of."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pytest_energy.errors import EnergyError
from pytest_energy.measurement.meter import Meter
from pytest_energy.measurement.turns import Place, Turns
from pytest_energy.sensors.clock import real
from pytest_energy.sensors.cpu_time import CHANNEL, CpuTime


@dataclass
class Line:
    """Turns whose other end answers at once; `places` are those where it waited."""

    turns: Turns
    heard: int
    answers: int

    @property
    def places(self) -> list[Place]:
        return [Place.of(line) for line in os.read(self.heard, 65536).splitlines()]


@pytest.fixture
def line() -> Iterator[Line]:
    (reads, answers), (heard, writes) = os.pipe(), os.pipe()
    os.write(answers, b"\n" * 100)
    yield Line(Turns(reads, writes), heard, answers)
    for each in (reads, answers, heard, writes):
        os.close(each)


def test_it_waits_before_each_round_after_each_lap_and_at_the_end(line: Line) -> None:
    turns = line.turns
    with turns.measurement("a", ("cpu",), Path("locks")):
        turns.next_round()
        turns.lap()
        turns.next_round()
    turns.lap()  # in no measurement it waits for nobody
    with pytest.raises(KeyError), turns.measurement("b", (), Path("locks")):
        raise KeyError
    first, *others = line.places
    assert first == Place(
        measurement=0, name="a", locks=("cpu",), lock_folder=str(Path("locks").resolve())
    )
    assert [(each.name, each.measurement, each.round) for each in others] == [
        *(("a", 0, number) for number in (1, 1, 2, math.inf)),
        *(("b", 1, number) for number in (0, math.inf)),
    ]


def test_what_makes_turns_impossible_is_said_with_each_place(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_energy.measurement.turns.no_room_for_another", lambda: "no room")
    with line.turns.measurement("a", (), Path()):
        pass
    assert [each.unable for each in line.places] == ["no room", "no room"]


def test_a_gpu_that_comes_into_use_makes_them_impossible(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    with line.turns.measurement("a", (), Path()):
        monkeypatch.setattr("pytest_energy.measurement.turns.cuda_uuids", lambda: frozenset({"1"}))
        line.turns.next_round()
    assert [each.unable != "" for each in line.places] == [False, True, True]


@pytest.mark.parametrize("answered", [0, 2])
def test_one_whose_other_end_is_gone_measures_no_more(answered: int) -> None:
    """It holds no lock of its own, so it would disturb whoever measures next."""
    (reads, answers), (heard, writes) = os.pipe(), os.pipe()
    os.write(answers, b"\n" * answered)
    os.close(answers)
    if not answered:
        os.close(heard)
    turns = Turns(reads, writes)
    for _ in range(2):
        with (
            pytest.raises(EnergyError, match="comparison that this process measures for has ended"),
            turns.measurement("a", (), Path()),
        ):
            turns.next_round()
    for each in (reads, writes, *([heard] if answered else [])):
        os.close(each)


def test_what_others_use_in_their_turns_is_in_no_lap_and_no_window(line: Line) -> None:
    """The other process's turn: 20 ms in which the CPU is busy, here with this same process."""

    class Busy(Turns):
        def lap(self) -> None:
            started = real.perf_counter()
            _spin(0.02)
            self._waited += real.perf_counter() - started

    turns = Busy(0, 0)
    meter = Meter([], CpuTime(4.0), real.process_time, turns.clock, turns=turns)
    laps = []
    with meter.window([CHANNEL], laps=True) as measured:
        for _ in range(5):
            _spin(0.005)
            laps.append(meter.lap(0, 1, {"query": 1.0}))
    window = replace(measured.window, laps=tuple(laps))
    assert all(each.cpu_seconds < 0.015 for each in window.laps)
    assert 0.025 <= window.cpu_seconds < 0.05
    assert sum(each.seconds for each in window.laps) <= window.seconds
    assert window.other_cpu_seconds is not None
    assert window.other_cpu_seconds < 0.02  # of 0.1 in all of its turns


def _spin(seconds: float) -> None:
    end = real.process_time() + seconds
    while real.process_time() < end:
        pass
