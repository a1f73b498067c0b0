"""The JSON of a shields.io endpoint badge."""

from __future__ import annotations

import json

from pytest_energy.record.schema import RunRecord
from pytest_energy.report.verdict_badge import badge_of


def render(record: RunRecord) -> str:
    """Schema version 1 of https://shields.io/badges/endpoint-badge."""
    badge = badge_of(record)
    document = {
        "schemaVersion": 1,
        "label": badge.label,
        "message": badge.message,
        "color": badge.colour,
    }
    return json.dumps(document) + "\n"
