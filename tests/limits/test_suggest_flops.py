"""Suggested limits in FLOPs, beside those of energy."""

from __future__ import annotations

from dataclasses import replace

import pytest
from suggestions import FILE, ID, OPEN, read, session

from pytest_energy.limits.suggest import suggest
from pytest_energy.record.schema import Explanation, TestRecord


def counted(flops: float | None) -> TestRecord:
    made = Explanation(
        seconds=1.0,
        units={"query": 10.0},
        units_per_second=10.0,
        mean_watts=70.0,
        flops_per_unit=flops,
    )
    return replace(OPEN, explanation=made)


def test_a_count_that_repeats_exactly_gets_a_limit_beside_energy() -> None:
    twice = [session(counted(2.4567e9), day=day) for day in (1, 2)]
    found = suggest(twice, "", FILE)
    energy, flops = (each for each in read(found.text).entries)
    without = suggest([session(OPEN, day=day) for day in (1, 2)], "", FILE)
    assert energy.limits == read(without.text).entries[0].limits
    assert [each.text for each, _ in flops.limits] == ["2.46 GFLOP / query"]
    assert (energy.tests, flops.tests, found.written) == ((ID,), (ID,), 2)
    assert "the same count in each session" in found.messages[1]
    standing = 'schema = 1\n[[budget]]\ntask = "t"\nmax = "9 GFLOP / query"\n'
    with_task = [session(replace(counted(2e9), task="t"), day=day) for day in (1, 2)]
    assert suggest(with_task, standing, FILE).written == 1  # a limit of FLOPs stands


@pytest.mark.parametrize(
    ("counts", "why"),
    [
        ((2e9,), "two sessions must count them"),
        ((2e9, None), "two sessions must count them"),
        ((2e9, 2.2e9), "the counts of its sessions differ, 2.00 GFLOP to 2.20 GFLOP"),
        ((None, None), ""),
    ],
)
def test_a_count_that_was_not_repeated_gets_none(
    counts: tuple[float | None, ...], why: str
) -> None:
    records = [session(counted(each), day=day) for day, each in enumerate(counts, start=1)]
    found = suggest(records, "", FILE)
    assert found.written == 1
    assert why in found.messages[-1]
    assert len(found.messages) == (2 if why else 1)
