"""What the page shows, as words and places; all figures are formatted here. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pytest_energy.record.hardware import hardware_names
from pytest_energy.record.schema import RunRecord, SessionRecord, TestRecord
from pytest_energy.report.advice import (
    MEANING,
    ORDER,
    Conclusion,
    advice,
    by_urgency,
    conclude,
    counts,
    is_red,
)
from pytest_energy.report.by_task import Published, TaskFigures, by_task
from pytest_energy.report.cells import (
    beyond_limit,
    scale_of,
    shown_figure,
    shown_grams,
    shown_interval,
    shown_limit,
)
from pytest_energy.report.details import details_of
from pytest_energy.report.html.log_axis import LogAxis, log_axis
from pytest_energy.report.html.strip import Strip, pair_of, strip_of
from pytest_energy.report.judged import Judged, judged
from pytest_energy.report.printable import all_printable
from pytest_energy.report.regressions import regression_notes, vs_baseline
from pytest_energy.report.shares import Share, shares
from pytest_energy.report.terminal import lost_test
from pytest_energy.units import (
    Scale,
    figure,
    interval,
    per_unit,
    plural,
    short_label,
    signed_percent,
    watt_hours_per_1000,
)

#: Of a name that comes from outside; the run record has all of it.
LONGEST_NAME = 200
#: Of a sentence.
LONGEST_TEXT = 1500
#: Measurements whose rounds are drawn, the red ones first, so that the file stays small.
MOST_PICTURES = 200
#: Of more red ones none shows what makes its figure, nor its picture in the table once more.
MOST_DETAILED = 50

_TONES = {"pass": "good", "close": "warn", "no-budget": "none", "no-baseline": "warn"}


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One measurement and limit, as its row and, where it is red, its section show it.

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


@dataclass(frozen=True)
class Task:
    """One line of the table of tasks."""

    figures: TaskFigures
    energy: str
    grams: str
    published: str


@dataclass(frozen=True)
class Session:
    """One session: its record, and its times in words."""

    record: SessionRecord
    start: str
    end: str


@dataclass(frozen=True, kw_only=True)
class View:
    """The whole page."""

    record: RunRecord
    conclusion: Conclusion
    counts: tuple[tuple[int, str, str, str], ...]
    heads: tuple[str, ...]
    red: tuple[Measurement, ...]
    others: tuple[Measurement, ...]
    compared: tuple[Compared, ...]
    tasks: tuple[Task, ...]
    axis: LogAxis | None
    published: tuple[Published, ...]
    shares: tuple[tuple[Share, ...], ...]
    unmeasured: tuple[tuple[str, tuple[str, ...]], ...]
    missing: tuple[str, ...]
    limit_changes: tuple[tuple[str, ...], ...]
    notes: tuple[tuple[str, tuple[str, ...]], ...]
    earlier_attempts: int
    start: str
    sessions: tuple[Session, ...]


def view_of(record: RunRecord, published: Sequence[Published]) -> View:
    """All of the page."""
    record = all_printable(record)
    tests = by_urgency(record.last_attempts)
    found = [judged(each) for each in tests]
    scale = scale_of(tests)
    has_carbon = any(each.carbon is not None for each in record.all_sessions)
    hardware = dict(zip(map(id, record.tests), hardware_names(record), strict=True))
    red = sum(map(is_red, tests))
    measurements = [
        _measurement(
            index,
            test,
            each,
            scale,
            has_carbon=has_carbon,
            hardware=hardware[id(test)],
            is_detailed=red <= MOST_DETAILED or index >= red,
        )
        for index, (test, each) in enumerate(zip(tests, found, strict=True))
    ]
    number = counts(tests)
    tasks = by_task(record, published)
    return View(
        record=record,
        conclusion=conclude(record),
        counts=tuple(
            (number[each], str(each), MEANING[each], _tone(each)) for each in ORDER if number[each]
        ),
        heads=_heads(scale, has_carbon=has_carbon),
        red=tuple(measurements[:red]),
        others=tuple(measurements[red:]),
        compared=tuple(
            _compared(test, each, is_drawn=red <= index < MOST_PICTURES)
            for index, (test, each) in enumerate(zip(tests, found, strict=True))
            if test.reference is not None
        ),
        tasks=tuple(_task(each) for each in tasks),
        axis=log_axis(tasks),
        published=tuple(published) if any(each.published for each in tasks) else (),
        shares=shares(record),
        unmeasured=_grouped(
            (test.reason, _name(test)) for test in tests if test.verdict == "unmeasured"
        ),
        missing=(
            *record.unused_budgets,
            *record.unused_baselines,
            *map(lost_test, record.lost_tests),
        ),
        limit_changes=tuple(
            (
                _shortened(each.subject),
                each.old,
                each.new,
                "-" if each.change is None else signed_percent(each.change),
                _shortened(each.origin),
            )
            for each in record.limit_changes
        ),
        notes=(
            *_grouped((note, _name(test)) for test in tests for note in test.notes),
            *((each, ()) for each in regression_notes(record)),
        ),
        earlier_attempts=len(record.tests) - len(tests),
        start=_moment(record.run.start),
        sessions=tuple(map(_session, record.all_sessions)),
    )


def _session(record: SessionRecord) -> Session:
    return Session(record, _moment(record.run.start), _moment(record.run.end))


def _moment(text: str) -> str:
    """A time of the record, to the second."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:  # a record from elsewhere
        return _shortened(text)
    return f"{moment:%Y-%m-%d %H:%M:%S} {moment.tzname() or ''}".rstrip()


def _heads(scale: Scale, *, has_carbon: bool) -> tuple[str, ...]:
    grams = ("gCO2e / 1,000",) if has_carbon else ()
    return (f"{scale.symbol} / unit", *grams, "interval", "limit", "vs limit", "method")


