"""How one model is measured: one inference at a time, after warm-up, batch 1."""

from __future__ import annotations

from itertools import cycle, islice

from pytest_energy.calls import Counts
from pytest_energy.fixture import Energy
from pytest_energy.study.running.queries import Inference
from pytest_energy.study.running.twins import QUERIES

#: Queries of one window of a full run: ten windows, and short enough for counters that wrap.
WINDOW_QUERIES = 100
WARM_UP_QUERIES = 3


def measure(energy: Energy, inference: Inference) -> None:
    """As many queries as the figure needs, within --energy-max-seconds."""
    energy.measure(inference.query, inputs=inference.inputs, **_counts(inference))


def measure_in_full(energy: Energy, inference: Inference) -> None:
    """1,000 queries, as in the study, in windows that follow each other."""
    inputs = cycle(inference.inputs)
    for given in islice(inputs, WARM_UP_QUERIES):
        inference.query(given)
    for first in range(0, QUERIES, WINDOW_QUERIES):
        name = f"queries {first + 1} to {first + WINDOW_QUERIES}"
        with energy.window(name=name, **_counts(inference, WINDOW_QUERIES)):
            for given in islice(inputs, WINDOW_QUERIES):
                inference.query(given)


def _counts(inference: Inference, number: int = 1) -> Counts:
    return {"images": number} if inference.twin.steps is not None else {"count": number}
