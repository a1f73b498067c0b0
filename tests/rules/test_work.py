"""The rules for FLOPs: exact, so that what is over is found and what is not never fails."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_energy.limits.budget import round_flop_limit
from pytest_energy.limits.limit import parse_limit
from pytest_energy.rules.verdict import Verdict
from pytest_energy.rules.work import change, look

FLOPS = st.integers(min_value=1, max_value=10**11)
SYMBOLS = {"FLOP": 0, "kFLOP": 3, "MFLOP": 6, "GFLOP": 9, "TFLOP": 12}


@given(FLOPS, st.sampled_from(sorted(SYMBOLS)), st.integers(1, 64))
def test_a_limit_of_just_these_flops_passes_and_one_more_fails(
    flops: int, symbol: str, units: int
) -> None:
    digits = SYMBOLS[symbol]
    whole, rest = divmod(flops, 10**digits)
    amount = f"{whole}.{rest:0{digits}d}" if digits else f"{whole}"
    limit = parse_limit(f"{amount} {symbol} / {units} queries").base_per_unit
    assert look(flops / units, limit) is Verdict.PASS
    assert look((flops + 1) / units, limit) is Verdict.FAIL


@given(FLOPS, st.sampled_from([0.0, 0.005, 0.01]))
def test_a_change_within_what_is_allowed_is_no_regression(flops: int, allowed: float) -> None:
    flops *= 1000
    assert not change(flops, flops, allowed).is_regression
    assert not change(flops * (1000 + round(1000 * allowed)) // 1000, flops, allowed).is_regression
    assert change(flops * 1.0101, flops, allowed).is_regression


@given(FLOPS)
@example(1_000_000_001)
def test_a_suggested_limit_holds_what_it_was_made_from(flops: int) -> None:
    limit = round_flop_limit(flops, "query").base_per_unit
    assert look(flops, limit) is Verdict.PASS
    assert limit <= flops * 1.0101


def test_an_exact_change_has_no_noise() -> None:
    found = change(1010, 1000, 0.005)
    assert found.increase == pytest.approx(0.01)
    assert (found.threshold, found.detectable_increase) == (0.005, 0.0)
