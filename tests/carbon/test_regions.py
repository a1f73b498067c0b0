"""Factors of places: CodeCarbon's own where it has one, else a refusal."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_energy.carbon.codecarbon_data import NoData, Place, UnreadableData
from pytest_energy.carbon.intensity import PHONE_CHARGE, Basis, Intensity, parse_intensity
from pytest_energy.carbon.regions import (
    UnknownPlace,
    countries,
    intensity_of,
    place_of,
    regions,
)
from pytest_energy.report.carbon import render_place

WORLD = 475.0
VERSION = version("codecarbon")

#: Where CodeCarbon takes the country's or the world's figure without an error, and what we say.
FALLBACKS: list[tuple[str, str | None, str]] = [
    ("FR", None, "FRA (France)"),
    ("DE", None, "DEU (Germany)"),
    ("UK", None, "GBR (United Kingdom)"),
    ("GB", None, "GBR (United Kingdom)"),
    ("US", None, "USA (United States)"),
    ("Frence", None, "FRA (France)"),
    ("Korea", None, "KOR (South Korea)"),
    ("Trinidad", None, "TTO (Trinidad and Tobago)"),
    ("XYZ", None, "write a code of three letters"),
    ("", None, "write a code of three letters"),
    ("quebec", None, '"CAN" "Quebec"'),
    ("SE3", None, '"SWE" "SE3"'),
    ("us-east-1", None, "a cloud's regions"),
    ("europe-west4", None, "a cloud's regions"),
    ("aws", None, "a cloud's regions"),
    ("USA", "us-east-1", "a cloud's regions"),
    ("USA", "us-gov-west-1", "a cloud's regions"),
    ("USA", "us-central1-a", "a cloud's regions"),
    ("USA", "eastus", "lists the 51"),
    ("USA", "calfornia", "California (CA)"),
    ("USA", "_source", "lists the 51"),
    ("USA", "_unit", "lists the 51"),
    ("USA", "puerto rico", 'by itself, as "PRI"'),
    ("USA", "", "lists the 51"),
    ("CAN", "qc", "Quebec"),
    ("CAN", "québec", "Quebec"),
    ("CAN", "canada", 'is all of Canada (CAN): write "CAN" alone'),
    ("CHN", "tibet", "lists the 30"),
    ("CHN", "hong kong", 'by itself, as "HKG"'),
    ("CHN", "beiging", "Beijing (CN-BJ)"),
    ("SWE", "SE9", "SE3"),
    ("SWE", "Stockholm", "SE1, SE2, SE3, SE4"),
    ("SWE", "NO1", "SE1"),
    ("NOR", "SE3", "NO1, NO2, NO3, NO4, NO5"),
    ("FIN", "finland", 'is all of Finland (FIN): write "FIN" alone'),
    ("DNK", "DK1", "no regions of Denmark"),
    ("FRA", "brittany", "no regions of France"),
    ("DEU", "bavaria", "no regions of Germany"),
    ("IND", "delhi", "no regions of India"),
]

#: Other spellings of regions that CodeCarbon itself reads.
SPELLINGS = [
    ("CHN", "Beijing Municipality"),
    ("CHN", "  Inner  Mongolia autonomous REGION "),
    ("CHN", "Neimenggu"),
    ("CHN", "Guangxi Zhuang Autonomous Region"),
    ("CHN", "sichuan sheng"),
    ("usa", "CALIFORNIA"),
    ("swe", "se3"),
]

#: Prints what CodeCarbon's data holds, and grams for 1 kWh at each of the places asked for.
ORACLE = """
import json, sys
from codecarbon.core import emissions
from codecarbon.core.units import Energy
from codecarbon.external.geography import CloudMetadata, GeoMetadata
from codecarbon.input import DataSource

data = DataSource()
oracle = emissions.Emissions(
    data,
    electricitymaps_api_token=None,
    co2_signal_api_token=None,
    force_carbon_intensity_g_co2e_kwh=None,
)

def grams(country, region):
    geo = GeoMetadata(
        country_iso_code=country,
        country_name=country,
        region=region,
        latitude=None,
        longitude=None,
        country_2letter_iso_code=None,
    )
    return 1000 * oracle.get_private_infra_emissions(Energy.from_energy(kWh=1.0), geo)

def cloud(provider, region):
    where = CloudMetadata(provider=provider, region=region)
    return 1000 * oracle.get_cloud_emissions(Energy.from_energy(kWh=1.0), where, geo=None)

