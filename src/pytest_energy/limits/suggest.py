"""Limits for tests that have none, from what their run records hold; pure.

Existing text is only ever added to: each new [[budget]] stands behind it, so its comments and
layout stay as they are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, variance

from pytest_energy.errors import InputError
from pytest_energy.limits.budget import (
    ESTIMATE_HEADROOM,
    HEADROOM,
    Declaration,
    round_cpu_limit,
    round_limit,
)
from pytest_energy.limits.file import BudgetsFile, parse_budgets
from pytest_energy.limits.keys import SCHEMA
from pytest_energy.limits.limit import Limit, Quantity
from pytest_energy.limits.resolve import Subject, matched
from pytest_energy.limits.toml_lines import places
from pytest_energy.record.contention import contention
from pytest_energy.record.merge import in_order
from pytest_energy.record.schema import (
    CPU_TIME_METHOD,
    BudgetRecord,
    MachineRecord,
    RunRecord,
    TestRecord,
)
from pytest_energy.rules.estimate import ALPHA, MIN_ROUNDS, Estimate
from pytest_energy.rules.limit import FEW_ROUNDS_PASS
from pytest_energy.rules.statistics import t_quantile
from pytest_energy.rules.verdict import Verdict
from pytest_energy.sensors.base import Kind, Provenance
from pytest_energy.units import figure, numbered, percent

#: What is known of the spread between sessions before any is seen, and as how many it counts
#: (rule B of the design: means of one commit differ by 1-3 % from day to day).
SESSION_SD = 0.02
PRIOR_SESSIONS = 8
#: The share of later sessions that stay under the predicted end.
CONFIDENCE = 0.99
#: Headroom at least, once several sessions tell the spread.
SESSIONS_HEADROOM = 0.05
#: A limit lies at least this far over the highest session, however the others are.
OVER_HIGHEST = 0.01

_HEAD = "# Limits of pytest-energy: what each test may use at most.\n"


class SuggestionError(InputError):
    """What can't be suggested from; the message says why, and what to do."""


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
    sessions = in_order(records)
    _check_hardware(sessions)
    file = parse_budgets(text.removeprefix("\ufeff"), shown) if text else BudgetsFile()
    messages: list[str] = []
    new: list[tuple[str, str, str]] = []
    for test_id in dict.fromkeys(test.id for each in sessions for test in each.tests):
        history = [found for each in sessions if (found := _last_attempt(each, test_id))]
        newest = history[-1].tests
        if reasons := _left_alone(newest):
            messages += [f"{test_id}: {reason}" for reason in reasons]
            continue
        for kind in dict.fromkeys(map(_kind, newest)):
            tests = [each for each in newest if _kind(each) == kind]
            quiet = [each.quiet for each in history]
            if standing := _standing(tests[0], file):
                messages.append(f"{test_id}: kept {standing}")
                continue
            if noisy := next((each for each in tests if not _same(each, quiet)), None):
                messages.append(f"{test_id}: skipped, {contention(noisy)}")
                continue
            room = max((_room(each, quiet) for each in tests), key=lambda each: each.upper)
            new.append((test_id, room.limit.text, room.method))
            messages.append(f"{test_id}: {room}{_pattern_note(test_id)}")
    return Suggested(_added(text, shown, new) if new else text, tuple(messages), len(new))


def rooms(records: Sequence[RunRecord]) -> list[tuple[TestRecord, Room | None]]:
    """The newest record of each measurement, with the room that it needs; None for an unmeasured,
    or one that other processes disturbed in each session.

    Raises SuggestionError for figures that can't be compared with one another.
    """
    sessions = in_order(records)
    _check_hardware(sessions)
    found: list[tuple[TestRecord, Room | None]] = []
    for test_id in dict.fromkeys(test.id for each in sessions for test in each.tests):
        history = [last for each in sessions if (last := _last_attempt(each, test_id))]
        quiet = [each.quiet for each in history]
        found += [
            (each, _room(each, quiet) if _is_measured(each) and _same(each, quiet) else None)
            for each in history[-1].tests
        ]
    return found


@dataclass(frozen=True)
class _Session:
    """What one record holds of one test: the measurements of its last attempt."""

    start: str
    tests: tuple[TestRecord, ...]

    @property
    def quiet(self) -> _Session:
        """The same without figures that other processes may have raised."""
        return replace(self, tests=tuple(each for each in self.tests if not contention(each)))


def _last_attempt(record: RunRecord, test_id: str) -> _Session | None:
    found = tuple(each for each in record.last_attempts if each.id == test_id)
    return _Session(record.run.start, found) if found else None


