"""What is compared with what, by which rule, and in whose turn; from records made by hand."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.comparing.of_variants import read_variants
from pytest_energy.comparing.outcome import (
    Compared,
    ComparisonRecord,
    CouldNotCompare,
    Outcome,
    Quantity,
    Side,
)
from pytest_energy.comparing.pairs import Pair, Rule, compare_pairs, decided, is_undecided
from pytest_energy.comparing.question import Options, read_question
from pytest_energy.comparing.records import compare_records
from pytest_energy.comparing.turns import Plan, Progress, take_turns
from pytest_energy.record import ChannelRecord, GpuRecord, RoundRecord, RunRecord, TestRecord
from pytest_energy.verdict import LOOKS, MAX_INCREASE, MAX_RATIO_INCREASE, Verdict, compare
from records import RECORD, TEST
from virtual import VirtualTime

SIDES = Side("old.json"), Side("new.json")
RULE = Rule(MAX_RATIO_INCREASE)
BOARDS = (GpuRecord("A100", "GPU-1", 400.0), GpuRecord("A100", "GPU-2", 400.0))


def measured(joules: float, rounds: int = 5, **changes: Any) -> TestRecord:
    """A measured test whose rounds all show the same figure."""
    each = RoundRecord(joules * 10, 1.0, 10.0, False, joules / 4 * 10, 10)
    made = replace(TEST, joules_per_unit=joules, rounds=(TEST.rounds[0], *[each] * rounds))
    return replace(made, **changes)


def run_of(*tests: TestRecord) -> RunRecord:
    machine = replace(RECORD.machine, gpus=BOARDS)
    return replace(RECORD, tests=tests, machine=machine)


def two(reference: RunRecord, candidate: RunRecord) -> ComparisonRecord:
    return compare_records(reference, candidate, SIDES, MAX_INCREASE)


def paired(ratios: Sequence[float]) -> list[Pair]:
    return [(run_of(measured(2.0)), run_of(measured(2.0 * ratio))) for ratio in ratios]


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
def test_one_session_beside_another_sees_what_sessions_do_not_explain(
    ratio: float, outcome: Outcome, status: int
) -> None:
    found = two(run_of(measured(2.0)), run_of(measured(2.0 * ratio)))
    test = only(found)
    assert (test.outcome, found.exit_status) == (outcome, status)
    assert test.ratio == pytest.approx(ratio)
    assert test.threshold is not None and 0.07 < test.threshold < 0.10
    (note,) = found.notes
    assert f"chance explains up to {test.threshold:.1%}".replace("%", " %") in note


def test_other_labels_are_compared_and_told() -> None:
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
    hot = RoundRecord(40.0, 1.0, 10.0, False, 1.0, 10)
    long = measured(2.0)
    found = two(run_of(measured(2.0)), run_of(replace(long, rounds=(*long.rounds, *[hot] * 15))))
    assert only(found).ratio == pytest.approx(1.0)


def test_fewer_than_five_rounds_are_not_compared() -> None:
    found = two(run_of(measured(2.0)), run_of(measured(2.0, rounds=4)))
    assert only(found).outcome is Outcome.INCOMPARABLE
    assert found.exit_status == 2
    assert "4 of the 5 rounds" in only(found).reason
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
        compare_pairs([(first, other)] * 3, SIDES, RULE)


CPU = ChannelRecord("cpu:process", "cpu", "CPU time x 4 W a core", "estimated", True, 2.0)


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
def test_figures_of_another_kind_are_never_compared_in_words_that_say_why(
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


def test_what_one_side_lacks_is_said_and_fails_only_when_nothing_is_left() -> None:
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
def test_work_that_its_own_test_calls_wrong_is_no_saving(side: int) -> None:
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


def test_what_is_installed_differently_is_said() -> None:
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


def test_too_noisy_to_tell_is_no_green() -> None:
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
def test_few_pairs_tell_of_wide_distances_alone(ratio: float, outcome: Outcome) -> None:
    rule = Rule(MAX_RATIO_INCREASE, looks=())
    test = only(compare_pairs(paired([ratio] * 3), SIDES, rule))
    assert (test.outcome, test.interval) == (outcome, None)


def test_a_verdict_once_reached_does_not_depend_on_how_long_others_take() -> None:
    decided = jittered(1.0, 5)
    alone = only(compare_pairs(paired(decided), SIDES, RULE))
    beside = only(compare_pairs(paired([*decided, *[1.5] * 15]), SIDES, RULE))
    assert beside == alone


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
def test_rates(truth: float, spread: float, at_least: float, at_most: float, pairs: float) -> None:
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
    pairs[2] = (pairs[2][0], run_of())
    test = only(compare_pairs(pairs, SIDES, RULE))
    assert test.outcome is Outcome.INCOMPARABLE
    assert "only 4 of 5 runs of the candidate have it" in test.reason


def test_two_boards_of_one_machine_are_two_instruments() -> None:
    other = replace(TEST.channels[0], name="gpu:1")
    pairs = [(run_of(measured(2.0)), run_of(measured(2.0, channels=(other,))))] * 5
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
def test_a_stranger_only_adds_joules_to_its_side(side: int, ratio: float, outcome: Outcome) -> None:
    pairs = paired(jittered(ratio, 5))
    disturbed = list(pairs[1])
    disturbed[side] = replace(
        disturbed[side], tests=(replace(disturbed[side].tests[0], strangers=("python (4711)",)),)
    )
    pairs[1] = (disturbed[0], disturbed[1])
    test = only(compare_pairs(pairs, SIDES, RULE))
    assert test.outcome is outcome
    assert ("python (4711) added joules" in test.reason) == (outcome is Outcome.INCONCLUSIVE)


# -- turns ----------------------------------------------------------------------------------------


class Turns:
    """Processes that take ten virtual seconds each, and whose turns are written down."""

    def __init__(self, ratio_of: Callable[[int], float]) -> None:
        self.time = VirtualTime()
        self.order = ""
        self.told: list[Progress] = []
        self._ratio_of = ratio_of

    def take(self, plan: Plan) -> list[Pair]:
        runs = (lambda: self._run("A", 1.0), lambda: self._run("B", self._ratio))
        return take_turns(runs, plan, self.time.clock.now, self._tell)

    def _tell(self, doing: Progress | str) -> None:
        assert isinstance(doing, Progress)
        self.told.append(doing)

    @property
    def _ratio(self) -> float:
        return self._ratio_of(self.order.count("B"))

    def _run(self, name: str, ratio: float) -> RunRecord:
        self.order += name
        self.time.pass_by(10.0)
        return run_of(measured(2.0 * ratio))


def plan_of(max_pairs: int = 20, seconds: float = math.inf, rule: Rule = RULE) -> Plan:
    return Plan((), Path(), rule, max_pairs, seconds)


def noisy(i: int) -> float:
    return 1.5 if i % 2 else 0.8


def test_turns_are_taken_a_b_b_a() -> None:
    turns = Turns(noisy)
    assert len(turns.take(plan_of(max_pairs=5, rule=Rule(0.03, ())))) == 5
    assert turns.order == "ABBAABBAAB"


def test_five_pairs_are_enough_where_they_tell() -> None:
    turns = Turns(lambda i: 1.0)
    assert len(turns.take(plan_of())) == 5
    turns = Turns(lambda i: noisy(i) * 3)
    assert len(turns.take(plan_of())) == 8  # far over, whatever the noise
    assert len(Turns(noisy).take(plan_of())) == 20


def test_nothing_in_common_ends_after_one_pair() -> None:
    def other() -> RunRecord:
        return run_of(measured(2.0, id="test_it.py::test_other"))

    runs = (lambda: run_of(measured(2.0)), other)
    pairs = take_turns(runs, plan_of(), VirtualTime().clock.now, lambda _: None)
    assert len(pairs) == 1


@pytest.mark.parametrize(("seconds", "pairs"), [(1, 3), (79, 3), (81, 4), (139, 6), (1e6, 20)])
def test_time_ends_it_before_a_pair_that_would_take_too_long(seconds: float, pairs: int) -> None:
    turns = Turns(noisy)
    assert len(turns.take(plan_of(seconds=seconds))) == pairs
    assert pairs in (3, 20) or turns.time.seconds - 100.0 <= seconds


def test_progress_says_which_pair_and_how_long_to_the_next_look() -> None:
    turns = Turns(noisy)
    turns.take(plan_of())
    assert [each.side for each in turns.told[:4]] == [
        "reference",
        "candidate",
        "candidate",
        "reference",
    ]
    first, second = turns.told[:2]
    assert (first.pair, first.next_look, first.processes_left, first.process_seconds) == (
        1,
        5,
        10,
        None,
    )
    assert (second.processes_left, second.process_seconds) == (9, 10.0)
    assert [turns.told[2 * n].next_look for n in (4, 5, 19)] == [5, 8, 20]


# -- what is asked --------------------------------------------------------------------------------


def test_the_first_variant_is_the_reference_and_a_name_may_set_several() -> None:
    first, second = read_variants(
        ["old:MODEL=a", "new:MODEL=b", "old:DTYPE=bf16", "new:URL=h://x=y"]
    )
    assert (first.name, first.variables) == ("old", {"MODEL": "a", "DTYPE": "bf16"})
    assert (second.name, second.variables) == ("new", {"MODEL": "b", "URL": "h://x=y"})


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["old"], "'old' is not NAME:VARIABLE=VALUE"),
        (["old:MODEL"], "'old:MODEL' is not"),
        (["MODEL=a"], "'MODEL=a' is not"),
        (["old:1M=a"], "'old:1M=a' is not"),
        ([":M=a"], "':M=a' is not"),
        (["old:M=a"], "names 1 (old)"),
        (["a:M=1", "b:M=2", "c:M=3"], "names 3 (a, b, c)"),
        (["a:M=1", "a:M=2", "b:M=3"], "a sets M twice"),
        (["a:M=1", "b:M=1"], "set the same"),
    ],
)
def test_variants_that_are_not_two_are_refused_with_an_example(
    texts: list[str], words: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        read_variants(texts)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (Options(()), "two records, not 0"),
        (Options(("a.json",)), "two records, not 1"),
        (Options(("a", "b", "c")), "two records, not 3"),
        (Options(("a", "b"), setup="make"), "--setup prepares the two trees of --base"),
        (Options(("a", "b"), pairs=5), "records have run"),
        (Options(("a", "b"), max_seconds=5), "records have run"),
        (Options(("a", "b"), max_increase="3"), "'3' is not a percentage"),
        (Options(("a", "b"), max_increase="300%"), "'300%' is not a percentage"),
        (Options(base="main", variants=("a:B=1",)), "keep one of them"),
        (Options(base="main", pairs=2), "fewer than 3"),
        (Options(base="main", max_seconds=0), "not above zero"),
        (Options(base="main", max_seconds=math.nan), "not above zero"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: Options, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        read_question(options, Path())


@pytest.mark.parametrize(
    ("options", "max_increase"),
    [
        (Options(("a", "b")), 0.05),
        (Options(base="main"), 0.03),
        (Options(base="main", max_increase="10 %"), 0.10),
    ],
)
def test_the_allowed_increase_depends_on_the_rule(options: Options, max_increase: float) -> None:
    assert read_question(options, Path()).max_increase == pytest.approx(max_increase)


@given(st.lists(st.sampled_from(Outcome)), st.sampled_from(["", "it broke"]))
def test_exit_statuses(outcomes: list[Outcome], problem: str) -> None:
    tests = tuple(Compared("test_it.py::test_it", None, each, "") for each in outcomes)
    status = ComparisonRecord(*SIDES, 0.03, tests, problem=problem).exit_status
    green = {Outcome.WITHIN, Outcome.IMPROVED}
    assert (status == 1) == (Outcome.REGRESSED in outcomes)
    assert (status == 0) == (bool(outcomes) and set(outcomes) <= green and not problem)
    assert status in (0, 1, 2)
