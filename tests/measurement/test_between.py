"""Between rounds a long measurement says how it will likely end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from conftest import EnergyPytester
from pytest_energy.limits.budget import Budget, Scope
from pytest_energy.limits.limit import parse_limit
from pytest_energy.measurement.candidates import CandidatesJudge
from pytest_energy.measurement.coverage import Coverage
from pytest_energy.measurement.judgement import BudgetJudge, Judgement
from pytest_energy.measurement.meter import Window
from pytest_energy.measurement.protocol import Round
from pytest_energy.sensors.base import Channel, Kind, Provenance

CHANNEL = Channel(
    name="gpu:0",
    kind=Kind.GPU,
    source="counter",
    provenance=Provenance.MEASURED,
    update_seconds=0.1,
    window_seconds=1.0,
)
NOISY = [0.8, 1.3, 0.85, 1.25, 0.9, 1.2]


def rounds(joules: Sequence[float]) -> list[Round]:
    return [
        Round(
            Window(seconds=1.0, readings={"gpu:0": each}, cpu_seconds=0.5),
            1,
            {"query": 1.0},
            warmup=False,
        )
        for each in joules
    ]


def judge_of(limit: str | None) -> BudgetJudge:
    parsed = None if limit is None else parse_limit(limit)
    return BudgetJudge(
        (
            Judgement(
                budget=Budget(limit=parsed),
                unit="query",
                coverage=Coverage(scope=Scope.GPU, gated=(CHANNEL,), shown=(), method="measured"),
                limit=None if parsed is None else parsed.base_per_unit,
            ),
        )
    )


def test_a_judge_foresees_what_its_rounds_will_not_show() -> None:
    for limit, is_open in (("1 J / query", True), ("0.3 J / query", False), (None, False)):
        judge = judge_of(limit)
        assert judge.undetectable(20) is None
        judge.is_done(rounds(NOISY), final=False)
        assert (judge.undetectable(20) is not None) == is_open


def test_a_comparison_foresees_it_until_it_is_decided() -> None:
    judge = CandidatesJudge(("old", "new"), (judge_of(None), judge_of(None)), 0.03)
    assert not judge.is_done([[], []], final=False)
    assert judge.undetectable(20) is None
    assert not judge.is_done([rounds(NOISY), rounds([1.0] * 6)], final=False)
    assert judge.undetectable(20) is not None
    assert judge.is_done([rounds(NOISY), rounds([1.0] * 6)], final=True)
    assert judge.undetectable(20) is None


@dataclass
class Outlooks:
    """Takes the place of the line on a terminal."""

    found: list[str] = field(default_factory=list)

    def __call__(self, rounds: Sequence[Round], outlook: Callable[[int], str]) -> None:
        self.found.append(outlook(20))

    def clear(self) -> None:
        pass


@pytest.mark.parametrize(
    ("judge", "call"),
    [("BudgetJudge", "measure(spin)"), ("CandidatesJudge", "compare(spin, spin)")],
)
def test_the_line_on_a_terminal_has_it_after_warm_up(
    energy_pytester: EnergyPytester, monkeypatch: pytest.MonkeyPatch, judge: str, call: str
) -> None:
    line = Outlooks()
    monkeypatch.setattr("pytest_energy.plugin.instruments.ProgressLine", lambda *_: line)
    where = "judgement" if judge == "BudgetJudge" else "candidates"
    patched = f"pytest_energy.measurement.{where}.{judge}.undetectable"
    monkeypatch.setattr(patched, lambda self, rounds: 0.089)
    energy_pytester.write(f"@budget\ndef test_it(energy):\n    energy.{call}\n")
    energy_pytester.run()
    assert line.found[0] == ""
    said = "likely inconclusive, less than 8.9 % is not detectable; try a quieter machine or "
    assert line.found[-1].startswith(said)
    assert line.found[-1].endswith("energy.compare or a limit in FLOPs")