china = data.get_china_provincial_emissions_data()["data"]
regions = {
    "USA": [name for name in data.get_country_emissions_data("usa") if name[0] != "_"],
    "CAN": list(data.get_country_energy_mix_data("can")),
    "CHN": [entry["names"][0] for entry in china.values()],
    **{code: list(zones) for code, zones in emissions._NORDIC_REGIONS_BY_COUNTRY.items()},
}
asked = json.load(sys.stdin)
countries = data.get_global_energy_mix_data()
json.dump({
    "countries": {code: grams(code, None) for code in countries},
    "regions": {code: {name: grams(code, name) for name in regions[code]} for code in regions},
    "asked": [grams(*place) for place in asked],
    "clouds": [cloud("aws", "us-east-1"), cloud("azure", "eastus")],
}, sys.stdout)
"""


@pytest.fixture(scope="module")
def oracle() -> dict[str, Any]:
    """What CodeCarbon computes for 1 kWh, in a process of its own."""
    asked = [[country, region] for country, region, _ in FALLBACKS]
    asked += [[country, region] for country, region in SPELLINGS]
    answer = subprocess.run(
        [sys.executable, "-c", ORACLE],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def test_every_country_has_codecarbons_factor(oracle: dict[str, Any]) -> None:
    theirs = oracle["countries"]
    assert {code for code, grams in theirs.items() if grams > 0} == {
        place.country for place in countries()
    }
    assert len(countries()) > 200
    for place in countries():
        for written in (place.country, place.country.lower(), f" {place.country_name.upper()} "):
            found = intensity_of(written)
            assert found.grams_per_kwh == pytest.approx(theirs[place.country], rel=1e-9)
            assert found.year and found.basis is Basis.LOCATION and found.pue == 1
            assert found.source == (
                f"CodeCarbon {VERSION}: {place.country_name}, Our World in Data"
            )


def test_every_region_has_codecarbons_factor(oracle: dict[str, Any]) -> None:
    seen = {code: regions(code) for code in oracle["countries"]}
    for code, theirs in oracle["regions"].items():
        theirs.pop("usa", None)  # the whole country
        assert {place.region.lower() for place in seen[code] if place.region} == {
            name.lower() for name in theirs
        }
        lower = {name.lower(): grams for name, grams in theirs.items()}
        for place in seen.pop(code):
            assert place.region
            for written in filter(None, (place.region, place.region.lower(), place.code)):
                found = intensity_of(code, written)
                grams = lower[place.region.lower()]
                assert found.grams_per_kwh == pytest.approx(grams, rel=1e-9)
                assert found.source.startswith(f"CodeCarbon {VERSION}: {place}, ")
                assert found.year and found.basis is Basis.LOCATION and found.pue == 1
                assert place_of(code, written) == place
    assert set(seen.values()) == {()}


def test_regions_have_codes_where_the_data_has() -> None:
    assert place_of("USA", "ca") == Place(
        country="USA", country_name="United States", region="California", code="CA"
    )
    assert place_of("CHN", "CN-NM") == Place(
        country="CHN", country_name="China", region="Inner Mongolia", code="CN-NM"
    )
    assert "Stockholm" in (place_of("SWE", "SE3").about or "")


@pytest.mark.parametrize(
    ("country", "region", "origin", "year"),
    [
        ("USA", "California", "EPA eGRID2023", 2023),
        ("CAN", "Quebec", "canada_energy_mix.json", 2023),
        ("SWE", "SE3", "ENTSO-E Transparency", 2025),
        ("NOR", "NO5", "ENTSO-E Transparency", 2025),
        ("FIN", "FI", "nordic_emissions.json", 2025),  # "prior value" in the file, no origin
    ],
)
def test_the_origin_is_taken_from_the_data(
    country: str, region: str, origin: str, year: int
) -> None:
    found = intensity_of(country, region)
    name = place_of(country).country_name
    assert found.source == f"CodeCarbon {VERSION}: {region}, {name}, {origin}"
    assert found.year == year


def test_chinese_factors_are_marked_as_co2_only() -> None:
    source = intensity_of("CHN", "Beijing").source
    assert "(MEE)" in source and source.endswith(", CO2 only")


def test_spellings_that_codecarbon_reads_are_read(oracle: dict[str, Any]) -> None:
    for (country, region), grams in zip(SPELLINGS, oracle["asked"][len(FALLBACKS) :], strict=True):
        assert intensity_of(country, region).grams_per_kwh == pytest.approx(grams, rel=1e-9)


def test_codecarbon_does_fall_back(oracle: dict[str, Any]) -> None:
    for (country, region, _), grams in zip(FALLBACKS, oracle["asked"], strict=False):
        expected = WORLD if region is None else oracle["countries"][country]
        assert grams == pytest.approx(expected), (country, region)
    assert oracle["clouds"] == [pytest.approx(WORLD)] * 2
    assert oracle["countries"]["CAF"] == 0


@pytest.mark.parametrize(("country", "region", "told"), FALLBACKS)
def test_refuses_where_codecarbon_falls_back(country: str, region: str | None, told: str) -> None:
    with pytest.raises(UnknownPlace) as caught:
        intensity_of(country, region)
    message = str(caught.value)
    assert repr(country if region is None else region) in message
    assert told in message
    if "is all of" in message:
        return
    assert "without an error" in message
    if region is None:
        assert "world average of 475 gCO2e/kWh" in message and '"FRA"' in message
    else:
        grams = intensity_of(country).grams_per_kwh
        assert f"the country's {grams} gCO2e/kWh" in message
        assert f'write "{country}" alone' in message
    with pytest.raises(UnknownPlace):
        place_of(country, region)


def test_the_whole_country_is_refused_as_a_region() -> None:
    """CodeCarbon has a second figure for the United States under the region "usa"."""
    with pytest.raises(UnknownPlace, match=r'is all of United States \(USA\): write "USA" alone'):
        intensity_of("USA", "usa")


def test_a_factor_of_zero_is_refused() -> None:
    with pytest.raises(UnknownPlace, match=r"Central African Republic \(CAF\).*no grams"):
        intensity_of("CAF")
    assert "CAF" not in {place.country for place in countries()}
    with pytest.raises(UnknownPlace, match="country 'CA'"):
        regions("CA")


@settings(deadline=None)  # it reads files
@given(st.text(), st.none() | st.text())
def test_any_text_is_a_place_or_unknown(country: str, region: str | None) -> None:
    for asked in (country, "USA", "CHN"):
        with contextlib.suppress(UnknownPlace):
            assert intensity_of(asked, region).grams_per_kwh > 0


def test_neither_codecarbon_nor_anything_heavy_is_imported() -> None:
    code = (
        "import sys; from pytest_energy.carbon.regions import intensity_of; "
        "intensity_of('USA', 'CA'); "
        "print([m for m in ('codecarbon', 'pandas', 'numpy', 'pynvml') if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def changed_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, Change | str | None], None]:
    """CodeCarbon's data with one file changed: by a function, to a text, or removed."""
    spec = importlib.util.find_spec("codecarbon")
    assert spec and spec.submodule_search_locations
    real = Path(spec.submodule_search_locations[0], "data", "private_infra")
    package = tmp_path / "codecarbon"
    for path in real.rglob("*.json"):
        copy = package / "data" / "private_infra" / path.relative_to(real)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "codecarbon", raising=False)

    def change(name: str, how: Change | str | None) -> None:
        path = package / "data" / "private_infra" / name
        if how is None:
            path.unlink()
        elif isinstance(how, str):
            path.write_text(how, encoding="utf-8")
        else:
            data = json.loads(path.read_text(encoding="utf-8"))
            how(data)
            path.write_text(json.dumps(data), encoding="utf-8")

    return change


