"""Pairs of processes are interleaved A B B A until they decide, on a virtual clock."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from compared_records import RULE, measured, noisy, run_of

from pytest_energy.compare.pairs import Pair, Rule
from pytest_energy.compare.turns import Plan, Progress, take_turns
from pytest_energy.record.schema import RunRecord
from pytest_energy.testing import VirtualTime


class Interleaved:
    """Processes that take ten virtual seconds each, and whose order is recorded."""

    def __init__(self, ratio_of: Callable[[int], float]) -> None:
        self.time = VirtualTime()
        self.order = ""
        self.messages: list[Progress] = []
        self._ratio_of = ratio_of

    def take(self, plan: Plan) -> list[Pair]:
        runs = (lambda: self._run("A", 1.0), lambda: self._run("B", self._ratio))
        return take_turns(runs, plan, self.time.clock.now, self._tell)

    def _tell(self, doing: Progress | str) -> None:
        assert isinstance(doing, Progress)
        self.messages.append(doing)

    @property
    def _ratio(self) -> float:
        return self._ratio_of(self.order.count("B"))

    def _run(self, name: str, ratio: float) -> RunRecord:
        self.order += name
        self.time.pass_by(10.0)
        return run_of(measured(2.0 * ratio))


def plan_of(max_pairs: int = 20, seconds: float = math.inf, rule: Rule = RULE) -> Plan:
    return Plan((), Path(), rule, max_pairs, seconds)


def test_processes_are_interleaved_a_b_b_a() -> None:
    turns = Interleaved(noisy)
    assert len(turns.take(plan_of(max_pairs=5, rule=Rule(0.03, ())))) == 5
    assert turns.order == "ABBAABBAAB"


def test_five_pairs_are_enough_where_they_decide() -> None:
    turns = Interleaved(lambda i: 1.0)
    assert len(turns.take(plan_of())) == 5
    turns = Interleaved(lambda i: noisy(i) * 3)
    assert len(turns.take(plan_of())) == 8  # far over, whatever the noise
    assert len(Interleaved(noisy).take(plan_of())) == 20


def test_nothing_in_common_ends_after_one_pair() -> None:
    def other() -> RunRecord:
        return run_of(measured(2.0, id="test_it.py::test_other"))

    runs = (lambda: run_of(measured(2.0)), other)
    pairs = take_turns(runs, plan_of(), VirtualTime().clock.now, lambda _: None)
    assert len(pairs) == 1


@pytest.mark.parametrize(("seconds", "pairs"), [(1, 3), (79, 3), (81, 4), (139, 6), (1e6, 20)])
def test_time_ends_it_before_a_pair_that_would_take_too_long(seconds: float, pairs: int) -> None:
    turns = Interleaved(noisy)
    assert len(turns.take(plan_of(seconds=seconds))) == pairs
    assert pairs in (3, 20) or turns.time.seconds - 100.0 <= seconds


def test_progress_shows_the_pair_and_the_time_to_the_next_look() -> None:
    turns = Interleaved(noisy)
    turns.take(plan_of())
    assert [each.side for each in turns.messages[:4]] == [
        "reference",
        "candidate",
        "candidate",
        "reference",
    ]
    first, second = turns.messages[:2]
    assert (first.pair, first.next_look, first.processes_left, first.process_seconds) == (
        1,
        5,
        10,
        None,
    )
    assert (second.processes_left, second.process_seconds) == (9, 10.0)
    assert [turns.messages[2 * n].next_look for n in (4, 5, 19)] == [5, 8, 20]
