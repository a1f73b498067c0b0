"""The published JSON Schema of the run record: true to the classes, and to records of runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from records import RECORD, TEST
from session_records import H100, measured, session
from typer.testing import CliRunner

from conftest import EnergyPytester
from pytest_energy.cli import app
from pytest_energy.record.merge import merge
from pytest_energy.record.plain import to_plain

PUBLISHED = Path(__file__).parents[2] / "docs" / "record.schema.json"


def validator() -> Draft202012Validator:
    schema = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_the_published_schema_is_the_one_that_the_command_prints() -> None:
    printed = CliRunner().invoke(app, ["schema"]).output
    assert printed == PUBLISHED.read_text(encoding="utf-8"), (
        "run: pytest-energy schema > docs/record.schema.json"
    )


def test_records_made_by_hand_and_merged_ones_are_valid() -> None:
    for record in (RECORD, merge([session(measured()), session(day=2, gpus=(H100,))])):
        validator().validate(to_plain(record))


def test_a_record_of_a_run_is_valid(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        @budget("1 kJ / query", labels={"a": 1}, max_increase="5 %")
        def test_it():
            spin(5)

        def test_compare(energy):
            energy.compare(lambda: spin(2), lambda: spin(2), max_increase="900 %")
        """
    )
    energy_pytester.run("--energy-carbon-intensity=300 gCO2e/kWh")
    record = energy_pytester.record()
    assert len(record["tests"]) == 2
    validator().validate(record)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"schema": 2}, ["schema"]),
        ({"tests": {}}, ["tests"]),
        ({"lost_tests": [1]}, ["lost_tests", 0]),
        ({"carbon": {"grams_per_kwh": "300"}}, ["carbon"]),
    ],
)
def test_what_is_no_record_is_refused(change: dict[str, Any], path: list[str | int]) -> None:
    (error, *_) = validator().iter_errors({**to_plain(RECORD), **change})
    assert list(error.absolute_path) == path


@pytest.mark.parametrize("missing", ["run", "machine", "carbon", "tests", "schema"])
def test_a_key_that_is_missing_is_refused(missing: str) -> None:
    plain = to_plain(RECORD)
    del plain[missing]
    assert not validator().is_valid(plain)


def test_an_interval_has_two_ends_and_keys_of_later_versions_are_allowed() -> None:
    plain = to_plain(replace(RECORD, tests=(TEST,)))
    plain["tests"][0]["later"] = plain["later"] = 1
    assert validator().is_valid(plain)
    plain["tests"][0]["interval"] = [1.0, 2.0, 3.0]
    assert not validator().is_valid(plain)
