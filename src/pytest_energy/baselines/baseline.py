"""A baseline: earlier sessions of one test on one kind of hardware, measured in one way; pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from pytest_energy.record.contention import cheapest_of
from pytest_energy.record.hardware import boards_of, hardware_of
from pytest_energy.record.schema import (
    CPU_TIME_METHOD,
    FLOPS_METHOD,
    Label,
    MachineRecord,
    RunRecord,
    TestRecord,
    counted_rounds,
    quantity_of,
    units_a_call,
    values_per_unit,
)
from pytest_energy.rules.baseline import KEPT_SESSIONS, Session, session_of
from pytest_energy.rules.estimate import MIN_ROUNDS
from pytest_energy.sensors.base import Provenance
from pytest_energy.units import numbered, per_unit

SCHEMA = 1
#: The rounds that are compared: those that every session has, whenever its verdict came.
COMPARED_ROUNDS = MIN_ROUNDS
#: What FLOPs are stored under: they don't depend on the machine.
ANY_HARDWARE = "any hardware"


@dataclass(frozen=True, kw_only=True)
class Key:
    """What two sessions must share to be compared.

    name: of the measurement, where a test has several. estimate: what turned CPU time into joules
    ("4 W a core"), "" where that is not how they came about. labels: as sorted JSON. concurrency:
    requests in flight, None for one call after the other.
    """

    test: str
    name: str | None
    unit: str
    scope: str
    method: str
    estimate: str
    labels: str
    hardware: str
    concurrency: int | None = None


@dataclass(frozen=True, kw_only=True)
class Line:
    """One session of one test, as one line of a file.

    centre, variance: of the first five rounds, in joules for one unit (CPU seconds where the method
    is "cpu-time"), the variance of the centre's logarithm. rounds: these five. n: how many the
    session measured. window: mean seconds of these five. FLOPs (method "flops") are exact, and one
    round has them all. start: UTC, in ISO 8601. run: the UUID of
    the run. gpus: UUIDs of the boards. celsius: of the boards after the rounds, None where unknown.
    units: what one call of these rounds did, by unit. concurrency: requests in flight. cheapest:
    CPU seconds for one unit in the cheapest 5 % of all calls, None where that isn't known.
    """

    test: str
    name: str | None
    unit: str
    scope: str
    method: str
    estimate: str
    labels: Mapping[str, Label]
    hardware: str
    start: str
    centre: float
    variance: float
    n: int
    window: float
    rounds: tuple[float, ...]
    task: str | None
    model: str | None
    commit: str | None
    run: str
    gpus: tuple[str, ...]
    celsius: tuple[int | None, ...]
    versions: Mapping[str, str]
    units: Mapping[str, float] = field(default_factory=dict)
    concurrency: int | None = None
    cheapest: float | None = None
    schema: int = SCHEMA

    @cached_property
    def key(self) -> Key:
        return Key(
            test=self.test,
            name=self.name,
            unit=self.unit,
            scope=self.scope,
            method=self.method,
            estimate=self.estimate,
            labels=_plain_labels(self.labels),
            hardware=self.hardware,
            concurrency=self.concurrency,
        )

    @property
    def session(self) -> Session:
        return Session(self.centre, self.variance)

    @property
    def day(self) -> str:
        """The UTC day, 2026-11-22."""
        return self.start[:10]

    def is_same_session(self, other: Line) -> bool:
        """Whether two lines can't count as two sessions.

        How much sessions differ is what days and boards change. A second run on one board on the
        same day has seen no other day, whatever was committed between them. Of a CPU no more is
        known than its model, because no host's name is stored.
        """
        if self.key != other.key:
            return False
        return self.run == other.run or (self.day == other.day and self.gpus == other.gpus)

    @property
    def order(self) -> tuple[str, ...]:
        """By which the lines of a file are sorted: a test's sessions stand together, by date."""
        key = self.key
        return (
            key.test,
            key.name or "",
            key.unit,
            key.scope,
            key.method,
            key.estimate,
            key.labels,
            key.hardware,
            f"{key.concurrency or 0:06}",
            self.start,
            self.run,
        )


@dataclass(frozen=True)
class Baselines:
    """The stored sessions; `shown` is their folder in messages, "" where there is none.

    files: the lines of each file, by its name.
    """

    shown: str = ""
    files: Mapping[str, tuple[Line, ...]] = field(default_factory=dict)

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        return tuple(line for lines in self.files.values() for line in lines)

    @cached_property
    def _by_key(self) -> Mapping[Key, tuple[Line, ...]]:
        return by_key(self.lines)

    @cached_property
    def tests(self) -> tuple[str, ...]:
        """The ids of the tests that have a session."""
        return tuple(sorted({line.test for line in self.lines}))

    def sessions(self, key: Key) -> tuple[Line, ...]:
        """The last ten, oldest first."""
        return self._by_key.get(key, ())

    def nearest(self, key: Key) -> Key | None:
        """The key of the same test that differs in the least, the newest of several."""
        others = [
            each
            for each in self.lines
            if (each.test, each.name) == (key.test, key.name)
            and (each.method == FLOPS_METHOD) == (key.method == FLOPS_METHOD)
        ]
        others.sort(key=lambda each: each.start, reverse=True)
        return min(
            (each.key for each in others), key=lambda each: len(_different(each, key)), default=None
        )


