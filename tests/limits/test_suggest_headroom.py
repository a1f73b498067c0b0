"""How much room a suggested limit leaves over what was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, variance
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from suggestions import FILE, OPEN, limit_of, session, sessions, suggested

from pytest_energy.limits.suggest import suggest
from pytest_energy.rules.estimate import estimate
from pytest_energy.rules.limit import look
from pytest_energy.rules.verdict import Verdict
from pytest_energy.units import percent


def predicted(centres: Sequence[float], half: float) -> float:
    """Rule B of the design, with scipy's t."""
    k, logs = len(centres), [math.log(each) for each in centres]
    within = (half / float(stats.t.ppf(0.9975, 4))) ** 2
    s2 = max(variance(logs) - within, 0) if k > 1 else 0
    tau2 = (8 * 0.02**2 + (k - 1) * s2) / (7 + k)
    t = float(stats.t.ppf(0.99, 7 + k))
    return math.exp(fmean(logs) + t * math.sqrt(tau2 * (1 + 1 / k) + within * (1 + 1 / k)))


@pytest.mark.parametrize("factor", [1.005, 1.15])
@pytest.mark.parametrize(
    "centres", [[7.56, 7.7], [5.0, 6.0], [7.5, 7.6, 7.7, 7.9, 7.4], [3.0, 3.3, 3.6, 3.2]]
)
def test_the_headroom_covers_the_spread_of_several_sessions(
    centres: list[float], factor: float
) -> None:
    limit, reason = suggested(sessions(centres, factor))
    expected = predicted(centres, math.log(factor))
    assert expected * (1 - 1e-6) <= limit <= expected * 1.011  # three digits, rounded up
    mean = math.exp(fmean(math.log(each) for each in centres))
    headroom = percent(expected / mean - 1)
    assert reason.endswith(f"in {len(centres)} sessions, {headroom} headroom for the spread)")


def test_a_noisy_session_leaves_more_room() -> None:
    noisy = replace(OPEN, interval=(7.56 / 1.2, 7.56 * 1.2))
    limit, reason = suggested([session(noisy)])
    assert limit == pytest.approx(predicted([7.56], math.log(1.2)), rel=0.01)
    assert limit > 7.56 * 1.15
    assert reason.endswith("headroom for the spread)")


@pytest.mark.parametrize(
    ("count", "changes", "headroom"),
    [
        (1, {}, "10"),
        (1, {"method": "integrated"}, "10"),
        (1, {"method": "estimated"}, "25"),
        (30, {}, "5"),
        (30, {"method": "estimated"}, "5"),
    ],
)
def test_the_headroom_has_a_floor(count: int, changes: dict[str, Any], headroom: str) -> None:
    found = suggest(sessions([7.56] * count, **changes), "", FILE)
    assert found.messages[0].endswith(f", {headroom} % headroom)")
    expected = 7.56 * (1 + int(headroom) / 100)
    assert expected * (1 - 1e-6) <= limit_of(found.text).base_per_unit <= expected * 1.01


def test_one_session_far_out_stays_under_the_limit() -> None:
    limit, reason = suggested(sessions([7.56] * 20 + [15.0]))
    assert 15.0 * 1.01 * (1 - 1e-6) <= limit <= 15.0 * 1.02
    assert reason.endswith("headroom to stay over the highest)")


@pytest.mark.parametrize("rounds", [1, 5])
def test_the_same_figure_passes_under_its_suggested_limit(rounds: int) -> None:
    values = [7.5, 7.6, 7.5, 7.7, 7.4][:rounds]
    found = estimate(values)
    test = replace(OPEN, joules_per_unit=found.centre, interval=found.interval)
    limit, reason = suggested([session(test)])
    assert look(values, limit, 0.03, final=True) is Verdict.PASS
    assert ("since fewer than 5 rounds pass only 15 % under a limit" in reason) == (rounds < 5)


FIGURES = st.floats(min_value=1e-6, max_value=1e6)
UNITS = st.sampled_from(["query", "token", "image", "call"])


@given(
    st.lists(st.tuples(FIGURES, st.none() | st.floats(1.0, 2.0)), min_size=1, max_size=12),
    UNITS,
    st.sampled_from(["measured", "integrated", "estimated", "cpu-time"]),
)
def test_the_limit_lies_above_every_session(
    spread: list[tuple[float, float | None]], unit: str, method: str
) -> None:
    records = []
    for day, (centre, factor) in enumerate(spread, start=1):
        test = replace(
            OPEN,
            joules_per_unit=centre,
            cpu_seconds_per_unit=centre,
            interval=None if factor is None else (centre / factor, centre * factor),
            unit=unit,
            method=method,
        )
        records.append(session(test, day=day))
    limit, _ = suggested(records)
    assert limit > max(centre for centre, _ in spread)
