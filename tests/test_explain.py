"""What makes a figure, and what in the surroundings casts doubt on it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pytest_energy.budgets.budget import Budget, Declaration, Scope
from pytest_energy.measure.coverage import Coverage
from pytest_energy.measure.explain import Surroundings, explain, is_crowded
from pytest_energy.measure.judgement import Job, Judgement
from pytest_energy.measure.judgement import test_record as record_of
from pytest_energy.measure.meter import Window
from pytest_energy.measure.protocol import Round
from pytest_energy.record import GpuStateRecord, TestRecord
from pytest_energy.sensors.base import Channel, Kind, Provenance
from pytest_energy.statistics import drift
from pytest_energy.units import parse_limit

GPU = Channel("gpu:0", Kind.GPU, "counter", Provenance.MEASURED, 0.1, 1.0, idle_watts=50.0)
CPU = Channel("cpu:process", Kind.CPU, "CPU time", Provenance.ESTIMATED, 0.0, 0.2)


def rounds(
    joules: list[float], channel: Channel = GPU, switches: int = 0, neighbours: float = 0.5
) -> list[Round]:
    """Rounds of one second with ten queries and 320 tokens each."""
    return [
        Round(
            Window(1.0, {channel.name: each}, 0.5, neighbours, switches),
            10,
            {"query": 10.0, "token": 320.0},
            warmup=False,
        )
        for each in joules
    ]


def judged(
    joules: list[float],
    limit: str,
    channel: Channel = GPU,
    around: Surroundings | None = None,
    switches: int = 0,
    tolerance: float | None = None,
) -> TestRecord:
    scope = Scope.GPU if channel is GPU else Scope.CPU
    coverage = Coverage(scope, (channel,), (), str(channel.provenance))
    parsed = parse_limit(limit)
    budget = Budget(parsed, "test_it.py:1", tolerance=tolerance)
    judgement = Judgement(budget, "query", coverage, parsed.base_per_unit)
    judgement.look(rounds(joules, channel, switches), final=True)
    job = Job("test_it.py::test_it", Declaration(), (budget,), ("query",))
    return record_of(job, judgement, (), around or Surroundings(), None)


def test_a_figure_is_made_of_time_and_power() -> None:
    found = judged([300.0] * 5, "10 J / query").explanation
    assert found is not None
    assert (found.seconds, found.units) == (5.0, {"query": 50.0, "token": 1600.0})
    assert (found.units_per_second, found.mean_watts) == (10.0, 300.0)
    assert found.net_joules_per_unit == pytest.approx((300.0 - 50.0) / 10)
    assert found.drift_per_round is None


def test_a_red_verdict_says_what_makes_it() -> None:
    assert judged([300.0] * 5, "10 J / query").reason.endswith("; 100 ms a query at 300 W")


STRANGER = Surroundings(strangers={"gpu:0": ("python (process 7) on gpu:0",)})


def test_beside_a_stranger_a_fail_is_inconclusive_and_a_pass_stands() -> None:
    red = judged([300.0] * 5, "10 J / query", around=STRANGER)
    assert (red.verdict, red.strangers) == ("inconclusive", ("python (process 7) on gpu:0",))
    assert "but python (process 7) on gpu:0 added joules" in red.reason
    assert judged([300.0] * 5, "100 J / query", around=STRANGER).verdict == "pass"
    elsewhere = Surroundings(strangers={"gpu:1": ("python (process 7) on gpu:1",)})
    assert judged([300.0] * 5, "10 J / query", around=elsewhere).verdict == "fail"


def test_who_else_uses_a_board_may_be_unknown() -> None:
    unknown = Surroundings(unknown={"gpu:0": "whether others used gpu:0 is unknown"})
    red = judged([300.0] * 5, "10 J / query", around=unknown)
    assert red.verdict == "fail"
    assert "whether others used gpu:0 is unknown" in red.notes


CROWDED = [100.0, 210.0, 190.0, 220.0, 205.0, 200.0, 215.0, 195.0]


def test_in_a_crowd_a_fail_that_one_round_denies_is_inconclusive() -> None:
    crowded = judged(CROWDED, "10 J / query", CPU, switches=100)
    assert crowded.verdict == "inconclusive"
    assert "the machine was crowded, and its least round is at 100% of the limit" in crowded.reason
    assert any("the machine is crowded" in note for note in crowded.notes)
    quiet = judged([200.0, *CROWDED[1:]], "10 J / query", CPU, switches=1)
    assert quiet.verdict == "fail"
    assert judged([200.0, *CROWDED[1:]], "10 J / query", CPU, switches=100).verdict == "fail"
    assert not any("crowded" in note for note in quiet.notes)


def test_a_counter_is_not_doubted_in_a_crowd() -> None:
    assert judged([200.0] * 5, "10 J / query", GPU, switches=1000).verdict == "fail"


def test_a_crowd_is_told_by_switches_for_each_cpu_second() -> None:
    assert not is_crowded(rounds([1.0] * 4, switches=10))  # 20 a CPU second
    assert is_crowded(rounds([1.0] * 4, switches=20))
    assert not is_crowded(rounds([1.0] * 4, switches=500, neighbours=0.05))


def test_a_trend_across_the_rounds_is_said() -> None:
    warming = judged([300.0 * 1.02**i for i in range(8)], "100 J / query")
    assert warming.explanation is not None
    assert warming.explanation.drift_per_round == pytest.approx(math.log(1.02))
    assert any(note.startswith("the figure rises by 2.0% from round") for note in warming.notes)


@given(st.lists(st.floats(-1, 1), min_size=5, max_size=20))
def test_a_drift_is_the_slope_that_scipy_finds(values: list[float]) -> None:
    found = drift(values)
    fitted = stats.linregress(range(len(values)), values)
    assert found == 0.0 or found == pytest.approx(fitted.slope)
    if fitted.stderr > 0.01 and fitted.pvalue < 0.009:
        assert found != 0.0
    if fitted.pvalue > 0.011:
        assert found == 0.0


def test_boards_are_told_around_the_gated_rounds_only() -> None:
    cold = GpuStateRecord("gpu:0", 40, 1410, 400.0)
    hot = GpuStateRecord("gpu:0", 80, 1200, 400.0, ("power cap",))
    other = GpuStateRecord("gpu:1", 30, 1410, 400.0)
    around = Surroundings(
        before={"gpu:0": cold, "gpu:1": other}, after={"gpu:0": hot, "gpu:1": other}
    )
    found = explain(rounds([300.0] * 5), "query", [30.0] * 5, [GPU], around)
    assert (found.gpus_before, found.gpus_after) == ((cold,), (hot,))


def test_a_figure_clearly_over_but_within_the_tolerance_says_so() -> None:
    found = judged([130.0, 131.0, 129.0, 130.5, 129.5], "10 J / query", tolerance=0.5)
    assert found.verdict == "inconclusive"
    assert "within the tolerance of 50% that another session could explain" in found.reason
    assert "a quieter machine" not in found.reason
    noisy = judged([90.0, 120.0, 95.0, 118.0, 100.0], "10 J / query")
    assert "can't be told from the limit" in noisy.reason
