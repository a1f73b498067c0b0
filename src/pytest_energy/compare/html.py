"""A comparison as one self-contained page for a browser."""

from __future__ import annotations

from pytest_energy.compare.outcome import (
    REGRESSED,
    WITHIN,
    Compared,
    ComparisonRecord,
    Outcome,
)
from pytest_energy.compare.report import conclusion, shown_side
from pytest_energy.record.schema import quantity_of
from pytest_energy.report.advice import Conclusion
from pytest_energy.report.html import measurement
from pytest_energy.report.html.comparison import ComparisonView
from pytest_energy.report.html.page import render_comparison_page
from pytest_energy.report.html.strip import Strip, pair_of
from pytest_energy.report.html.view import MOST_PICTURES
from pytest_energy.report.judged import Judged
from pytest_energy.report.printable import all_printable
from pytest_energy.units import Quantity, label, per_unit, signed_percent

_TONES = {WITHIN: "good", REGRESSED: "bad"}
_TONES_OF_OUTCOMES = {Outcome.WITHIN: "good", Outcome.IMPROVED: "good"}
#: The most urgent first.
_ORDER = (Outcome.REGRESSED, Outcome.INCOMPARABLE, Outcome.INCONCLUSIVE, Outcome.IMPROVED)


def html_of(found: ComparisonRecord) -> str:
    """The page, with what is not within the allowed increase first."""
    found = all_printable(found)
    ranks = {outcome: rank for rank, outcome in enumerate(_ORDER)}
    tests = sorted(found.tests, key=lambda each: ranks.get(each.outcome, len(ranks)))
    compared = tuple(
        _compared(each, is_drawn=index < MOST_PICTURES) for index, each in enumerate(tests)
    )
    sentence = conclusion(found)
    return render_comparison_page(
        ComparisonView(
            conclusion=Conclusion(
                f"{sentence[0].upper()}{sentence[1:]}.", _TONES.get(found.exit_status, "warn")
            ),
            sides=(
                ("Reference", measurement.shortened(shown_side(found.reference))),
                ("Candidate", measurement.shortened(shown_side(found.candidate))),
            ),
            compared=compared,
            red=tuple(each for each in compared if each.tone != "good"),
            notes=tuple(
                measurement.shortened(note, measurement.LONGEST_TEXT) for note in found.notes
            ),
        )
    )


def _compared(each: Compared, *, is_drawn: bool) -> measurement.Compared:
    quantity = quantity_of(each.method)

    def shown(value: float | None) -> str:
        if value is None:
            return "-"
        unit = measurement.shortened(each.unit, measurement.LONGEST_CELL)
        return per_unit(value, unit, quantity)

    spread = "-"
    if each.interval is not None:
        spread = " to ".join(signed_percent(end - 1) for end in each.interval)
    return measurement.Compared(
        name=measurement.shortened(label(each.id, each.name)),
        reference="",
        old=shown(each.reference),
        new=shown(each.candidate),
        change="-" if each.ratio is None else signed_percent(each.ratio - 1),
        interval=spread,
        allowed="-" if each.threshold is None else signed_percent(each.threshold),
        verdict=str(each.outcome),
        tone=_TONES_OF_OUTCOMES.get(each.outcome, "bad"),
        pair=_pair(each, quantity) if is_drawn else None,
        reason=measurement.shortened(each.reason, measurement.LONGEST_TEXT),
    )


def _pair(each: Compared, quantity: Quantity) -> tuple[Strip, Strip] | None:
    """Where each pair of runs lies; two records alone have one pair, which is no picture."""
    reference = each.reference
    if reference is None or len(each.pairs) < 2:
        return None
    interval = each.interval
    return pair_of(
        Judged(
            quantity=quantity,
            figure=each.candidate,
            interval=None
            if interval is None
            else (interval[0] * reference, interval[1] * reference),
            limit=None if each.threshold is None else reference * (1 + each.threshold),
            rounds=tuple(candidate for _, candidate in each.pairs),
            reference=reference,
            reference_rounds=tuple(old for old, _ in each.pairs),
        ),
        "run",
    )
