"""CodeCarbon's data on countries and regions, as its files hold them.

The JSON files are read as they are; the package is not imported, because its import asks the GPU
driver and adds a log handler. A file of another shape is refused, never guessed.
"""

from __future__ import annotations

import importlib.metadata
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pytest_energy.errors import InputError
from pytest_energy.sensors.tdp import data_file

_COUNTRIES = "global_energy_mix.json"
_PER_FUEL = "carbon_intensity_per_source.json"
_USA = "2023/usa_emissions.json"
_CANADA = "2023/canada_energy_mix.json"
_CHINA = "2023/china_provincial_emissions.json"
_NORDIC = "nordic_emissions.json"

#: The file doesn't say so; CodeCarbon's methodology page and the notebook that made the file do.
_ORIGIN_OF_COUNTRIES = "Our World in Data"

# The next three are in CodeCarbon's code, not in its data; the tests hold them against that code.
_GRAMS_PER_KWH_OF_ONE_LB_PER_MWH = 0.45359237
#: gCO2e/kWh; all other sources of a Canadian province count as zero.
_CANADIAN_FUELS = {"coal": 995.725971, "petroleum": 816.6885263, "naturalGas": 743.8415916}
_NORDIC_ZONES = {
    "SWE": ("SE1", "SE2", "SE3", "SE4"),
    "NOR": ("NO1", "NO2", "NO3", "NO4", "NO5"),
    "FIN": ("FI",),
}


class NoData(InputError):
    """CodeCarbon, whose data these are, is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "the factors of countries and regions are CodeCarbon's, which is not installed: "
            'pip install "pytest-energy[carbon]", or give the factor itself, such as 300 gCO2e/kWh'
        )


class UnreadableData(InputError):
    """CodeCarbon's data files are not of the shape that is read here."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(
            f"CodeCarbon {codecarbon_version()}, {where}: {why}; the files of CodeCarbon 3.3.2 can "
            "be read (pip install codecarbon==3.3.2), or give the factor itself, such as "
            "300 gCO2e/kWh"
        )


@dataclass(frozen=True, kw_only=True)
class Place:
    """A country, or a region of it, as `intensity_of` takes them."""

    country: str
    """ISO 3166 alpha-3, such as "USA"."""
    country_name: str
    region: str | None = None
    code: str | None = None
    """A short form of the region, where the data has one: "CA", "CN-BJ"."""
    about: str | None = None
    """Where the region is, where its name doesn't tell."""

    def __str__(self) -> str:
        if self.region is None:
            return f"{self.country_name} ({self.country})"
        return f"{self.region}, {self.country_name}"

    @property
    def label(self) -> str:
        """The place in a list of its kind: "FRA (France)", "California (CA)"."""
        if self.region is None:
            return f"{self.country} ({self.country_name})"
        return f"{self.region} ({self.code})" if self.code else self.region


@dataclass(frozen=True, kw_only=True)
class Factor:
    """What the data says of one place."""

    place: Place
    names: frozenset[str]
    """What the place may be called, folded."""
    grams_per_kwh: float | None
    origin: str
    year: int


def world_average() -> float:
    """In gCO2e/kWh: what CodeCarbon takes for a country that it does not know."""
    return _open(_PER_FUEL).number("world_average")


def country_factors() -> list[Factor]:
    found = []
    for code, entry in sorted(_open(_COUNTRIES).nodes()):
        name = entry.text("country_name")
        stated = entry.value.get("carbon_intensity") is not None
        found.append(
            Factor(
                place=Place(country=code, country_name=name),
                names=_names(code, name),
                grams_per_kwh=entry.number("carbon_intensity") if stated else None,
                origin=_ORIGIN_OF_COUNTRIES,
                year=entry.year("year"),
            )
        )
    return found


def region_factors(country: Place) -> list[Factor]:
    match country.country:
        case "USA":
            return _american_states(country)
        case "CAN":
            return _canadian_provinces(country)
        case "CHN":
            return _chinese_provinces(country)
        case code:
            return _nordic_zones(country, _NORDIC_ZONES.get(code, ()))


def _american_states(country: Place) -> list[Factor]:
    data = _open(_USA)
    data.node("_unit").expect("emissions", "lbs/MWh")
    source = data.node("_source")
    found = []
    for name, entry in data.nodes():
        # "usa" is the whole country once more, from another source than the country's own figure.
        if name.startswith("_") or name == "usa":
            continue
        code = entry.text("regionCode")
        found.append(
            Factor(
                place=Place(
                    country=country.country,
                    country_name=country.country_name,
                    region=_title(name),
                    code=code,
                ),
                names=_names(name, code),
                grams_per_kwh=_clean(entry.number("emissions") * _GRAMS_PER_KWH_OF_ONE_LB_PER_MWH),
                origin=_first_clause(source.text("name")),
                year=source.year("year"),
            )
        )
    return found