def _check_hardware(sessions: Sequence[RunRecord]) -> None:
    """Whether what the figures depend on is the same in all records: the GPUs, the processor."""
    kinds = {
        channel.kind
        for record in sessions
        for test in record.tests
        if _is_measured(test)
        for channel in test.channels
        if channel.gated
    }
    asked: list[Callable[[MachineRecord], str]] = []
    if Kind.GPU in kinds:
        asked.append(_gpus)
    if kinds - {Kind.GPU}:
        asked.append(lambda machine: f"{machine.cpu}, {machine.cpu_count} cores")
    for describe in asked:
        _check_same(
            "the records are of different hardware",
            [(describe(each.machine), each.run.start) for each in sessions],
            "suggest from one kind of hardware at a time, in a run for each",
        )


def _gpus(machine: MachineRecord) -> str:
    gpus = sorted(
        each.name + (f" at {each.power_limit_watts:.0f} W" if each.power_limit_watts else "")
        for each in machine.gpus
    )
    return ", ".join(gpus) or "no GPU"


def _check_same(what: str, described: Sequence[tuple[str, str]], advice: str) -> None:
    """Raises SuggestionError for two descriptions, each with the start of its run, that differ."""
    for words, start in described[1:]:
        first, first_start = described[0]
        if words != first:
            raise SuggestionError(
                f"{what}: {first} ({first_start}) and {words} ({start}); {advice}"
            )


# -- what stays as it is ------------------------------------------------------------------------


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
        (each for each in tests if _has_failed(each) or not _is_measured(each)), None
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
        return f"skipped, it is over its limit {where}, and a suggestion loosens none"
    if unmeasured := next((each for each in tests if not _is_measured(each)), None):
        return _skipped(unmeasured)
    return f'kept "{budget.limit}" ({budget.origin})'


def _skipped(test: TestRecord) -> str:
    named = f" as {test.name!r}" if test.name else ""
    verdict = Verdict.FAIL if _has_failed(test) else Verdict.UNMEASURED
    return f"skipped, {verdict}{named}: {test.reason}"


def _has_failed(test: TestRecord) -> bool:
    return test.verdict == Verdict.FAIL


def _is_measured(test: TestRecord) -> bool:
    values = (_figure(test), *(test.interval or ()))
    return test.verdict != Verdict.UNMEASURED and all(0 < each < math.inf for each in values)


def _kind(test: TestRecord) -> tuple[str, ...]:
    """How and in what a figure is counted; one test's limit needs figures of one kind."""
    return test.method, f"scope {test.scope}", f"per {test.unit}"


def _standing(test: TestRecord, file: BudgetsFile) -> str:
    """The file's limit for a test, which it may have got since the test was measured, or ""."""
    parameters = test.id.partition("[")[2].removesuffix("]")
    subject = Subject(test.id, frozenset(filter(None, (test.model, parameters))))
    declaration = Declaration(task=test.task, model=test.model)
    named = {origin for origin, _ in matched(declaration, subject, file)}
    for entry in sorted(file.entries, key=lambda each: test.id not in each.tests):
        if test.id not in entry.tests and entry.origin not in named:
            continue
        for limit, origin in entry.limits:
            if (limit.unit, limit.quantity) == (test.unit, _quantity(test)):
                only = f", for hardware {entry.hardware} only" if entry.hardware else ""
                return f'"{limit.text}" ({origin}{only})'
    return ""


# -- how much a test may use --------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Room:
    """How much a measurement may use: joules (CPU seconds for CPU time) for one unit.

    centre: of its sessions. upper: what another session stays under. why: what set it.
    """

    test: TestRecord
    sessions: int
    centre: float
    upper: float
    why: str

    @property
    def limit(self) -> Limit:
        if _quantity(self.test) is Quantity.CPU_TIME:
            return round_cpu_limit(self.upper, self.test.unit)
        return round_limit(self.upper, self.test.unit)

    @property
    def method(self) -> str:
        """The evidence that the limit is for, where this machine may have other another day."""
        kinds = {each.kind for each in self.test.channels if each.gated}
        is_counted = self.test.method == Provenance.MEASURED and Kind.GPU not in kinds
        return self.test.method if is_counted else ""

    def __str__(self) -> str:
        centre = figure(self.limit.amount_of(self.centre))
        known = "counted" if self.test.method == CPU_TIME_METHOD else self.test.method
        named = f" as {self.test.name!r}" if self.test.name else ""
        sessions = numbered(self.sessions, "session")
        headroom = percent(self.upper / self.centre - 1)
        return (
            f'max = "{self.limit.text}" ({centre} {known}{named} in {sessions}, '
            f"{headroom} headroom{self.why})"
        )


