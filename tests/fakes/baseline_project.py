"""A user's project with a folder of baselines."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conftest import EnergyPytester

#: Time for five rounds of CPU time.
FIVE = ("--energy-max-rounds=5", "--energy-max-seconds=20", "--energy-gpus=none")
IT = "@budget{marker}\ndef test_it():\n    spin({milliseconds})\n"


class BaselineProject:
    """A user's baseline_project with a folder of baselines, on no CI and without CPU contention."""

    def __init__(self, bench: EnergyPytester, measured: dict[str, str]) -> None:
        self.bench = bench
        self.folder = bench.pytester.path / "energy-baselines"
        self._measured = measured

    def run(self, *options: str) -> pytest.RunResult:
        return self.bench.run(*FIVE, *options, quick=False)

    def quick(self, milliseconds: int = 2, *options: str, marker: str = "") -> pytest.RunResult:
        """The same with a single round, which is compared with nothing."""
        self.bench.write(IT.format(marker=marker, milliseconds=milliseconds))
        return self.bench.run("--energy-gpus=none", *options)

    def it(self, milliseconds: int = 2, *options: str, marker: str = "") -> pytest.RunResult:
        """A run of one test whose work takes this much CPU time."""
        self.bench.write(IT.format(marker=marker, milliseconds=milliseconds))
        return self.run(*options)

    def with_baseline(self) -> None:
        """What `it(2, "--energy-update=new")` stores, which is measured once for all tests."""
        if self._measured:
            self.folder.mkdir()
            for name, text in self._measured.items():
                (self.folder / name).write_text(text, encoding="utf-8")
        else:
            self.it(2, "--energy-update=new")
            paths = self.folder.iterdir()
            self._measured |= {each.name: each.read_text(encoding="utf-8") for each in paths}

    def stored(self) -> list[dict[str, Any]]:
        return [json.loads(each) for each in self.text().splitlines()]

    def text(self) -> str:
        paths = self.folder.glob("*") if self.folder.exists() else ()
        return "".join(each.read_text(encoding="utf-8") for each in sorted(paths))

    def to_yesterday(self) -> None:
        """As if the sessions had been measured a day earlier."""
        for path in self.folder.iterdir():
            text = path.read_text(encoding="utf-8")
            for each in self.stored():
                day = each["start"][:10]
                text = text.replace(f'"start": "{day}', '"start": "2020-01-01')
            path.write_text(text, encoding="utf-8")

    def test(self, name: str = "test_it") -> dict[str, Any]:
        return self.bench.tests()[name]


def output(result: pytest.RunResult) -> str:
    """The output without its line ends, which depend on the width."""
    return " ".join(each.strip() for each in result.stdout.lines)


@pytest.fixture(scope="session")
def measured_baselines() -> dict[str, str]:
    """Files of baselines, by name."""
    return {}


@pytest.fixture
def baseline_project(
    energy_pytester: EnergyPytester,
    measured_baselines: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    no_contention: None,
) -> BaselineProject:
    monkeypatch.delenv("CI", raising=False)
    return BaselineProject(energy_pytester, measured_baselines)