def _measurement(
    index: int,
    test: TestRecord,
    found: Judged,
    scale: Scale,
    *,
    has_carbon: bool,
    hardware: str,
    is_detailed: bool,
) -> Measurement:
    is_drawn = index < MOST_PICTURES
    red = is_red(test)
    strip = strip_of(found) if is_drawn else None
    pair = pair_of(found) if red and is_drawn and test.reference is not None else None
    return Measurement(
        anchor=f"t{index + 1}",
        name=_name(test),
        where=_where(test, hardware, is_detailed=red),
        verdict=test.verdict,
        tone="bad" if red else _tone(test.verdict),
        cells=tuple(_cells(test, scale, has_carbon=has_carbon)),
        reason=_shortened(_sentence(test), LONGEST_TEXT),
        todo=advice(test),
        message=_shortened(test.budget.message, LONGEST_TEXT) if test.budget else "",
        findings=tuple(_findings(test)) if red else (),
        notes=test.notes if red else (),
        facts=tuple(_facts(test, found)) if red else (),
        explanation=tuple(details_of(test)) if red and is_detailed else (),
        strip=strip if red else None,
        mini=strip if is_detailed else None,
        pair=pair,
    )


def _where(test: TestRecord, hardware: str, *, is_detailed: bool) -> str:
    """The test's file, or its line in a section of its own, and the hardware where it matters."""
    file = test.id.rpartition("::")[0]
    place = test.location if is_detailed and test.location else file
    return _shortened(" on ".join(filter(None, (place, hardware))))


def _tone(verdict: str) -> str:
    return _TONES.get(verdict, "bad")


def _name(test: TestRecord) -> str:
    again = f" (attempt {test.attempt})" if test.attempt > 1 else ""
    return _shortened(short_label(test.id, test.name)) + again


def _sentence(test: TestRecord) -> str:
    ended = f"The test itself ended in {test.failure}. " if test.failure else ""
    return ended + test.reason


def _findings(test: TestRecord) -> Iterator[str]:
    """What each rule said, where that is more than the reason of the verdict."""
    if len(test.findings) > 1:
        for each in test.findings:
            if each.reason != test.reason:
                yield _shortened(f"{each.rule}: {each.verdict}, {each.reason}", LONGEST_TEXT)


def _shortened(text: str, longest: int = LONGEST_NAME) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}\N{HORIZONTAL ELLIPSIS}"


def _cells(test: TestRecord, scale: Scale, *, has_carbon: bool) -> Iterator[str]:
    yield shown_figure(test, scale)
    if has_carbon:
        yield shown_grams(test)
    yield shown_interval(test, scale)
    yield _shortened(shown_limit(test, scale))
    yield beyond_limit(test)
    yield test.method or "-"


def _facts(test: TestRecord, found: Judged) -> Iterator[tuple[str, str]]:
    """Names and words for the section of a red measurement."""
    scale = found.scale
    if found.figure is not None:
        shown = per_unit(found.figure, test.unit, is_cpu_time=found.is_cpu_time)
        gated = ", ".join(each.name for each in test.channels if each.gated)
        yield "Figure", _shortened(f"{shown}, {test.method} on {gated} (scope {test.scope})")
    if found.interval is not None:
        yield "Interval", f"{interval(*found.interval, scale)} {scale.symbol}"
    if test.budget is not None:
        by = test.fraction_of_limit
        how = "" if by is None else f"; figure {signed_percent(by - 1)}"
        yield "Limit", _shortened(f"{test.budget.limit} ({test.budget.origin}){how}")
    if words := vs_baseline(test):
        yield "Against its baseline", words
    if test.grams_per_unit is not None:
        yield "Carbon", f"{figure(test.grams_per_unit * 1000)} gCO2e / 1,000 {plural(test.unit)}"
    about = [each for each in (test.task, test.model) if each]
    about += [f"{name}={value}" for name, value in test.labels.items()]
    if about:
        yield "About", _shortened(", ".join(about))
    if test.other_processes:
        yield "Other processes", _shortened(", ".join(test.other_processes))


def _compared(test: TestRecord, found: Judged, *, is_drawn: bool) -> Compared:
    reference = test.reference
    assert reference is not None

    def shown(value: float | None) -> str:
        if value is None:
            return "-"
        return per_unit(value, test.unit, is_cpu_time=found.is_cpu_time)

    spread = "-"
    if reference.interval is not None:
        spread = " to ".join(signed_percent(each - 1) for each in reference.interval)
    return Compared(
        name=_name(test),
        reference=_shortened(reference.name),
        old=shown(found.reference),
        new=shown(found.figure),
        change=signed_percent(reference.ratio - 1),
        interval=spread,
        allowed=signed_percent(reference.max_increase),
        verdict=test.verdict,
        tone="bad" if is_red(test) else _tone(test.verdict),
        pair=pair_of(found) if is_drawn else None,
    )


def _task(figures: TaskFigures) -> Task:
    grams = [each * 1000 for each in figures.grams]
    return Task(
        figures,
        _range([watt_hours_per_1000(each) for each in figures.joules]),
        _range(grams),
        _range([watt_hours_per_1000(each) for each in figures.published]),
    )


def _range(values: Sequence[float]) -> str:
    if not values:
        return "-"
    low, high = figure(min(values)), figure(max(values))
    return low if low == high else f"{low} to {high}"


def _grouped(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Each sentence once, with the names that it holds for."""
    found: dict[str, dict[str, None]] = {}
    for sentence, name in pairs:
        found.setdefault(_shortened(sentence, LONGEST_TEXT), {})[name] = None
    return tuple((sentence, tuple(names)) for sentence, names in found.items())