def _room(test: TestRecord, history: Sequence[_Session]) -> Room:
    """The room for a measurement, from the same one in each session.

    Raises SuggestionError where it was measured in different ways.
    """
    same = _same(test, history)
    _check_same(
        f"{test.id} was measured in different ways",
        [(_evidence(each), start) for each, start in same],
        "suggest from the records of one way at a time, in a run for each",
    )
    sessions = [each for each, _ in same]
    logs = [math.log(_figure(each)) for each in sessions]
    few = any(each.interval is None for each in sessions)
    variances = [_variance(each) for each in sessions]
    upper, why = upper_end(logs, variances, test.method, few_rounds=few)
    return Room(
        test=test, sessions=len(sessions), centre=math.exp(fmean(logs)), upper=upper, why=why
    )


def _same(test: TestRecord, history: Sequence[_Session]) -> list[tuple[TestRecord, str]]:
    """This measurement in each session that has it, with the session's start."""
    return [
        (each, session.start)
        for session in history
        if (each := next((each for each in session.tests if _is_same(each, test)), None))
    ]


def upper_end(
    logs: Sequence[float], variances: Sequence[float], method: str, *, few_rounds: bool
) -> tuple[float, str]:
    """What another session stays under, and what set it, in words that follow "headroom".

    logs: of the sessions' centres. variances: of these logarithms within their sessions.
    few_rounds: whether one of them has no interval.
    """
    centre, highest = math.exp(fmean(logs)), math.exp(max(logs))
    expected = math.exp(_predicted_end(logs, variances))
    least = SESSIONS_HEADROOM
    if len(logs) == 1:
        estimated = method in (Provenance.ESTIMATED, CPU_TIME_METHOD)
        least = ESTIMATE_HEADROOM if estimated else HEADROOM
    candidates = {
        "": centre * (1 + least),
        " for the spread": expected,
        " to stay over the highest": highest * (1 + OVER_HIGHEST),
    }
    if few_rounds:
        # What is nearer to its limit is inconclusive.
        share = percent(1 - FEW_ROUNDS_PASS)
        why = f", since fewer than {MIN_ROUNDS} rounds pass only {share} under a limit"
        candidates[why] = max(expected, highest * (1 + OVER_HIGHEST)) / FEW_ROUNDS_PASS
    why, upper = max(candidates.items(), key=lambda each: each[1])
    return upper, why


def upper_end_of_one(found: Estimate, rounds: int, method: str) -> tuple[float, str]:
    """The same for one session: so a test's own summary suggests what `budgets suggest` does."""
    few = found.interval is None
    variances = [_variance_within(found.interval, rounds)]
    return upper_end([math.log(found.centre)], variances, method, few_rounds=few)


def _predicted_end(logs: Sequence[float], variances: Sequence[float]) -> float:
    """The logarithm that another session exceeds once in a hundred times (rule B).

    logs: the sessions' centres. variances: of these centres within their sessions.
    """
    k, within = len(logs), fmean(variances)
    between = max((variance(logs) if k > 1 else 0.0) - within, 0.0)
    degrees = PRIOR_SESSIONS - 1 + k
    tau2 = (PRIOR_SESSIONS * SESSION_SD**2 + (k - 1) * between) / degrees
    return fmean(logs) + t_quantile(CONFIDENCE, degrees) * math.sqrt((tau2 + within) * (1 + 1 / k))


def _variance(test: TestRecord) -> float:
    """Of the centre's logarithm, from the interval as `verdict.estimate` makes it.

    A trimmed mean has fewer degrees of freedom than its rounds tell, so its variance is taken as
    larger than it is.
    """
    rounds = sum(1 for each in test.rounds if not each.warmup)
    return _variance_within(test.interval, rounds)


def _variance_within(interval: tuple[float, float] | None, rounds: int) -> float:
    if interval is None:
        return 0.0
    low, high = interval
    quantile = t_quantile(1 - ALPHA / 4, max(rounds, MIN_ROUNDS) - 1)
    return (math.log(high / low) / 2 / quantile) ** 2


def _figure(test: TestRecord) -> float:
    """Joules for one unit, or CPU seconds where these are compared; NaN where there are none."""
    is_cpu_time = _quantity(test) is Quantity.CPU_TIME
    value = test.cpu_seconds_per_unit if is_cpu_time else test.joules_per_unit
    return math.nan if value is None else value


def _quantity(test: TestRecord) -> Quantity:
    return Quantity.CPU_TIME if test.method == CPU_TIME_METHOD else Quantity.ENERGY


def _is_same(one: TestRecord, other: TestRecord) -> bool:
    """Whether two records are of one measurement, counted in the same."""
    return _is_measured(one) and (one.name, one.unit, _quantity(one)) == (
        other.name,
        other.unit,
        _quantity(other),
    )


def _evidence(test: TestRecord) -> str:
    """How a figure came about; figures that differ in this are never compared."""
    sources = " + ".join(sorted(each.source for each in test.channels if each.gated))
    return f"{test.method}, scope {test.scope}, by {sources}"


# -- the file -----------------------------------------------------------------------------------


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
        f'\n[[budget]]\ntests = {_quoted(test_id)}\nmax = "{limit}"\n'
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
