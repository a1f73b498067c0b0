"""The command `pytest-energy`, beside what it prints of records (test_report) and doctor."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pytest_energy.cli import app
from pytest_energy.record import write
from records import NEW, RECORD


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "80"})


def test_carbon_prints_factor_source_year_and_the_lines_to_paste() -> None:
    result = run("carbon", "france")
    assert result.exit_code == 0
    assert result.output.startswith("France (FRA): 56.039 gCO2e/kWh\n")
    assert "Our World in Data" in result.output
    assert "\n".join(["[carbon]", 'intensity = "56.039 gCO2e/kWh"']) in result.output
    assert "year = 2023" in result.output


def test_carbon_refuses_a_place_that_it_does_not_know() -> None:
    result = run("carbon", "Frankreich")
    assert result.exit_code == 2
    assert "pytest-energy carbon: " in result.stderr
    result = run("carbon", "USA", "us-east-1")
    assert result.exit_code == 2


def test_check_validates_the_file_alone(folder: Path) -> None:
    path = folder / "energy-budgets.toml"
    assert run("budgets", "check").exit_code == 4
    path.write_text('schema = 1\n[[budget]]\nid = "a"\nmax = "1 J / query"\n', encoding="utf-8")
    result = run("budgets", "check")
    assert (result.exit_code, result.output) == (0, "energy-budgets.toml: 1 budget, 1 limit\n")
    path.write_text('schema = 1\n[[budget]]\nid = ""\nmaxi = 1\n', encoding="utf-8")
    result = run("budgets", "check", "--file", "energy-budgets.toml")
    assert result.exit_code == 4
    assert "energy-budgets.toml:3: " in result.stderr
    assert "energy-budgets.toml:4: " in result.stderr


def test_suggest_writes_limits_that_check_accepts(folder: Path) -> None:
    path = folder / "energy-budgets.toml"
    path.write_text("# ours\nschema = 1  # keep me\n", encoding="utf-8")
    write(replace(RECORD, tests=(replace(NEW, attempt=1),)), folder / "energy.json")
    result = run("budgets", "suggest", "energy.json")
    assert result.exit_code == 0, result.output
    assert "energy-budgets.toml: 1 budget written" in result.output
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# ours\nschema = 1  # keep me\n")
    assert f'tests = "{NEW.id}"' in text
    assert run("budgets", "check").output == "energy-budgets.toml: 1 budget, 1 limit\n"
    assert "0 budgets written" in run("budgets", "suggest", "energy.json").output
    assert path.read_text(encoding="utf-8") == text


def test_suggest_makes_the_file_where_there_is_none(folder: Path) -> None:
    write(replace(RECORD, tests=(replace(NEW, attempt=1),)), folder / "energy.json")
    assert run("budgets", "suggest", "energy.json", "--file", "limits.toml").exit_code == 0
    assert run("budgets", "check", "--file", "limits.toml").exit_code == 0


def test_suggest_leaves_a_broken_file_or_record_alone(folder: Path) -> None:
    path = folder / "energy-budgets.toml"
    path.write_text("schema = 2\n", encoding="utf-8")
    (folder / "energy.json").write_text(json.dumps({"schema": 9}), encoding="utf-8")
    result = run("budgets", "suggest", "energy.json")
    assert result.exit_code == 2
    assert "newer" in result.stderr
    path.unlink()
    result = run("budgets", "suggest", "energy.json")
    assert result.exit_code == 2
    assert "schema 9" in result.stderr
    assert not path.exists()


def test_every_command_has_help() -> None:
    commands = (["doctor"], ["show"], ["carbon"], ["compare"])
    for command in (*commands, ["budgets", "check"], ["budgets", "suggest"]):
        result = run(*command, "--help")
        assert result.exit_code == 0
        assert command[-1] in result.output
