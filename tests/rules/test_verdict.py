"""The rules' boundaries and properties; their rates are in test_verdict_rates."""

from __future__ import annotations

import math
import random
from statistics import fmean, stdev

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from pytest_energy.rules.baseline import Session, change, session_of
from pytest_energy.rules.estimate import LOOKS, MAX_ROUNDS, estimate
from pytest_energy.rules.limit import look
from pytest_energy.rules.paired import compare
from pytest_energy.rules.verdict import Verdict

TOLERANCE = 0.03


def rounds_at(ratio: float, n: int) -> list[float]:
    return [ratio * (1 + 0.001 * (-1) ** i) for i in range(n)]


@pytest.mark.parametrize("n", [6, 7, 9, 12, 14, 19])
def test_nothing_is_decided_between_looks(n: int) -> None:
    assert look(rounds_at(9.0, n), 1.0, TOLERANCE, final=False) is None


@pytest.mark.parametrize("n", LOOKS)
def test_far_from_the_limit_each_look_decides(n: int) -> None:
    assert look(rounds_at(0.5, n), 1.0, TOLERANCE, final=False) is Verdict.PASS
    assert look(rounds_at(2.0, n), 1.0, TOLERANCE, final=False) is Verdict.FAIL


def test_near_the_limit_it_goes_on_and_ends_close() -> None:
    for n in LOOKS[:-1]:
        assert look(rounds_at(1.01, n), 1.0, TOLERANCE, final=False) is None
    assert look(rounds_at(1.01, MAX_ROUNDS), 1.0, TOLERANCE, final=True) is Verdict.CLOSE


def test_a_figure_too_noisy_to_decide_is_inconclusive() -> None:
    rng = random.Random(3)
    noisy = [math.exp(rng.gauss(0, 0.4)) for _ in range(MAX_ROUNDS)]
    assert look(noisy, 1.0, TOLERANCE, final=True) is Verdict.INCONCLUSIVE


def test_an_estimate_between_ten_percent_and_its_tolerance_is_inconclusive() -> None:
    assert look(rounds_at(1.12, 20), 1.0, 0.15, final=True) is Verdict.INCONCLUSIVE
    assert look(rounds_at(1.12, 20), 1.0, 0.03, final=True) is Verdict.FAIL


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [
        (0.85, Verdict.PASS),
        (0.86, Verdict.INCONCLUSIVE),
        (1.14, Verdict.INCONCLUSIVE),
        (1.15, Verdict.FAIL),
    ],
)
@pytest.mark.parametrize("n", [1, 4])
def test_few_rounds_decide_only_far_away(n: int, ratio: float, verdict: Verdict) -> None:
    values = [ratio] * n
    assert look(values, 1.0, TOLERANCE, final=True) is verdict
    assert look(values, 1.0, TOLERANCE, final=False) is None


@given(
    st.lists(st.floats(min_value=0.1, max_value=10), min_size=1, max_size=20),
    st.floats(min_value=1e-6, max_value=1e6),
)
def test_the_verdict_does_not_depend_on_the_scale(values: list[float], scale: float) -> None:
    assert look(values, 1.0, TOLERANCE, final=True) is look(
        [value * scale for value in values], scale, TOLERANCE, final=True
    )


@given(st.lists(st.floats(min_value=0.9, max_value=1.1), min_size=5, max_size=20))
def test_the_interval_holds_the_centre(values: list[float]) -> None:
    found = estimate(values)
    assert found.interval is not None
    assert found.interval[0] <= found.centre <= found.interval[1]
    assert min(values) * 0.999 <= found.centre <= max(values) * 1.001


def test_one_round_has_no_interval() -> None:
    assert estimate([2.0]).interval is None


# Rule B: a session against earlier ones.

X = 0.05

quiet = st.floats(min_value=1e-7, max_value=1e-3)
figures = st.floats(min_value=0.01, max_value=100)
some_sessions = st.builds(Session, figures, quiet)
stored_sessions = st.lists(some_sessions, min_size=1, max_size=10)
new_sessions = st.lists(some_sessions, min_size=1, max_size=2)


def sessions(*centres: float, variance: float = 1e-6) -> list[Session]:
    return [Session(centre, variance) for centre in centres]


def spread_out(k: int, sd: float) -> list[Session]:
    """Sessions around 1 whose logarithms have this sample standard deviation."""
    logs = [math.cos(math.pi * i) for i in range(k)]
    scale = sd / stdev(logs)
    return sessions(*(math.exp(scale * (each - fmean(logs))) for each in logs))


