"""A model, servers that have it, and a table of one request that is measured in three ways."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import small_decoder
from server import Server, serving, serving_elsewhere
from small_decoder import NEW_TOKENS, TOKENS

from pytest_energy.record.schema import RunRecord, TestRecord


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("decoder")
    small_decoder.save(folder)
    return folder


@pytest.fixture(scope="session")
def server(model: Path) -> Iterator[Server]:
    """Begun by these tests, so all that it uses counts."""
    with serving(model) as started:
        yield started


@pytest.fixture
def server_to_kill(model: Path) -> Iterator[Server]:
    with serving(model) as started:
        yield started


@pytest.fixture
def server_of_others(model: Path) -> Iterator[Server]:
    """No descendant of these tests, as if somebody else had started it on this machine."""
    with serving_elsewhere(model) as started:
        yield started


def pytest_energy_record(config: pytest.Config, record: RunRecord) -> None:
    """Print what a request costs by a call, by a load of one in flight, and by its parts."""
    ways = {
        "energy.measure": {("test_limits_per_token", None, "request"): 1},
        "energy.measure_load, 1 in flight": {
            ("test_load", "1 in flight", "output-token"): NEW_TOKENS
        },
        f"its parts: empty + {TOKENS} in + {NEW_TOKENS} out": {
            ("test_prefill_and_decode", None, "empty-request"): 1,
            ("test_prefill_and_decode", None, "prefill-token"): TOKENS,
            ("test_prefill_and_decode", None, "decode-token"): NEW_TOKENS,
        },
    }
    found = {
        (each.id.rpartition("::")[2], each.name, each.unit): each
        for each in record.tests
        if each.joules_per_unit is not None
    }
    if any(key not in found for units in ways.values() for key in units):
        return  # some of these tests did not run
    terminal = config.get_terminal_writer()
    terminal.line(f"\nmJ for a request of {TOKENS} tokens in and {NEW_TOKENS} out, by")
    for way, units in ways.items():
        shown = _sum([(number, found[key]) for key, number in units.items()])
        terminal.line(f"    {way:34}{shown}")


def _sum(parts: list[tuple[int, TestRecord]]) -> str:
    """So many units of each figure, and of the ends of its interval."""
    shown = f"{1000 * sum(number * (each.joules_per_unit or 0.0) for number, each in parts):8.1f}"
    ends = [[number * end for end in each.interval] for number, each in parts if each.interval]
    if len(ends) < len(parts):
        return f"{shown}  (fewer than 5 rounds, so no interval)"
    low, high = (1000 * sum(each) for each in zip(*ends, strict=True))
    return f"{shown}  ({low:.1f} to {high:.1f})"
