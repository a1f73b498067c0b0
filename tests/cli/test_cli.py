"""The command `pytest-energy`, beside what it prints of records (test_report) and doctor."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from records import NEW, RECORD, budget_record
from session_records import H100, ID, measured, session
from typer.testing import CliRunner, Result

from pytest_energy.cli import app
from pytest_energy.record.file import write


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


def test_tighten_lowers_limits_in_place(folder: Path) -> None:
    path = folder / "energy-budgets.toml"
    text = f'schema = 1\n[[budget]]  # ours\ntests = "{ID}"\nmax = "4 Wh / 1k queries" # was 5\n'
    path.write_text(text, encoding="utf-8")
    budget = budget_record("4 Wh / 1k queries", origin="energy-budgets.toml:4")
    write(session(measured(budget=budget, limit_joules_per_unit=14.4)), folder / "a.json")
    result = run("budgets", "tighten", "a.json")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == [
        'energy-budgets.toml:4: max: "4 Wh / 1k queries" -> "2.31 Wh / 1k queries" '
        f"(2.10 in 1 session of {ID}, 10 % headroom)",
        "energy-budgets.toml: 1 limit lowered",
    ]
    assert path.read_text(encoding="utf-8") == text.replace('"4 Wh', '"2.31 Wh')
    path.write_text(text, encoding="utf-8")
    assert "holds no baselines" in run("budgets", "tighten").stderr
    run("baseline", "update", "a.json")
    assert "1 limit lowered" in run("budgets", "tighten").output
    assert path.read_text(encoding="utf-8") == text.replace('"4 Wh', '"2.31 Wh')
    assert "0 limits lowered" in run("budgets", "tighten").output
    assert run("budgets", "tighten", "--file", "none.toml").exit_code == 2


def sessions(folder: Path, *days: int) -> list[str]:
    names = [f"energy-{day}.json" for day in days]
    for day, name in zip(days, names, strict=True):
        write(session(day=day), folder / name)
    return names


def test_baselines_are_made_listed_and_dropped(folder: Path) -> None:
    result = run("baseline", "update", *sessions(folder, 1, 2))
    assert result.exit_code == 0, result.output
    path = Path("energy-baselines/nvidia-a100-x1-400w.jsonl")
    assert result.output.splitlines() == [
        f"{ID}: none -> 7.56 J / query (2 sessions; NVIDIA A100 x1 @ 400 W)",
        f"written: {path}",
    ]
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") == 2
    again = run("baseline", "update", *sessions(folder, 3))
    assert again.output.splitlines()[-1] == "nothing written"
    assert path.read_text(encoding="utf-8") == text
    run("baseline", "update", *sessions(folder, 3), "--mode", "add")
    assert path.read_text(encoding="utf-8").count("\n") == 3
    listed = run("baseline", "list").output
    assert listed.startswith("NVIDIA A100 x1 @ 400 W\n")
    assert "mean, J/unit" in listed
    assert " 3 2026-11-03 7.56 " in " ".join(listed.split())
    assert ID in listed.replace("\n", "").replace(" ", "")
    result = run("baseline", "update", *sessions(folder, 4), "--mode=reset")
    assert "3 -> 1 session" in result.output
    assert run("baseline", "drop", "tests/*").output.startswith(f"dropped {ID}: 1 session, 7.56 J")
    assert not path.exists()
    assert "no baselines" in run("baseline", "list").output


def test_a_list_of_baselines_fits_eighty_columns(folder: Path) -> None:
    tests = [measured(id=f"tests/integration/test_models.py::test_{'long_' * 12}{n}") for n in "ab"]
    write(session(*tests, gpus=(H100,)), folder / "a.json")
    write(session(measured(method="cpu-time", unit="token"), day=2), folder / "b.json")
    run("baseline", "update", "a.json", "b.json")
    lines = run("baseline", "list").output.splitlines()
    assert max(map(len, lines)) <= 80
    assert any("cpu-ms" in each for each in lines)
    assert sum("2026-11-0" in each for each in lines) == 3


def test_sessions_that_are_stored_at_once_all_stay(folder: Path) -> None:
    command = [sys.executable, "-m", "pytest_energy.cli", "baseline", "update", "--mode", "add"]
    started = [subprocess.Popen([*command, name]) for name in sessions(folder, *range(1, 9))]
    assert [each.wait(timeout=60) for each in started] == [0] * 8
    (path,) = (folder / "energy-baselines").iterdir()
    assert path.read_text(encoding="utf-8").count("\n") == 8


def test_baselines_of_another_folder(folder: Path) -> None:
    run("baseline", "update", *sessions(folder, 1), "--folder", "ours/gpu")
    assert [each.name for each in (folder / "ours/gpu").iterdir()] == ["nvidia-a100-x1-400w.jsonl"]
    assert ID in run("baseline", "list", "--folder", "ours/gpu").output.replace("\n", "")


def test_a_session_that_baselines_refuse_is_reported(folder: Path) -> None:
    names = sessions(folder, 1)
    assert "--mode 'all' is not known; choose from new, add, reset" in (
        run("baseline", "update", *names, "--mode", "all").stderr
    )
    result = run("baseline", "drop", "nothing")
    assert result.exit_code == 2
    assert "'nothing' is no test with a baseline" in result.stderr
    (folder / "energy-baselines").mkdir()
    (folder / "energy-baselines" / "x.jsonl").write_text("{}\n", encoding="utf-8")
    for command in (["update", *names], ["list"], ["drop", "a"]):
        result = run("baseline", *command)
        assert result.exit_code == 2
        assert "energy-baselines/x.jsonl:1: schema None is not 1" in result.stderr
    assert run("baseline", "update", "no.json").exit_code == 2


def test_every_command_has_help() -> None:
    for command in (
        ["doctor"],
        ["show"],
        ["carbon"],
        ["compare"],
        ["budgets", "check"],
        ["budgets", "suggest"],
        ["budgets", "tighten"],
        ["baseline", "update"],
        ["baseline", "list"],
        ["baseline", "drop"],
    ):
        result = run(*command, "--help")
        assert result.exit_code == 0
        assert command[-1] in result.output


@pytest.mark.parametrize("group", [[], ["budgets"], ["baseline"], ["study"]])
def test_each_command_has_a_summary_that_fits_80_columns(group: list[str]) -> None:
    result = CliRunner().invoke(app, [*group, "--help"], env={"COLUMNS": "80"})
    usage, *lines = result.output.splitlines()
    assert usage.startswith("Usage: ")
    assert not any("..." in line or len(line) > 80 for line in lines), result.output


def test_help_wraps_its_paragraphs_and_keeps_the_lines_of_examples() -> None:
    result = CliRunner().invoke(app, ["compare", "--help"], env={"COLUMNS": "60"})
    assert (
        "\n  pytest-energy compare old.json new.json\n  pytest-energy compare --var"
        in result.output
    )
    result = CliRunner().invoke(app, ["doctor", "--help"], env={"COLUMNS": "60"})
    paragraph = result.output.split("\n\n")[2].splitlines()
    assert all(len(line) > 40 for line in paragraph[:-1]), paragraph


def test_the_version_is_printed() -> None:
    assert run("--version").output.startswith("pytest-energy 0.")


@pytest.mark.parametrize(
    "command", [[], ["show"], ["budgets"], ["budgets", "tighten"], ["study"], ["study", "run"]]
)
def test_each_command_has_a_short_option_for_its_help(command: list[str]) -> None:
    result = run(*command, "-h")
    assert result.exit_code == 0
    assert (
        " ".join(["Usage: ", *command]).split()
        == [word for word in result.output.split() if word in ("Usage:", *command)][
            : len(command) + 1
        ]
    )
