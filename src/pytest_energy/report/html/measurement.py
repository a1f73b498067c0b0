"""One measurement in words and places: its row of the table, its section, its comparison. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pytest_energy.record.schema import TestRecord
from pytest_energy.report.advice import advice
from pytest_energy.report.cells import (
    beyond_limit,
    shown_figure,
    shown_grams,
    shown_interval,
    shown_limit,
)
from pytest_energy.report.details import details_of
from pytest_energy.report.html.strip import Strip, pair_of, strip_of
from pytest_energy.report.judged import Judged
from pytest_energy.report.regressions import vs_baseline
from pytest_energy.rules.verdict import RED
from pytest_energy.units import (
    Scale,
    carbon_scale,
    interval,
    per_unit,
    percent,
    plural,
    short_label,
    signed_percent,
)

#: Of a name that comes from outside; the run record has all of it.
LONGEST_NAME = 200
#: Of a cell of the table.
LONGEST_CELL = 40
#: Of a sentence.
LONGEST_TEXT = 1500
_TONES = {"pass": "good", "close": "warn", "no-budget": "none", "no-baseline": "warn"}


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One measurement and limit, as its row and its section, where it has one, show it.

    tone: "good", "warn", "bad" or "none". cells: of the table, after the name and the verdict.
    strip: None where there is nothing to draw. mini: the picture in the table. pair: of a
    comparison. facts: names and words.
    """

    anchor: str
    name: str
    where: str
    verdict: str
    tone: str
    cells: tuple[str, ...]
    reason: str
    todo: str = ""
    message: str = ""
    findings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    explanation: tuple[str, ...] = ()
    strip: Strip | None = None
    mini: Strip | None = None
    pair: tuple[Strip, Strip] | None = None


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A candidate beside its reference. pair: None where its section has the picture."""

    name: str
    reference: str
    old: str
    new: str
    change: str
    interval: str
    allowed: str
    verdict: str
    tone: str
    pair: tuple[Strip, Strip] | None
    reason: str = ""


def heads_of(scale: Scale, carbon: Scale | None) -> tuple[str, ...]:
    """Of the cells of a measurement."""
    grams = (f"{carbon.symbol} / 1,000",) if carbon else ()
    return (f"{scale.symbol} / unit", *grams, "interval", "limit", "vs limit", "method")


def measurement_of(
    index: int,
    test: TestRecord,
    found: Judged,
    scale: Scale,
    *,
    carbon: Scale | None,
    hardware: str,
    is_drawn: bool,
    is_detailed: bool,
    is_red: bool,
    is_noted: bool,
) -> Measurement:
    """The row and the section of a test.

    carbon: that of the column of emissions, where there is one. hardware: "" where all tests have
    the same. is_drawn: whether its rounds are. is_detailed: whether it has all that explains it.
    is_red: whether it failed. is_noted: whether it has a section of its own.
    """
    strip = strip_of(found) if is_drawn else None
    pair = pair_of(found) if is_noted and is_drawn and test.reference is not None else None
    return Measurement(
        anchor=f"t{index + 1}",
        name=name_of(test),
        where=_where(test, hardware, is_detailed=is_noted),
        verdict=test.verdict,
        tone=tone_of(test.verdict, is_red=is_red),
        cells=tuple(_cells(test, scale, carbon)),
        reason=shortened(_sentence(test), LONGEST_TEXT),
        todo=shortened(advice(test), LONGEST_TEXT),
        message=shortened(test.budget.message, LONGEST_TEXT) if test.budget else "",
        findings=tuple(_findings(test)) if is_noted else (),
        notes=tuple(shortened(each, LONGEST_TEXT) for each in test.notes) if is_noted else (),
        facts=tuple(_facts(test, found)) if is_noted else (),
        explanation=tuple(details_of(test)) if is_noted and is_detailed else (),
        strip=strip if is_noted else None,
        mini=strip if is_detailed else None,
        pair=pair,
    )


def _where(test: TestRecord, hardware: str, *, is_detailed: bool) -> str:
    """The test's file, or its line in a section of its own, and the hardware where it matters."""
    file = test.id.rpartition("::")[0]
    place = test.location if is_detailed and test.location else file
    return shortened(" on ".join(filter(None, (place, hardware))))


