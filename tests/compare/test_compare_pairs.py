"""Pairs of processes are interleaved A B B A until they decide, on a virtual clock."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from compared_records import RULE, measured, noisy, run_of

from pytest_energy.compare.judgement import Pair, Rule
from pytest_energy.compare.processes import run_pairs
from pytest_energy.compare.question import Plan
from pytest_energy.record.schema import RunRecord
from pytest_energy.report.progress import Step
from pytest_energy.testing import VirtualTime


class Interleaved:
    """Processes that take ten virtual seconds each, and whose order is recorded."""

    def __init__(self, ratio_of: Callable[[int], float]) -> None:
        self.time = VirtualTime()
        self.order = ""
        self.steps: list[Step] = []
        self._ratio_of = ratio_of

    def run(self, plan: Plan, in_turns: Callable[[int], Pair | None] | None = None) -> list[Pair]:
        runs = (lambda: self._run("A", 1.0), lambda: self._run("B", self._ratio))
        return run_pairs(runs, plan, self.time.clock.now, self.steps.append, in_turns)

    @property
    def _ratio(self) -> float:
        return self._ratio_of(self.order.count("B"))

    def _run(self, name: str, ratio: float) -> RunRecord:
        self.order += name
        self.time.pass_by(10.0)
        return run_of(measured(2.0 * ratio))


def plan_of(max_pairs: int = 20, seconds: float = math.inf, rule: Rule = RULE) -> Plan:
    return Plan(arguments=(), folder=Path(), rule=rule, max_pairs=max_pairs, max_seconds=seconds)


def test_processes_are_interleaved_a_b_b_a() -> None:
    processes = Interleaved(noisy)
    assert len(processes.run(plan_of(max_pairs=5, rule=Rule(0.03, ())))) == 5
    assert processes.order == "ABBAABBAAB"


def test_pairs_in_turns_as_long_as_they_can_be_had() -> None:
    processes = Interleaved(noisy)
    firsts: list[int] = []

    def in_turns(first: int) -> Pair | None:
        firsts.append(first)
        return Pair(run_of(measured(2.0)), run_of(measured(2.0)), True) if first == 0 else None

    plan = plan_of(max_pairs=4, rule=Rule(0.03, ()))
    pairs = processes.run(plan, in_turns)
    assert firsts == [0, 1, 0, 1]
    assert [each.in_turns for each in pairs] == [True, False, True, False]
    assert processes.order == "BABA"
    assert processes.steps[:3] == [
        Step("pair 1 of 4, in turns", 0, 8),
        Step("pair 2 of 4, in turns", 2, 8),
        Step("pair 2 of 4, candidate", 2, 8),
    ]


def test_five_pairs_are_enough_where_they_decide() -> None:
    processes = Interleaved(lambda i: 1.0)
    assert len(processes.run(plan_of())) == 5
    processes = Interleaved(lambda i: noisy(i) * 3)
    assert len(processes.run(plan_of())) == 8  # far over, whatever the noise
    assert len(Interleaved(noisy).run(plan_of())) == 20


def test_nothing_in_common_ends_after_one_pair() -> None:
    def other() -> RunRecord:
        return run_of(measured(2.0, id="test_it.py::test_other"))

    runs = (lambda: run_of(measured(2.0)), other)
    pairs = run_pairs(runs, plan_of(), VirtualTime().clock.now, lambda _: None)
    assert len(pairs) == 1


@pytest.mark.parametrize(("seconds", "pairs"), [(1, 3), (79, 3), (81, 4), (139, 6), (1e6, 20)])
def test_time_ends_it_before_a_pair_that_would_take_too_long(seconds: float, pairs: int) -> None:
    processes = Interleaved(noisy)
    assert len(processes.run(plan_of(seconds=seconds))) == pairs
    assert pairs in (3, 20) or processes.time.seconds - 100.0 <= seconds


def test_each_step_names_its_pair_and_the_processes_to_the_next_look() -> None:
    processes = Interleaved(noisy)
    processes.run(plan_of())
    assert processes.steps[:4] == [
        Step("pair 1 of 5, reference", 0, 10),
        Step("pair 1 of 5, candidate", 1, 10),
        Step("pair 2 of 5, candidate", 2, 10),
        Step("pair 2 of 5, reference", 3, 10),
    ]
    assert [processes.steps[2 * n].total for n in (4, 5, 19)] == [10, 16, 40]
