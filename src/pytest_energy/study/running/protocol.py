"""How one model is measured: one inference at a time, after warm-up, batch 1."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import cycle, islice

from pytest_energy.measure.calls import Counts
from pytest_energy.plugin.fixture import Energy
from pytest_energy.study.running.queries import Inference, Input
from pytest_energy.study.running.twins import QUERIES

#: 1,000 queries that take longer than this are measured in ten windows that follow each other,
#: because the counters of processors wrap.
ONE_WINDOW_SECONDS = 100.0
WINDOWS = 10
WARM_UP_QUERIES = 3


def measure(energy: Energy, inference: Inference) -> None:
    """As many queries as the figure needs, within --energy-max-seconds."""
    if _cost_the_same(inference.inputs):
        given = cycle(inference.inputs)
        energy.measure(lambda: inference.query(next(given)), **_counts(inference))
    else:
        energy.measure(inference.query, inputs=inference.inputs, **_counts(inference))


def measure_in_full(energy: Energy, inference: Inference) -> None:
    """1,000 queries, as in the study."""
    inputs = cycle(inference.inputs)
    seconds = [_seconds(inference, next(inputs)) for _ in range(WARM_UP_QUERIES)]
    windows = WINDOWS if min(seconds) * QUERIES > ONE_WINDOW_SECONDS else 1
    number = QUERIES // windows
    for first in range(0, QUERIES, number):
        name = f"queries {first + 1} to {first + number}"
        with energy.window(name=name, **_counts(inference, number)):
            for given in islice(inputs, number):
                inference.query(given)


def _cost_the_same(inputs: Sequence[Input]) -> bool:
    """Whether a part of these inputs stands for all: those of one shape do, and padded prompts."""
    shapes = [{name: getattr(each, "shape", None) for name, each in one.items()} for one in inputs]
    return all(each == shapes[0] for each in shapes)


def _seconds(inference: Inference, given: Input) -> float:
    started = time.perf_counter()
    inference.query(given)
    return time.perf_counter() - started


def _counts(inference: Inference, number: int = 1) -> Counts:
    return {"images": number} if inference.twin.steps is not None else {"count": number}
