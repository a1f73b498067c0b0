"""What a reader pastes from README.md runs."""

from __future__ import annotations

import re
from pathlib import Path

from conftest import EnergyPytester

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_the_first_test_runs_as_it_stands_and_is_measured(energy_pytester: EnergyPytester) -> None:
    block = re.search(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    assert block is not None
    energy_pytester.pytester.makepyfile(test_sentiment=block[1])
    energy_pytester.run("--strict-markers", "--energy-gpus=none").assert_outcomes(passed=1)
    test = energy_pytester.tests()["test_sentiment"]
    assert (test["unit"], test["budget"]["limit"]) == ("query", "1 J / 1000 queries")
    assert test["joules_per_unit"] > 0


def test_examples_join_paths_to_their_options() -> None:
    commands = "\n".join(
        re.findall(r"^```(?:sh|yaml)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    )
    assert "--energy-json=" in commands
    assert not re.search(r"--energy-(json|budgets|baselines|lock-folder) ", commands)