def test_five_rounds_are_a_session() -> None:
    found = session_of([2.0, 2.02, 1.98, 2.01, 1.99])
    assert found.centre == pytest.approx(2.0, rel=1e-4)
    logs = [math.log(each) for each in (2.0, 2.02, 1.98, 2.01, 1.99)]
    assert found.variance == pytest.approx(stdev(logs) ** 2 / 5)
    with pytest.raises(ValueError, match="five"):
        session_of([2.0] * 4)


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.049, 1.051, 1.2])
def test_the_increase_is_that_of_the_means(factor: float) -> None:
    found = change(sessions(3 * factor), sessions(1.0, 1.0), X, same_board=True)
    assert found.increase == pytest.approx(3 * factor - 1)
    halves = change(sessions(factor * 4, factor / 4), sessions(1.0), X, same_board=True)
    assert halves.increase == pytest.approx(factor - 1)


@pytest.mark.parametrize(("increase", "red"), [(0.199, False), (0.201, True)])
def test_it_fails_beyond_what_is_allowed(increase: float, red: bool) -> None:
    found = change(sessions(1 + increase), sessions(1.0), 0.2, same_board=True)
    assert found.threshold == 0.2
    assert found.is_regression is red
    assert not found.is_improvement


@pytest.mark.parametrize(("decrease", "better"), [(0.199, False), (0.201, True)])
def test_an_improvement_is_as_far_down(decrease: float, better: bool) -> None:
    found = change(sessions(1 / (1 + decrease)), sessions(1.0), 0.2, same_board=True)
    assert found.is_improvement is better
    assert not found.is_regression


def test_the_noise_of_one_stored_session_is_that_of_the_prior() -> None:
    """sqrt(2) x 2 % x Student's t, with the degrees of freedom of the prior."""
    nothing_within = sessions(1.0, variance=1e-12)
    found = change(nothing_within, nothing_within, X, same_board=True)
    by_hand = math.expm1(stats.t.ppf(0.99, 8) * 0.02 * 2**0.5)
    assert found.detectable_increase == pytest.approx(by_hand, rel=1e-4)
    assert found.threshold == found.detectable_increase
    another = change(nothing_within, nothing_within, X, same_board=False)
    assert another.detectable_increase == pytest.approx(
        math.expm1(stats.t.ppf(0.99, 8) * 0.05 * 2**0.5), rel=1e-4
    )


@pytest.mark.parametrize("cv", [0.002, 0.01])
def test_one_stored_session_sees_nine_percent_and_ten_see_six(cv: float) -> None:
    within = cv**2 / 5
    one = change(sessions(1.0, variance=within), sessions(1.0, variance=within), X, same_board=True)
    assert 0.085 <= one.threshold <= 0.09
    ten = [Session(each.centre, within) for each in spread_out(10, 0.02)]
    found = change(sessions(1.0, variance=within), ten, X, same_board=True)
    assert 0.05 <= found.threshold <= 0.06


@pytest.mark.parametrize("k", [1, 2, 5, 10])
@pytest.mark.parametrize("j", [1, 2])
def test_the_noise_is_the_formula_of_the_docs(j: int, k: int) -> None:
    rng = random.Random(10 * k + j)
    new = [Session(rng.uniform(0.9, 1.1), rng.uniform(1e-6, 1e-4)) for _ in range(j)]
    old = [Session(rng.uniform(0.9, 1.1), rng.uniform(1e-6, 1e-4)) for _ in range(k)]
    means = [math.log(each.centre) for each in old]
    within = sum(each.variance for each in old) / k
    s2 = max(stdev(means) ** 2 - within, 0) if k > 1 else 0.0
    tau2 = (8 * 0.02**2 + (k - 1) * s2) / (7 + k)
    se2 = tau2 * (1 / j + 1 / k) + sum(each.variance for each in new) / j**2 + within / k
    found = change(new, old, 0.0, same_board=True)
    assert found.detectable_increase == pytest.approx(
        math.expm1(stats.t.ppf(0.99, 7 + k) * se2**0.5)
    )
    assert found.threshold == found.detectable_increase


@given(new_sessions, stored_sessions, st.floats(min_value=1e-6, max_value=1e6), st.booleans())
def test_a_change_does_not_depend_on_the_scale(
    new: list[Session], stored: list[Session], scale: float, same_board: bool
) -> None:
    def scaled(some: list[Session]) -> list[Session]:
        return [Session(each.centre * scale, each.variance) for each in some]

    one = change(new, stored, X, same_board=same_board)
    other = change(scaled(new), scaled(stored), X, same_board=same_board)
    assert other.increase == pytest.approx(one.increase, rel=1e-6, abs=1e-9)
    assert other.threshold == pytest.approx(one.threshold, rel=1e-6)


