"""Grams from joules, and joules as things that people know."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_energy.carbon.intensity import (
    PHONE_CHARGE,
    PHONE_CHARGE_2023,
    Basis,
    Equivalence,
    Intensity,
    equivalent,
    in_words,
    parse_intensity,
    readable_units,
)
from pytest_energy.units import JOULES_PER_KWH

amounts = st.floats(min_value=1e-9, max_value=1e15)
factors = st.floats(min_value=1e-3, max_value=1e5)
pues = st.floats(min_value=1, max_value=10)
intensities = st.builds(
    Intensity,
    grams_per_kwh=factors,
    source=st.sampled_from(
        ["--energy-carbon-intensity", "CodeCarbon 3.3.2: France, Our World in Data"]
    ),
    year=st.none() | st.integers(1990, 2100),
    basis=st.sampled_from(Basis),
    pue=pues,
)


def test_one_kwh_weighs_the_factor() -> None:
    assert Intensity(grams_per_kwh=300, source="test").grams(JOULES_PER_KWH) == 300
    assert Intensity(grams_per_kwh=300, source="test").joules(300) == JOULES_PER_KWH


@given(intensities, amounts)
def test_grams_and_joules_are_inverse(intensity: Intensity, amount: float) -> None:
    assert intensity.joules(intensity.grams(amount)) == pytest.approx(amount, rel=1e-12)
    assert intensity.grams(intensity.joules(amount)) == pytest.approx(amount, rel=1e-12)


@given(intensities, amounts)
def test_pue_scales_grams_and_never_the_factor(intensity: Intensity, joules: float) -> None:
    bare = replace(intensity, pue=1.0)
    assert intensity.grams(joules) == pytest.approx(intensity.pue * bare.grams(joules), rel=1e-12)
    assert intensity.grams_per_kwh == bare.grams_per_kwh
    assert intensity.factor == bare.factor


@given(intensities)
def test_a_printed_intensity_has_factor_source_year_and_basis(intensity: Intensity) -> None:
    shown = str(intensity)
    factor, source = re.fullmatch(r"(\S+ gCO2e/kWh)(?: x PUE \S+)? \((.*)", shown).groups()  # type: ignore[union-attr]
    assert parse_intensity(factor) == intensity.grams_per_kwh
    assert source.startswith(intensity.source)
    told = source.removeprefix(intensity.source)
    assert ("year not given" in told) == (intensity.year is None)
    assert intensity.year is None or str(intensity.year) in told
    assert ("market-based" in told) == (intensity.basis is Basis.MARKET)
    assert ("x PUE" in shown) == (intensity.pue != 1)


@pytest.mark.parametrize(
    ("intensity", "shown"),
    [
        (
            Intensity(
                grams_per_kwh=56.039,
                source="CodeCarbon 3.3.2: France, Our World in Data",
                year=2023,
            ),
            "56.039 gCO2e/kWh (CodeCarbon 3.3.2: France, Our World in Data, 2023)",
        ),
        (
            Intensity(grams_per_kwh=360, source="--energy-carbon-intensity"),
            "360 gCO2e/kWh (--energy-carbon-intensity), year not given",
        ),
        (
            Intensity(
                grams_per_kwh=0.5,
                source="energy-budgets.toml:4",
                year=2024,
                basis=Basis.MARKET,
                pue=1.2,
            ),
            "0.5 gCO2e/kWh x PUE 1.2 (energy-budgets.toml:4, 2024, market-based)",
        ),
        (
            Intensity(grams_per_kwh=0.5, source="energy-budgets.toml:4", basis=Basis.MARKET),
            "0.5 gCO2e/kWh (energy-budgets.toml:4, market-based), year not given",
        ),
    ],
)
def test_intensities_as_people_read_them(intensity: Intensity, shown: str) -> None:
    assert str(intensity) == shown


@pytest.mark.parametrize("factor", [0, -1, math.nan, math.inf])
def test_a_factor_that_is_none_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match=r"not above zero.*for example 300"):
        Intensity(grams_per_kwh=factor, source="test")


@pytest.mark.parametrize("pue", [0, 0.99, math.nan, math.inf])
def test_a_pue_below_one_is_refused(pue: float) -> None:
    with pytest.raises(ValueError, match=r"at least 1.*for example 1\.2"):
        Intensity(grams_per_kwh=300, source="test", pue=pue)


def test_the_phone_charges_of_the_study() -> None:
    """v1 and v3 print 950 and 522 charges for the 11.49 kWh of 1,000 images of one model."""
    assert equivalent(11.49 * JOULES_PER_KWH, PHONE_CHARGE_2023) == pytest.approx(957.5)
    assert equivalent(11.49 * JOULES_PER_KWH, PHONE_CHARGE) == pytest.approx(522.3, abs=0.1)
    for charge in (PHONE_CHARGE, PHONE_CHARGE_2023):
        assert "EPA" in charge.source and "2311.16863" in charge.source and charge.year


ONE = Equivalence(
    name="phone charge",
    plural="phone charges",
    kwh_each=1 / JOULES_PER_KWH,
    source="for tests, one joule",
)


@pytest.mark.parametrize(
    ("joules_per_unit", "unit", "words"),
    [
        (0.00027, "query", "0.270 phone charges per 1,000 queries"),
        (0.001, "query", "1 phone charge per 1,000 queries"),
        (0.0015, "image", "1.50 phone charges per 1,000 images"),
        (0.0123, "box", "12.3 phone charges per 1,000 boxes"),
        (1234.5, "image", "1,230,000 phone charges per 1,000 images"),
        (0, "query", "0 phone charges per 1,000 queries"),
        (1e-5, "token", "0.0100 phone charges per 1,000 tokens"),
        (9e-6, "token", "9.00 phone charges per 1,000,000 tokens"),
        (1e-8, "token", "0.0100 phone charges per 1,000,000 tokens"),
        (9e-9, "token", "less than 0.01 phone charges per 1,000,000 tokens"),
    ],
)
def test_an_equivalence_in_words(joules_per_unit: float, unit: str, words: str) -> None:
    assert in_words(joules_per_unit, unit, readable_units(joules_per_unit, ONE), ONE) == words


@given(st.floats(min_value=1e-3, max_value=1e12))
def test_the_words_state_the_amount(joules_per_unit: float) -> None:
    units = readable_units(joules_per_unit, PHONE_CHARGE)
    words = in_words(joules_per_unit, "query", units, PHONE_CHARGE).replace(",", "")
    amount, count = re.fullmatch(r"(\S+) phone charges? per (\d+) queries", words).groups()  # type: ignore[union-attr]
    joules = float(amount) * PHONE_CHARGE.kwh_each * JOULES_PER_KWH / int(count)
    assert joules == pytest.approx(joules_per_unit, rel=0.006)
    assert words.count("charges") == (amount != "1")
