"""What the page shows, as words and places; all figures are formatted here. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from pytest_energy.record.hardware import hardware_names, hardware_of
from pytest_energy.record.schema import RunRecord, SessionRecord
from pytest_energy.report.advice import (
    MEANING,
    ORDER,
    Conclusion,
    by_urgency,
    conclude,
    counts,
    is_noted,
    is_red,
)
from pytest_energy.report.by_task import Published, TaskFigures, by_task
from pytest_energy.report.cells import carbon_of, changed_limits, scale_of
from pytest_energy.report.html.log_axis import LogAxis, log_axis, range_in, range_of
from pytest_energy.report.html.measurement import (
    LONGEST_TEXT,
    Compared,
    Measurement,
    compared_of,
    heads_of,
    measurement_of,
    name_of,
    shortened,
    tone_of,
)
from pytest_energy.report.html.sweep import Row, Sweep, load_rows, sweeps
from pytest_energy.report.judged import judged
from pytest_energy.report.loads import load_heads
from pytest_energy.report.printable import all_printable
from pytest_energy.report.regressions import regression_notes
from pytest_energy.report.shares import Share, shares
from pytest_energy.report.terminal import lost_test
from pytest_energy.units import Scale, carbon_scale

#: Measurements whose rounds are drawn, the red ones first, so that the file stays small.
MOST_PICTURES = 200
#: Of more red ones none shows what makes its figure, nor its picture in the table once more.
MOST_DETAILED = 50


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
    red_heading: str
    red: tuple[Measurement, ...]
    others: tuple[Measurement, ...]
    compared: tuple[Compared, ...]
    load_heads: tuple[str, ...]
    loads: tuple[Row, ...]
    sweeps: tuple[Sweep, ...]
    tasks: tuple[Task, ...]
    carbon: str
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
    tests = by_urgency(record)
    found = [judged(each) for each in tests]
    scale = scale_of(tests)
    carbon = carbon_of(record)
    of_tasks = carbon or carbon_scale(())
    has_hardware = any(hardware_names(record))
    red = sum(is_noted(record, each) for each in tests)
    measurements = [
        measurement_of(
            index,
            test,
            each,
            scale,
            carbon=carbon,
            hardware=hardware_of(test, record.session_of(test).machine) if has_hardware else "",
            is_drawn=index < MOST_PICTURES,
            is_detailed=red <= MOST_DETAILED or index >= red,
            is_red=is_red(record, test),
            is_noted=index < red,
        )
        for index, (test, each) in enumerate(zip(tests, found, strict=True))
    ]
    number = counts(tests)
    failing = {each.verdict for each in tests if record.is_red(each)}
    tasks = by_task(record, published)
    return View(
        record=record,
        conclusion=conclude(record),
        counts=tuple(
            (number[each], str(each), MEANING[each], tone_of(each, is_red=each in failing))
            for each in ORDER
            if number[each]
        ),
        heads=heads_of(scale, carbon),
        red_heading="Failures"
        if any(is_red(record, each) for each in tests)
        else "Not within limits, reported only",
        red=tuple(measurements[:red]),
        others=tuple(measurements[red:]),
        compared=tuple(
            compared_of(
                test, each, is_drawn=red <= index < MOST_PICTURES, is_red=is_red(record, test)
            )
            for index, (test, each) in enumerate(zip(tests, found, strict=True))
            if test.reference is not None
        ),
        load_heads=load_heads(scale),
        loads=load_rows(tests, scale),
        sweeps=sweeps(tests),
        tasks=tuple(_task(each, of_tasks) for each in tasks),
        carbon=of_tasks.symbol,
        axis=log_axis(tasks, record.carbon),
        published=tuple(published) if any(each.published for each in tasks) else (),
        shares=shares(record),
        unmeasured=_grouped(
            (test.reason, name_of(test)) for test in tests if test.verdict == "unmeasured"
        ),
        missing=tuple(
            shortened(each, LONGEST_TEXT)
            for each in (
                *record.unused_budgets,
                *record.unused_baselines,
                *map(lost_test, record.lost_tests),
            )
        ),
        limit_changes=changed_limits(record, shortened),
        notes=(
            *_grouped((note, name_of(test)) for test in tests for note in test.notes),
            *((shortened(each, LONGEST_TEXT), ()) for each in regression_notes(record)),
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
        return shortened(text)
    return f"{moment:%Y-%m-%d %H:%M:%S} {moment.tzname() or ''}".rstrip()


def _task(figures: TaskFigures, carbon: Scale) -> Task:
    return Task(
        figures,
        range_of(figures.joules),
        range_in([each * 1000 / carbon.size for each in figures.grams]),
        range_of(figures.published),
    )


def _grouped(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Each sentence once, with the names that it holds for."""
    found: dict[str, dict[str, None]] = {}
    for sentence, name in pairs:
        found.setdefault(shortened(sentence, LONGEST_TEXT), {})[name] = None
    return tuple((sentence, tuple(names)) for sentence, names in found.items())
