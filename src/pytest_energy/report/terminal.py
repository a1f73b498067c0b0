"""The table of the terminal summary and of `pytest-energy show`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from rich.text import Text

from pytest_energy.limits.budget import limit_of
from pytest_energy.record.hardware import hardware_names, hardware_of
from pytest_energy.record.schema import ChannelRecord, RunRecord, TestRecord
from pytest_energy.report.advice import next_steps
from pytest_energy.report.cells import (
    beyond_limit,
    beyond_reference,
    carbon_of,
    scale_of,
    shown_figure,
    shown_grams,
    shown_interval,
    shown_limit,
)
from pytest_energy.report.loads import print_loads
from pytest_energy.report.printable import all_printable, without_commands
from pytest_energy.report.regressions import regression_notes, vs_baseline
from pytest_energy.report.table import Column, Row, console_of, print_table, printed
from pytest_energy.units import Quantity, Scale, several, short_label

#: So many notes that differ in figures alone are one line.
ALIKE = 3
_FIGURE = re.compile(r"\d[\d.,]*")
#: Columns of words; all others are figures.
_WORDS = ("method", "verdict")

_STYLES = {
    "pass": "green",
    "close": "yellow",
    "inconclusive": "red",
    "unmeasured": "red",
    "fail": "bold red",
}


def render(
    record: RunRecord,
    width: int,
    *,
    colour: bool,
    in_failures: Collection[tuple[str, str]] = (),
) -> str:
    """The table and its notes for a terminal of this width, ending in a newline.

    in_failures: the id and the reason of each test whose reason stands above the summary already.
    """
    console = console_of(width, colour=colour)
    record = all_printable(record)
    scale = scale_of(record.tests)
    columns = _columns(record, scale)
    named = hardware_names(record)
    print_table(
        console,
        [Column(head, "left" if head in _WORDS else "right") for head in columns],
        [
            Row(
                _name(test, hardware),
                [cell(test) for cell in columns.values()],
                (test.task or "", _origin(test)),
                (_channels(test, scale), vs_baseline(test)),
            )
            for test, hardware in zip(record.tests, named, strict=True)
        ],
        ("task", "limit from"),
        ("channels", "vs baseline"),
    )
    print_loads(console, record, scale)
    for note in _notes(record, in_failures):
        # Indented lines are to be pasted, so they are never wrapped.
        for line in note.splitlines():
            console.print(Text(line), soft_wrap=line.startswith("    "))
    return without_commands(printed(console))


def _columns(record: RunRecord, scale: Scale) -> dict[str, Callable[[TestRecord], str | Text]]:
    """The cell of each column, by its head."""
    columns: dict[str, Callable[[TestRecord], str | Text]] = {
        f"{scale.symbol}/unit": partial(shown_figure, scale=scale)
    }
    if carbon := carbon_of(record):
        columns[f"{carbon.symbol}/1000"] = partial(shown_grams, scale=carbon)
    columns |= {
        "interval": partial(shown_interval, scale=scale),
        "limit": partial(shown_limit, scale=scale),
    }
    compared = [each.reference is not None for each in record.tests]
    if not all(compared) or any(each.budget is not None for each in record.tests):
        columns["vs limit"] = beyond_limit
    if any(compared):
        columns["vs reference"] = beyond_reference
    return columns | {
        "calls": lambda test: str(sum(each.calls for each in test.rounds)),
        "method": lambda test: test.method or "-",
        "verdict": _verdict,
    }


def _name(test: TestRecord, hardware: str) -> Text:
    name = test.id if test.name is None else f"{test.id} {test.name}"
    if test.attempt > 1:
        name += f" (attempt {test.attempt})"
    about = [] if test.unit == "query" else [f"per {test.unit}"]
    limit = None if test.budget is None else limit_of(test.budget)
    if limit is not None and limit.quantity is Quantity.CARBON:
        about.append("carbon limit")
    if hardware:
        about.append(hardware)
    return Text(f"{name} ({', '.join(about)})" if about else name, overflow="fold")


def _origin(test: TestRecord) -> str:
    if test.budget is not None:
        return test.budget.origin
    return f"against {test.reference.name}" if test.reference is not None else ""


def _channels(test: TestRecord, scale: Scale) -> str:
    """Every channel with its figure and provenance, where there is more than one."""
    if len(test.channels) < 2:
        return ""
    gated = ", ".join(_channel(each, scale) for each in test.channels if each.gated)
    others = ", ".join(_channel(each, scale) for each in test.channels if not each.gated)
    return "; ".join(filter(None, (gated, others and f"not gated: {others}")))


def _channel(each: ChannelRecord, scale: Scale) -> str:
    joules = each.joules_per_unit
    shown = "-" if joules is None else f"{scale.show(joules)} {scale.symbol}"
    return f"{each.name} {shown} {each.provenance}"


def _verdict(test: TestRecord) -> Text:
    return Text(test.verdict, _STYLES.get(test.verdict, ""))


def lost_test(test_id: str) -> str:
    """The line for a test whose worker process died."""
    return f"{test_id}: its worker process was lost while it ran, and with it what was measured"


def _factors(record: RunRecord) -> list[str]:
    """The carbon factor; where sessions have different ones, with the hardware of each."""
    hardware: dict[str, list[str]] = {}
    for index, session in enumerate(record.all_sessions):
        if session.carbon is not None:
            tests = [each for each in record.tests if each.session == index]
            names = [hardware_of(each, session.machine) for each in tests]
            hardware.setdefault(session.carbon.description, []).extend(filter(None, names))
    if len(hardware) < 2:
        return [f"carbon: {each}" for each in hardware]
    return [
        f"carbon: {each} on {', '.join(dict.fromkeys(names)) or 'no hardware that was measured'}"
        for each, names in hardware.items()
    ]


def _by_tests(by_note: Mapping[str, Sequence[str]]) -> list[str]:
    """A line for each note; notes of several tests that differ in figures alone are one line."""
    alike: dict[str, list[str]] = {}
    for note in by_note:
        alike.setdefault(note if "\n" in note else _FIGURE.sub("#", note), []).append(note)
    lines = []
    for notes in alike.values():
        labels = dict.fromkeys(label for note in notes for label in by_note[note])
        first = next(iter(labels))
        if len(notes) < ALIKE or len(labels) < ALIKE:
            lines += [f"{several(by_note[note])}: {note}" for note in notes]
        else:
            lines.append(f"{len(labels)} tests, such as {first}: {notes[0]}")
    return lines


def _notes(record: RunRecord, in_failures: Collection[tuple[str, str]]) -> list[str]:
    lines = []
    lines += _factors(record)
    by_reason: dict[str, list[str]] = {}
    by_note: dict[str, list[str]] = {}
    for test in record.tests:
        label = short_label(test.id, test.name)
        needs_reason = test.verdict in ("unmeasured", "inconclusive", "no-baseline")
        if needs_reason and (test.id, test.reason) not in in_failures:
            by_reason.setdefault(test.reason, []).append(label)
        for note in test.notes:
            by_note.setdefault(note, []).append(label)
    lines += [f"{several(labels)}: {reason}" for reason, labels in by_reason.items()]
    lines += _by_tests(by_note)
    lines += regression_notes(record)
    lines += [*record.machine.notes, *record.unused_budgets, *record.unused_baselines]
    lines += [lost_test(each) for each in record.lost_tests]
    lines += next_steps(record.last_attempts)
    return list(dict.fromkeys(lines))
