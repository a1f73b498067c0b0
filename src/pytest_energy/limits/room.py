"""How much each measurement of some run records may use; pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from pytest_energy.errors import InputError
from pytest_energy.limits.budget import round_cpu_limit, round_flop_limit, round_limit
from pytest_energy.limits.headroom import upper_end, variance_within
from pytest_energy.limits.limit import Limit
from pytest_energy.record.contention import doubt_of_figure
from pytest_energy.record.merge import in_order
from pytest_energy.record.schema import MachineRecord, RunRecord, TestRecord, quantity_of
from pytest_energy.rules.verdict import Verdict
from pytest_energy.sensors.base import Kind, Provenance
from pytest_energy.units import Quantity, figure, numbered, percent


class SuggestionError(InputError):
    """What can't be suggested from; the message says why, and what to do."""


@dataclass(frozen=True)
class Session:
    """What one record holds of one test: the measurements of its last attempt."""

    start: str
    tests: tuple[TestRecord, ...]


@dataclass(frozen=True, kw_only=True)
class Room:
    """How much a measurement may use for one unit: joules, CPU seconds or FLOPs.

    centre: of its sessions. upper: what another session stays under. why: what set it.
    """

    test: TestRecord
    sessions: int
    centre: float
    upper: float
    why: str

    @property
    def limit(self) -> Limit:
        quantity = quantity_of(self.test.method)
        if quantity is Quantity.FLOPS:
            return round_flop_limit(self.upper, self.test.unit)
        if quantity is Quantity.CPU_TIME:
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
        is_energy = quantity_of(self.test.method) is Quantity.ENERGY
        known = self.test.method if is_energy else "counted"
        named = f" as {self.test.name!r}" if self.test.name else ""
        sessions = numbered(self.sessions, "session")
        headroom = percent(self.upper / self.centre - 1)
        return (
            f'max = "{self.limit.text}" ({centre} {known}{named} in {sessions}, '
            f"{headroom} headroom{self.why})"
        )


def rooms(records: Sequence[RunRecord]) -> list[tuple[TestRecord, Room | None]]:
    """The newest record of each measurement, with the room that it needs; None for an unmeasured,
    or one that other processes disturbed in each session.

    Raises SuggestionError for figures that can't be compared with one another.
    """
    return [
        (each, room_of(each, history) if is_measured(each) and quiet(each, history) else None)
        for history in histories(records).values()
        for each in history[-1].tests
    ]


def histories(records: Sequence[RunRecord]) -> dict[str, list[Session]]:
    """The sessions that have each test, by its id, the newest last.

    Raises SuggestionError for figures that can't be compared with one another.
    """
    sessions = in_order(records)
    _check_hardware(sessions)
    found: dict[str, list[Session]] = {}
    for record in sessions:
        tests: dict[str, list[TestRecord]] = {}
        for each in record.last_attempts:
            tests.setdefault(each.id, []).append(each)
        for test_id, last in tests.items():
            found.setdefault(test_id, []).append(Session(record.run.start, tuple(last)))
    return found


def _check_hardware(sessions: Sequence[RunRecord]) -> None:
    """Whether what the figures depend on is the same in all records: the GPUs, the processor."""
    kinds = {
        channel.kind
        for record in sessions
        for test in record.tests
        if is_measured(test)
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


def room_of(test: TestRecord, history: Sequence[Session]) -> Room:
    """The room for a measurement, from the same one in each session that was quiet for it.

    Raises SuggestionError where it was measured in different ways.
    """
    same = quiet(test, history)
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


def quiet(test: TestRecord, history: Sequence[Session]) -> list[tuple[TestRecord, str]]:
    """This measurement in each session that has it, with the session's start.

    Figures that other processes may have raised are left out.
    """
    found = []
    for session in history:
        same = (
            each for each in session.tests if _is_same(each, test) and not doubt_of_figure(each)
        )
        if (first := next(same, None)) is not None:
            found.append((first, session.start))
    return found


def _variance(test: TestRecord) -> float:
    """Of the centre's logarithm, from the interval as `verdict.estimate` makes it.

    A trimmed mean has fewer degrees of freedom than its rounds tell, so its variance is taken as
    larger than it is.
    """
    rounds = sum(1 for each in test.rounds if not each.warmup)
    return variance_within(test.joules_per_unit or 0.0, test.interval, rounds)


def _figure(test: TestRecord) -> float:
    """What is compared, for one unit; NaN where there is none."""
    return math.nan if test.figure is None else test.figure


def _is_same(one: TestRecord, other: TestRecord) -> bool:
    """Whether two records are of one measurement, counted in the same."""
    return is_measured(one) and (one.name, one.unit, one.quantity) == (
        other.name,
        other.unit,
        other.quantity,
    )


def _evidence(test: TestRecord) -> str:
    """How a figure came about; figures that differ in this are never compared."""
    sources = " + ".join(sorted(each.source for each in test.channels if each.gated))
    return f"{test.method}, scope {test.scope}, by {sources}"


def is_measured(test: TestRecord) -> bool:
    values = (_figure(test), *(test.interval or ()))
    return test.verdict != Verdict.UNMEASURED and all(0 < each < math.inf for each in values)
