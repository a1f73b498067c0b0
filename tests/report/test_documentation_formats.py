"""Formats for documentation: bill of materials, carbon score, badges and the statement."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from jsonschema import validate
from records import NEW, RECORD, TEST, UNMEASURED
from session_records import ESTIMATE, H100, measured, session

from pytest_energy.carbon.intensity import Embodied, Intensity
from pytest_energy.record.merge import merge
from pytest_energy.record.schema import RunRecord, TestRecord, carbon_record
from pytest_energy.report.formats import format_named

FACTOR = Intensity(grams_per_kwh=412.3, source="a grid", year=2024, pue=1.37)
ONE = replace(RECORD, carbon=carbon_record(FACTOR), tests=(TEST,))
ESTIMATED = replace(
    ONE, tests=(replace(TEST, channels=(ESTIMATE,), method="estimated", scope="cpu"),)
)
CPU_TIME = replace(ONE, tests=(replace(ESTIMATED.tests[0], method="cpu-time"),))
HOSTILE = 'a "b" \' <g> & ]]> </svg> # \n\r\x00\u202e\ud800 {x} =1+1 |'
HOSTILE_TEST = replace(TEST, id=HOSTILE, name=HOSTILE, task=HOSTILE, model=HOSTILE, unit=HOSTILE)
RECORDS = {
    "several": RECORD,
    "hostile": replace(RECORD, run=replace(RECORD.run, end="?"), tests=(HOSTILE_TEST,)),
    "no test": replace(RECORD, tests=()),
    "unmeasured only": replace(RECORD, tests=(UNMEASURED,)),
    "no factor": replace(ONE, carbon=None),
    "estimated": ESTIMATED,
    "CPU time": CPU_TIME,
    "merged": merge([session(day=1), session(day=3, gpus=(H100,))]),
}
#: As published at https://shields.io/badges/endpoint-badge.
SHIELDS = {
    "type": "object",
    "required": ["schemaVersion", "label", "message"],
    "additionalProperties": False,
    "properties": {
        "schemaVersion": {"const": 1},
        "label": {"type": "string"},
        "message": {"type": "string", "minLength": 1},
        "color": {"type": "string", "pattern": "^#[0-9a-f]{6}$"},
    },
}


def rendered(record: RunRecord, name: str) -> str:
    return format_named(name)(record)


def loaded(record: RunRecord, name: str) -> Any:
    return json.loads(rendered(record, name))


def consumptions(record: RunRecord) -> list[Any]:
    return [
        each
        for component in loaded(record, "cyclonedx")["components"]
        for each in component["modelCard"]["considerations"]["environmentalConsiderations"][
            "energyConsumptions"
        ]
    ]


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_each_consumer_reads_its_format(record: RunRecord) -> None:
    text = rendered(record, "cyclonedx")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    validate(loaded(record, "shields"), SHIELDS)
    picture = ElementTree.fromstring(rendered(record, "badge"))
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"
    assert {each.tag.partition("}")[2] for each in picture.iter()} == {
        *("svg", "title", "rect", "g", "text")
    }
    assert rendered(record, "statement").count("\n") == 1
    assert loaded(record, "sci")["standard"] == "ISO/IEC 21031:2024"


def test_grams_over_joules_are_the_stated_factor_everywhere() -> None:
    (each,) = consumptions(ONE)
    kwh, tonnes = each["activityEnergyCost"]["value"], each["co2CostEquivalent"]["value"]
    assert kwh == pytest.approx(12.312 * 1000 / 3.6e6, rel=1e-12)
    assert tonnes * 1e6 / kwh == pytest.approx(412.3 * 1.37, rel=1e-12)
    assert (each["activityEnergyCost"]["unit"], each["co2CostEquivalent"]["unit"]) == (
        "kWh",
        "tCO2eq",
    )
    (provider,) = each["energyProviders"]
    assert provider["energyProvided"]["value"] == pytest.approx(kwh * 1.37, rel=1e-12)
    (score,) = loaded(ONE, "sci")["scores"]
    assert score["E_kwh"] == pytest.approx(12.312 * 1.37 / 3.6e6, rel=1e-12)
    assert score["operational_grams_co2e"] / score["E_kwh"] == pytest.approx(412.3, rel=1e-12)
    assert score["I_grams_co2e_per_kwh"] == 412.3
    # 12.312 J x 1000 / 3.6e6 x 412.3 x 1.37
    text = rendered(ONE, "statement")
    assert "used 12.3 J / query" in text
    assert "this is 1.93 gCO2e for 1,000 queries" in text
    assert "energy times 412.3 gCO2e/kWh x PUE 1.37 (a grid, 2024)" in text


def test_a_model_has_one_component_with_all_that_was_measured_of_it() -> None:
    (component,) = loaded(RECORD, "cyclonedx")["components"]
    assert component["name"] == "distilbert"
    assert component["modelCard"]["modelParameters"]["task"] == "text-classification"
    first, second = consumptions(RECORD)
    named = {each["name"]: each["value"] for each in first["properties"]}
    assert named["pytest-energy:units"] == "1000 queries"
    assert named["pytest-energy:evidence"] == "measured"
    assert {"name": "pytest-energy:units", "value": "1000 tokens"} in second["properties"]
    assert first["activity"] == "inference"


@pytest.mark.parametrize("record", [ESTIMATED, CPU_TIME])
def test_an_estimate_is_never_shown_as_a_measurement(record: RunRecord) -> None:
    (each,) = consumptions(record)
    assert {"name": "pytest-energy:evidence", "value": "estimated"} in each["properties"]
    (score,) = loaded(record, "sci")["scores"]
    assert score["E_evidence"] == "estimated"
    assert "E is estimated, not measured" in score["notes"]
    text = rendered(record, "statement")
    assert "estimated from CPU time and a pinned power per core, not measured" in text
    assert "measured with" not in text
    message = loaded(record, "shields")["message"]
    assert "estimated" in message or "cpu time" in message
    assert "measured" not in message
    several = replace(record, tests=(*record.tests, TEST))
    assert "(in part estimated)" in loaded(several, "shields")["message"]


def test_a_score_without_embodied_emissions_is_none() -> None:
    (score,) = loaded(ONE, "sci")["scores"]
    assert score["sci_grams_co2e"] is None
    assert score["M_grams_co2e"] is None
    assert score["notes"] == ["operational only, not SCI: the embodied emissions (M) are unknown"]
    market = replace(carbon_record(FACTOR), basis="market")
    (score,) = loaded(replace(ONE, carbon=market), "sci")["scores"]
    assert any("market-based" in each for each in score["notes"])


def test_a_score_adds_the_embodied_emissions_that_are_stated_for_its_unit() -> None:
    stated = (Embodied("token", 9.0, "x.toml:4"), Embodied("query", 0.0002, "x.toml:5"))
    carbon = replace(carbon_record(FACTOR), embodied=stated)
    (score,) = loaded(replace(ONE, carbon=carbon), "sci")["scores"]
    assert (score["M_grams_co2e"], score["M_source"], score["notes"]) == (0.0002, "x.toml:5", [])
    whole = score["E_kwh"] * score["I_grams_co2e_per_kwh"] + score["M_grams_co2e"]
    assert score["sci_grams_co2e"] == pytest.approx(whole / score["R"], rel=1e-12)
    for other in (
        replace(carbon, embodied=stated[:1]),  # of another unit
        replace(carbon, basis="market"),
    ):
        (score,) = loaded(replace(ONE, carbon=other), "sci")["scores"]
        assert score["sci_grams_co2e"] is None
        assert any("not SCI" in each for each in score["notes"])
    image = replace(ONE, carbon=carbon, tests=(replace(TEST, method="estimated"),))
    assert loaded(image, "sci")["scores"][0]["notes"] == ["E is estimated, not measured"]


def test_without_a_carbon_factor_no_emissions_are_named() -> None:
    record = RECORDS["no factor"]
    (each,) = consumptions(record)
    assert "co2CostEquivalent" not in each
    (score,) = loaded(record, "sci")["scores"]
    assert score["operational_grams_co2e"] is None
    assert "Emissions are not stated where no carbon factor was set." in rendered(
        record, "statement"
    )


def badge(*verdicts: str) -> tuple[str, str]:
    tests = tuple(replace(TEST, id=f"t{n}", verdict=each) for n, each in enumerate(verdicts))
    found = loaded(replace(RECORD, tests=tests), "shields")
    return found["message"], found["color"]


def test_a_badge_is_green_only_where_all_that_was_compared_has_passed() -> None:
    green, red, grey = "#2f7d32", "#b3261e", "#616161"
    assert badge("pass") == ("12.3 J / query, measured, pass", green)
    assert badge("pass", "pass", "no-budget") == ("1 no-budget, 2 pass", green)
    assert badge("pass", "fail") == ("1 fail, 1 pass", red)
    assert badge("pass", "unmeasured") == ("1 unmeasured, 1 pass", red)
    assert badge("pass", "close")[1] not in (green, red, grey)
    assert badge("no-budget", "no-budget") == ("2 no-budget", grey)
    assert badge() == ("nothing measured", grey)


@pytest.mark.parametrize("verdicts", [(), ("pass",), ("close",), ("fail",)])
def test_a_badge_can_be_read_and_heard(verdicts: tuple[str, ...]) -> None:
    message, colour = badge(*verdicts)
    tests = tuple(replace(TEST, verdict=each) for each in verdicts)
    text = rendered(replace(RECORD, tests=tests), "badge")
    assert f"<title>energy: {message}</title>" in text
    assert colour in text
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    luminance = sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    assert 1.05 / (luminance + 0.05) >= 4.5


def test_the_statement_holds_method_provenance_and_what_is_missing() -> None:
    text = rendered(replace(RECORD, tests=(TEST, UNMEASURED, NEW)), "statement")
    for words in (
        "distilbert (text-classification) used 12.3 J / query, interval 12.1 to 12.6 J",
        "measured with a hardware energy counter (gpu:0: NVML energy counter of A100)",
        "on A100 x1 @ 400 W",
        "over 10 queries in 1 round",
        "it leaves out training, embodied emissions",
        "Not measured: tests/test_models.py::test_mps.",
    ):
        assert words in text, words
    close = replace(TEST, joules_per_unit=1.02, interval=(0.907, 1.15))
    text = rendered(replace(RECORD, tests=(close,)), "statement")
    assert "used 1.02 J / query, interval 0.907 to 1.15 J" in text
    assert rendered(replace(RECORD, tests=()), "statement") == (
        "No energy of inference is known: pytest-energy measured nothing on 2026-11-22.\n"
    )
    both = merge([session(measured(), day=1), session(measured(), day=3)])
    assert "determined by pytest-energy on 2026-11-01 to 2026-11-03." in rendered(both, "statement")


def many(number: int, test: TestRecord = TEST) -> tuple[TestRecord, ...]:
    return tuple(
        replace(test, id=f"t.py::test_{n}", model=f"model-{n}", joules_per_unit=10.0 + n)
        for n in range(number)
    )


def test_a_statement_of_many_figures_is_one_paragraph_with_ranges_and_sums() -> None:
    text = rendered(
        replace(RECORD, tests=(*many(500), *many(300, ESTIMATED.tests[0]))), "statement"
    )
    assert len(text) < 3000 and text.count("\n") == 1
    # 500 figures from 10 to 509 J, over 10 queries each
    assert "model-0, model-1, model-2 and 497 more models (text-classification) used" in text
    assert "used 10.0 to 509 J / query (median 260 J of 500 figures), measured with" in text
    assert "over 5,000 queries in 500 rounds of t.py::test_0" in text
    assert "1.30 MJ in all; this is 0.833 to 42.4 gCO2e for 1,000 queries." in text
    assert "used 10.0 to 309 J / query (median 160 J of 300 figures), estimated from" in text
    assert text.endswith("is in the run record of session 7d0b.\n")


def test_a_statement_keeps_figures_apart_and_counts_those_that_it_leaves_out() -> None:
    tests = [replace(each, unit=f"unit-{n}") for n, each in enumerate(many(9))]
    text = rendered(replace(RECORD, tests=(*tests, *many(20))), "statement")
    assert text.count(" used ") == 5
    assert text.index("of 20 figures") < text.index("unit-0")  # as many as it can
    assert "5 more figures could not be put together with these." in text
    several = rendered(replace(RECORD, tests=(*many(3), *many(3))), "statement")
    assert several.count(" used ") == 3
    assert "run record" not in several