def tone_of(verdict: str, *, is_red: bool) -> str:
    """The colour of a verdict; one that is unknown is no good sign."""
    if is_red:
        return "bad"
    return _TONES.get(verdict, "warn" if verdict in RED else "bad")


def name_of(test: TestRecord) -> str:
    """The test without its file."""
    again = f" (attempt {test.attempt})" if test.attempt > 1 else ""
    return shortened(short_label(test.id, test.name)) + again


def _sentence(test: TestRecord) -> str:
    if not test.failure or test.code == "test-failed":  # the reason says so
        return test.reason
    return f"The test itself ended in {test.failure}. {test.reason}"


def _findings(test: TestRecord) -> Iterator[str]:
    """What each rule said, where that is more than the reason of the verdict."""
    if len(test.findings) > 1:
        for each in test.findings:
            if each.reason != test.reason:
                yield shortened(f"{each.rule}: {each.verdict}, {each.reason}", LONGEST_TEXT)


def shortened(text: str, longest: int = LONGEST_NAME) -> str:
    """A text from outside of at most so many characters."""
    return text if len(text) <= longest else f"{text[: longest - 1]}\N{HORIZONTAL ELLIPSIS}"


def _cells(test: TestRecord, scale: Scale, carbon: Scale | None) -> Iterator[str]:
    yield shown_figure(test, scale)
    if carbon is not None:
        yield shown_grams(test, carbon)
    yield shown_interval(test, scale)
    yield shortened(shown_limit(test, scale), LONGEST_CELL)
    yield beyond_limit(test)
    yield shortened(test.method, LONGEST_CELL) or "-"


def _facts(test: TestRecord, found: Judged) -> Iterator[tuple[str, str]]:
    """Names and words for the section of a measurement."""
    scale = found.scale
    if found.figure is not None:
        shown = per_unit(found.figure, test.unit, found.quantity)
        gated = ", ".join(each.name for each in test.channels if each.gated)
        where = f" on {gated}" if gated else ""
        yield "Figure", shortened(f"{shown}, {test.method}{where} (scope {test.scope})")
    if found.interval is not None:
        yield "Interval", f"{interval(*found.interval, scale)} {scale.symbol}"
    if test.budget is not None:
        by = test.fraction_of_limit
        how = "" if by is None else f"; {'over' if by > 1 else 'under'} by {percent(by - 1)}"
        yield "Limit", shortened(f"{test.budget.limit} ({test.budget.origin}){how}")
    if words := vs_baseline(test):
        yield "Against its baseline", words
    if test.grams_per_unit is not None:
        carbon = carbon_scale([test.grams_per_unit * 1000])
        grams = f"{shown_grams(test, carbon)} {carbon.symbol} / 1,000 {plural(test.unit)}"
        yield "Carbon", shortened(grams)
    about = [each for each in (test.task, test.model) if each]
    about += [f"{name}={value}" for name, value in test.labels.items()]
    if about:
        yield "About", shortened(", ".join(about))
    if test.other_processes:
        yield "Other processes", shortened(", ".join(test.other_processes))


def compared_of(test: TestRecord, found: Judged, *, is_drawn: bool, is_red: bool) -> Compared:
    """A test beside its reference, which it has."""
    reference = test.reference
    assert reference is not None

    def shown(value: float | None) -> str:
        if value is None:
            return "-"
        return shortened(per_unit(value, test.unit, found.quantity))

    spread = "-"
    if reference.interval is not None:
        spread = " to ".join(signed_percent(each - 1) for each in reference.interval)
    return Compared(
        name=name_of(test),
        reference=shortened(reference.name),
        old=shown(found.reference),
        new=shown(found.figure),
        change=signed_percent(reference.ratio - 1),
        interval=spread,
        allowed=signed_percent(reference.max_increase),
        verdict=test.verdict,
        tone=tone_of(test.verdict, is_red=is_red),
        pair=pair_of(found) if is_drawn else None,
    )
