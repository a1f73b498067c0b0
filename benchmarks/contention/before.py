"""The method that this tool had before it looked at single calls: windows of 0.2 s."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log
from statistics import fmean

from pytest_energy.rules.estimate import MAX_ROUNDS, MIN_ROUNDS
from pytest_energy.rules.statistics import robust_centre

WINDOW_SECONDS = 0.2


def by_windows(calls: Sequence[float]) -> float:
    """The CPU seconds of a call, from those of calls in a row."""
    windows: list[list[float]] = [[]]
    for each in calls:
        if sum(windows[-1]) >= WINDOW_SECONDS:
            windows.append([])
        windows[-1].append(each)
    means = [log(fmean(each)) for each in windows[:MAX_ROUNDS]]
    return exp(robust_centre(means).value if len(means) >= MIN_ROUNDS else fmean(means))
