"""The carbon intensity of a country or region from CodeCarbon's data, strictly.

Where CodeCarbon would put another place's figure in silently, `UnknownPlace` is raised. All figures
are averages of the grid, location-based.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pytest_energy.carbon.codecarbon_data import (
    Factor,
    Place,
    codecarbon_version,
    country_factors,
    fold,
    region_factors,
    world_average,
)
from pytest_energy.carbon.intensity import Intensity
from pytest_energy.errors import InputError
from pytest_energy.spelling import alike

# As CodeCarbon's code has it; the tests hold it against that code.
_CHINESE_SUFFIX = re.compile(r"\s+(autonomous region|municipality|province|sheng|shi|zizhiqu)$")

_CLOUD = re.compile(r"(aws|azure|gcp)\b.*|[a-z]+(-[a-z]+)+-?\d+(-?[a-z])?", re.IGNORECASE)
_FEW = 13  # regions that a message can name


class UnknownPlace(InputError):
    """A place that CodeCarbon has no factor of its own for; the message names near ones."""


def intensity_of(country: str, region: str | None = None) -> Intensity:
    """The average intensity that CodeCarbon itself has for a country or a region of it.

    `country` is an ISO 3166 alpha-3 code or an English name, `region` a name or a code; case and
    blanks around them don't matter. Raises UnknownPlace where CodeCarbon has no factor of its own,
    and UnreadableData.
    """
    found = _find(country, region)
    assert found.grams_per_kwh
    where = found.place.country_name if found.place.region is None else found.place
    source = f"CodeCarbon {codecarbon_version()}: {where}, {found.origin}"
    return Intensity(grams_per_kwh=found.grams_per_kwh, source=source, year=found.year)


def place_of(country: str, region: str | None = None) -> Place:
    """The place of `intensity_of` as the data spells it. Raises the same errors."""
    return _find(country, region).place


def countries() -> tuple[Place, ...]:
    """The countries that have a factor, by code. Raises UnreadableData."""
    return tuple(each.place for each in country_factors() if each.grams_per_kwh)


def regions(country: str) -> tuple[Place, ...]:
    """The regions of a country that have a factor: none for most. Raises as `intensity_of` does."""
    return tuple(
        each.place for each in region_factors(_country(country).place) if each.grams_per_kwh
    )


def _find(country: str, region: str | None) -> Factor:
    found = _country(country)
    if region is not None:
        found = _region(found, region)
    if found.grams_per_kwh:
        return found
    if found.grams_per_kwh is None:
        why = "CodeCarbon would make one up from the energy mix, or take the world average"
    else:
        why = "CodeCarbon would count 0 g for any energy, and no grams can be turned into joules"
    raise UnknownPlace(
        f"{found.place} has no carbon intensity above zero in CodeCarbon {codecarbon_version()}'s "
        f"data of {found.year}: {why}; give the factor itself, such as 300 gCO2e/kWh"
    )


def _country(text: str) -> Factor:
    known = country_factors()
    name = fold(text)
    for factor in known:
        if name in factor.names:
            return factor
    average = world_average()
    hint = _cloud(name) or _two_letters(name) or _region_elsewhere(name, known)
    raise UnknownPlace(
        f"country {text!r} is not in CodeCarbon {codecarbon_version()}'s data{hint}"
        f"{_listed('near', _near(name, known))}; CodeCarbon would take the world average of "
        f"{average:g} gCO2e/kWh without an error; "
        'write a code of three letters or an English name, "FRA" or "France"'
    )


def _region(country: Factor, text: str) -> Factor:
    place = country.place
    known = region_factors(place)
    name = fold(text)
    if place.country == "CHN":
        name = _CHINESE_SUFFIX.sub("", name)
    for factor in known:
        if name in factor.names:
            return factor
    alone = f'write "{place.country}" alone'
    if name in country.names:
        raise UnknownPlace(f"region {text!r} is all of {place}: {alone}")
    near = _near(name, known)
    if known:
        what = f"region {text!r} of {place} is not in CodeCarbon {codecarbon_version()}'s data"
        example = (near or known)[0].place.region
        alone += f' or with a region, "{place.country}" "{example}"'
    else:
        what = f"region {text!r}: CodeCarbon {codecarbon_version()} has no regions of {place}"
    if near or len(known) <= _FEW:
        listed = _listed("near", near) or _listed("known", known)
    else:
        listed = f"; `pytest-energy carbon {place.country}` lists the {len(known)} that are"
    grams = country.grams_per_kwh
    its = "figure" if grams is None else f"{grams} gCO2e/kWh"
    raise UnknownPlace(
        f"{what}{_cloud(name) or _country_elsewhere(name)}{listed}; "
        f"CodeCarbon would take the country's {its} without an error; {alone}"
    )


def _cloud(name: str) -> str:
    if not _CLOUD.fullmatch(name):
        return ""
    return ": a cloud's regions are no places on the grid, so name where the machine stands"


def _two_letters(name: str) -> str:
    return ": codes have three letters" if len(name) == 2 else ""


def _region_elsewhere(name: str, known: Iterable[Factor]) -> str:
    """A hint where "California" was given as a country."""
    for country in known:
        for region in region_factors(country.place):
            if name in region.names:
                return f': it is a region, "{country.place.country}" "{region.place.region}"'
    return ""


def _country_elsewhere(name: str) -> str:
    """A hint where "Puerto Rico" was given as a region."""
    for country in country_factors():
        if name in country.names:
            return f': it is listed by itself, as "{country.place.country}"'
    return ""


def _near(name: str, known: Iterable[Factor]) -> list[Factor]:
    """Those with the same initials ("UK"), a similar name, or the name in theirs ("Korea")."""
    if _CLOUD.fullmatch(name):
        return []
    factors = {each: factor for factor in known for each in sorted(factor.names)}
    near = [each for each in factors if "".join(word[0] for word in each.split()) == name]
    near += alike(name, factors, 5)
    near += [each for each in factors if len(name) > 3 and name in each]
    return list(dict.fromkeys(factors[each] for each in near))


def _listed(head: str, factors: Iterable[Factor]) -> str:
    labels = ", ".join(each.place.label for each in factors)
    return f"; {head}: {labels}" if labels else ""
