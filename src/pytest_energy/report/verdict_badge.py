"""What a badge says of a run: one figure, or how many verdicts of each kind."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from pytest_energy.record.schema import RunRecord
from pytest_energy.report.quantities import measured
from pytest_energy.rules.verdict import RED, Verdict
from pytest_energy.units import Quantity, per_unit

GREEN, AMBER, RED_COLOUR, GREY = "#2f7d32", "#8a6100", "#b3261e", "#616161"
#: Characters of a badge.
LONGEST = 80


@dataclass(frozen=True)
class Badge:
    """Two texts and the colour behind the second."""

    label: str
    message: str
    colour: str


def badge_of(record: RunRecord) -> Badge:
    """The badge of a run; it names an estimate."""
    verdicts = [
        Verdict(each.verdict) for each in record.last_attempts if each.verdict in set(Verdict)
    ]
    figures = measured(record)
    counts = Counter(verdicts)
    message = ", ".join(f"{counts[each]} {each}" for each in reversed(Verdict) if counts[each])
    if len(figures) == 1 and len(verdicts) == 1:
        (one,) = figures
        test = one.test
        evidence = "cpu time" if test.quantity is Quantity.CPU_TIME else one.evidence
        figure = per_unit(test.figure or 0.0, test.unit, test.quantity)
        message = f"{figure}, {evidence}, {verdicts[0]}"
    elif figures and any(each.is_estimate for each in figures):
        part = "" if all(each.is_estimate for each in figures) else "in part "
        message += f" ({part}estimated)"
    if len(message) > LONGEST:
        message = message[: LONGEST - 3] + "..."
    return Badge("energy", message or "nothing measured", _colour(record))


def _colour(record: RunRecord) -> str:
    """Green where all that was compared has passed, red where a verdict failed its test."""
    if any(map(record.is_red, record.last_attempts)):
        return RED_COLOUR
    verdicts = {each.verdict for each in record.last_attempts}
    if verdicts & {*RED, Verdict.CLOSE}:
        return AMBER
    return GREEN if Verdict.PASS in verdicts else GREY
