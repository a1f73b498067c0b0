"""Sessions into baselines: new fills what is missing, add appends, reset starts again; pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean

from pytest_energy.baselines.baseline import (
    COMPARED_ROUNDS,
    Key,
    Line,
    by_key,
    compared_rounds,
    line_of,
    needed_rounds,
    shown_figure,
    shown_sessions,
)
from pytest_energy.errors import INPUTS_NOT_COVERED, InputError
from pytest_energy.limits.index import matches
from pytest_energy.record.contention import doubt_of_figure
from pytest_energy.record.merge import in_order
from pytest_energy.record.schema import FLOPS_METHOD, RunRecord, TestRecord
from pytest_energy.rules.baseline import KEPT_SESSIONS
from pytest_energy.rules.verdict import Verdict
from pytest_energy.sensors.base import Kind
from pytest_energy.spelling import alike
from pytest_energy.units import label, numbered, signed_percent

#: A driver that is a stand-in says so in its version.
SIMULATED = "simulated"


class Mode(StrEnum):
    """What becomes of the sessions that are there."""

    NEW = "new"
    ADD = "add"
    RESET = "reset"


@dataclass(frozen=True)
class Update:
    """All lines afterwards, how many baselines changed, and a sentence for each of them."""

    lines: tuple[Line, ...]
    changed: int
    messages: tuple[str, ...]


def update(before: Sequence[Line], records: Sequence[RunRecord], mode: Mode) -> Update:
    """Take the sessions of run records into the baselines.

    Lines of tests that the records don't have stay as they are, whatever the mode.
    """
    messages: list[str] = []
    new: list[Line] = []
    for record in in_order(records):
        new += _sessions(record, messages)
    stored = by_key(before)
    taken: dict[Key, tuple[Line, ...]] = {}
    kept = 0
    for key, sessions in _grouped(new).items():
        old = stored.get(key, ())
        if mode is Mode.NEW and old:
            kept += 1
            continue
        taken[key], replaced = _with(() if mode is Mode.RESET else old, sessions)
        messages.append(_sentence(key, old, taken[key]) + _why(replaced))
    if kept:
        them = "1 test has a baseline" if kept == 1 else f"{kept} tests have a baseline"
        messages.append(f"{them} already: add appends this session, reset starts again from it")
    others = (each for each in before if each.key not in taken)
    lines = (*others, *(each for found in taken.values() for each in found))
    return Update(lines, len(taken), tuple(messages))


def drop(before: Sequence[Line], patterns: Sequence[str]) -> Update:
    """Remove all sessions of tests, by id or pattern (* and ?).

    Raises ValueError for a pattern that fits no test.
    """
    tests = sorted({each.test for each in before})
    for pattern in patterns:
        if not any(matches(pattern, each) for each in tests):
            near = alike(pattern, tests)
            hint = f"did you mean {near[0]!r}?" if near else "pytest-energy baseline list shows all"
            raise InputError(f"{pattern!r} is no test with a baseline; {hint}")
    stored = _grouped(before)
    # An id may hold the signs of a pattern, and is then that test alone: test_it[*].
    dropped = {
        test
        for pattern in patterns
        for test in ([pattern] if pattern in tests else tests)
        if matches(pattern, test)
    }
    gone = [key for key in stored if key.test in dropped]
    messages = (
        f"dropped {label(key.test, key.name)}: {shown_sessions(len(stored[key]))}, "
        f"{shown_figure(mean(stored[key]), key.unit, key.method)} ({key.hardware})"
        for key in gone
    )
    return Update(
        tuple(each for each in before if each.key not in gone), len(gone), tuple(messages)
    )


def _sessions(record: RunRecord, messages: list[str]) -> Iterator[Line]:
    """The sessions in a record, one for each key; what can't be one is messages of."""
    seen = set()
    for test in record.last_attempts:
        if test.reference is not None:  # its reference was measured beside it
            continue
        named = label(test.id, test.name)
        if refusal := refused(test, record):
            messages.append(f"{named}: not stored: {refusal}")
            continue
        line = line_of(test, record)
        if line.key in seen:  # several limits of one measurement
            continue
        seen.add(line.key)
        yield line


def refused(test: TestRecord, record: RunRecord) -> str:
    """Why a measurement can't be a baseline, or ""."""
    if test.failure:
        return f"the test ended in {test.failure}, so its work may not have been done"
    if test.verdict == Verdict.UNMEASURED or test.figure is None:
        return f"unmeasured: {test.reason}"
    if test.code == INPUTS_NOT_COVERED and test.method == FLOPS_METHOD:
        return test.reason
    on_gpu = any(each.gated and each.kind == Kind.GPU for each in test.channels)
    driver = record.run.versions.get("driver", "")
    if on_gpu and SIMULATED in driver.lower():
        return f"its joules are simulated (driver {driver})"
    if doubt := doubt_of_figure(test):
        return doubt
    rounds = compared_rounds(test)
    if len(rounds) < needed_rounds(test.method):
        return few(len(rounds))
    return ""


def few(rounds: int) -> str:
    """What is said of a session that can't be compared."""
    return (
        f"it has {numbered(rounds, 'round')}, and {COMPARED_ROUNDS} are compared; give it more "
        "--energy-max-seconds or --energy-max-rounds, or let one call do less"
    )


def _grouped(lines: Iterable[Line]) -> dict[Key, list[Line]]:
    found: dict[Key, list[Line]] = {}
    for line in lines:
        found.setdefault(line.key, []).append(line)
    return found


def _with(old: Sequence[Line], new: Sequence[Line]) -> tuple[tuple[Line, ...], bool]:
    """The last ten of the old and new sessions, and whether a new one took another's place."""
    found = list(old)
    for line in new:
        found = [each for each in found if not each.is_same_session(line)] + [line]
    found.sort(key=lambda each: each.order)
    return tuple(found[-KEPT_SESSIONS:]), len(found) < len(old) + len(new)


def mean(lines: Sequence[Line]) -> float:
    """Of the sessions' centres: the mean of their logarithms."""
    return math.exp(fmean(math.log(each.centre) for each in lines))


def _sentence(key: Key, old: Sequence[Line], new: Sequence[Line]) -> str:
    """ "test_x: 7.56 J -> 7.70 J / query (+1.9 %), 3 -> 4 sessions" """
    named = label(key.test, key.name)
    figure = shown_figure(mean(new), key.unit, key.method)
    if any(each.n > COMPARED_ROUNDS for each in new):
        figure += f" in the first {COMPARED_ROUNDS} rounds"  # the table shows all of them
    if not old:
        return f"{named}: none -> {figure} ({shown_sessions(len(new))}; {key.hardware})"
    was, _, _ = shown_figure(mean(old), key.unit, key.method).partition(" / ")
    by = signed_percent(mean(new) / mean(old) - 1)
    return f"{named}: {was} -> {figure} ({by}), {len(old)} -> {shown_sessions(len(new))}"


def _why(replaced: bool) -> str:
    if not replaced:
        return ""
    return (
        "; it replaces the session of that day on the same hardware, because only another day or "
        "another board shows how much sessions differ"
    )