COUNTRIES = "global_energy_mix.json"
USA = "2023/usa_emissions.json"
CANADA = "2023/canada_energy_mix.json"
CHINA = "2023/china_provincial_emissions.json"
NORDIC = "nordic_emissions.json"


@pytest.mark.parametrize(
    ("country", "region", "file", "how", "why"),
    [
        ("FRA", None, COUNTRIES, None, "can't be read (No such file or directory)"),
        ("FRA", None, COUNTRIES, "{", "is not JSON"),
        ("FRA", None, COUNTRIES, "[]", "is not a JSON object"),
        ("FRA", None, COUNTRIES, '{"FRA": 56}', "'FRA' is 56, expected an object"),
        ("FRA", None, COUNTRIES, lambda d: d["FRA"].pop("year"), "FRA: 'year' is missing"),
        ("FRA", None, COUNTRIES, lambda d: d["FRA"].pop("country_name"), "expected a text"),
        (
            "FRA",
            None,
            COUNTRIES,
            lambda d: d["FRA"].update(carbon_intensity="56"),
            "'carbon_intensity' is '56', expected a number",
        ),
        (
            "FRA",
            None,
            COUNTRIES,
            lambda d: d["FRA"].update(carbon_intensity=-1),
            "expected zero or more",
        ),
        (
            "FRA",
            None,
            COUNTRIES,
            lambda d: d["FRA"].update(carbon_intensity=float("nan")),
            "expected zero or more",
        ),
        (
            "USA",
            "texas",
            USA,
            lambda d: d["_unit"].update(emissions="kg/MWh"),
            "expected 'lbs/MWh'",
        ),
        ("USA", "texas", USA, lambda d: d.pop("_source"), "'_source' is missing"),
        ("USA", "texas", USA, lambda d: d["texas"].pop("emissions"), "'emissions' is missing"),
        ("CAN", "yukon", CANADA, lambda d: d["yukon"].pop("coal"), "'coal' is missing"),
        ("CAN", "yukon", CANADA, lambda d: d["yukon"].update(total=0), "'total' is 0"),
        ("CAN", "yukon", CANADA, None, "2023/canada_energy_mix.json: can't be read"),
        (
            "CHN",
            "hebei",
            CHINA,
            lambda d: d["data"]["CN-HE"].update(unit="kgCO2/kWh"),
            "expected 'gCO2/kWh'",
        ),
        ("CHN", "hebei", CHINA, lambda d: d["data"]["CN-HE"].update(names=1), "a list of texts"),
        ("SWE", "SE3", NORDIC, lambda d: d["data"].pop("SE3"), "'SE3' is missing"),
        ("SWE", "SE3", NORDIC, lambda d: d.pop("metadata"), "'metadata' is missing"),
    ],
)
def test_data_of_another_shape_is_refused_in_words(
    changed_data: Callable[[str, Change | str | None], None],
    country: str,
    region: str | None,
    file: str,
    how: Change | str | None,
    why: str,
) -> None:
    assert intensity_of(country, region)
    changed_data(file, how)
    with pytest.raises(UnreadableData) as caught:
        intensity_of(country, region)
    message = str(caught.value)
    assert message.startswith(f"CodeCarbon {VERSION}, {file}")
    assert why in message
    assert "codecarbon==3.3.2" in message and "300 gCO2e/kWh" in message


