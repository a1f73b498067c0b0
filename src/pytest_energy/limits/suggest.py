"""Limits for tests that have none, from what their run records hold; pure.

Existing text is only ever added to: each new [[budget]] stands behind it, so its comments and
layout stay as they are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_energy.limits.budget import Declaration, round_flop_limit
from pytest_energy.limits.checks import test_ids
from pytest_energy.limits.file import BudgetsFile, parse_budgets
from pytest_energy.limits.keys import SCHEMA
from pytest_energy.limits.limit import Limit, LimitError, parse_limit
from pytest_energy.limits.resolve import Subject, matched
from pytest_energy.limits.room import (
    Session,
    SuggestionError,
    histories,
    is_measured,
    quiet,
    room_of,
)
from pytest_energy.limits.toml_lines import places
from pytest_energy.record.contention import doubt_of_figure
from pytest_energy.record.schema import BudgetRecord, RunRecord, TestRecord, quantity_of
from pytest_energy.rules.verdict import Verdict
from pytest_energy.units import Quantity, amount

_HEAD = "# Limits of pytest-energy: what each test may use at most.\n"


@dataclass(frozen=True)
class Suggested:
    """The new text of a budgets file.

    messages: a sentence for each entry that was written, and each test that was left as it is.
    written: how many entries are new; with none, the text is the one that was there.
    """

    text: str
    messages: tuple[str, ...]
    written: int


def suggest(records: Sequence[RunRecord], text: str, shown: str) -> Suggested:
    """Add a limit to a budgets file for each test that was measured and has none.

    text: the file's, without mistakes, or "" where there is no file. shown: its name in messages.
    The newest record that has a test tells whether a limit stands; earlier ones add their figures.
    Raises SuggestionError for figures that can't be compared with one another, and for a file to
    which nothing can be added at its end.
    """
    found = histories(records)
    file = parse_budgets(text.removeprefix("\ufeff"), shown) if text else BudgetsFile()
    messages: list[str] = []
    new: list[tuple[str, str, str]] = []
    for test_id, history in found.items():
        newest = history[-1].tests
        if why := _unnameable(test_id):
            messages.append(f"{test_id}: skipped, because no budget can name it: {why}")
            continue
        if reasons := _left_alone(newest):
            messages += [f"{test_id}: {reason}" for reason in reasons]
            continue
        for kind in dict.fromkeys(map(_kind, newest)):
            tests = [each for each in newest if _kind(each) == kind]
            if standing := _standing(tests[0], file, quantity_of(tests[0].method)):
                messages.append(f"{test_id}: kept {standing}")
                continue
            if noisy := next((each for each in tests if not quiet(each, history)), None):
                messages.append(f"{test_id}: skipped, {doubt_of_figure(noisy)}")
                continue
            room = max((room_of(each, history) for each in tests), key=lambda each: each.upper)
            if why := _unwritable(room.limit):
                messages.append(f"{test_id}: skipped, because no limit can hold its figure: {why}")
                continue
            new.append((test_id, room.limit.text, room.method))
            messages.append(f"{test_id}: {room}{_pattern_note(test_id)}")
            flops = _flops(tests, history)
            if flops is None or _standing(tests[0], file, Quantity.FLOPS):
                continue
            if isinstance(flops, Limit) and not _unwritable(flops):
                new.append((test_id, flops.text, ""))
                flops = f'max = "{flops.text}" (the same count in each session, without headroom)'
            messages.append(f"{test_id}: {flops}")
    return Suggested(_added(text, shown, new) if new else text, tuple(messages), len(new))


def _unnameable(test_id: str) -> str:
    """Why no budgets file can name this test, or ""; it may lie outside the root folder."""
    try:
        test_ids(test_id)
    except ValueError as error:
        return str(error)
    return ""


def _flops(tests: Sequence[TestRecord], history: Sequence[Session]) -> Limit | str | None:
    """A limit on the work itself for these measurements of one test, or why there is none.

    None where torch counted nothing. Only a count that repeats exactly has an exact limit.
    """
    found = []
    for each in tests:
        counts = [_counted(one) for one, _ in quiet(each, history)]
        known = [count for count in counts if count is not None]
        if not known:
            return None
        if len(known) < 2 or len(known) < len(counts):
            return "no limit in FLOPs: two sessions must count them; record with --energy-flops"
        if min(known) != max(known):
            shown = " to ".join(amount(count, Quantity.FLOPS) for count in (min(known), max(known)))
            return f"no limit in FLOPs: the counts of its sessions differ, {shown}"
        found += known
    return round_flop_limit(max(found), tests[0].unit)


def _counted(test: TestRecord) -> float | None:
    return test.explanation.flops_per_unit if test.explanation is not None else None


def _unwritable(limit: Limit) -> str:
    """Why a limit can't be read back, or ""; its unit and figure are those of the record."""
    try:
        parse_limit(limit.text)
    except LimitError as error:
        return error.why
    return ""