def by_key(lines: Sequence[Line]) -> dict[Key, tuple[Line, ...]]:
    """The last ten sessions of each key, oldest first."""
    found: dict[Key, list[Line]] = {}
    for line in sorted(lines, key=lambda each: each.order):
        found.setdefault(line.key, []).append(line)
    return {key: tuple(each[-KEPT_SESSIONS:]) for key, each in found.items()}


def key_of(test: TestRecord, machine: MachineRecord) -> Key:
    """The key of what was measured."""
    gated = [each for each in test.channels if each.gated]
    estimates = {
        each.source.rpartition(" x ")[2]
        for each in gated
        if each.provenance == Provenance.ESTIMATED and test.method != CPU_TIME_METHOD
    }
    return Key(
        test=test.id,
        name=test.name,
        unit=test.unit,
        scope=test.scope,
        method=test.method,
        estimate=", ".join(sorted(estimates)),
        labels=_plain_labels(test.labels),
        hardware=ANY_HARDWARE if test.method == FLOPS_METHOD else hardware_of(test, machine),
        concurrency=None if test.load is None else test.load.concurrency,
    )


def needed_rounds(method: str) -> int:
    """How many rounds a session needs to be compared."""
    return 1 if method == FLOPS_METHOD else COMPARED_ROUNDS


def compared_rounds(test: TestRecord) -> tuple[float, ...]:
    """What is compared, for one unit, in the first five measured rounds; fewer where it has fewer.

    None of them where a round has no figure. FLOPs are one round.
    """
    if test.method == FLOPS_METHOD:
        return () if test.flops_per_unit is None else (test.flops_per_unit,)
    measured = counted_rounds([each for each in test.rounds if not each.warmup])[:COMPARED_ROUNDS]
    return values_per_unit(measured, test.method)


def session_from(rounds: Sequence[float], method: str) -> Session:
    """The session whose rounds gave these values for one unit, as many as it needs."""
    return Session(rounds[0], 0.0) if method == FLOPS_METHOD else session_of(rounds)


def line_of(test: TestRecord, record: RunRecord) -> Line:
    """The session of a test with as many rounds as are compared."""
    rounds = compared_rounds(test)
    session = session_from(rounds, test.method)
    measured = counted_rounds([each for each in test.rounds if not each.warmup])
    after = test.explanation.gpus_after if test.explanation is not None else ()
    key = key_of(test, record.machine)
    return Line(
        test=key.test,
        name=key.name,
        unit=key.unit,
        scope=key.scope,
        method=key.method,
        estimate=key.estimate,
        labels=test.labels,
        hardware=key.hardware,
        start=record.run.start,
        centre=session.centre,
        variance=session.variance,
        n=len(measured),
        window=sum(each.seconds for each in measured[: len(rounds)]) / len(rounds),
        rounds=rounds,
        task=test.task,
        model=test.model,
        commit=record.run.commit,
        run=record.run.uuid,
        gpus=boards_of(test, record.machine),
        celsius=tuple(each.celsius for each in after),
        versions=record.run.versions,
        units=units_a_call(test),
        concurrency=key.concurrency,
        cheapest=cheapest_of(test),
    )


#: How messages say what two keys differ in, with a value and without.
_WORDS = {
    "hardware": ("{}", ""),
    "unit": ("per {}", ""),
    "scope": ("scope {}", ""),
    "method": ("{}", ""),
    "estimate": ("{}", ""),
    "labels": ("labels {}", "without labels"),
    "concurrency": ("{} requests in flight", "one call at a time"),
}


def difference(stored: Key, here: Key) -> str:
    """Why a session of one key isn't compared with one of another, in words.

    "stored on NVIDIA A100 x1 @ 400 W; this is NVIDIA H100 x1 @ 700 W"
    """
    names = _different(stored, here)

    def described(key: Key) -> str:
        values = ((getattr(key, each), *_WORDS[each]) for each in names)
        words = (some.format(value) if value else none for value, some, none in values)
        return ", ".join(filter(None, words))

    preposition = "on" if "hardware" in names else "as"
    return f"stored {preposition} {described(stored)}; this is {described(here)}"


def _different(one: Key, other: Key) -> list[str]:
    """What differs, the hardware first."""
    return [each for each in _WORDS if getattr(one, each) != getattr(other, each)]


def _plain_labels(labels: Mapping[str, Label]) -> str:
    return json.dumps(dict(labels), sort_keys=True, ensure_ascii=False) if labels else ""


def shown_figure(value: float, unit: str, method: str) -> str:
    """A figure for one unit as it is printed: "7.56 J / query", "12.0 cpu-ms / query"."""
    return per_unit(value, unit, quantity_of(method))


def shown_sessions(number: int) -> str:
    return numbered(number, "session")
