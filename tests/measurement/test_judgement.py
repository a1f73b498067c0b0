"""When the rounds of a measurement are enough for its verdict."""

from __future__ import annotations

import math

import pytest
from channels import CPU_TIME, PACKAGE

from pytest_energy.limits.budget import Budget, Scope
from pytest_energy.limits.limit import parse_limit
from pytest_energy.measurement.coverage import Coverage
from pytest_energy.measurement.judgement import Judgement
from pytest_energy.measurement.meter import Window
from pytest_energy.measurement.protocol import Round
from pytest_energy.rules.statistics import robust_centre
from pytest_energy.rules.verdict import Verdict
from pytest_energy.sensors.base import Channel

#: Half of the interval of the first five is 10 %, and that of all 6 %.
WIDE = [1.00, 1.06, 0.97, 1.05, 0.99, 1.06, 0.95, 1.00]
NARROW = [1.00, 1.01, 0.99, 1.00, 1.01]


def verdict(
    costs: list[float],
    channel: Channel,
    *,
    limit: str = "2 J / query",
    seconds: float = 0.22,
    final: bool = False,
) -> Verdict | None:
    """On rounds of one query each, in joules."""
    parsed = parse_limit(limit)
    judgement = Judgement(
        budget=Budget(limit=parsed, origin="test_it.py:1"),
        unit="query",
        coverage=Coverage(
            scope=Scope.CPU, gated=(channel,), shown=(), method=str(channel.provenance)
        ),
        limit=parsed.base_per_unit,
    )
    rounds = [
        Round(
            Window(seconds=seconds, readings={channel.name: each}, cpu_seconds=each / 4),
            1,
            {"query": 1.0},
            warmup=False,
        )
        for each in costs
    ]
    judgement.look(rounds, final=final)
    return judgement.verdict


@pytest.mark.parametrize(("limit", "clear"), [("2 J / query", "pass"), ("0.5 J / query", "fail")])
def test_a_clear_verdict_on_a_wide_interval_takes_three_more_short_rounds(
    limit: str, clear: str
) -> None:
    assert verdict(WIDE[:5], CPU_TIME, limit=limit) is None
    assert verdict(WIDE[:6], CPU_TIME, limit=limit) is None
    centre = robust_centre([math.log(each) for each in WIDE])
    assert centre.half_width(0.9975) > math.log1p(0.05)  # and the second look decides all the same
    assert verdict(WIDE, CPU_TIME, limit=limit) == clear


def test_a_clear_verdict_on_a_narrow_interval_takes_five_rounds() -> None:
    assert verdict(NARROW, CPU_TIME) is Verdict.PASS
    assert verdict(NARROW, CPU_TIME, limit="0.5 J / query") is Verdict.FAIL


def test_rounds_of_long_calls_and_of_counters_are_not_added() -> None:
    assert verdict(WIDE[:5], CPU_TIME, seconds=2.0) is Verdict.PASS
    assert verdict(WIDE[:5], PACKAGE) is Verdict.PASS


def test_when_time_is_up_a_wide_interval_decides() -> None:
    assert verdict(WIDE[:5], CPU_TIME, final=True) is Verdict.PASS