def _left_alone(tests: Sequence[TestRecord]) -> list[str]:
    """Why a test gets no limit, whatever the file holds; nothing where it may get one."""
    limited = [(each, each.budget) for each in tests if each.budget is not None]
    if limited:
        messages = (
            _about(budget, [each for each, its in limited if its == budget])
            for _, budget in limited
        )
        return list(dict.fromkeys(messages))
    if skipped := next(
        (each for each in tests if _has_failed(each) or not is_measured(each)), None
    ):
        return [_skipped(skipped)]
    kinds = {frozenset(_kind(each) for each in tests if each.name == one.name) for one in tests}
    if len(kinds) > 1:
        # A limit stands for all measurements of its test, and these can't be compared.
        different = ", ".join(dict.fromkeys(" ".join(_kind(each)) for each in tests))
        return [
            f"skipped, a limit stands for all of its measurements, and they differ ({different}); "
            "make each a test of its own"
        ]
    return []


def _about(budget: BudgetRecord, tests: Sequence[TestRecord]) -> str:
    """What is said of a limit that stands already."""
    if any(_has_failed(each) for each in tests):
        where = f'"{budget.limit}" ({budget.origin})'
        return f"skipped, it is over its limit {where}, and a suggestion raises no limit"
    if unmeasured := next((each for each in tests if not is_measured(each)), None):
        return _skipped(unmeasured)
    return f'kept "{budget.limit}" ({budget.origin})'


def _skipped(test: TestRecord) -> str:
    named = f" as {test.name!r}" if test.name else ""
    verdict = Verdict.FAIL if _has_failed(test) else Verdict.UNMEASURED
    return f"skipped, {verdict}{named}: {test.reason}"


def _has_failed(test: TestRecord) -> bool:
    return test.verdict == Verdict.FAIL


def _kind(test: TestRecord) -> tuple[str, ...]:
    """How and in what a figure is counted; one test's limit needs figures of one kind."""
    return test.method, f"scope {test.scope}", f"per {test.unit}"


def _standing(test: TestRecord, file: BudgetsFile, quantity: Quantity) -> str:
    """The file's limit for a test, which it may have got since the test was measured, or ""."""
    parameters = test.id.partition("[")[2].removesuffix("]")
    subject = Subject(test.id, frozenset(filter(None, (test.model, parameters))))
    declaration = Declaration(task=test.task, model=test.model)
    named = {origin for origin, _ in matched(declaration, subject, file)}
    for entry in sorted(file.entries, key=lambda each: test.id not in each.tests):
        if test.id not in entry.tests and entry.origin not in named:
            continue
        for limit, origin in entry.limits:
            if (limit.unit, limit.quantity) == (test.unit, quantity):
                only = f", for hardware {entry.hardware} only" if entry.hardware else ""
                return f'"{limit.text}" ({origin}{only})'
    return ""


def _added(text: str, shown: str, limits: Sequence[tuple[str, str, str]]) -> str:
    """The text with an entry for each test id, limit and method, in the line endings it has."""
    budgets = places(text.removeprefix("\ufeff")).inside.get("budget")
    if budgets is not None and not budgets.written.startswith("["):
        raise SuggestionError(
            f"{shown}:{budgets.line}: {budgets.written}: TOML lets nothing be added to a list that "
            "is written as one value; write each budget as a table of its own, under [[budget]]"
        )
    text = text or f"{_HEAD}schema = {SCHEMA}\n"
    newline = "\r\n" if "\r\n" in text else "\n"
    if not text.endswith("\n"):
        text += newline
    entries = (
        f"\n[[budget]]\ntests = {_quoted(test_id)}\nmax = {_quoted(limit)}\n"
        + (f'method = "{method}"\n' if method else "")
        for test_id, limit, method in limits
    )
    return text + "".join(entries).replace("\n", newline)


def _quoted(text: str) -> str:
    """A TOML string: JSON's, but for the one control character that JSON leaves as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _pattern_note(test_id: str) -> str:
    if not {"*", "?"} & set(test_id):
        return ""
    return "; * and ? in the id fit other tests too, so it also limits those without their own"
