"""Test files beside a file of budgets."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import EnergyPytester

GOOD = """\
schema = 1

[[budget]]
tests = "test_it.py::test_it"
max = "1 kJ / query"
"""
IT = "@budget\ndef test_it():\n    spin()\n"


class BudgetsPytester:
    """Test files beside a budgets file."""

    def __init__(self, inner: EnergyPytester) -> None:
        self.inner = inner
        self.path = inner.pytester.path / "energy-budgets.toml"

    def run(
        self, budgets: str, source: str = IT, *options: str, quick: bool = True
    ) -> pytest.RunResult:
        self.path.write_text(budgets, encoding="utf-8")
        self.inner.write(source)
        return self.inner.run(*options, quick=quick)

    def limits(self) -> list[tuple[str, str | None, str]]:
        """Test, origin of its limit, verdict; in order."""
        return [
            (
                each["id"].partition("::")[2],
                each["budget"] and each["budget"]["origin"].removeprefix("energy-budgets.toml:"),
                each["verdict"],
            )
            for each in self.inner.record()["tests"]
        ]

    def unused(self, result: pytest.RunResult) -> list[str]:
        """What the record holds of unused budgets, which the summary prints too."""
        reported = [str(each) for each in self.inner.record()["unused_budgets"]]
        printed = " ".join(result.stdout.str().split())  # lines are wrapped
        assert all(each in printed for each in reported)
        return [each.partition("no measured test matches: ")[2] for each in reported]

    def test(self) -> dict[str, Any]:
        (only,) = self.inner.record()["tests"]
        return dict(only)


@pytest.fixture
def budgets(energy_pytester: EnergyPytester) -> BudgetsPytester:
    return BudgetsPytester(energy_pytester)
