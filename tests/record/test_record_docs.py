"""docs/record.md lists each key of the run record, and no other."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from conftest import EnergyPytester
from pytest_energy.record import schema

PAGE = (Path(__file__).parents[2] / "docs" / "record.md").read_text(encoding="utf-8")


def documented() -> dict[str, set[str]]:
    """The keys in the table of each heading."""
    found = {}
    for part in PAGE.split("\n## ")[1:]:
        heading, _, text = part.partition("\n")
        cells = re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE)
        found[heading] = {key for cell in cells for key in re.findall(r"`(\w+)`", cell)}
    return found


@pytest.mark.parametrize(("name", "keys"), documented().items())
def test_each_object_has_the_documented_keys(name: str, keys: set[str]) -> None:
    assert keys == {each.name for each in fields(getattr(schema, name))}


def test_each_object_is_documented() -> None:
    found, parts = set(), {schema.RunRecord}
    while parts:
        found |= parts
        hints = [hint for each in parts for hint in get_type_hints(each).values()]
        parts = {each for hint in hints for each in classes_in(hint)} - found
    assert set(documented()) == {each.__name__ for each in found}


def classes_in(hint: Any) -> set[Any]:
    """The dataclasses in an annotation such as `tuple[Finding, ...] | None`."""
    if is_dataclass(hint):
        return {hint}
    return {each for part in get_args(hint) for each in classes_in(part)}


def test_a_real_record_has_the_documented_keys(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write("@budget('1 kJ / query')\ndef test_it():\n    spin(5)\n")
    energy_pytester.run()
    record = energy_pytester.record()
    keys = documented()
    (test,) = record["tests"]
    assert set(record) == keys["RunRecord"]
    assert set(record["machine"]) == keys["MachineRecord"]
    assert set(test) == keys["TestRecord"]
    assert set(test["rounds"][0]) == keys["RoundRecord"]
    assert set(test["channels"][0]) == keys["ChannelRecord"]
    assert set(test["findings"][0]) == keys["Finding"]
