"""Bencher Metric Format: measures of each benchmark, for `bencher run --adapter json`."""

from __future__ import annotations

import json
import re

from pytest_energy.record.schema import RunRecord
from pytest_energy.report.quantities import Measured, distinct, measured
from pytest_energy.units import Quantity

#: Characters of the name of a benchmark, and of the slug of a measure.
LONGEST_NAME, LONGEST_SLUG = 1024, 64


def render(record: RunRecord) -> str:
    """Benchmark -> measure -> value, with the ends of its interval; units are in the measure."""
    found = measured(record)
    names = distinct(each.series[: LONGEST_NAME - 8] for each in found)
    benchmarks = {name: _measures(each) for each, name in zip(found, names, strict=True)}
    return json.dumps(benchmarks, indent=1, allow_nan=False) + "\n"


def _measures(each: Measured) -> dict[str, dict[str, float]]:
    test = each.test
    evidence = "estimated-" if each.is_estimate else ""
    measures = {}
    if test.quantity is Quantity.CPU_TIME and test.figure is not None and each.joules:
        per_joule = test.figure / each.joules
        name = _slug(f"cpu-seconds-per-{test.unit}")
        measures[name] = _metric(each, test.figure, per_joule)
    measures[_slug(f"{evidence}joules-per-{test.unit}")] = _metric(each, each.joules, 1.0)
    if each.grams is not None and each.joules:
        name = _slug(f"{evidence}grams-co2e-per-{test.unit}")
        measures[name] = _metric(each, each.grams, each.grams / each.joules)
    return measures


def _metric(each: Measured, value: float, scale: float) -> dict[str, float]:
    if each.test.interval is None:
        return {"value": value}
    low, high = each.test.interval
    return {"value": value, "lower_value": low * scale, "upper_value": high * scale}


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:LONGEST_SLUG].strip("-")
