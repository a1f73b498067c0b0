"""How a verdict becomes the outcome of a test: the failure, and the properties for JUnit."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import pytest

from pytest_energy.errors import BESIDE_FLOPS
from pytest_energy.report.printable import printable

if TYPE_CHECKING:
    from pytest_energy.record.schema import TestRecord
    from pytest_energy.rules.verdict import Verdict


#: What JUnit's file holds of each measurement; the method tells estimates from measurements.
_PROPERTIES = (
    "verdict",
    "method",
    "unit",
    "joules_per_unit",
    "grams_per_unit",
    "flops_per_unit",
    "code",
)


# pytest.fail.Exception is public, but hidden from mypy by the way pytest attaches it.
class EnergyFailure(pytest.fail.Exception):  # type: ignore[name-defined,misc]
    """The energy verdict of a test whose body passed."""


class EnergyUnused(pytest.fail.Exception):  # type: ignore[name-defined,misc]
    """A test that asked for the energy fixture and measured nothing."""


def fail_if_red(records: Sequence[TestRecord], red: Collection[Verdict]) -> None:
    """Raises EnergyFailure for the verdicts that fail."""
    failed = [each for each in records if each.verdict in red and each.code != BESIDE_FLOPS]
    if failed:
        # Limits that nothing was measured for have one reason.
        messages = dict.fromkeys(printable(_message(each), lines=True) for each in failed)
        raise EnergyFailure("\n".join(messages), pytrace=False)


def add_properties(item: pytest.Item, records: Sequence[TestRecord], template: str) -> None:
    """Write verdicts and figures into the item's properties, which JUnit's file holds.

    template: "{name}" in it stands for a name such as energy.verdict.
    """
    for record in records:
        own = _property_name(record, records)
        for key in _PROPERTIES:
            value = getattr(record, key)
            if value is not None and value != "":
                # pytest writes both into XML as they are.
                name = printable(template.replace("{name}", f"{own}.{key}"))
                shown = printable(value) if isinstance(value, str) else value
                item.user_properties.append((name, shown))


def forget_properties(item: pytest.Item, template: str) -> None:
    """A rerun's properties replace those of the run before."""
    before = printable(template.partition("{name}")[0])
    ours = (f"{before}energy.", f"{before}energy[")
    item.user_properties[:] = [
        each for each in item.user_properties if not each[0].startswith(ours)
    ]


def is_misuse(error: BaseException) -> bool:
    """Whether the test uses the fixture in a wrong way, so that its outcome is ERROR."""
    from pytest_energy.errors import EnergyUsageError
    from pytest_energy.measurement.exclusive import AlreadyMeasuring

    return isinstance(error, EnergyUnused | EnergyUsageError | AlreadyMeasuring)


def _property_name(record: TestRecord, records: Sequence[TestRecord]) -> str:
    """Different for each measurement, and for each limit of one where there are several."""
    same = [each for each in records if each.name == record.name]
    parts = [record.name] if record.name is not None else []
    if len(same) > 1 and record.budget is not None:
        parts.append(record.budget.limit)
    return f"energy[{', '.join(parts)}]" if parts else "energy"


def _message(record: TestRecord) -> str:
    named = f"{record.name}: " if record.name else ""
    reason = record.reason
    if record.verdict not in ("fail", "inconclusive", "close"):
        reason = f"{record.verdict}: {reason}"
    is_over = record.verdict in ("fail", "inconclusive")
    message = record.budget.message if record.budget is not None and is_over else ""
    return f"energy: {named}{reason}" + (f"\n{message}" if message else "")
