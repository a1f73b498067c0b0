"""github-action-benchmark's `customSmallerIsBetter`: a chart for each test over the commits."""

from __future__ import annotations

import json

from pytest_energy.record.schema import RunRecord
from pytest_energy.report.quantities import Measured, distinct, measured
from pytest_energy.units import Quantity


def render(record: RunRecord) -> str:
    """A list of name, unit, value, range and extra; a name holds all that must not be mixed."""
    found = measured(record)
    names = distinct(each.series for each in found)
    entries = [_entry(each, name) for each, name in zip(found, names, strict=True)]
    return json.dumps(entries, indent=1, allow_nan=False) + "\n"


def _entry(each: Measured, name: str) -> dict[str, object]:
    test = each.test
    value, unit, scale = each.joules, "J", 1.0
    if test.quantity is Quantity.CPU_TIME and test.figure is not None and each.joules:
        value, unit = test.figure, "CPU s"
        scale = value / each.joules
    elif each.is_estimate:
        unit = "J (estimated)"
    entry: dict[str, object] = {"name": name, "unit": f"{unit} / {test.unit}", "value": value}
    if test.interval is not None:
        low, high = test.interval
        entry["range"] = f"\u00b1 {(high - low) / 2 * scale!r}"
    about = [f"verdict: {test.verdict}"]
    if test.budget is not None:
        about.append(f"limit: {test.budget.limit} ({test.budget.origin})")
    if each.grams is not None and each.session.carbon is not None:
        about.append(f"carbon: {each.grams!r} gCO2e / {test.unit}")
        about.append(f"factor: {each.session.carbon.description}")
    return {**entry, "extra": "\n".join(about)}
