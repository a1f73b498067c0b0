"""The carbon intensity of a country or region from CodeCarbon's data, strictly.

CodeCarbon's JSON files are read as they are; the package is not imported, because its import asks
the GPU driver and adds a log handler. Where CodeCarbon would put another place's figure in
silently, `UnknownPlace` is raised. All figures are averages of the grid, location-based.
"""

from __future__ import annotations

import difflib
import importlib.metadata
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pytest_energy.carbon.intensity import Intensity
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

# The next four are in CodeCarbon's code, not in its data; the tests hold them against that code.
_GRAMS_PER_KWH_OF_ONE_LB_PER_MWH = 0.45359237
#: gCO2e/kWh; all other sources of a Canadian province count as zero.
_CANADIAN_FUELS = {"coal": 995.725971, "petroleum": 816.6885263, "naturalGas": 743.8415916}
_NORDIC_ZONES = {
    "SWE": ("SE1", "SE2", "SE3", "SE4"),
    "NOR": ("NO1", "NO2", "NO3", "NO4", "NO5"),
    "FIN": ("FI",),
}
_CHINESE_SUFFIX = re.compile(r"\s+(autonomous region|municipality|province|sheng|shi|zizhiqu)$")

_CLOUD = re.compile(r"(aws|azure|gcp)\b.*|[a-z]+(-[a-z]+)+-?\d+(-?[a-z])?", re.IGNORECASE)
_FEW = 13  # regions that a message can name


class UnknownPlace(InputError):
    """A place that CodeCarbon has no factor of its own for; the message names near ones."""