@given(new_sessions, stored_sessions, st.randoms(), st.booleans())
def test_the_order_of_sessions_does_not_matter(
    new: list[Session], stored: list[Session], rng: random.Random, same_board: bool
) -> None:
    one = change(new, stored, X, same_board=same_board)
    rng.shuffle(stored)
    other = change(new[::-1], stored, X, same_board=same_board)
    assert other.increase == pytest.approx(one.increase, rel=1e-9, abs=1e-12)
    assert other.detectable_increase == pytest.approx(one.detectable_increase)


@given(some_sessions, some_sessions, st.booleans())
def test_one_against_one_is_the_same_the_other_way_round(
    one: Session, other: Session, same_board: bool
) -> None:
    there = change([one], [other], X, same_board=same_board)
    back = change([other], [one], X, same_board=same_board)
    assert back.detectable_increase == pytest.approx(there.detectable_increase)
    assert (1 + back.increase) * (1 + there.increase) == pytest.approx(1)
    assume(abs(abs(math.log1p(there.increase)) - math.log1p(there.threshold)) > 1e-9)
    assert back.is_improvement is there.is_regression
    assert back.is_regression is there.is_improvement


@given(new_sessions, stored_sessions, st.floats(min_value=1.0, max_value=10), st.booleans())
def test_costing_more_never_makes_it_green(
    new: list[Session], stored: list[Session], factor: float, same_board: bool
) -> None:
    less = change(new, stored, X, same_board=same_board)
    dearer = [Session(each.centre * factor, each.variance) for each in new]
    more = change(dearer, stored, X, same_board=same_board)
    assert more.threshold == less.threshold  # it doesn't depend on the new figure
    assert more.is_regression or not less.is_regression
    assert less.is_improvement or not more.is_improvement


@given(
    new_sessions,
    stored_sessions,
    st.lists(st.floats(min_value=0, max_value=1), min_size=2, max_size=2).map(sorted),
    st.booleans(),
)
def test_the_threshold_is_never_under_what_is_allowed_or_what_noise_explains(
    new: list[Session], stored: list[Session], allowed: list[float], same_board: bool
) -> None:
    less, more = (change(new, stored, each, same_board=same_board) for each in allowed)
    assert more.threshold == max(allowed[1], more.detectable_increase)
    assert less.detectable_increase == more.detectable_increase
    assert less.is_regression or not more.is_regression


@given(new_sessions, stored_sessions)
def test_another_board_never_lowers_the_threshold(
    new: list[Session], stored: list[Session]
) -> None:
    here = change(new, stored, X, same_board=True)
    elsewhere = change(new, stored, X, same_board=False)
    assert elsewhere.detectable_increase > here.detectable_increase
    assert elsewhere.increase == here.increase


@given(some_sessions, some_sessions, st.integers(min_value=1, max_value=9), st.booleans())
def test_more_sessions_that_agree_make_it_finer(
    new: Session, old: Session, k: int, same_board: bool
) -> None:
    fewer = change([new], [old] * k, X, same_board=same_board)
    more = change([new], [old] * (k + 1), X, same_board=same_board)
    assert more.detectable_increase < fewer.detectable_increase


def test_more_sessions_that_disagree_make_it_coarser() -> None:
    """Not every session helps: one that lies far off says that sessions differ a lot."""
    agree = change(sessions(1.0), sessions(1.0, 1.0), X, same_board=True)
    disagree = change(sessions(1.0), sessions(1.0, 1.0, 1.3), X, same_board=True)
    assert disagree.detectable_increase > agree.detectable_increase


@given(new_sessions, stored_sessions)
def test_however_well_sessions_agree_the_prior_remains(
    new: list[Session], stored: list[Session]
) -> None:
    j, k = len(new), len(stored)
    least = 0.02 * (8 / (7 + k) * (1 / j + 1 / k)) ** 0.5
    found = change(new, stored, X, same_board=True)
    assert found.detectable_increase >= math.expm1(stats.t.ppf(0.99, 7 + k) * least) * (1 - 1e-9)


@given(some_sessions, stored_sessions)
def test_a_second_new_session_of_the_same_kind_makes_it_finer(
    new: Session, stored: list[Session]
) -> None:
    one = change([new], stored, X, same_board=True)
    two = change([new, new], stored, X, same_board=True)
    assert two.detectable_increase < one.detectable_increase
    assert two.increase == pytest.approx(one.increase)


# Rule B': a candidate and its reference that took turns.

ALLOWED = 0.03


def pairs_at(ratio: float, n: int, sd: float = 0.001) -> list[float]:
    return [ratio * math.exp(sd * (-1) ** i) for i in range(n)]


@pytest.mark.parametrize("n", [1, 4, 6, 7, 9, 12, 14, 19])
def test_nothing_is_compared_between_looks(n: int) -> None:
    assert compare(pairs_at(9.0, n), ALLOWED, final=False) is None


