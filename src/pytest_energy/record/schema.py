"""The run record: everything one pytest session measured, as plain data, versioned."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, NoReturn, get_args, get_origin, get_type_hints

from pytest_energy.carbon.intensity import Intensity
from pytest_energy.errors import InputError
from pytest_energy.record.project_files import read_file, target
from pytest_energy.rules.verdict import Finding, combine
from pytest_energy.units import numbered

SCHEMA = 1
#: The method of a figure in CPU time; all others are named after their provenance.
CPU_TIME_METHOD = "cpu-time"
#: What a session of a hundred thousand tests leaves is smaller.
LARGEST_BYTES = 1 << 28
#: No joules, seconds or watts are larger.
LARGEST_NUMBER = 1e100
#: Of a value that is wrong.
SHOWN_CHARACTERS = 40

Label = str | int | float | bool


class RecordError(InputError):
    """A file that this version cannot read as a run record."""


@dataclass(frozen=True, kw_only=True)
class ChannelRecord:
    """One channel of one test; joules_per_unit is the centre of its measured rounds.

    idle_watts: what the channel showed before anything was measured, None where it has no watts of
    its own.
    """

    name: str
    kind: str
    source: str
    provenance: str
    gated: bool
    joules_per_unit: float | None
    idle_watts: float | None = None


@dataclass(frozen=True, kw_only=True)
class GpuStateRecord:
    """A board at one moment; None for what the driver doesn't tell. throttled: reasons in words."""

    channel: str
    celsius: int | None
    megahertz: int | None
    power_limit_watts: float | None
    throttled: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What makes a figure: time, power, and how the machine was meanwhile.

    seconds: of the measured rounds. units: what was counted in them, by unit. mean_watts: of the
    gated channels, gross. net_joules_per_unit: without what the gated channels draw when idle, None
    where that isn't known. involuntary_switches_per_unit: how often the test had to leave a core.
    gpus_before, gpus_after: the gated boards around the rounds. drift_per_round: the trend across
    the rounds as a fraction of the figure, None where there is none. flops_per_unit: floating-point
    operations as torch counts them, None where they weren't asked for or aren't countable.
    """

    seconds: float
    units: Mapping[str, float]
    units_per_second: float
    mean_watts: float
    net_joules_per_unit: float | None = None
    involuntary_switches_per_unit: float | None = None
    gpus_before: tuple[GpuStateRecord, ...] = ()
    gpus_after: tuple[GpuStateRecord, ...] = ()
    drift_per_round: float | None = None
    flops_per_unit: float | None = None


@dataclass(frozen=True, kw_only=True)
class RoundRecord:
    """One round: gated joules (None where a reading failed), seconds of work, units done.

    other_cpu_seconds: of all other processes on the machine, None where that is unknown.
    """

    joules: float | None
    seconds: float
    units: float
    warmup: bool
    cpu_seconds: float
    calls: int
    other_cpu_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class BudgetRecord:
    """A limit as its author wrote it, where, and the message for when it is exceeded.

    tolerance: the fraction over the limit that another session could explain, as it was judged.
    method: the evidence that the limit is for, "" for any.
    """

    limit: str
    origin: str
    message: str = ""
    tolerance: float | None = None
    method: str = ""


@dataclass(frozen=True, kw_only=True)
class ReferenceRecord:
    """What a measurement was interleaved with, and how the two differ.

    ratio, interval: of the figures for a unit, candidate to reference. max_increase: the fraction
    that was allowed. pairs: how many rounds of each these rest on; later ones were measured for
    other candidates. rounds: the reference's, warm-up included.
    """

    name: str
    joules_per_unit: float | None
    cpu_seconds_per_unit: float | None
    ratio: float
    interval: tuple[float, float] | None
    max_increase: float
    pairs: int = 0
    rounds: tuple[RoundRecord, ...] = ()


@dataclass(frozen=True, kw_only=True)
class BaselineRecord:
    """How a figure compares with earlier sessions (rule B).

    max_increase: what was allowed, as a fraction. origin: where that was asked for, "" for the
    default. sessions: how many there are, and session_figures what each used for one unit.
    increase: over their mean. threshold: the increase from which the test fails.
    detectable_increase: the increase that chance could explain.
    detectable_increase_at_ten_sessions: the same, were there ten such sessions. missing: why
    nothing was compared, in a sentence, or "".
    """

    max_increase: float
    origin: str
    sessions: int = 0
    increase: float | None = None
    threshold: float | None = None
    detectable_increase: float | None = None
    detectable_increase_at_ten_sessions: float | None = None
    missing: str = ""
    session_figures: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TestRecord:
    """One measurement of one test, against one limit. `attempt` counts reruns from 1.

    A test with several limits has a record for each.

    joules_per_unit and interval hold the gated channels; None where nothing was measured.
    limit_joules_per_unit: the limit in joules; None for a limit in CPU time.
    fraction_of_limit: the figure over the limit. other_cores: cores that other processes kept busy,
    None where that is unknown. other_processes: those that computed on the gated GPUs.
    contention: whether other processes kept it from its cores, which makes CPU time grow.
    code: the reason code, a short fixed word for machines, "" for a pass.
    findings: what each rule said; verdict, reason and code are combined from them.
    baseline: None where it has none and none was asked for. failure: what the test's own body ended
    in ("AssertionError"), "" where it passed or was skipped.
    notes: sentences for the summary.
    session: which of the record's sessions it belongs to; 0 in a record of one session.
    location: of the test as file:line, from the root folder of the run.
    """

    __test__ = False  # pytest would collect the class by its name

    id: str
    name: str | None
    task: str | None
    model: str | None
    labels: Mapping[str, Label]
    unit: str
    scope: str
    joules_per_unit: float | None
    interval: tuple[float, float] | None
    grams_per_unit: float | None
    cpu_seconds_per_unit: float | None
    channels: tuple[ChannelRecord, ...]
    rounds: tuple[RoundRecord, ...]
    budget: BudgetRecord | None
    limit_joules_per_unit: float | None
    fraction_of_limit: float | None
    verdict: str
    reason: str
    method: str
    attempt: int
    notes: tuple[str, ...] = ()
    other_cores: float | None = None
    other_processes: tuple[str, ...] = ()
    explanation: Explanation | None = None
    reference: ReferenceRecord | None = None
    baseline: BaselineRecord | None = None
    findings: tuple[Finding, ...] = ()
    failure: str = ""
    contention: bool = False
    code: str = ""
    session: int = 0
    location: str = ""


@dataclass(frozen=True, kw_only=True)
class CarbonRecord:
    """The intensity that turned joules into grams; basis is "location" or "market".

    description: the same as one line, as it is printed beside every gram.
    """

    grams_per_kwh: float
    source: str
    description: str
    year: int | None = None
    basis: str = "location"
    pue: float = 1.0


@dataclass(frozen=True)
class SelfCheckRecord:
    """A board's energy counter beside its own power, integrated over the same seconds."""

    channel: str
    seconds: float
    counter_joules: float
    power_joules: float


