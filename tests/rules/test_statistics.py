"""The statistics, against scipy."""

from __future__ import annotations

import random
from statistics import fmean, variance

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pytest_energy.rules.statistics import rank_correlation, robust_centre, t_quantile


@given(st.floats(min_value=0.501, max_value=0.9999), st.integers(min_value=1, max_value=60))
def test_t_quantile_agrees_with_scipy(probability: float, degrees_of_freedom: int) -> None:
    expected = stats.t.ppf(probability, degrees_of_freedom)
    assert t_quantile(probability, degrees_of_freedom) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("probability", [0.5, 0.2, 1.0, float("nan")])
def test_t_quantile_refuses_what_it_is_not_for(probability: float) -> None:
    with pytest.raises(ValueError, match="between"):
        t_quantile(probability, 4)


@given(st.integers(min_value=5, max_value=20), st.integers(min_value=0, max_value=10**6))
def test_quiet_rounds_have_the_mean(n: int, seed: int) -> None:
    rng = random.Random(seed)
    values = [rng.uniform(1, 1.014) for _ in range(n)]  # within the floor of the outlier rule
    centre = robust_centre(values)
    assert centre.value == pytest.approx(fmean(values))
    assert centre.variance == pytest.approx(max(variance(values), 1e-6) / n)
    assert centre.degrees_of_freedom == n - 1


@pytest.mark.parametrize("n", [5, 8, 13, 20])
def test_an_outlier_brings_the_trimmed_mean_with_yuens_variance(n: int) -> None:
    rng = random.Random(n)
    values = [rng.gauss(0, 0.01) for _ in range(n - 1)] + [2.0]
    centre = robust_centre(values)
    assert centre.value == pytest.approx(stats.trim_mean(values, 0.2))
    # scipy's trimmed t-test against a second sample isolates Yuen's variance of ours.
    other = [0.0] * n
    trimmed = stats.ttest_ind(values, other, trim=0.2, equal_var=False)
    assert centre.value / centre.variance**0.5 == pytest.approx(trimmed.statistic)


def test_a_burst_hardly_moves_the_centre() -> None:
    values = [0.0, 0.001, -0.001, 0.002, 0.4]
    assert abs(robust_centre(values).value) < 0.002


def test_equal_rounds_still_have_a_width() -> None:
    centre = robust_centre([1.0] * 5)
    assert centre.half_width(0.9975) == pytest.approx(stats.t.ppf(0.9975, 4) * 0.001 / 5**0.5)


def test_fewer_than_five_values_have_no_centre() -> None:
    with pytest.raises(ValueError, match="five"):
        robust_centre([1.0] * 4)


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(-1e6, 1e6)), min_size=3, max_size=30))
def test_rank_correlation_is_spearmans_also_with_ties(pairs: list[tuple[int, float]]) -> None:
    first, second = [float(each) for each, _ in pairs], [each for _, each in pairs]
    found = rank_correlation(first, second)
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert found is None
    else:
        assert found == pytest.approx(stats.spearmanr(first, second).statistic, abs=1e-12)


def test_rank_correlation_of_fewer_than_three_is_none() -> None:
    assert rank_correlation([1, 2], [1, 2]) is None
    with pytest.raises(ValueError, match="aren't pairs"):
        rank_correlation([1, 2, 3], [1, 2])
