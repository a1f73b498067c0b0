"""The run record itself, as --energy-json writes it."""

from __future__ import annotations

from pytest_energy.record.file import to_json
from pytest_energy.record.schema import RunRecord


def render(record: RunRecord) -> str:
    """JSON at full precision; the keys are listed in docs/record.md."""
    return to_json(record)
