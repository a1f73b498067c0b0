"""One line for each measurement and limit, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io

from pytest_energy.record.hardware import hardware_of
from pytest_energy.record.schema import RunRecord
from pytest_energy.report.printable import all_printable
from pytest_energy.report.spreadsheet import cell

COLUMNS = (
    "id",
    "name",
    "task",
    "model",
    "unit",
    "scope",
    "method",
    "verdict",
    "code",
    "joules_per_unit",
    "joules_per_unit_low",
    "joules_per_unit_high",
    "cpu_seconds_per_unit",
    "grams_per_unit",
    "limit",
    "limit_joules_per_unit",
    "fraction_of_limit",
    "hardware",
    "grams_per_kwh",
    "commit",
    "session",
    "flops_per_unit",
    "start",
)


def render(record: RunRecord) -> str:
    """Comma-separated values with a header; an empty cell is unknown, numbers are exact."""
    output = io.StringIO()
    writer = csv.DictWriter(output, COLUMNS, lineterminator="\n")
    writer.writeheader()
    record = all_printable(record)
    for test in record.tests:
        low, high = test.interval or (None, None)
        session = record.session_of(test)
        own = {
            "joules_per_unit_low": low,
            "joules_per_unit_high": high,
            "limit": test.budget.limit if test.budget else None,
            "hardware": hardware_of(test, session.machine) or None,
            "grams_per_kwh": session.carbon.grams_per_kwh if session.carbon else None,
            "commit": session.run.commit,
            "session": session.run.uuid,
            "start": session.run.start,
        }
        cells = {name: own[name] if name in own else getattr(test, name) for name in COLUMNS}
        writer.writerow({name: cell(value) for name, value in cells.items()})
    return output.getvalue()
