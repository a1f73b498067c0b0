"""How often the rules are right, by seeded sessions and real ones; benchmarks has the rest."""

from __future__ import annotations

import importlib
import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from pytest_energy.rules.estimate import MIN_ROUNDS
from pytest_energy.rules.verdict import Verdict

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
sys.path.append(str(ROOT / "benchmarks" / "verdicts"))
cost: Any = importlib.import_module("cost")
limit: Any = importlib.import_module("limit")
other_rules: Any = importlib.import_module("other_rules")
pairs: Any = importlib.import_module("pairs")
recorded: Any = importlib.import_module("recorded")
simulated: Any = importlib.import_module("sessions")
tables: Any = importlib.import_module("tables")
noise: Any = importlib.import_module("noise")
Noise: Any = noise.Noise
Shape: Any = noise.Shape
Boards: Any = simulated.Boards

pytestmark = pytest.mark.simulation

SESSIONS = 800
QUIET = [(cv, shape) for cv in (0.01, 0.03) for shape in (Shape.STEADY, Shape.BURSTS)]


@pytest.fixture(scope="module")
def results() -> Any:
    return loaded((RESULTS / "verdicts.json").read_text(encoding="utf-8"))


def as_stored(rows: Any) -> Any:
    """As the committed results hold them."""
    return loaded(tables.as_json({"rows": rows}))["rows"]


def loaded(text: str) -> Any:
    """Rounded, since libraries of mathematics differ in the last digit."""
    return json.loads(text, parse_float=lambda digits: round(float(digits), 9))


# Rule A.


def red_by_rule_a(true: float, cv: float, between: float, shape: Any) -> Any:
    return limit.simulate(Noise(cv, between, shape), true, SESSIONS)


@pytest.mark.parametrize(("cv", "shape"), QUIET)
def test_at_the_limit_within_one_session_false_alarms_stay_under_alpha(
    cv: float, shape: Any
) -> None:
    found = red_by_rule_a(1.0, cv, 0.0, shape)
    assert found.verdicts.get(Verdict.FAIL, 0) <= 0.01 * SESSIONS


def test_at_the_limit_with_two_percent_between_sessions_few_are_red(results: Any) -> None:
    # The tolerance of 3 % is 1.5 standard deviations of the session term, so at very low noise
    # within a session more are red than the 3 % that hold over both noises.
    cells = [limit.simulate(each, 1.0, limit.SESSIONS) for each in limit.TARGET_NOISES]
    quietest, noisier = (each.red for each in cells)
    assert noisier <= 0.02
    assert quietest <= 0.04
    assert limit.pooled(cells, limit.TARGET_NOISES, 1.0) <= 0.03
    committed = as_stored(cells)
    assert [each for each in results["limit"] if each in committed] == committed


@pytest.mark.parametrize(("cv", "shape"), QUIET)
def test_a_figure_over_the_limit_is_found(cv: float, shape: Any) -> None:
    assert red_by_rule_a(1.08, cv, 0.02, shape).red >= 0.88
    assert red_by_rule_a(1.10, cv, 0.02, shape).red >= 0.97


@pytest.mark.parametrize(("cv", "shape"), QUIET)
def test_ten_percent_under_the_limit_passes(cv: float, shape: Any) -> None:
    assert red_by_rule_a(0.90, cv, 0.02, shape).red <= 0.005


def test_simpler_rules_are_red_at_the_limit_or_blind_above_it() -> None:
    at_limit = red_by_rule_a(1.0, 0.03, 0.02, Shape.BURSTS)
    over = red_by_rule_a(1.08, 0.03, 0.02, Shape.BURSTS)
    assert at_limit.red_by("one shot") > 0.4
    assert at_limit.red_by("mean of 3") > 0.4
    assert over.red_by("Welch") < over.red - 0.2


def test_a_verdict_costs_a_tenth_of_ten_thousand_queries_ten_percent_off_the_limit() -> None:
    plan = cost.plan(0.01, cost.COUNTER)
    assert len(plan.seconds) == limit.MAX_ROUNDS
    assert plan.seconds[0] >= 3.0 + cost.COUNTER
    for each in cost.NOISES:
        for truth in (0.9, 1.1):
            rng = noise.generator("cost of a verdict", each, truth)
            ends = [limit.judge(each.session(rng, truth, limit.MAX_ROUNDS))[1] for _ in range(200)]
            queries = sum(plan.queries[n - 1] for n in ends) / len(ends)
            assert queries < 0.14 * cost.SCORE_QUERIES


# Rule B.


def failed(between: float, stored: int, true: float, boards: Any = Boards.ONE) -> float:
    changed = 1.0 if true == 1 else simulated.SHARE_OF_CHANGED
    cell = simulated.simulate(Noise(0.03, between), boards, stored, true, round(SESSIONS / changed))
    assert cell.sessions == SESSIONS
    return float(cell.red)


@pytest.mark.parametrize("stored", [1, 3, 10])
@pytest.mark.parametrize("between", [0.0, 0.02])
def test_sessions_that_differ_as_expected_are_no_regressions(between: float, stored: int) -> None:
    assert failed(between, stored, 1.0) <= 0.015  # 1 %, and chance in so many sessions


def test_sessions_that_differ_more_than_expected_are_learnt() -> None:
    """With 5 % between sessions, one stored session can't tell; ten can, for the most part."""
    few, many = failed(0.05, 1, 1.0), failed(0.05, 10, 1.0)
    assert 0.07 <= few <= 0.12
    assert many <= 0.04


