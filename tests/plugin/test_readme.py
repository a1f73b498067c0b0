"""What a reader pastes from README.md and the recipes for CI runs."""

from __future__ import annotations

import re
from pathlib import Path

from typer.testing import CliRunner

from conftest import EnergyPytester
from pytest_energy.cli import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [README, *(each.read_text(encoding="utf-8") for each in (ROOT / "docs").glob("*.md"))]
RECIPES = [
    each.read_text(encoding="utf-8")
    for each in (ROOT / "docs" / "ci").iterdir()
    if each.name != "README.md"
]


def test_the_first_test_runs_as_it_stands_and_is_measured(energy_pytester: EnergyPytester) -> None:
    block = re.search(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    assert block is not None
    energy_pytester.pytester.makepyfile(test_sentiment=block[1])
    energy_pytester.run("--strict-markers", "--energy-gpus=none").assert_outcomes(passed=1)
    test = energy_pytester.tests()["test_sentiment"]
    assert (test["unit"], test["budget"]["limit"]) == ("query", "1 J / 1000 queries")
    assert test["joules_per_unit"] > 0


def test_examples_join_paths_to_their_options() -> None:
    """Behind a space pytest takes a path that exists for tests, and the root folder moves."""
    commands = "\n".join(
        block
        for page in PAGES
        for block in re.findall(r"^```(?:sh|yaml)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    )
    commands = "\n".join([commands, *RECIPES])
    assert "--energy-json=" in commands
    paths = "energy-json|energy-report|energy-budgets|energy-baselines|energy-lock-folder|junit-xml"
    assert re.findall(rf"pytest .*--(?:{paths}) .*", commands) == []


def test_recipes_use_options_that_exist(energy_pytester: EnergyPytester) -> None:
    known = "\n".join(
        [
            energy_pytester.pytester.runpytest("--help").stdout.str(),
            CliRunner().invoke(app, ["compare", "--help"]).stdout,
        ]
    )
    used = {each for recipe in RECIPES for each in re.findall(r"(?<= )--[a-z-]+", recipe)}
    others = {"--gpus", "--name", "--dir", "--to", "--jq", "--paginate", "--method", "--field"}
    others |= {"--context", "--no-verify"}  # of docker, GitHub's gh, pytest-energy report, git
    assert {each for each in used - others if each not in known} == set()
    assert "--energy-report" in used
