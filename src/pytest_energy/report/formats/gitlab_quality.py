"""GitLab's code quality report: what did not pass, shown at its test in a merge request."""

from __future__ import annotations

import hashlib
import json
import posixpath

from pytest_energy.record.schema import RunRecord, TestRecord
from pytest_energy.report.places import place_of
from pytest_energy.report.printable import all_printable
from pytest_energy.report.quantities import distinct
from pytest_energy.rules.verdict import RED, Verdict
from pytest_energy.units import label

#: Verdicts that are shown although they fail no test.
_SHOWN = {*RED, Verdict.CLOSE}


def render(record: RunRecord) -> str:
    """A list of issues; an empty one where nothing is to be done."""
    record = all_printable(record)
    found = [each for each in record.last_attempts if each.verdict in _SHOWN or record.is_red(each)]
    prints = distinct(map(_about, found))
    issues = [_issue(record, each, text) for each, text in zip(found, prints, strict=True)]
    return json.dumps(issues, indent=1) + "\n"


def _severity(record: RunRecord, test: TestRecord) -> str:
    """How GitLab ranks it."""
    if not record.is_red(test):
        return "info"
    return "major" if test.verdict == Verdict.FAIL else "minor"


def _about(test: TestRecord) -> str:
    """What makes an issue the same in another run; neither a figure nor a line."""
    limit = test.budget.limit if test.budget else ""
    return json.dumps([test.id, test.name, test.unit, test.scope, limit, test.verdict])


def _issue(record: RunRecord, test: TestRecord, about: str) -> dict[str, object]:
    place = place_of(record, test)
    path = place.file if place else posixpath.basename(test.id.partition("::")[0])
    named = " ".join(f"{label(test.id, test.name)}: {test.reason}".split())
    return {
        "description": f"energy: {test.verdict}: {named}",
        "check_name": f"pytest-energy/{test.verdict}",
        "fingerprint": hashlib.sha256(about.encode()).hexdigest(),
        "severity": _severity(record, test),
        "location": {
            "path": path or "unknown",
            "lines": {"begin": max(1, place.line if place else 1)},
        },
    }
