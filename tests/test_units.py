"""Limits as people write them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.limits.limit import LimitError, parse_limit
from pytest_energy.units import carbon_scale, figure, plural, singular


@pytest.mark.parametrize(
    ("text", "base_per_unit", "unit"),
    [
        ("2.1 Wh / 1000 queries", 7.56, "query"),
        ("2.1Wh/1000queries", 7.56, "query"),
        ("35 mJ / token", 0.035, "token"),
        ("35 mJ per token", 0.035, "token"),
        ("0.5 gCO2e per 1k queries", 0.0005, "query"),
        ("1 kWh / 1,000 images", 3600, "image"),
        ("3 J / 1.5k movies", 0.002, "movie"),
        ("1.5 J / 2 k documents", 0.00075, "document"),
        ("7 mWh / 1M tokens", 7 * 3.6e-6, "token"),
        ("975 uJ / query", 975e-6, "query"),  # as tables show it
        ("2 kgCO2e / box", 2000, "box"),
        ("120 cpu-ms / query", 0.12, "query"),
        ("3 cpu-s / 10 batches", 0.3, "batch"),
        ("1e-3 kJ / query", 1, "query"),
        ("2.5 GFLOP / query", 2.5e9, "query"),
        ("524288 FLOP / query", 524288, "query"),
        ("3 TFLOP / 1000 queries", 3e9, "query"),
        ("0.2 kFLOP per 1k tokens", 0.2, "token"),
        ("140 PFLOP / text", 1.4e17, "text"),
    ],
)
def test_reads_a_limit(text: str, base_per_unit: float, unit: str) -> None:
    limit = parse_limit(text)
    assert limit.base_per_unit == pytest.approx(base_per_unit, rel=1e-12)
    assert limit.unit == unit


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (5, "not a bare number"),
        (None, "not a bare number"),
        ("5", "a bare number has no unit"),
        ("0 J / query", "above zero"),
        ("-2 J / query", "above zero"),
        ("nan J / query", "not a finite number"),
        ("inf J / query", "not a finite number"),
        ("-inf J / query", "not a finite number"),
        ("1e999 J / query", "not a finite number"),
        ("1e-320 mJ / 1M queries", "too small or too large"),
        ("2,1 Wh / query", "decimals with a point"),
        ("1,000 Wh / query", "decimals with a point"),
        ("1.2.3 J / query", "is not a number"),
        ("1 MWh / query", "mWh or kWh?"),
        ("975 \N{MICRO SIGN}J / query", "did you mean 'uJ'?"),
        ("975 \N{GREEK SMALL LETTER MU}J / query", "did you mean 'uJ'?"),
        ("1 MJ / query", "mJ or kJ?"),
        ("1 wh / query", "did you mean 'Wh'?"),
        ("1 gCO2 / query", "did you mean 'gCO2e'?"),
        ("1 Jule / query", "unknown unit 'Jule', did you mean 'J'?"),
        ("1 kilojoule / query", "did you mean 'kJ'?"),
        ("1 watt-hour / query", "did you mean 'Wh'?"),
        ("1 GFLOPS / query", "did you mean 'GFLOP'?"),
        ("1 gflop / query", "did you mean 'GFLOP'?"),
        ("1e11 PFLOP / query", "from 1e-15 to 1e+24 FLOP"),
        ("1 parsec / query", "unknown unit 'parsec'"),
        ("2.1 Wh", "for how many units of work"),
        ("2.1 Wh / 1000", "the unit's name"),
        ("2.1 Wh / 0 queries", "above zero"),
        ("2.1 Wh / 1,5 queries", "not a number of units"),
        ("2.1 Wh / 10,00 queries", "not a number of units"),
        ("2.1 Wh / 1.000 queries", "not a number of units"),
        ("2.1 Wh / 1k", "has no unit's name"),
        ("1 MWH / query", "mWh or kWh?"),
        ("1 nJ / query", "unknown unit 'nJ' (known"),
        ("1 W / query", "unknown unit 'W' (known"),
        ("1_000 J / query", "is not a number"),
        ("\u0661 J / query", "is not an amount"),
        ("2.1 Wh / query / s", "the unit's name"),
        ("", "for how many units of work"),
        ("much", "for how many units of work"),
    ],
)
def test_refuses_a_limit_with_value_reason_and_example(text: object, why: str) -> None:
    with pytest.raises(LimitError) as caught:
        parse_limit(text)
    message = str(caught.value)
    assert repr(text) in message
    assert why in message
    assert '"2.1 Wh / 1000 queries"' in message


@given(st.text(alphabet="0123456789.,kMeE+-/ perWhJgCO2nqutoi\n", max_size=30) | st.text())
def test_any_text_is_a_limit_or_a_limit_error(text: str) -> None:
    try:
        limit = parse_limit(text)
    except LimitError:
        return
    assert 0 < limit.base_per_unit < math.inf


@given(
    st.floats(min_value=1e-3, max_value=1e6),
    st.sampled_from(
        ["uJ", "mJ", "J", "kJ", "mWh", "Wh", "kWh", "gCO2e", "cpu-ms", "FLOP", "MFLOP", "PFLOP"]
    ),
    st.sampled_from([1, 10, 1000]),
    st.sampled_from(["query", "token", "image", "batch", "entity"]),
)
def test_a_printed_limit_reads_back(amount: float, symbol: str, per: int, unit: str) -> None:
    limit = parse_limit(f"{amount!r} {symbol} / {per} {plural(unit)}")
    again = parse_limit(str(limit))
    assert again.base_per_unit == pytest.approx(limit.base_per_unit, rel=0.006)
    assert again.unit == limit.unit == unit


@pytest.mark.parametrize(
    "word", ["query", "token", "image", "box", "batch", "class", "entity", "movie"]
)
def test_plural_and_singular_are_inverse(word: str) -> None:
    assert singular(plural(word)) == word


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (3.4213, "3.42"),
        (2.1, "2.10"),
        (35, "35.0"),
        (1234.5, "1230"),
        (0.9999, "1.00"),
        (99.96, "100"),
        (0.00012345, "0.000123"),
        (1.2345e-9, "1.23e-09"),
        (0, "0"),
    ],
)
def test_figures_have_three_digits(value: float, shown: str) -> None:
    assert figure(value) == shown


def test_emissions_of_one_column_have_one_unit_that_a_limit_may_have() -> None:
    scale = carbon_scale([9.7e-5, 3.09e-6, 0.0, 4.1e-5])
    assert [f"{scale.show(each)} {scale.symbol}" for each in (9.7e-5, 3.09e-6)] == [
        "0.0970 mgCO2e",
        "0.00309 mgCO2e",
    ]
    assert [carbon_scale([each]).symbol for each in (0.5, 1.0, 2500.0)] == [
        "mgCO2e",
        "gCO2e",
        "kgCO2e",
    ]