@dataclass(frozen=True, kw_only=True)
class MachineRecord:
    """The hardware; never a host's name or address.

    notes: what a reader should know about its instruments, in sentences. self_checks: of the boards
    that were compared with themselves in this session.
    """

    os: str = ""
    architecture: str = ""
    cpu: str = ""
    cpu_count: int = 0
    gpus: tuple[GpuRecord, ...] = ()
    notes: tuple[str, ...] = ()
    self_checks: tuple[SelfCheckRecord, ...] = ()


@dataclass(frozen=True, kw_only=True)
class GpuRecord:
    """One GPU board, with its channel ("gpu:0") and the profiles of its MIG slices."""

    name: str
    uuid: str
    power_limit_watts: float | None
    channel: str = ""
    mig: str = ""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One pytest session; times are UTC, in ISO 8601.

    folder: the root folder of the run within its git repository, "" where it is the same.
    """

    uuid: str
    start: str
    end: str
    versions: Mapping[str, str]
    commit: str | None
    folder: str = ""


@dataclass(frozen=True)
class SessionRecord:
    """One pytest session of a record that was merged from several."""

    run: Run
    machine: MachineRecord
    carbon: CarbonRecord | None


@dataclass(frozen=True, kw_only=True)
class LimitChangeRecord:
    """A limit in the budgets file that this branch adds, removes or changes.

    old, new: as they are written, or "none". change: the fraction that the new one is over the old.
    """

    subject: str
    old: str
    new: str
    change: float | None
    origin: str


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """Everything one pytest session measured; every report is a function of it.

    unused_budgets, unused_baselines: a sentence for each that no test uses. lost_tests: ids of
    tests, measured or not, whose worker process was lost while they ran.
    sessions: in a record that was merged from several, each of them; what differs between them is
    empty in run, machine and carbon.
    limit_changes: of the budgets file since limits_base ("origin/main"), "" where that is unknown.
    """

    run: Run
    machine: MachineRecord
    carbon: CarbonRecord | None
    tests: tuple[TestRecord, ...]
    unused_budgets: tuple[str, ...] = ()
    unused_baselines: tuple[str, ...] = ()
    lost_tests: tuple[str, ...] = ()
    schema: int = SCHEMA
    sessions: tuple[SessionRecord, ...] = ()
    limit_changes: tuple[LimitChangeRecord, ...] = ()
    limits_base: str = ""

    @property
    def all_sessions(self) -> tuple[SessionRecord, ...]:
        """The sessions that were merged, or the only one."""
        return self.sessions or (SessionRecord(self.run, self.machine, self.carbon),)

    def session_of(self, test: TestRecord) -> SessionRecord:
        """Where one of the tests was measured."""
        return self.all_sessions[test.session]

    @property
    def last_attempts(self) -> tuple[TestRecord, ...]:
        """Every measurement of each test's last attempt; a rerun takes its predecessor's place."""
        last: dict[tuple[int, str], int] = {}
        for each in self.tests:
            key = (each.session, each.id)
            last[key] = max(last.get(key, 0), each.attempt)
        return tuple(each for each in self.tests if each.attempt == last[each.session, each.id])


def judged(test: TestRecord, *findings: Finding) -> TestRecord:
    """The record with these findings, and the verdict that they come to."""
    decisive = combine(findings)
    return replace(
        test,
        verdict=str(decisive.verdict),
        reason=decisive.reason,
        code=decisive.code,
        findings=findings,
    )


def values_per_unit(rounds: Sequence[RoundRecord], method: str) -> tuple[float, ...]:
    """What is judged, for one unit, in each of these rounds: joules, or CPU seconds by that method.

    None of them where a round has no figure above zero.
    """
    amounts = [each.cpu_seconds if method == CPU_TIME_METHOD else each.joules for each in rounds]
    values = [
        amount / each.units
        for amount, each in zip(amounts, rounds, strict=True)
        if amount is not None and amount > 0 and each.units > 0
    ]
    return tuple(values) if len(values) == len(rounds) else ()


def carbon_record(intensity: Intensity) -> CarbonRecord:
    return CarbonRecord(
        grams_per_kwh=intensity.grams_per_kwh,
        source=intensity.source,
        description=str(intensity),
        year=intensity.year,
        basis=str(intensity.basis),
        pue=intensity.pue,
    )


def to_plain(record: Any) -> Any:
    """A record as dicts, lists and plain values, as pytest-xdist and JSON carry them."""
    return json.loads(json.dumps(asdict(record), allow_nan=False))


def from_plain(cls: type[Any], data: object, where: str = "record") -> Any:
    """Build a record class from plain data. Raises RecordError that names what is wrong.

    Keys that a later version of the same schema adds are ignored.
    """
    if not isinstance(data, dict):
        raise RecordError(f"{where} is {type(data).__name__}, not an object")
    hints = _hints(cls)  # type: ignore[arg-type]  # mypy takes a class for unhashable
    values = {}
    for each in fields(cls):
        if each.name in data:
            place = f"{where}.{each.name}"
            values[each.name] = _value(hints[each.name], data[each.name], place)
    try:
        return cls(**values)
    except TypeError as error:
        missing = str(error).rpartition(":")[2].strip()
        raise RecordError(f"{where} lacks {missing}") from None


@lru_cache
def _hints(cls: Hashable) -> dict[str, Any]:
    return get_type_hints(cls)


def _value(hint: Any, data: object, where: str) -> Any:
    if type(data) is hint and hint is not float:  # most values are plain
        return data
    if isinstance(hint, UnionType):
        if data is None and NoneType in get_args(hint):
            return None
        hint = next(each for each in get_args(hint) if each is not NoneType)
    origin = get_origin(hint)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        try:
            return hint(str(data))
        except ValueError:
            known = ", ".join(hint)
            raise RecordError(f"{where} is {short(data)}, not one of {known}") from None
    if is_dataclass(hint):
        return from_plain(hint, data, where)  # type: ignore[arg-type]
    if origin is tuple:
        if not isinstance(data, list):
            raise RecordError(f"{where} is {type(data).__name__}, not a list")
        inner, *others = get_args(hint)
        if others and others[0] is not Ellipsis and len(data) != 1 + len(others):
            raise RecordError(f"{where} has {len(data)} values, not {1 + len(others)}")
        return tuple(_value(inner, each, f"{where}[{i}]") for i, each in enumerate(data))
    expected: Any = {float: int | float}.get(hint, origin or hint)
    if not isinstance(data, expected) or (isinstance(data, bool) and hint is not bool):
        raise RecordError(f"{where} is {short(data)}, not {getattr(hint, '__name__', hint)}")
    if hint is float and not abs(data) < LARGEST_NUMBER:
        raise RecordError(f"{where} is {short(data)}, which is too large")
    return data


def short(value: object) -> str:
    """A value as messages show it: a file may hold something else than it should."""
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."


def no_number(text: str) -> NoReturn:
    """Refuse what JSON has no word for: NaN and infinity."""
    raise ValueError(f"{text} is not a number")


def to_json(record: RunRecord) -> str:
    """The record as JSON at full precision."""
    return json.dumps(to_plain(record), indent=1, allow_nan=False) + "\n"


def write(record: RunRecord, path: Path) -> None:
    """Write the record, all or nothing. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, to_json(record))


