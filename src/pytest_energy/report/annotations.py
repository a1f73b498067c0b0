"""GitHub's annotations: a failed measurement shown at its test in the changed files."""

from __future__ import annotations

from pytest_energy.record.schema import RunRecord, TestRecord
from pytest_energy.report.places import place_of
from pytest_energy.report.printable import all_printable
from pytest_energy.rules.verdict import Verdict
from pytest_energy.units import label

#: GitHub shows ten errors of a step.
MOST = 10
#: Characters of a message.
LONGEST = 1000


def error_commands(record: RunRecord, most: int = MOST) -> list[str]:
    """A workflow command for each measurement that failed its test, at most so many."""
    record = all_printable(record)
    failed = [
        each
        for each in record.last_attempts
        # What failed by itself is not ours to report.
        if record.is_red(each) and not each.failure
    ]
    failed.sort(key=lambda each: each.verdict != Verdict.FAIL)
    return [_command(record, each) for each in failed[:most]]


def _command(record: RunRecord, test: TestRecord) -> str:
    properties = []
    if (place := place_of(record, test)) is not None:
        properties.append(f"file={_property(place.file)}")
        properties += [f"line={place.line}"] if place.line else []
    properties.append(f"title={_property(f'energy: {test.verdict}')}")
    parts = [f"{label(test.id, test.name)}: {test.reason}"]
    if test.budget is not None:
        parts.append(f"The limit is {test.budget.limit} from {test.budget.origin}.")
        parts += [test.budget.message] if test.budget.message else []
    message = "\n".join(each[:LONGEST] for each in parts)
    return f"::error {','.join(properties)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
