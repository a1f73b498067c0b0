"""How a measurement will likely end, before it does."""

from __future__ import annotations

import math
from statistics import stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pytest_energy.rules import limit, paired
from pytest_energy.rules.estimate import LOOK_CONFIDENCE
from pytest_energy.rules.verdict import Verdict

some_values = st.lists(st.floats(min_value=0.5, max_value=2.0), min_size=5, max_size=20)
fractions = st.floats(min_value=0.0, max_value=0.3)
#: Close enough to each other that no value lies far out.
NOISY = [0.8, 1.3, 0.85, 1.25, 0.9, 1.2]


@given(some_values, fractions)
def test_with_no_round_to_come_it_is_the_verdict(values: list[float], tolerance: float) -> None:
    found = limit.undetectable(values, 1.0, tolerance, [], len(values))
    verdict = limit.look(values, 1.0, tolerance, final=True)
    assert (found is not None) == (verdict is Verdict.INCONCLUSIVE)
    compared = paired.compare(values, tolerance, final=True)
    assert compared is not None
    found = paired.undetectable(values, tolerance, len(values))
    assert (found is not None) == (compared.verdict is Verdict.INCONCLUSIVE)


def test_rounds_to_come_are_taken_for_alike() -> None:
    logs = [math.log(each) for each in NOISY]
    half = stats.t.ppf(LOOK_CONFIDENCE, 19) * stdev(logs) / math.sqrt(20)
    found = limit.undetectable(NOISY, 1.0, 0.03, [], 20)
    assert found == pytest.approx(math.expm1(half))
    assert limit.undetectable(NOISY, 1.0, 0.03, [], 1000) is None  # so many would tell


def test_where_it_will_be_decided_or_nothing_is_known_there_is_no_outlook() -> None:
    for centre in (0.5, 2.0):
        assert limit.undetectable([centre * each for each in NOISY], 1.0, 0.03, [], 20) is None
    assert limit.undetectable(NOISY[:4], 1.0, 0.03, [], 20) is None
    assert paired.undetectable([0.5 * each for each in NOISY], 0.03, 20) is None
    assert paired.undetectable(NOISY[:4], 0.03, 20) is None
    assert paired.undetectable(NOISY, 0.03, 20) is not None
