"""What makes a figure, and what in the surroundings casts doubt on it."""

from __future__ import annotations

import math
import os
from dataclasses import replace

import pytest
from channels import CPU_TIME
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pytest_energy.limits.budget import Budget, Declaration, Scope
from pytest_energy.limits.limit import parse_limit
from pytest_energy.measurement.coverage import Coverage
from pytest_energy.measurement.explanation import Surroundings, explain, has_contention
from pytest_energy.measurement.judgement import Job, Judgement
from pytest_energy.measurement.laps import Cleaned
from pytest_energy.measurement.meter import Lap, Window
from pytest_energy.measurement.protocol import Round
from pytest_energy.measurement.result import test_record as record_of
from pytest_energy.measurement.sentences import contention_notes
from pytest_energy.record.schema import GpuStateRecord, TestRecord
from pytest_energy.rules.statistics import drift
from pytest_energy.sensors.base import Channel, Kind, Provenance

GPU = Channel(
    name="gpu:0",
    kind=Kind.GPU,
    source="counter",
    provenance=Provenance.MEASURED,
    update_seconds=0.1,
    window_seconds=1.0,
    idle_watts=50.0,
)


def rounds(
    joules: list[float], channel: Channel = GPU, switches: int = 0, neighbours: float = 0.5
) -> list[Round]:
    """Rounds of one second with ten queries and 320 tokens each."""
    return [
        Round(
            Window(
                seconds=1.0,
                readings={channel.name: each},
                cpu_seconds=0.5,
                other_cpu_seconds=neighbours,
                involuntary_switches=switches,
            ),
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
    measured = rounds(joules, channel, switches)
    return judged_rounds(measured, limit, channel, around, tolerance)


def judged_rounds(
    measured: list[Round],
    limit: str,
    channel: Channel = GPU,
    around: Surroundings | None = None,
    tolerance: float | None = None,
) -> TestRecord:
    scope = Scope.GPU if channel is GPU else Scope.CPU
    coverage = Coverage(scope=scope, gated=(channel,), shown=(), method=str(channel.provenance))
    parsed = parse_limit(limit)
    budget = Budget(limit=parsed, origin="test_it.py:1", tolerance=tolerance)
    judgement = Judgement(
        budget=budget, unit="query", coverage=coverage, limit=parsed.base_per_unit
    )
    judgement.look(measured, final=True)
    job = Job(
        test_id="test_it.py::test_it",
        declaration=Declaration(),
        budgets=(budget,),
        units=("query",),
    )
    return record_of(job, judgement, (), around or Surroundings(), None)


def test_a_figure_is_made_of_time_and_power() -> None:
    found = judged([300.0] * 5, "10 J / query").explanation
    assert found is not None
    assert (found.seconds, found.units) == (5.0, {"query": 50.0, "token": 1600.0})
    assert (found.units_per_second, found.mean_watts) == (10.0, 300.0)
    assert found.net_joules_per_unit == pytest.approx((300.0 - 50.0) / 10)
    assert found.drift_per_round is None


def test_a_red_verdict_names_its_cause() -> None:
    assert judged([300.0] * 5, "10 J / query").reason.endswith("; 100 ms a query at 300 W")


OTHER_PROCESS = Surroundings(other_processes={"gpu:0": ("python (process 7) on gpu:0",)})


def test_beside_another_process_a_fail_is_inconclusive_and_a_pass_stands() -> None:
    red = judged([300.0] * 5, "10 J / query", around=OTHER_PROCESS)
    assert (red.verdict, red.other_processes) == ("inconclusive", ("python (process 7) on gpu:0",))
    assert "but python (process 7) on gpu:0 added joules" in red.reason
    assert judged([300.0] * 5, "100 J / query", around=OTHER_PROCESS).verdict == "pass"
    elsewhere = Surroundings(other_processes={"gpu:1": ("python (process 7) on gpu:1",)})
    assert judged([300.0] * 5, "10 J / query", around=elsewhere).verdict == "fail"


def test_who_else_uses_a_board_may_be_unknown() -> None:
    unknown = Surroundings(unknown={"gpu:0": "whether others used gpu:0 is unknown"})
    red = judged([300.0] * 5, "10 J / query", around=unknown)
    assert red.verdict == "fail"
    assert "whether others used gpu:0 is unknown" in red.notes


CROWDED = [100.0, 210.0, 190.0, 220.0, 205.0, 200.0, 215.0, 195.0]


def test_under_cpu_contention_a_fail_that_one_round_denies_is_inconclusive() -> None:
    contention = judged(CROWDED, "10 J / query", CPU_TIME, switches=100)
    assert contention.verdict == "inconclusive"
    assert (
        "there was CPU contention, and the lowest round is at 100 % of the limit"
        in contention.reason
    )
    assert any("CPU contention increased the CPU time" in note for note in contention.notes)
    quiet = judged([200.0, *CROWDED[1:]], "10 J / query", CPU_TIME, switches=1)
    assert quiet.verdict == "fail"
    assert judged([200.0, *CROWDED[1:]], "10 J / query", CPU_TIME, switches=100).verdict == "fail"
    assert not any("contention" in note for note in quiet.notes)


def test_beside_others_a_fail_that_the_cheapest_calls_deny_is_inconclusive() -> None:
    """Contention for memory slows calls, and nothing else shows it; one call in ten was spared."""
    busy, alone = (
        [
            replace(each, window=replace(each.window, laps=laps_of(each, spared=2)))
            for each in rounds([200.0] * 5, CPU_TIME, neighbours=cores)
        ]
        for cores in (float(os.cpu_count() or 1), 0.0)
    )
    doubted = judged_rounds(busy, "11 J / query", CPU_TIME)
    assert doubted.verdict == "inconclusive"
    assert doubted.code == "contention"
    assert "the cheapest 5 % of the calls are at 96 % of the limit" in doubted.reason
    assert judged_rounds(alone, "11 J / query", CPU_TIME).verdict == "fail"
    assert judged_rounds(busy, "10 J / query", CPU_TIME).verdict == "fail"
    all_slow = [replace(each, window=replace(each.window, laps=laps_of(each, 0))) for each in busy]
    assert judged_rounds(all_slow, "11 J / query", CPU_TIME).verdict == "fail"


def laps_of(each: Round, spared: int) -> tuple[Lap, ...]:
    """Twenty laps of half a query, so many at half the cost; the fixed work saw nothing."""
    usual = each.window.cpu_seconds / (20 - spared / 2)
    return tuple(
        Lap(
            position=0,
            calls=1,
            units={"query": 0.5},
            seconds=0.05,
            cpu_seconds=usual / 2 if number < spared else usual,
            before=20e-6,
            after=20e-6,
        )
        for number in range(20)
    )


def test_cores_that_nobody_is_seen_to_use_are_not_reported_as_used() -> None:
    clean = Cleaned(values=(4.0,), laps=400, seconds=0.005, affected=0.8)
    seen, unseen = (
        contention_notes(True, clean, rounds([4.0], CPU_TIME, neighbours=cores))
        for cores in (1.2, 0.01)
    )
    assert seen[0].startswith("CPU contention: other processes used 1.2 of ")
    assert unseen[0].startswith("CPU contention: 80 % of 400 short windows")


def test_a_counter_is_trusted_under_cpu_contention() -> None:
    assert judged([200.0] * 5, "10 J / query", GPU, switches=1000).verdict == "fail"


def test_cpu_contention_is_detected_by_switches_for_each_cpu_second() -> None:
    assert not has_contention(rounds([1.0] * 4, switches=10))  # 20 a CPU second
    assert has_contention(rounds([1.0] * 4, switches=20))
    assert not has_contention(rounds([1.0] * 4, switches=500, neighbours=0.05))


def test_a_trend_across_the_rounds_is_reported() -> None:
    warming = judged([300.0 * 1.02**i for i in range(8)], "100 J / query")
    assert warming.explanation is not None
    assert warming.explanation.drift_per_round == pytest.approx(math.log(1.02))
    assert any(note.startswith("the figure rises by 2 % from round") for note in warming.notes)
    assert any("memory grows" in note for note in warming.notes)
    cooling = judged([300.0 / 1.02**i for i in range(8)], "100 J / query")
    (note,) = [each for each in cooling.notes if "falls by 2 % from round to round" in each]
    assert note.endswith(": the work isn't warm yet, or other processes ended")


@given(st.lists(st.floats(-1, 1), min_size=5, max_size=20))
def test_a_drift_is_the_slope_that_scipy_finds(values: list[float]) -> None:
    found = drift(values)
    fitted = stats.linregress(range(len(values)), values)
    assert found == 0.0 or found == pytest.approx(fitted.slope)
    if fitted.stderr > 0.01 and fitted.pvalue < 0.009:
        assert found != 0.0
    if fitted.pvalue > 0.011:
        assert found == 0.0


def test_boards_are_described_around_the_gated_rounds_only() -> None:
    cold = GpuStateRecord(channel="gpu:0", celsius=40, megahertz=1410, power_limit_watts=400.0)
    hot = GpuStateRecord(
        channel="gpu:0",
        celsius=80,
        megahertz=1200,
        power_limit_watts=400.0,
        throttled=("power cap",),
    )
    other = GpuStateRecord(channel="gpu:1", celsius=30, megahertz=1410, power_limit_watts=400.0)
    around = Surroundings(
        before={"gpu:0": cold, "gpu:1": other}, after={"gpu:0": hot, "gpu:1": other}
    )
    found = explain(rounds([300.0] * 5), "query", [30.0] * 5, [GPU], around)
    assert (found.gpus_before, found.gpus_after) == ((cold,), (hot,))


def test_a_figure_clearly_over_but_within_the_tolerance_is_reported_as_such() -> None:
    found = judged([130.0, 131.0, 129.0, 130.5, 129.5], "10 J / query", tolerance=0.5)
    assert found.verdict == "inconclusive"
    assert "within the tolerance of 50 % that another session could explain" in found.reason
    assert "a quieter machine" not in found.reason
    noisy = judged([90.0, 120.0, 95.0, 118.0, 100.0], "10 J / query")
    assert "cannot be distinguished from the limit" in noisy.reason