@pytest.mark.parametrize("n", LOOKS)
def test_a_ratio_known_within_one_percent_is_enough(n: int) -> None:
    found = compare(pairs_at(1.0, n), ALLOWED, final=False)
    assert found is not None
    assert found.verdict is Verdict.PASS
    assert compare(pairs_at(1.0, n), ALLOWED, final=True) == found
    assert compare(pairs_at(1.0, n, sd=0.05), ALLOWED, final=False) is None


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [(0.5, Verdict.PASS), (1.029, Verdict.PASS), (1.031, Verdict.FAIL), (2.0, Verdict.FAIL)],
)
def test_the_allowed_increase_divides_pass_from_fail(ratio: float, verdict: Verdict) -> None:
    found = compare(pairs_at(ratio, 20), ALLOWED, final=True)
    assert found is not None
    assert found.verdict is verdict
    assert found.ratio.centre == pytest.approx(ratio)


def test_a_higher_centre_passes_while_the_interval_contains_one() -> None:
    # 1.04 in the middle, from under 1 to under 1.10: not shown to be more, not by 10 % either.
    unsure = compare(pairs_at(1.04, 8, sd=0.03), ALLOWED, final=True)
    assert unsure is not None
    assert unsure.ratio.interval is not None
    assert unsure.ratio.interval[0] < 1 < 1.04 < unsure.ratio.interval[1] < 1.1
    assert unsure.verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("allowed", "verdict"), [(0.03, Verdict.INCONCLUSIVE), (0.2, Verdict.PASS)]
)
def test_no_pass_where_it_could_be_ten_percent_more_and_more_than_is_allowed(
    allowed: float, verdict: Verdict
) -> None:
    found = compare(pairs_at(1.0, 8, sd=0.1), allowed, final=True)
    assert found is not None
    assert found.ratio.interval is not None
    assert 1.1 < found.ratio.interval[1] < 1.2
    assert found.verdict is verdict


@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [
        (0.85 * 1.03, Verdict.PASS),
        (0.86 * 1.03, Verdict.INCONCLUSIVE),
        (1.14 * 1.03, Verdict.INCONCLUSIVE),
        (1.15 * 1.03, Verdict.FAIL),
    ],
)
def test_few_pairs_decide_only_far_away(n: int, ratio: float, verdict: Verdict) -> None:
    found = compare([ratio] * n, ALLOWED, final=True)
    assert found is not None
    assert found.verdict is verdict
    assert found.ratio.interval is None


pair_ratios = st.lists(st.floats(min_value=0.5, max_value=2), min_size=1, max_size=20)


@given(pair_ratios, st.floats(min_value=0, max_value=0.5))
def test_the_last_look_always_decides_and_agrees_with_an_earlier_decision(
    ratios: list[float], allowed: float
) -> None:
    final = compare(ratios, allowed, final=True)
    assert final is not None
    assert compare(ratios, allowed, final=False) in (None, final)


@given(pair_ratios, st.floats(min_value=0, max_value=0.5))
def test_verdicts_keep_to_their_interval(ratios: list[float], allowed: float) -> None:
    found = compare(ratios, allowed, final=True)
    assert found is not None
    if found.ratio.interval is not None:
        low, high = found.ratio.interval
        assert low <= found.ratio.centre <= high
        if found.verdict is Verdict.FAIL:
            assert low > 1
            assert found.ratio.centre > 1 + allowed
        if found.verdict is Verdict.PASS:
            assert high <= max(1 + allowed, 1.1) * (1 + 1e-9)


@given(pair_ratios, st.floats(min_value=1, max_value=2))
def test_a_dearer_candidate_stays_red(ratios: list[float], factor: float) -> None:
    less = compare(ratios, ALLOWED, final=True)
    more = compare([each * factor for each in ratios], ALLOWED, final=True)
    assert less is not None
    assert more is not None
    assume(abs(math.log(factor)) > 1e-9)
    if less.verdict is Verdict.FAIL:
        assert more.verdict is Verdict.FAIL
    if more.verdict is Verdict.PASS:
        assert less.verdict is Verdict.PASS


@given(pair_ratios)
def test_the_ratio_is_the_same_the_other_way_round(ratios: list[float]) -> None:
    there = compare(ratios, ALLOWED, final=True)
    back = compare([1 / each for each in ratios], ALLOWED, final=True)
    assert there is not None
    assert back is not None
    assert back.ratio.centre == pytest.approx(1 / there.ratio.centre)
    if there.ratio.interval is not None and back.ratio.interval is not None:
        low, high = there.ratio.interval
        assert back.ratio.interval == pytest.approx((1 / high, 1 / low))
    assert {there.verdict, back.verdict} != {Verdict.FAIL}