def write_text(path: Path, text: str) -> None:
    """Write a file, all or nothing, with the permissions that it has. Raises OSError."""
    where = target(path)  # a link stays a link
    # A name that can be guessed could be a link that somebody put there: the name is random, and
    # a file that exists is never opened.
    scratch = where.with_name(f".{where.name[:200]}.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    opened = os.open(scratch, flags | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with os.fdopen(opened, "wb") as file:
            file.write(text.encode("utf-8"))
        if where.exists():
            shutil.copymode(where, scratch)
        scratch.replace(where)
    finally:
        scratch.unlink(missing_ok=True)


def read(path: Path) -> RunRecord:
    """Read a record. Raises RecordError with the path and what is wrong."""
    try:
        data = json.loads(read_file(path, LARGEST_BYTES), parse_constant=no_number)
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path}: not JSON ({error})") from None
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        raise RecordError(
            f"{path}: schema {short(schema)} is not {SCHEMA}, the one this version reads; "
            "run records are written by pytest --energy-json PATH"
        )
    try:
        record = from_plain(RunRecord, data)
    except RecordError as error:
        raise RecordError(f"{path}: {error}") from None
    assert isinstance(record, RunRecord)
    number = len(record.all_sessions)
    for index, test in enumerate(record.tests):
        if not 0 <= test.session < number:
            raise RecordError(
                f"{path}: record.tests[{index}].session is {test.session}, and the record has "
                f"{numbered(number, 'session')}"
            )
    return record
