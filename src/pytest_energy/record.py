"""The run record: everything one pytest session measured, as plain data, versioned."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from pytest_energy.carbon import Intensity

SCHEMA = 1
#: The method of a figure in CPU time; all others are named after their provenance.
CPU_TIME_METHOD = "cpu-time"

Label = str | int | float | bool


class RecordError(ValueError):
    """A file that is no run record this version can read."""


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class GpuStateRecord:
    """A board at one moment; None for what the driver doesn't tell. throttled: reasons in words."""

    channel: str
    celsius: int | None
    megahertz: int | None
    power_limit_watts: float | None
    throttled: tuple[str, ...] = ()


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class RoundRecord:
    """One round: gated joules (None where a reading failed), seconds of work, units done.

    neighbour_cpu_seconds: of all other processes on the machine, None where nothing tells.
    """

    joules: float | None
    seconds: float
    units: float
    warmup: bool
    cpu_seconds: float
    calls: int
    neighbour_cpu_seconds: float | None = None


@dataclass(frozen=True)
class BudgetRecord:
    """A limit as its author wrote it, where, and what they want to be said when it is exceeded.

    tolerance: the fraction over the limit that another session could explain, as it was judged.
    """

    limit: str
    origin: str
    message: str = ""
    tolerance: float | None = None


@dataclass(frozen=True)
class ReferenceRecord:
    """What a measurement took turns with, and how the two differ.

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


@dataclass(frozen=True)
class BaselineRecord:
    """How a figure compares with earlier sessions (rule B).

    max_increase: what was allowed, as a fraction. origin: where that was asked for, "" for the
    default. sessions: how many there are. increase: over their mean. threshold: the increase from
    which the test fails. noise: the increase that chance could explain. noise_of_ten: the same,
    were there ten such sessions. missing: why nothing was compared, in a sentence, or "".
    """

    max_increase: float
    origin: str
    sessions: int = 0
    increase: float | None = None
    threshold: float | None = None
    noise: float | None = None
    noise_of_ten: float | None = None
    missing: str = ""


@dataclass(frozen=True)
class TestRecord:
    """One measurement of one test, against one limit. `attempt` counts reruns from 1.

    A test with several limits has a record for each.

    joules_per_unit and interval hold the gated channels; None where nothing was measured.
    limit_joules_per_unit: the limit in joules; None for a limit in CPU time.
    used: the figure as a fraction of the limit. neighbour_cores: cores that other processes kept
    busy, None where nothing tells. strangers: other processes that computed on the gated GPUs.
    crowded: whether others kept it from its cores, which makes CPU time grow.
    baseline: None where it has none and none was asked for. failure: what the test's own body ended
    in ("AssertionError"), "" where it passed or was skipped.
    notes: sentences for the summary.
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
    used: float | None
    verdict: str
    reason: str
    method: str
    attempt: int
    notes: tuple[str, ...] = ()
    neighbour_cores: float | None = None
    strangers: tuple[str, ...] = ()
    explanation: Explanation | None = None
    reference: ReferenceRecord | None = None
    baseline: BaselineRecord | None = None
    failure: str = ""
    crowded: bool = False


@dataclass(frozen=True)
class CarbonRecord:
    """The intensity that turned joules into grams; basis is "location" or "market".

    told: the same as one line, as it is printed beside every gram.
    """

    grams_per_kwh: float
    source: str
    told: str
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


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class GpuRecord:
    """One board that NVML lists, with its channel ("gpu:0") and the profiles of its MIG slices."""

    name: str
    uuid: str
    power_limit_watts: float | None
    channel: str = ""
    mig: str = ""


@dataclass(frozen=True)
class Run:
    """One pytest session; times are UTC, in ISO 8601."""

    uuid: str
    start: str
    end: str
    versions: Mapping[str, str]
    commit: str | None


@dataclass(frozen=True)
class RunRecord:
    """Everything one pytest session measured; every report is a function of it.

    unused_budgets, unused_baselines: a sentence for each that no test uses. lost_tests: ids of
    tests, measured or not, whose worker process was lost while they ran.
    """

    run: Run
    machine: MachineRecord
    carbon: CarbonRecord | None
    tests: tuple[TestRecord, ...]
    unused_budgets: tuple[str, ...] = ()
    unused_baselines: tuple[str, ...] = ()
    lost_tests: tuple[str, ...] = ()
    schema: int = SCHEMA

    @property
    def last_attempts(self) -> tuple[TestRecord, ...]:
        """Every measurement of each test's last attempt; a rerun takes its predecessor's place."""
        last: dict[str, int] = {}
        for each in self.tests:
            last[each.id] = max(last.get(each.id, 0), each.attempt)
        return tuple(each for each in self.tests if each.attempt == last[each.id])


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
        intensity.grams_per_kwh,
        intensity.source,
        str(intensity),
        intensity.year,
        str(intensity.basis),
        intensity.pue,
    )


def to_plain(record: Any) -> Any:
    """A record as dicts, lists and plain values, as pytest-xdist and JSON carry them."""
    return json.loads(json.dumps(asdict(record), allow_nan=False))


def from_plain(cls: type[Any], data: object, where: str = "record") -> Any:
    """Build a record class from plain data. Raises RecordError that names what is wrong.

    Keys that a later version of the same schema adds are left aside.
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
    if type(data) is hint:  # most values are plain
        return data
    if isinstance(hint, UnionType):
        if data is None and NoneType in get_args(hint):
            return None
        hint = next(each for each in get_args(hint) if each is not NoneType)
    origin = get_origin(hint)
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
        raise RecordError(f"{where} is {data!r}, not {getattr(hint, '__name__', hint)}")
    return data


def write(record: RunRecord, path: Path) -> None:
    """Write the record at full precision, all or nothing. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(to_plain(record), indent=1, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file, all or nothing, with the permissions that it has. Raises OSError."""
    target = path.resolve()  # a link stays a link
    scratch = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        scratch.write_bytes(text.encode("utf-8"))
        if target.exists():
            shutil.copymode(target, scratch)
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)


def read(path: Path) -> RunRecord:
    """Read a record. Raises RecordError with the path and what is wrong."""
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise RecordError(f"{path}: not JSON ({error})") from None
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        raise RecordError(
            f"{path}: schema {schema!r} is not {SCHEMA}, the one this version reads; "
            "run records are written by pytest --energy-json PATH"
        )
    try:
        record = from_plain(RunRecord, data)
    except RecordError as error:
        raise RecordError(f"{path}: {error}") from None
    assert isinstance(record, RunRecord)
    return record