def _canadian_provinces(country: Place) -> list[Factor]:
    # The file states no origin and no year; its folder is named after the year.
    year, _, file = _CANADA.partition("/")
    found = []
    for name, mix in sorted(_open(_CANADA).nodes()):
        total = mix.number("total")
        if total == 0:
            raise UnreadableData(mix.where, "'total' is 0, expected above zero")
        grams = sum(mix.number(fuel) / total * each for fuel, each in _CANADIAN_FUELS.items())
        place = Place(
            country=country.country, country_name=country.country_name, region=_title(name)
        )
        found.append(
            Factor(
                place=place,
                names=_names(name),
                grams_per_kwh=_clean(grams),
                origin=file,
                year=int(year),
            )
        )
    return found


def _chinese_provinces(country: Place) -> list[Factor]:
    data = _open(_CHINA)
    found = []
    for code, entry in data.node("data").nodes():
        entry.expect("unit", "gCO2/kWh")
        found.append(
            Factor(
                place=Place(
                    country=country.country,
                    country_name=country.country_name,
                    region=entry.text("description"),
                    code=code,
                ),
                names=_names(code, *entry.texts("names")),
                grams_per_kwh=entry.number("emission_factor"),
                # The other greenhouse gases are left out, unlike everywhere else.
                origin=_first_clause(data.node("metadata").text("source")) + ", CO2 only",
                year=entry.year("year"),
            )
        )
    return found


def _nordic_zones(country: Place, zones: Iterable[str]) -> list[Factor]:
    found = []
    for zone in zones:
        data = _open(_NORDIC)
        entry = data.node("data").node(zone)
        entry.expect("unit", "gCO2eq/kWh")
        about = entry.text("description")
        found.append(
            Factor(
                place=Place(
                    country=country.country,
                    country_name=country.country_name,
                    region=zone,
                    about=about,
                ),
                names=_names(zone),
                grams_per_kwh=entry.number("emission_factor"),
                origin=_origin_of_zone(data.node("metadata").text("source"), zone),
                year=entry.year("year"),
            )
        )
    return found


def _origin_of_zone(sentence: str, zone: str) -> str:
    """From "SE1-SE4, NO1-NO5: ENTSO-E Transparency, ... FI: prior value, unchanged."."""
    for labels, origin in re.findall(r"((?:[A-Z]+\d*(?:-[A-Z]+\d*)?(?:, )?)+): ([^,.]+)", sentence):
        for label in labels.split(", "):
            first, _, last = label.partition("-")
            if first <= zone <= (last or first) and origin != "prior value":
                return str(origin)
    return _NORDIC


def _clean(grams: float) -> float:
    """Without the noise of the last digits: 179.064206313, not 179.06420631253002."""
    return float(f"{grams:.12g}")


def _names(*names: str) -> frozenset[str]:
    return frozenset(map(fold, names))


def fold(text: str) -> str:
    return " ".join(text.split()).casefold()


def _title(name: str) -> str:
    """Some files have names in lower case."""
    return " ".join(word if word in {"of", "and"} else word.capitalize() for word in name.split())


def _first_clause(text: str) -> str:
    """A source's name without its details, which may take three lines."""
    return text.partition(", ")[0]


def codecarbon_version() -> str:
    try:
        return importlib.metadata.version("codecarbon")
    except importlib.metadata.PackageNotFoundError:
        return "(unknown version)"


@dataclass(frozen=True)
class _Node:
    """A JSON object and where it stands, so that what is missing is named in words."""

    where: str
    value: dict[str, Any]

    def _get(self, key: str, expected: str, *kinds: type) -> Any:
        found = self.value.get(key)
        if type(found) not in kinds:
            shown = f"is {found!r:.60}" if key in self.value else "is missing"
            raise UnreadableData(self.where, f"{key!r} {shown}, expected {expected}")
        return found

    def node(self, key: str) -> _Node:
        return _Node(f"{self.where}, {key}", self._get(key, "an object", dict))

    def nodes(self) -> list[tuple[str, _Node]]:
        return [(key, self.node(key)) for key in self.value]

    def text(self, key: str) -> str:
        return str(self._get(key, "a text", str))

    def texts(self, key: str) -> list[str]:
        return [str(each) for each in self._get(key, "a list of texts", list)]

    def year(self, key: str) -> int:
        return int(self._get(key, "a year", int))

    def number(self, key: str) -> float:
        found = float(self._get(key, "a number", int, float))
        if not 0 <= found < math.inf:
            raise UnreadableData(self.where, f"{key!r} is {found!r}, expected zero or more")
        return found

    def expect(self, key: str, wanted: str) -> None:
        found = self.text(key)
        if found != wanted:
            raise UnreadableData(self.where, f"{key!r} is {found!r}, expected {wanted!r}")


def _open(name: str) -> _Node:
    """One of CodeCarbon's data files. Raises NoData or UnreadableData."""
    try:
        value = json.loads(data_file("private_infra", name).read_text(encoding="utf-8"))
    except LookupError:
        raise NoData from None
    except OSError as error:
        raise UnreadableData(name, f"can't be read ({error.strerror})") from None
    except ValueError as error:
        raise UnreadableData(name, f"is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise UnreadableData(name, "is not a JSON object")
    return _Node(name, value)