@pytest.mark.parametrize("stored", [1, 3, 10])
@pytest.mark.parametrize("boards", [Boards.NEW, Boards.POOL])
def test_boards_that_differ_by_three_percent_are_no_regressions(boards: Any, stored: int) -> None:
    assert failed(0.0, stored, 1.0, boards) <= 0.02


def test_stored_sessions_sharpen_the_eye() -> None:
    found = [failed(0.02, stored, 1.10) for stored in (1, 3, 10)]
    assert found == sorted(found)
    assert found[0] >= 0.40
    assert found[-1] >= 0.80
    assert failed(0.02, 1, 1.20) >= 0.98


# Rule B'.


def compared(cv: float, true: float, shape: Any = Shape.STEADY) -> Any:
    changed = 1.0 if true == 1 else pairs.SHARE_OF_CHANGED
    cell = pairs.simulate(Noise(cv, 0.05, shape), true, round(SESSIONS / changed))
    assert cell.sessions == SESSIONS
    return cell


@pytest.mark.parametrize(("cv", "shape"), QUIET)
def test_pairs_raise_no_false_alarms_whatever_days_do(cv: float, shape: Any) -> None:
    assert compared(cv, 1.0, shape).rate(Verdict.FAIL) <= 0.005


@pytest.mark.parametrize(("cv", "least"), [(0.01, 0.99), (0.03, 0.87)])
def test_pairs_find_five_percent(cv: float, least: float) -> None:
    found = compared(cv, 1.05)
    assert found.rate(Verdict.FAIL) >= least
    assert MIN_ROUNDS <= found.pairs <= 20


def test_with_bursts_pairs_still_find_ten_percent() -> None:
    found = compared(0.03, 1.10, Shape.BURSTS)
    assert found.rate(Verdict.FAIL) >= 0.95
    assert found.joules_ci <= 0.90


def test_a_drift_hits_both_candidates() -> None:
    assert compared(0.01, 1.0, Shape.DRIFT).rate(Verdict.PASS) >= 0.995


# Real measurements; every committed figure of them is found again.


@pytest.fixture(scope="module")
def data() -> Any:
    return recorded.load()


def test_on_real_days_rule_b_raises_no_false_alarm(data: Any, results: Any) -> None:
    rows = list(recorded.rule_b_rows(data))
    assert [each.red[1.0] for each in rows] == [0.0] * len(rows)
    first = rows[0]
    assert (first.rule, first.rounds, first.cases) == ("rule B, K = 1", MIN_ROUNDS, 2 * 367)
    assert first.red[1.1] > 0.5
    assert as_stored(rows) == [each for each in results["recorded"] if "rule B" in each["rule"]]


def test_on_real_days_more_rounds_make_a_test_for_means_worse(data: Any, results: Any) -> None:
    cases = recorded.in_two(data)
    rows = [
        recorded.other(name, is_red, cases, rounds)
        for name, is_red, rounds in recorded.OTHERS
        if "Mann" not in name  # takes long
    ]
    assert as_stored(rows) == [
        each
        for each in results["recorded"]
        if "rule B" not in each["rule"] and "Mann" not in each["rule"]
    ]
    alarms = {each.rounds: each.red[1.0] for each in rows if each.rule == "Welch, 1 %"}
    assert 0.05 < alarms[5] < alarms[10] < alarms[30]


def test_on_one_real_day_pairs_raise_no_false_alarm(data: Any, results: Any) -> None:
    rows = list(recorded.pair_rows(data))
    assert as_stored(rows) == results["recorded_pairs"]
    assert all(each.rate(Verdict.FAIL) == 0 for each in rows if each.truth == 1.0)
    longest = [each for each in rows if each.pairs == 15 and each.truth == 1.05]
    assert [each.rate(Verdict.FAIL) for each in longest] == [1.0]


def test_the_docs_show_what_the_command_printed() -> None:
    docs = (ROOT / "docs" / "verdicts.md").read_text(encoding="utf-8")
    files = ("verdicts.txt", "laps.txt")
    printed = "".join((RESULTS / each).read_text(encoding="utf-8") for each in files)
    blocks = docs.split("```")[1::2]
    assert len(blocks) >= 5
    for block in blocks:
        assert block.strip("\n") in printed


# The rules of others are what they are said to be.


@pytest.mark.parametrize("n", [5, 10, 30])
def test_welch_is_scipys(n: int) -> None:
    rng = random.Random(n)
    new = [rng.gauss(1.02, 0.02) for _ in range(n)]
    old = [rng.gauss(1.0, 0.01) for _ in range(n)]
    test = stats.ttest_ind(new, old, equal_var=False, alternative="greater")
    assert other_rules.welch_p(new, old) == pytest.approx(test.pvalue)


@pytest.mark.parametrize(
    ("new", "red"),
    [
        ([1.06, 1.07, 1.08], True),
        ([1.04, 1.04, 1.04], False),  # apart, and within the budget
        ([1.01, 1.07, 1.08], False),  # over the budget, and not apart
        ([0.90, 0.91, 0.92], False),
    ],
)
def test_joules_ci_asks_for_both_an_increase_and_ranges_apart(new: list[float], red: bool) -> None:
    assert other_rules.joules_ci(new, [1.0, 0.99, 1.02]) is red