class UnreadableData(InputError):
    """CodeCarbon's data files are not there, or not of the shape that is read here."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(
            f"CodeCarbon {_version()}, {where}: {why}; the files of CodeCarbon 3.3.2 can be read "
            "(pip install codecarbon==3.3.2), or give the factor itself, such as 300 gCO2e/kWh"
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


def intensity_of(country: str, region: str | None = None) -> Intensity:
    """The average intensity that CodeCarbon itself has for a country or a region of it.

    `country` is an ISO 3166 alpha-3 code or an English name, `region` a name or a code; case and
    blanks around them don't matter. Raises UnknownPlace where CodeCarbon has no factor of its own,
    and UnreadableData.
    """
    found = _find(country, region)
    assert found.grams_per_kwh
    where = found.place.country_name if found.place.region is None else found.place
    source = f"CodeCarbon {_version()}: {where}, {found.origin}"
    return Intensity(grams_per_kwh=found.grams_per_kwh, source=source, year=found.year)


def place_of(country: str, region: str | None = None) -> Place:
    """The place of `intensity_of` as the data spells it. Raises the same errors."""
    return _find(country, region).place


def countries() -> tuple[Place, ...]:
    """The countries that have a factor, by code. Raises UnreadableData."""
    return tuple(each.place for each in _countries() if each.grams_per_kwh)


def regions(country: str) -> tuple[Place, ...]:
    """The regions of a country that have a factor: none for most. Raises as `intensity_of` does."""
    return tuple(each.place for each in _regions(_country(country).place) if each.grams_per_kwh)


@dataclass(frozen=True, kw_only=True)
class _Factor:
    """What the data says of one place."""

    place: Place
    names: frozenset[str]
    """What the place may be called, folded."""
    grams_per_kwh: float | None
    origin: str
    year: int


def _find(country: str, region: str | None) -> _Factor:
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
        f"{found.place} has no carbon intensity above zero in CodeCarbon {_version()}'s data of "
        f"{found.year}: {why}; give the factor itself, such as 300 gCO2e/kWh"
    )


def _country(text: str) -> _Factor:
    known = _countries()
    name = _fold(text)
    for factor in known:
        if name in factor.names:
            return factor
    average = _open(_PER_FUEL).number("world_average")
    hint = _cloud(name) or _two_letters(name) or _region_elsewhere(name, known)
    raise UnknownPlace(
        f"country {text!r} is not in CodeCarbon {_version()}'s data{hint}"
        f"{_listed('near', _near(name, known))}; CodeCarbon would take the world average of "
        f"{average:g} gCO2e/kWh without an error; "
        'write a code of three letters or an English name, "FRA" or "France"'
    )


def _region(country: _Factor, text: str) -> _Factor:
    place = country.place
    known = _regions(place)
    name = _fold(text)
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
        what = f"region {text!r} of {place} is not in CodeCarbon {_version()}'s data"
        example = (near or known)[0].place.region
        alone += f' or with a region, "{place.country}" "{example}"'
    else:
        what = f"region {text!r}: CodeCarbon {_version()} has no regions of {place}"
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


def _region_elsewhere(name: str, known: Iterable[_Factor]) -> str:
    """A hint where "California" was given as a country."""
    for country in known:
        for region in _regions(country.place):
            if name in region.names:
                return f': it is a region, "{country.place.country}" "{region.place.region}"'
    return ""


def _country_elsewhere(name: str) -> str:
    """A hint where "Puerto Rico" was given as a region."""
    for country in _countries():
        if name in country.names:
            return f': it is listed by itself, as "{country.place.country}"'
    return ""


def _near(name: str, known: Iterable[_Factor]) -> list[_Factor]:
    """Those with the same initials ("UK"), a similar name, or the name in theirs ("Korea")."""
    if _CLOUD.fullmatch(name):
        return []
    factors = {each: factor for factor in known for each in sorted(factor.names)}
    near = [each for each in factors if "".join(word[0] for word in each.split()) == name]
    near += difflib.get_close_matches(name, factors, n=5)
    near += [each for each in factors if len(name) > 3 and name in each]
    return list(dict.fromkeys(factors[each] for each in near))


def _listed(head: str, factors: Iterable[_Factor]) -> str:
    labels = ", ".join(each.place.label for each in factors)
    return f"; {head}: {labels}" if labels else ""


def _countries() -> list[_Factor]:
    found = []
    for code, entry in sorted(_open(_COUNTRIES).nodes()):
        name = entry.text("country_name")
        stated = entry.value.get("carbon_intensity") is not None
        found.append(
            _Factor(
                place=Place(country=code, country_name=name),
                names=_names(code, name),
                grams_per_kwh=entry.number("carbon_intensity") if stated else None,
                origin=_ORIGIN_OF_COUNTRIES,
                year=entry.year("year"),
            )
        )
    return found


def _regions(country: Place) -> list[_Factor]:
    match country.country:
        case "USA":
            return _american_states(country)
        case "CAN":
            return _canadian_provinces(country)
        case "CHN":
            return _chinese_provinces(country)
        case code:
            return _nordic_zones(country, _NORDIC_ZONES.get(code, ()))


def _american_states(country: Place) -> list[_Factor]:
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
            _Factor(
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


def _canadian_provinces(country: Place) -> list[_Factor]:
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
            _Factor(
                place=place,
                names=_names(name),
                grams_per_kwh=_clean(grams),
                origin=file,
                year=int(year),
            )
        )
    return found


def _chinese_provinces(country: Place) -> list[_Factor]:
    data = _open(_CHINA)
    found = []
    for code, entry in data.node("data").nodes():
        entry.expect("unit", "gCO2/kWh")
        found.append(
            _Factor(
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


def _nordic_zones(country: Place, zones: Iterable[str]) -> list[_Factor]:
    found = []
    for zone in zones:
        data = _open(_NORDIC)
        entry = data.node("data").node(zone)
        entry.expect("unit", "gCO2eq/kWh")
        about = entry.text("description")
        found.append(
            _Factor(
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
    return frozenset(map(_fold, names))


def _fold(text: str) -> str:
    return " ".join(text.split()).casefold()


def _title(name: str) -> str:
    """Some files have names in lower case."""
    return " ".join(word if word in {"of", "and"} else word.capitalize() for word in name.split())


def _first_clause(text: str) -> str:
    """A source's name without its details, which may take three lines."""
    return text.partition(", ")[0]


def _version() -> str:
    try:
        return importlib.metadata.version("codecarbon")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


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
    """One of CodeCarbon's data files. Raises UnreadableData."""
    try:
        value = json.loads(data_file("private_infra", name).read_text(encoding="utf-8"))
    except LookupError as error:
        raise UnreadableData(name, str(error)) from None
    except OSError as error:
        raise UnreadableData(name, f"can't be read ({error.strerror})") from None
    except ValueError as error:
        raise UnreadableData(name, f"is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise UnreadableData(name, "is not a JSON object")
    return _Node(name, value)
