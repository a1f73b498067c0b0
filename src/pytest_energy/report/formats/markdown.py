"""A comment for a pull request or the summary of a job: failures first, the table folded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from pytest_energy.record.hardware import hardware_names, hardware_of
from pytest_energy.record.schema import RunRecord, TestRecord
from pytest_energy.report.advice import ORDER, advice, conclude
from pytest_energy.report.cells import (
    beyond_limit,
    carbon_of,
    changed,
    changed_limits,
    scale_of,
    shown_figure,
    shown_grams,
    shown_interval,
    shown_limit,
)
from pytest_energy.report.markdown_text import code, fitting, prose, table, to_paste
from pytest_energy.report.printable import all_printable
from pytest_energy.report.regressions import regression_notes
from pytest_energy.report.terminal import lost_test
from pytest_energy.rules.verdict import RED, Verdict
from pytest_energy.units import label, numbered, signed_percent

#: The first line, by which a bot finds the comment that it updates.
MARKER = "<!-- pytest-energy: report -->"
#: Bytes; GitHub takes comments of 65,536 characters.
LARGEST = 60_000
#: Shares of these bytes that the parts take at most; the table takes what they leave.
_FAILURES, _CHANGES, _LIMIT_CHANGES, _UNUSED, _NOTES, _ABOUT = 0.3, 0.15, 0.1, 0.1, 0.1, 0.1
_LIMITS = "### Limits changed since {}"
#: Bytes around a folded part.
_FOLD = 200
#: Versions of one session that are shown.
_VERSIONS = 8


def render(record: RunRecord) -> str:
    """Markdown of at most 60,000 bytes."""
    return render_within(record, LARGEST)


def render_within(record: RunRecord, largest: int) -> str:
    """The same within so many bytes, of which it needs a few thousand."""
    record = all_printable(record)
    tests = _failures_first(record)
    lines = [MARKER, f"## Energy: {_headline(tests)}", "", conclude(record).sentence, ""]
    lines += _part("", _failures(record, tests), int(largest * _FAILURES))
    lines += _part("### Old and new", _changes(tests), int(largest * _CHANGES))
    lines += _part(
        _LIMITS.format(code(record.limits_base)), _limits(record), int(largest * _LIMIT_CHANGES)
    )
    lines += _part("### Not used, or lost", _unused(record), int(largest * _UNUSED))
    end = _folded("Notes", _part("", _notes(record, tests), int(largest * _NOTES)))
    end += _part("", _about(record), int(largest * _ABOUT))
    room = largest - sum(len(line.encode()) + 1 for line in (*lines, *end)) - _FOLD
    if tests:
        rows = fitting(_table(record, tests), room, "| {} more are in the run record |")
        lines += _folded(f"All measurements ({len(tests)})", rows)
    return "\n".join([*lines, *end]).rstrip("\n") + "\n"


def _failures_first(record: RunRecord) -> list[TestRecord]:
    """What failed, then by verdict; of one verdict, the furthest over its limit first."""
    order = [str(each) for each in ORDER]

    def place(test: TestRecord) -> tuple[bool, int, float]:
        rank = order.index(test.verdict) if test.verdict in order else len(order)
        return not record.is_red(test), rank, -(test.fraction_of_limit or 0.0)

    return sorted(record.last_attempts, key=place)


def _headline(tests: Sequence[TestRecord]) -> str:
    """ "1 fail, 1 unmeasured, 9 pass"; the verdicts are in order already."""
    if not tests:
        return "nothing was measured"
    return ", ".join(
        f"{number} {code(verdict) if verdict not in set(Verdict) else verdict}"
        for verdict, number in Counter(each.verdict for each in tests).items()
    )


def _part(heading: str, lines: Sequence[str], largest: int) -> list[str]:
    """A part with its heading; nothing where it has no lines."""
    if not lines:
        return []
    shown = fitting(lines, largest, "... and {} more; the run record has all of them")
    return [*([heading, ""] if heading else []), *shown, ""]


def _folded(summary: str, lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    return ["<details>", f"<summary>{summary}</summary>", "", *lines, "", "</details>", ""]


def _named(test: TestRecord) -> str:
    attempt = f" (attempt {test.attempt})" if test.attempt > 1 else ""
    return code(label(test.id, test.name)) + attempt


def _failures(record: RunRecord, tests: Sequence[TestRecord]) -> list[str]:
    lines = []
    for test in tests:
        is_red = record.is_red(test)
        if not is_red and test.verdict not in RED:
            continue
        only = "" if is_red else " (reported only)"
        parts = [f"- **{test.verdict}**{only} {_named(test)}", "Why: " + prose(test.reason)]
        if (budget := test.budget) is not None:
            parts.append(f"Limit: {code(budget.limit)} from {code(budget.origin)}")
            if budget.message:
                parts.append("Its author says: " + prose(budget.message))
        if (found := changed(test)) is not None:
            parts.append(
                prose(
                    f"Old and new: {found.shown(found.old, test)} -> "
                    f"{found.shown(found.new, test)} ({signed_percent(found.change)}, vs "
                    f"{found.beside})"
                )
            )
        if what := advice(test):
            parts.append("What to do: " + prose(what))
        lines.append("<br>".join(parts))
    return lines


def _changes(tests: Sequence[TestRecord]) -> list[str]:
    found = [(each, change) for each in tests if (change := changed(each)) is not None]
    if not found:
        return []
    found.sort(key=lambda each: -each[1].change)
    rows = [
        (
            _named(test),
            prose(each.shown(each.old, test)),
            prose(each.shown(each.new, test)),
            signed_percent(each.change),
            "-" if each.allowed is None else signed_percent(each.allowed),
            code(each.beside),
            code(test.method),
            code(test.verdict),
        )
        for test, each in found
    ]
    heads = ("test", "old", "new", "change", "allowed", "old is from", "method", "verdict")
    return table(heads, [0 < index < 5 for index, _ in enumerate(heads)], rows)


def _table(record: RunRecord, tests: Sequence[TestRecord]) -> list[str]:
    scale = scale_of(tests)
    columns: dict[str, Callable[[TestRecord], str]] = {
        "test": lambda test: _named(test) + _per(test),
        f"{scale.symbol} / unit": partial(shown_figure, scale=scale),
        "interval": partial(shown_interval, scale=scale),
        "limit": lambda test: prose(shown_limit(test, scale)),
        "vs limit": beyond_limit,
        "method": lambda test: code(test.method),
        "verdict": lambda test: code(test.verdict),
    }
    figures = list(columns)[1:5]
    if carbon := carbon_of(record):
        head = f"{carbon.symbol} / 1,000 units"
        columns[head] = partial(shown_grams, scale=carbon)
        figures.append(head)
    if any(hardware_names(record)):
        columns["hardware"] = lambda test: code(hardware_of(test, record.session_of(test).machine))
    rows = [[cell(test) for cell in columns.values()] for test in tests]
    return table(list(columns), [each in figures for each in columns], rows)


def _per(test: TestRecord) -> str:
    return "" if test.unit == "query" else f" per {code(test.unit)}"


def _limits(record: RunRecord) -> list[str]:
    """What this branch changes in the budgets file."""
    rows = changed_limits(record, code)
    heads = ("for", "old limit", "new limit", "change", "where")
    return table(heads, [each == "change" for each in heads], rows) if rows else []


def _unused(record: RunRecord) -> list[str]:
    """Limits and baselines of nothing, and tests that were lost: no green may hide them."""
    lost = [lost_test(each) for each in record.lost_tests]
    return [
        f"- not compared: {prose(each)}"
        for each in (*record.unused_budgets, *record.unused_baselines, *lost)
    ]


def _notes(record: RunRecord, tests: Sequence[TestRecord]) -> list[str]:
    by_note: dict[str, list[TestRecord]] = {}
    for test in tests:
        for note in test.notes:
            by_note.setdefault(note, []).append(test)
    lines = []
    for note, about in by_note.items():
        sentences = [line for line in note.splitlines() if not line.startswith("    ")]
        pasted = [line[4:] for line in note.splitlines() if line.startswith("    ")]
        names = list(dict.fromkeys(map(_named, about)))
        whose = names[0] if len(names) == 1 else numbered(len(names), "test")
        line = f"- {whose}: {prose(' '.join(sentences))}"
        # One item, so that no block of code is cut off in its middle.
        lines.append("\n".join([line, *(to_paste(pasted, "  ") if pasted else [])]))
    lines += [f"- all tests: {prose(each)}" for each in regression_notes(record)]
    lines += [f"- machine: {prose(each)}" for each in record.machine.notes]
    return lines


def _about(record: RunRecord) -> list[str]:
    """Hardware, versions, commit and carbon factor of each session, in a line."""
    lines = []
    for index, session in enumerate(record.all_sessions):
        tests = [each for each in record.tests if each.session == index]
        hardware = dict.fromkeys(hardware_of(each, session.machine) for each in tests)
        names = [each for each in hardware if each] or [session.machine.cpu]
        parts = [f"Measured on {', '.join(map(code, names))}"]
        versions = list(session.run.versions.items())[:_VERSIONS]
        parts.append(", ".join(code(f"{name} {number}") for name, number in versions))
        parts += [f"commit {code(session.run.commit)}"] if session.run.commit else []
        if session.carbon is not None:
            parts.append(f"carbon factor {prose(session.carbon.description)}")
        lines.append("; ".join(filter(None, parts)) + ".\n")
    return lines