def test_a_country_with_only_an_energy_mix_is_refused_and_the_others_are_not(
    changed_data: Callable[[str, Change | str | None], None],
) -> None:
    changed_data(COUNTRIES, lambda data: data["FRA"].update(carbon_intensity=None))
    with pytest.raises(UnknownPlace, match=r"France \(FRA\).*energy mix, or .*world average"):
        intensity_of("FRA")
    assert intensity_of("DEU")
    assert "FRA" not in {place.country for place in countries()}


def test_a_region_without_a_factor_is_refused_and_not_listed(
    changed_data: Callable[[str, Change | str | None], None],
) -> None:
    changed_data(USA, lambda data: data["texas"].update(emissions=0))
    with pytest.raises(UnknownPlace, match="Texas, United States has no carbon intensity"):
        intensity_of("USA", "TX")
    assert len(regions("USA")) == 50


def test_a_missing_codecarbon_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    with pytest.raises(NoData, match=r'pip install "pytest-energy\[carbon\]", or give'):
        intensity_of("FRA")


@pytest.mark.parametrize("width", [10, 40, 80, 300])
@pytest.mark.parametrize(
    ("country", "region"),
    [("FRA", None), ("USA", None), ("USA", "CA"), ("CHN", "Beijing"), ("SWE", "SE3")],
)
def test_a_place_is_shown_with_factor_source_year_basis_and_regions(
    country: str, region: str | None, width: int
) -> None:
    place, intensity = place_of(country, region), intensity_of(country, region)
    text = render_place(place, intensity, regions(country), width)
    told, _, table = text.partition("[carbon]\n")
    flat = " ".join(told.split())
    assert flat.startswith(f"{place}: {intensity.factor} source: {intensity.source} year: ")
    assert f"year: {intensity.year} basis: location" in flat
    for each in regions(country):
        assert each.label in flat and (each.about or "") in flat
    assert ("has no regions" in flat) == (not regions(country))
    assert all(len(line) <= max(40, min(width, 80)) for line in told.splitlines())
    assert tomllib.loads(table) == {
        "intensity": intensity.factor,
        "source": intensity.source,
        "year": intensity.year,
        "basis": "location",
    }


def test_what_a_factor_means() -> None:
    text = render_place(
        Place(country="FRA", country_name="France"),
        Intensity(grams_per_kwh=50, source="test", year=2023),
        (),
        80,
    )
    flat = " ".join(text.split())
    charges = 1 / PHONE_CHARGE.kwh_each
    assert f"1 kWh ({charges:.1f} phone charges of 0.022 kWh) emits 50.0 gCO2e there" in flat
    assert '"1 gCO2e / 1000 queries" is judged as 20.0 Wh / 1000 queries' in flat
    assert "CodeCarbon has no regions of France." in flat


def test_the_table_keeps_what_the_intensity_has() -> None:
    intensity = Intensity(
        grams_per_kwh=1 / 3, source='a "quoted" \\ source', year=None, basis=Basis.MARKET, pue=1.2
    )
    text = render_place(Place(country="FRA", country_name="France"), intensity, (), 80)
    assert "year:   not given\nbasis:  market, the contracted electricity" in text
    table = tomllib.loads(text[text.index("[carbon]") :])["carbon"]
    assert parse_intensity(table.pop("intensity")) == intensity.grams_per_kwh
    assert table == {"source": intensity.source, "basis": "market", "pue": 1.2}
