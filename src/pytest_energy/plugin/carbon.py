"""The carbon intensity of a run: pinned, of a place, or of the budgets file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from pytest_energy.carbon.intensity import Intensity, parse_intensity
from pytest_energy.limits.file import BudgetsFile
from pytest_energy.plugin.options import Given, levels, option


def find_intensity(
    config: pytest.Config,
    environment: Mapping[str, str],
    budgets: BudgetsFile,
    mistakes: list[str],
) -> Intensity | None:
    """Grams for one kWh: the command line, the environment, the ini file, the budgets file."""
    region: Given | None = None
    found: Intensity | None = None
    at_each_level = zip(
        *(
            levels(option(name), config, environment)
            for name in ("carbon_intensity", "country", "region")
        ),
        strict=True,
    )
    for pinned, country, region_here in at_each_level:
        region = region or region_here
        here = pinned or country
        if here is None:
            continue
        if pinned and (other := country or region):
            mistakes.append(
                f"{pinned.origin} and {other.origin} both set the carbon intensity; "
                "keep one of them"
            )
        try:
            found = _pinned(pinned) if pinned else _of_place(here.value, region)
        except ValueError as error:
            place = region if region and not pinned else here
            mistakes.append(f"{place.origin}: {error}")
        break
    else:
        found = budgets.intensity
        if region:
            mistakes.append(
                f"{region.origin}: {region.value!r} needs a country; name it "
                "too, for example --energy-country USA --energy-region california"
            )
    if found is not None and budgets.pue is not None:
        found = replace(found, pue=budgets.pue)
    if found is not None:
        found = replace(found, embodied=budgets.embodied)
    return found


def _pinned(given: Given) -> Intensity:
    return Intensity(grams_per_kwh=parse_intensity(given.value), source=given.origin)


def _of_place(country: str, region: Given | None) -> Intensity:
    # Read only where it is asked for: CodeCarbon's data are a package apart.
    from pytest_energy.carbon.regions import intensity_of

    return intensity_of(country, region.value if region else None)
