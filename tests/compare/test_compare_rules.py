"""What is compared with what, and by which rule; from records made by hand."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from compared_records import BOARDS, RULE, measured, run_of
from hypothesis import given
from hypothesis import strategies as st
from records import TEST

from pytest_energy.compare.judgement import (
    Pair,
    Rule,
    compare_pairs,
    compare_records,
    decided,
    is_undecided,
)
from pytest_energy.compare.outcome import (
    Compared,
    ComparisonRecord,
    CouldNotCompare,
    Outcome,
    Quantity,
    Side,
)
from pytest_energy.record.schema import ChannelRecord, LapsRecord, RoundRecord, RunRecord
from pytest_energy.rules.baseline import MAX_INCREASE
from pytest_energy.rules.estimate import LOOKS
from pytest_energy.rules.paired import MAX_RATIO_INCREASE, compare
from pytest_energy.rules.verdict import Verdict

SIDES = Side("old.json"), Side("new.json")


def two(reference: RunRecord, candidate: RunRecord) -> ComparisonRecord:
    return compare_records(reference, candidate, SIDES, MAX_INCREASE)


def paired(ratios: Sequence[float]) -> list[Pair]:
    return [Pair(run_of(measured(2.0)), run_of(measured(2.0 * ratio))) for ratio in ratios]


def only(found: ComparisonRecord) -> Compared:
    (test,) = found.tests
    return test


# -- two records ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "outcome", "status"),
    [
        (1.0, Outcome.WITHIN, 0),
        (1.07, Outcome.WITHIN, 0),
        (1.12, Outcome.REGRESSED, 1),
        (0.95, Outcome.WITHIN, 0),
        (0.85, Outcome.IMPROVED, 0),
    ],
)
def test_one_session_shows_only_changes_larger_than_those_between_sessions(
    ratio: float, outcome: Outcome, status: int
) -> None:
    found = two(run_of(measured(2.0)), run_of(measured(2.0 * ratio)))
    test = only(found)
    assert (test.outcome, found.exit_status) == (outcome, status)
    assert test.ratio == pytest.approx(ratio)
    assert test.threshold is not None and 0.07 < test.threshold < 0.10
    (note,) = found.notes
    assert f"differ by up to {test.threshold:.1%} by chance".replace("%", " %") in note


def test_other_labels_are_compared_and_reported() -> None:
    found = two(
        run_of(measured(2.0, labels={"dtype": "fp32", "batch": 8})),
        run_of(measured(2.0, labels={})),
    )
    assert only(found).outcome is Outcome.WITHIN
    assert f"labels of {TEST.id}: batch=8, dtype=fp32 against none" in found.notes


def test_another_board_of_the_model_is_allowed_its_gain() -> None:
    channel = replace(TEST.channels[0], name="gpu:1")
    found = two(
        run_of(measured(2.0)), run_of(measured(2.0 * 1.12, channels=(channel, TEST.channels[1])))
    )
    test = only(found)
    assert test.outcome is Outcome.WITHIN
    assert test.threshold is not None and test.threshold > 0.15


def test_records_are_compared_by_the_same_rounds() -> None:
    hot = RoundRecord(joules=40.0, seconds=1.0, units=10.0, warmup=False, cpu_seconds=1.0, calls=10)
    long = measured(2.0)
    found = two(run_of(measured(2.0)), run_of(replace(long, rounds=(*long.rounds, *[hot] * 15))))
    assert only(found).ratio == pytest.approx(1.0)


def test_fewer_than_five_rounds_are_not_compared() -> None:
    found = two(run_of(measured(2.0)), run_of(measured(2.0, rounds=4)))
    assert only(found).outcome is Outcome.INCOMPARABLE
    assert found.exit_status == 2
    assert "4 rounds, and 5 are needed" in only(found).reason
    assert "--energy-max-seconds" in only(found).reason


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cpu": "EPYC"}, ["Xeon with 2 cores", "EPYC with 2 cores"]),
        ({"cpu_count": 4}, ["Xeon with 2 cores", "Xeon with 4 cores"]),
        ({"gpus": BOARDS[:1]}, ["on A100 at 400 W, A100 at 400 W", "on A100 at 400 W;"]),
        ({"gpus": ()}, ["A100", "no GPU"]),
        (
            {"gpus": (replace(BOARDS[0], power_limit_watts=300.0), BOARDS[1])},
            ["A100 at 300 W, A100 at 400 W"],
        ),
    ],
)
def test_other_hardware_is_never_compared(changes: dict[str, Any], words: list[str]) -> None:
    first = run_of(measured(2.0))
    other = replace(first, machine=replace(first.machine, **changes))
    with pytest.raises(CouldNotCompare) as caught:
        two(first, other)
    for word in words:
        assert word in str(caught.value)
    with pytest.raises(CouldNotCompare):
        compare_pairs([Pair(first, other)] * 3, SIDES, RULE)


CPU = ChannelRecord(
    name="cpu:process",
    kind="cpu",
    source="CPU time x 4 W a core",
    provenance="estimated",
    gated=True,
    joules_per_unit=2.0,
)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"method": "estimated", "scope": "cpu", "channels": (CPU,)},
            "measured on gpu:0, per query, scope gpu against "
            "estimated on cpu:process, per query, scope cpu",
        ),
        ({"unit": "token"}, "per query, scope gpu against measured on gpu:0, per token"),
        (
            {"channels": (replace(TEST.channels[0], source="another instrument"),)},
            "NVML energy counter of A100 against another instrument",
        ),
        (
            {"joules_per_unit": None, "verdict": "unmeasured", "reason": "the counter went back"},
            "in the candidate, unmeasured: the counter went back",
        ),
    ],
)
def test_figures_of_another_kind_are_never_compared_and_the_reason_says_why(
    changes: dict[str, Any], words: str
) -> None:
    found = two(run_of(measured(2.0)), run_of(measured(2.0, **changes)))
    test = only(found)
    assert (test.outcome, test.ratio, found.exit_status) == (Outcome.INCOMPARABLE, None, 2)
    assert words in test.reason


def test_an_estimate_is_compared_with_one_of_the_same_watts_alone() -> None:
    def estimated(watts: int) -> RunRecord:
        channel = replace(CPU, source=f"CPU time x {watts} W a core")
        return run_of(measured(2.0, method="estimated", scope="cpu", channels=(channel,)))

    assert only(two(estimated(4), estimated(4))).outcome is Outcome.WITHIN
    assert "x 4 W a core against CPU time x 9 W" in only(two(estimated(4), estimated(9))).reason


def test_cpu_time_is_compared_whatever_watts_a_core_takes() -> None:
    def counted(watts: int) -> RunRecord:
        channel = replace(CPU, source=f"CPU time x {watts} W a core")
        return run_of(measured(2.0, method="cpu-time", scope="cpu", channels=(channel,)))

    test = only(two(counted(4), counted(9)))
    assert (test.outcome, test.quantity) == (Outcome.WITHIN, Quantity.CPU_SECONDS)
    assert test.reference == pytest.approx(0.5)
    assert "500 cpu-ms / query" in test.reason


def test_what_one_side_lacks_is_reported_and_fails_only_when_nothing_is_left() -> None:
    old, new = (measured(2.0, id=f"test_it.py::test_{name}") for name in ("old", "new"))
    found = two(run_of(measured(2.0), old), run_of(measured(2.0), new))
    assert found.exit_status == 0
    assert [note.partition(" (")[0] for note in found.notes[1:]] == [
        "only the reference has test_it.py::test_old",
        "only the candidate has test_it.py::test_new",
    ]
    found = two(run_of(old), run_of(new))
    assert (found.tests, found.exit_status, len(found.notes)) == ((), 2, 2)


def test_each_measurement_and_limit_of_a_test_is_compared_once() -> None:
    first = measured(2.0, name="prefill")
    tests = (first, replace(first, name="decode"), replace(first, unit="token"), first)
    found = two(run_of(*tests), run_of(*reversed(tests)))
    assert [(each.name, each.unit) for each in found.tests] == [
        ("prefill", "query"),
        ("decode", "query"),
        ("prefill", "token"),
    ]


@pytest.mark.parametrize("side", [0, 1])
def test_the_work_of_a_failed_test_is_no_saving(side: int) -> None:
    figures = [measured(2.0), measured(2.0)]
    figures[side] = measured(1.0, failure="AssertionError")
    found = two(*map(run_of, figures))
    assert (only(found).outcome, found.exit_status) == (Outcome.INCOMPARABLE, 2)
    assert only(found).reason == (
        f"in the {('reference', 'candidate')[side]}, the test ended in AssertionError, so its work "
        "may not have been done"
    )


def test_of_reruns_the_last_counts() -> None:
    first, second = measured(9.0), measured(2.0, attempt=2)
    assert only(two(run_of(measured(2.0)), run_of(second, first))).outcome is Outcome.WITHIN
    unmeasured = replace(second, joules_per_unit=None, reason="it was lost")
    found = two(run_of(measured(2.0)), run_of(first, unmeasured))
    assert only(found).outcome is Outcome.INCOMPARABLE


def test_different_versions_are_reported() -> None:
    first = run_of(measured(2.0))
    versions = {"python": "3", "torch": "2.13.0"}
    other = replace(first, run=replace(first.run, versions=versions))
    assert two(first, other).notes[1:] == ("installed: torch none against 2.13.0",)


# -- pairs ----------------------------------------------------------------------------------------


def jittered(ratio: float, n: int, jitter: float = 0.002) -> list[float]:
    return [ratio * (1 + jitter * (-1) ** i) for i in range(n)]


@pytest.mark.parametrize(
    ("ratio", "outcome", "status"),
    [
        (1.0, Outcome.WITHIN, 0),
        (1.02, Outcome.WITHIN, 0),
        (1.05, Outcome.REGRESSED, 1),
        (0.98, Outcome.WITHIN, 0),
        (0.95, Outcome.IMPROVED, 0),
    ],
)
def test_pairs_see_small_changes(ratio: float, outcome: Outcome, status: int) -> None:
    found = compare_pairs(paired(jittered(ratio, 5)), SIDES, RULE)
    test = only(found)
    assert (test.outcome, found.exit_status) == (outcome, status)
    assert test.interval is not None and test.ratio is not None
    assert test.interval[0] < test.ratio < test.interval[1]
    assert len(test.pairs) == 5


def test_a_result_too_noisy_to_decide_is_not_green() -> None:
    ratios = [math.exp(0.4 * math.sin(i)) for i in range(LOOKS[-1])]
    found = compare_pairs(paired(ratios), SIDES, RULE)
    assert (only(found).outcome, found.exit_status) == (Outcome.INCONCLUSIVE, 2)


@pytest.mark.parametrize(
    ("ratio", "outcome"),
    [
        (1.0, Outcome.INCONCLUSIVE),
        (1.3, Outcome.REGRESSED),
        (0.7, Outcome.IMPROVED),
        (0.86, Outcome.WITHIN),
    ],
)
def test_few_pairs_decide_only_on_wide_distances(ratio: float, outcome: Outcome) -> None:
    rule = Rule(MAX_RATIO_INCREASE, looks=())
    test = only(compare_pairs(paired([ratio] * 3), SIDES, rule))
    assert (test.outcome, test.interval) == (outcome, None)


def test_a_verdict_once_reached_does_not_depend_on_how_long_others_take() -> None:
    decided = jittered(1.0, 5)
    alone = only(compare_pairs(paired(decided), SIDES, RULE))
    longer = only(compare_pairs(paired([*decided, *[1.5] * 15]), SIDES, RULE))
    assert longer == alone


@given(st.lists(st.floats(min_value=0.5, max_value=2.0), min_size=3, max_size=20))
def test_a_second_look_never_takes_back_what_was_decided(ratios: list[float]) -> None:
    for number in range(3, len(ratios) + 1):
        if not is_undecided(paired(ratios[:number]), RULE):
            first = only(compare_pairs(paired(ratios[:number]), SIDES, RULE))
            assert only(compare_pairs(paired(ratios), SIDES, RULE)) == first
            return


@pytest.mark.parametrize(
    ("truth", "spread", "at_least", "at_most", "pairs"),
    [
        (1.00, 0.01, 0.0, 0.002, 6.5),
        (1.00, 0.05, 0.0, 0.010, 19.0),
        (1.05, 0.01, 0.998, 1.0, 8.5),
        (1.05, 0.03, 0.98, 1.0, 19.0),
        (1.10, 0.03, 0.998, 1.0, 8.0),
        (2.00, 0.10, 0.998, 1.0, 6.0),
    ],
)
def test_the_rates_of_false_alarms_and_of_detection(
    truth: float, spread: float, at_least: float, at_most: float, pairs: float
) -> None:
    rng = random.Random(20231128)
    regressed, used, comparisons = 0, 0, 500
    for _ in range(comparisons):
        ratios = [truth * math.exp(rng.gauss(0, spread)) for _ in range(LOOKS[-1])]
        number, found = decided(ratios, RULE) or (
            LOOKS[-1],
            compare(ratios, RULE.max_increase, final=True),
        )
        assert found is not None
        regressed += found.verdict is Verdict.FAIL
        used += number
    assert at_least <= regressed / comparisons <= at_most
    assert used / comparisons <= pairs


def test_a_figure_that_some_process_lacks_is_not_compared() -> None:
    pairs = paired([1.0] * 5)
    pairs[2] = Pair(pairs[2].reference, run_of())
    test = only(compare_pairs(pairs, SIDES, RULE))
    assert test.outcome is Outcome.INCOMPARABLE
    assert "only 4 of 5 runs of the candidate have it" in test.reason


def test_two_boards_of_one_machine_are_two_instruments() -> None:
    other = replace(TEST.channels[0], name="gpu:1")
    pairs = [Pair(run_of(measured(2.0)), run_of(measured(2.0, channels=(other,))))] * 5
    test = only(compare_pairs(pairs, SIDES, RULE))
    assert test.outcome is Outcome.INCOMPARABLE
    assert "measured on gpu:0, per query, scope gpu against measured on gpu:1" in test.reason


@pytest.mark.parametrize(
    ("side", "ratio", "outcome"),
    [
        (0, 1.0, Outcome.INCONCLUSIVE),
        (0, 0.8, Outcome.INCONCLUSIVE),
        (0, 1.2, Outcome.REGRESSED),
        (1, 1.0, Outcome.WITHIN),
        (1, 0.8, Outcome.IMPROVED),
        (1, 1.2, Outcome.INCONCLUSIVE),
    ],
)
def test_another_process_only_adds_joules_to_its_side(
    side: int, ratio: float, outcome: Outcome
) -> None:
    pairs = paired(jittered(ratio, 5))
    disturbed = [pairs[1].reference, pairs[1].candidate]
    disturbed[side] = replace(
        disturbed[side],
        tests=(replace(disturbed[side].tests[0], other_processes=("python (4711)",)),),
    )
    pairs[1] = Pair(disturbed[0], disturbed[1])
    test = only(compare_pairs(pairs, SIDES, RULE))
    assert test.outcome is outcome
    assert ("python (4711) added joules" in test.reason) == (outcome is Outcome.INCONCLUSIVE)


@pytest.mark.parametrize("contention", ["reference", "candidate"])
@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.8])
def test_cpu_contention_in_a_session_makes_its_side_doubtful(contention: str, ratio: float) -> None:
    old, new, _ = paired([ratio])[0]
    noisy = old if contention == "reference" else new
    noisy = replace(noisy, tests=tuple(replace(each, contention=True) for each in noisy.tests))
    sides = (noisy, new) if contention == "reference" else (old, noisy)
    test = only(compare_records(*sides, SIDES, 0.05))
    raised = ratio > 1
    if raised == (contention == "candidate"):
        assert test.outcome is Outcome.INCONCLUSIVE
        assert f"but of the {contention}: CPU contention increased the CPU time" in test.reason
    else:
        quiet = only(compare_records(old, new, SIDES, 0.05))
        assert (test.outcome, test.reason) == (quiet.outcome, quiet.reason)
    (pair,) = compare_pairs([Pair(*sides)], SIDES, RULE).tests  # interleaved, both are disturbed
    assert pair.outcome is only(compare_pairs([Pair(old, new)], SIDES, RULE)).outcome


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize(("cheapest", "is_sure"), [(1.02, False), (1.3, True), (None, True)])
def test_the_larger_figure_needs_cheap_calls_that_are_dearer_too(
    side: int, cheapest: float | None, is_sure: bool
) -> None:
    """Other processes used half a core beside it."""
    laps = LapsRecord(
        laps=400,
        seconds=0.005,
        affected=0.1,
        rounds_left_out=0,
        spread=0.04,
        cheapest_cpu_seconds_per_unit=0.001,
    )
    sides = [run_of(measured(0.01, laps=laps, other_cores=0.5))] * 2
    its = replace(laps, cheapest_cpu_seconds_per_unit=cheapest and 0.001 * cheapest)
    sides[side] = run_of(measured(0.013, laps=its, other_cores=0.5))
    test = only(compare_records(sides[0], sides[1], SIDES, 0.05))
    sure = Outcome.REGRESSED if side else Outcome.IMPROVED
    assert test.outcome is (sure if is_sure else Outcome.INCONCLUSIVE)
    of = ("candidate", "reference")[side]
    doubt = f"cheapest 5 % of the calls are at 102 % of those of the {of}"
    assert (doubt in test.reason) != is_sure


@given(st.lists(st.sampled_from(Outcome)), st.sampled_from(["", "it broke"]))
def test_exit_statuses(outcomes: list[Outcome], problem: str) -> None:
    tests = tuple(
        Compared(id="test_it.py::test_it", name=None, outcome=each, reason="") for each in outcomes
    )
    status = ComparisonRecord(
        reference=SIDES[0], candidate=SIDES[1], max_increase=0.03, tests=tests, problem=problem
    ).exit_status
    green = {Outcome.WITHIN, Outcome.IMPROVED}
    assert (status == 1) == (Outcome.REGRESSED in outcomes)
    assert (status == 0) == (bool(outcomes) and set(outcomes) <= green and not problem)
    assert status in (0, 1, 2)


def with_rounds(joules: Sequence[float]) -> RunRecord:
    """A run whose test has rounds of these figures."""
    test = measured(2.0)
    rounds = (replace(test.rounds[-1], joules=each * 10) for each in joules)
    return run_of(replace(test, rounds=(test.rounds[0], *rounds)))


def test_a_pair_in_turns_is_compared_round_by_round() -> None:
    """What others did to a round they did to both; one of them needed more rounds."""
    bursts = [2.0, 3.1, 2.2, 2.0, 4.0, 2.1]
    old, new = with_rounds(bursts), with_rounds([*(1.08 * each for each in bursts), 9.0, 9.0])
    in_turns = only(compare_pairs([Pair(old, new, in_turns=True)] * 5, SIDES, RULE))
    assert in_turns.ratio == pytest.approx(1.08)
    assert in_turns.candidate == pytest.approx(1.08 * (in_turns.reference or 0.0))
    apart = only(compare_pairs([Pair(old, new)] * 5, SIDES, RULE))
    assert apart.ratio != pytest.approx(1.08, rel=0.05)
