"""Rule B on a run record: a test against its stored sessions."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from session_records import (
    A100,
    H100,
    JOULES,
    LAPS,
    ON_CPU,
    SHAPE,
    judged,
    lines,
    measured,
    rounds,
    session,
    stored,
)

from pytest_energy.baselines.baseline import Baselines, line_of
from pytest_energy.baselines.regression import threshold_of
from pytest_energy.limits.budget import MaxIncrease
from pytest_energy.record.schema import BudgetRecord, LoadRecord, TestRecord
from pytest_energy.rules.baseline import Session, change


def test_without_baselines_and_without_asking_nothing_changes() -> None:
    assert judged(measured(), Baselines(), MaxIncrease()) == measured()
    unmeasured = measured(verdict="unmeasured")
    assert judged(unmeasured, stored(session())) == unmeasured


def test_a_clear_increase_fails_with_the_reason() -> None:
    before = stored(session(), session(measured(JOULES * 1.01), day=3, commit="99aabbccdd"))
    found = judged(measured(JOULES * 1.2), before)
    expected = change(
        [line_of(measured(JOULES * 1.2), session()).session],
        [each.session for each in before.lines],
        0.05,
        same_board=True,
    )
    assert found.verdict == "fail"
    assert found.reason == (
        "9.07 J / query is 19 % over the mean of 2 sessions (7.60 J / query; "
        "2026-11-01 to 2026-11-03, commits 1f2e3d4 to 99aabbc), and fails from "
        f"+{expected.threshold * 100:.1f} %, which chance could explain here; asked for: "
        "5 % (test_q.py:4)"
    )
    assert found.baseline is not None
    assert (
        found.baseline.increase,
        found.baseline.threshold,
        found.baseline.detectable_increase,
    ) == (
        expected.increase,
        expected.threshold,
        expected.detectable_increase,
    )
    assert (found.baseline.sessions, found.baseline.max_increase) == (2, 0.05)
    assert found.baseline.session_figures == pytest.approx((JOULES, JOULES * 1.01), rel=0.01)


def test_a_max_increase_over_the_noise_is_the_threshold() -> None:
    found = judged(measured(JOULES * 1.6), stored(session()), MaxIncrease(0.5, "t.py:1"))
    assert found.reason.endswith("2026-11-01, commit 1f2e3d4), and fails from +50 % (t.py:1)")
    assert found.baseline is not None and found.baseline.threshold == 0.5


def test_an_increase_that_chance_explains_passes() -> None:
    found = judged(measured(JOULES * 1.06), stored(session()))
    assert found.verdict == "pass"
    assert "6 % over the mean of 1 session" in found.reason


def test_a_default_max_increase_is_named_as_the_default() -> None:
    found = judged(measured(JOULES * 2), stored(session()), MaxIncrease())
    assert found.verdict == "fail"
    assert found.reason.endswith("asked for: 5 % (the default)")


def test_only_the_first_five_rounds_are_compared() -> None:
    later = measured(shape=(*SHAPE, 9.0, 9.0, 9.0))
    assert judged(later, stored(session())).verdict == "pass"


def test_another_board_is_compared_with_more_doubt() -> None:
    here = judged(measured(), stored(session())).baseline
    machine = session(gpus=(replace(A100, uuid="GPU-8"),)).machine
    elsewhere = judged(measured(), stored(session()), machine=machine).baseline
    assert here is not None and elsewhere is not None
    assert here.threshold is not None and elsewhere.threshold is not None
    assert elsewhere.threshold > 2 * here.threshold
    both = stored(session(), session(gpus=(replace(A100, uuid="GPU-8"),), run="b"))
    assert judged(measured(), both, machine=machine).verdict == "pass"


@pytest.mark.parametrize(
    ("limit", "increase", "verdict", "words"),
    [
        ("pass", 1.0, "pass", "with a limit"),
        ("pass", 1.3, "fail", "30 % over the mean"),
        ("close", 1.0, "close", "with a limit"),
        ("fail", 1.0, "fail", "with a limit"),
        ("inconclusive", 1.3, "fail", "30 % over the mean"),
        ("no-budget", 1.0, "pass", "under the mean"),
    ],
)
def test_the_worse_of_limit_and_baseline_counts(
    limit: str, increase: float, verdict: str, words: str
) -> None:
    test = measured(JOULES * increase, verdict=limit, reason="with a limit")
    found = judged(test, stored(session(measured(JOULES * 1.000001))))
    assert found.verdict == verdict
    assert words in found.reason


def test_both_reasons_are_given_where_both_are_red() -> None:
    test = measured(JOULES * 1.3, verdict="fail", reason="2.73 is over the limit")
    found = judged(test, stored(session()))
    assert found.reason.startswith("2.73 is over the limit; and 9.83 J / query is 30 % over ")
    assert [each.verdict for each in found.findings] == ["fail", "fail"]


def test_other_processes_make_a_fail_inconclusive_and_leave_a_pass() -> None:
    others: dict[str, Any] = {"other_processes": ("python (process 7) on gpu:0",)}
    found = judged(measured(JOULES * 1.3, **others), stored(session()))
    assert found.verdict == "inconclusive"
    assert found.reason.endswith(
        "but python (process 7) on gpu:0 added joules, so it is unknown "
        "whose they are: measure without it"
    )
    assert judged(measured(**others), stored(session())).verdict == "pass"


def test_cpu_contention_makes_a_fail_inconclusive_if_a_round_kept_to_the_baseline() -> None:
    mixed = measured(JOULES, shape=(1.0, 1.4, 1.4, 1.4, 1.4))
    assert judged(mixed, stored(session())).verdict == "fail"
    found = judged(replace(mixed, contention=True), stored(session()))
    assert found.verdict == "inconclusive"
    assert found.reason.endswith("the lowest round is at 100 % of the baseline")
    assert judged(measured(JOULES * 1.4, contention=True), stored(session())).verdict == "fail"


CHEAPEST = 0.001


@pytest.mark.parametrize(
    ("others", "cheapest", "stored_cheapest", "verdict"),
    [
        (0.4, CHEAPEST * 1.02, CHEAPEST, "inconclusive"),
        (0.4, CHEAPEST * 1.3, CHEAPEST, "fail"),
        (0.4, CHEAPEST * 1.08, CHEAPEST, "fail"),  # 5 % is asked for, 9 % could be chance
        (0.1, CHEAPEST * 1.02, CHEAPEST, "fail"),  # a twentieth of the machine
        (None, CHEAPEST * 1.02, CHEAPEST, "fail"),
        (0.4, CHEAPEST * 1.02, None, "fail"),  # stored by an earlier version
        (0.4, None, CHEAPEST, "fail"),  # work in processes that the calls start
    ],
)
def test_a_fail_beside_others_needs_cheap_calls_over_the_baseline_too(
    others: float | None, cheapest: float | None, stored_cheapest: float | None, verdict: str
) -> None:
    def test(joules: float, cheapest: float | None) -> TestRecord:
        laps = replace(LAPS, cheapest_cpu_seconds_per_unit=cheapest)
        return measured(joules, **ON_CPU, other_cores=others, laps=laps)

    before = stored(session(test(JOULES, stored_cheapest)))
    found = judged(test(JOULES * 1.3, cheapest), before)
    assert found.verdict == verdict
    assert judged(test(JOULES, cheapest), before).verdict == "pass"
    if verdict == "inconclusive":
        assert found.code == "contention"
        assert found.reason.endswith(
            "but other processes used 0.4 cores, and the cheapest 5 % of the calls are at 102 % "
            "of those of the baseline"
        )


@pytest.mark.parametrize(
    ("budget", "advice"),
    [
        (None, "pytest --energy-update reset starts"),
        (
            BudgetRecord(limit="9 J / query", origin="energy-budgets.toml:4"),
            "pytest-energy budgets tighten lowers its limit, and pytest --energy-update reset",
        ),
        (
            BudgetRecord(limit="9 J / query", origin="test_q.py:4"),
            "lower its limit (test_q.py:4), and pytest --energy-update reset",
        ),
    ],
)
def test_an_improvement_is_reported_with_the_command_that_keeps_it(
    budget: BudgetRecord | None, advice: str
) -> None:
    (note,) = judged(measured(JOULES * 0.8, budget=budget), stored(session())).notes
    start = "20 % under the mean of 1 session, more than chance explains; to keep it: "
    assert note.startswith(start + advice)
    assert judged(measured(JOULES * 0.95), stored(session())).notes == ()


@pytest.mark.parametrize(
    ("before", "why"),
    [
        (Baselines(), "no session of this test is stored"),
        (stored(session(measured(id="other"))), "no session of this test is stored"),
        (
            stored(session(gpus=(H100,))),
            "stored on NVIDIA H100 x1 @ 700 W; this is NVIDIA A100 x1 @ 400 W",
        ),
    ],
)
def test_no_baseline_is_a_verdict_where_one_was_asked_for(before: Baselines, why: str) -> None:
    found = judged(measured(), before)
    assert found.verdict == "no-baseline"
    assert found.reason == (
        f"the test is to be at most 5 % (test_q.py:4) over its baseline, and {why}; "
        "pytest --energy-update new makes one"
    )
    assert judged(measured(verdict="fail"), before).verdict == "fail"
    assert judged(measured(verdict="pass"), before).verdict == "no-baseline"
    quiet = judged(measured(verdict="pass"), replace(before, shown="x"), MaxIncrease())
    assert quiet.verdict == "pass"
    assert quiet.baseline is not None and quiet.baseline.missing == why


def test_too_few_rounds_are_reported_and_inconclusive_where_a_comparison_was_asked_for() -> None:
    few = measured(shape=SHAPE[:3])
    found = judged(few, stored(session()))
    assert found.verdict == "inconclusive"
    assert "it has 3 rounds, and 5 are compared" in found.reason
    quiet = judged(few, stored(session()), MaxIncrease())
    assert quiet.verdict == "no-budget"
    assert quiet.baseline is not None and "3 rounds" in quiet.baseline.missing


def test_more_sessions_would_lower_the_noise() -> None:
    found = judged(measured(), stored(session())).baseline
    assert (
        found is not None
        and found.detectable_increase is not None
        and found.detectable_increase_at_ten_sessions is not None
    )
    assert 0.08 < found.detectable_increase < 0.1
    assert 0.05 < found.detectable_increase_at_ten_sessions < 0.06
    # Ten sessions that differ by the 2 % that is taken for granted until they are seen.
    far = math.sqrt(0.9 * (0.02**2 + line_of(measured(), session()).variance))
    centres = [JOULES * math.exp(far * (-1) ** day) for day in range(10)]
    ten = stored(*(session(measured(each), day=day + 1) for day, each in enumerate(centres)))
    beside = judged(measured(), ten).baseline
    assert beside is not None and beside.detectable_increase == pytest.approx(
        found.detectable_increase_at_ten_sessions, rel=1e-6
    )
    assert beside.detectable_increase_at_ten_sessions == pytest.approx(beside.detectable_increase)


def test_the_threshold_of_a_list_is_that_of_a_usual_session() -> None:
    before = lines(session(), session(day=2))
    usual = Session(before[0].centre, before[0].variance)
    expected = change([usual], [each.session for each in before], 0.05, same_board=True)
    assert threshold_of(before) == pytest.approx(expected.threshold)


def test_a_call_that_does_other_work_than_its_baseline_is_noted() -> None:
    def doing(outputs: float) -> TestRecord:
        units = {"query": 10.0, "output-token": 10 * outputs}
        return measured(rounds=tuple(replace(each, all_units=units) for each in rounds()))

    before = stored(session(doing(64)))
    assert [line.units for line in before.lines] == [{"query": 1.0, "output-token": 64.0}]
    assert judged(doing(65), before).notes == ()
    (note,) = judged(doing(96), before).notes
    assert note == (
        "the work of a call has changed since its baseline: 96.0 output-tokens (stored: 64.0), "
        "which changes the cost of one query too"
    )
    assert judged(measured(), before).notes == ()


def test_the_number_of_requests_in_flight_is_part_of_the_key() -> None:
    def under(concurrency: int) -> TestRecord:
        load = LoadRecord(
            concurrency=concurrency,
            in_flight=float(concurrency),
            requests=200,
            failed=0,
            requests_per_second=10.0,
            median_seconds=0.4,
            p99_seconds=0.9,
        )
        return measured(load=load)

    before = stored(session(under(4)))
    assert judged(under(4), before).verdict == "pass"
    other = judged(under(16), before)
    assert other.verdict == "no-baseline"
    assert "stored as 4 requests in flight; this is 16 requests in flight" in other.reason
    alone = judged(measured(), before)
    assert "this is one call at a time" in alone.reason
