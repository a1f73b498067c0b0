"""GitLab's metrics report, whose values a merge request compares with those of its target.

GitLab compares values as text, so that they are written with all digits and without an exponent.
"""

from __future__ import annotations

from pytest_energy.record.schema import RunRecord
from pytest_energy.report.exposition import families, plain_samples
from pytest_energy.report.printable import all_printable

NAMES = (
    "pytest_energy_joules_per_unit",
    "pytest_energy_cpu_seconds_per_unit",
    "pytest_energy_flops_per_unit",
    "pytest_energy_grams_co2e_per_unit",
    "pytest_energy_limit_joules_per_unit",
)


def render(record: RunRecord) -> str:
    """A line for each figure and limit."""
    return "".join(f"{each}\n" for each in plain_samples(families(all_printable(record)), NAMES))
