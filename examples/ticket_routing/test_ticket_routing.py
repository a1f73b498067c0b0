"""Energy budgets for a ticket router: one that holds, one that does not, one beside quality.

Once pytest-energy is installed, pytest knows the marker `energy_budget` and the fixture `energy`;
nothing has to be imported or switched on.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from router import Router

from pytest_energy import Energy  # only for the type annotation of the fixture

TASK = "text-classification"
MODEL = "all-MiniLM-L6-v2"
BATCH = 10
ACCURACY = 0.85


@pytest.fixture(scope="session")
def router() -> Router:
    # Loading the model happens in a fixture: only the body of a test is measured.
    torch.set_num_threads(1)
    return Router.from_package()


@pytest.fixture(scope="session")
def tickets() -> list[tuple[str, str]]:
    """Texts with the category that each belongs to."""
    with Path(__file__).with_name("tickets.csv").open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["category"]) for row in csv.DictReader(file)]


@pytest.fixture(scope="session")
def batches(tickets: list[tuple[str, str]]) -> list[list[str]]:
    texts = [text for text, _ in tickets]
    return [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]


# 1. The marker is all it takes. The plugin runs the body of the test many times, reads the
#    machine's instruments around it, and fails the test when one query takes more than the limit
#    that energy-budgets.toml has for this task. count is the number of queries in one run of the
#    body. A limit can also stand in the marker: energy_budget("150 mJ / query", ...).
@pytest.mark.energy_budget(task=TASK, model=MODEL, count=BATCH)
def test_within_budget(router: Router, batches: list[list[str]]) -> None:
    router.route(batches[0])


# 2. The same work with a limit that this model can't keep: the file has one for this test alone. In
#    a real project the limit would have stayed as it was, and the model or the code would have
#    become more expensive.
@pytest.mark.energy_budget(task=TASK, model=MODEL, count=BATCH)
def test_over_budget_on_purpose(router: Router, batches: list[list[str]]) -> None:
    """Fails on purpose, so that the demo shows the message of a budget that is not kept."""
    router.route(batches[0])


# 3. Energy and quality in one test, so that nobody saves energy with a model that is no good.
#    A test that asks for the fixture says itself what is measured: each call of router.route gets
#    the next of the batches, and count=len counts the queries in what the call returned.
#    Everything else in the test, such as computing the accuracy, is not measured.
@pytest.mark.energy_budget(task=TASK, model=MODEL)
def test_accurate_within_budget(
    router: Router,
    tickets: list[tuple[str, str]],
    batches: list[list[str]],
    energy: Energy,
) -> None:
    last = energy.measure(router.route, inputs=batches, count=len)
    assert set(last) <= set(router.categories)  # measure returns the result of the last call

    routed = [category for batch in batches for category in router.route(batch)]
    right = sum(got == wanted for got, (_, wanted) in zip(routed, tickets, strict=True))
    assert right / len(tickets) >= ACCURACY
