"""The run record: everything one pytest session measured, as plain data, versioned."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pytest_energy.carbon.intensity import Embodied, Intensity
from pytest_energy.errors import BESIDE_FLOPS
from pytest_energy.rules.verdict import RED, Finding, combine
from pytest_energy.units import Quantity

SCHEMA = 1
#: The method of a figure in CPU time; all others are named after their provenance.
CPU_TIME_METHOD = "cpu-time"
#: The method of a figure in FLOPs, and the scope of all that torch does in the test's process.
FLOPS_METHOD, FLOPS_SCOPE = "flops", "torch"
Label = str | int | float | bool
#: What fails a test where a record doesn't say: those of earlier versions do not.
FAIL_ON = tuple(sorted(map(str, RED)))
#: In `fail_on`: budgets and baselines that no test uses fail the run.
UNUSED = "unused"


@dataclass(frozen=True, kw_only=True)
class ChannelRecord:
    """One channel of one test; joules_per_unit is the centre of its measured rounds.

    idle_watts: what the channel showed before anything was measured, None where it has no watts of
    its own. hardware: what drew the joules, where that is on another machine; "" for this one.
    """

    name: str
    kind: str
    source: str
    provenance: str
    gated: bool
    joules_per_unit: float | None
    idle_watts: float | None = None
    hardware: str = ""


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
    gated channels, gross. Where laps are left out because others disturbed them, units_per_second
    and mean_watts are of the others, as the figure is. net_joules_per_unit: without what the gated
    channels draw when idle, None where that isn't known. involuntary_switches_per_unit: how often
    the test had to leave a core. gpus_before, gpus_after: the gated boards around the rounds.
    drift_per_round: the trend across the rounds as a fraction of the figure, None where there is
    none. flops_per_unit: floating-point operations as torch counts them, None where they weren't
    asked for or aren't countable.
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
    undisturbed_cpu_seconds_per_unit: without the laps that other processes disturbed, None where
    the round is left out or counts as a whole. all_units: everything that was counted, by unit.
    """

    joules: float | None
    seconds: float
    units: float
    warmup: bool
    cpu_seconds: float
    calls: int
    other_cpu_seconds: float | None = None
    undisturbed_cpu_seconds_per_unit: float | None = None
    all_units: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class LapsRecord:
    """The short pieces that rounds of CPU time were read in.

    laps, seconds: how many, and their mean length. affected: the fraction of them that other
    processes disturbed. rounds_left_out: in which hardly any was undisturbed. spread: by how much
    undisturbed laps of the same input differ, as a fraction; it is the work's own. problem: why
    every round counts as a whole, or "". cheapest_cpu_seconds_per_unit: in the cheapest 5 % of the
    laps of each input, which others disturbed least; None where laps miss work.
    """

    laps: int
    seconds: float
    affected: float
    rounds_left_out: int
    spread: float | None
    problem: str = ""
    cheapest_cpu_seconds_per_unit: float | None = None


@dataclass(frozen=True, kw_only=True)
class BudgetRecord:
    """A limit as its author wrote it, where, and the message for when it is exceeded.

    tolerance: the fraction over the limit that another session could explain, as it was judged.
    method: the evidence that the limit is for, "" for any. amount, symbol, per, unit: the limit as
    values: 2.1, "Wh", 1000, "query"; amount is None in records of earlier versions.
    """

    limit: str
    origin: str
    message: str = ""
    tolerance: float | None = None
    method: str = ""
    amount: float | None = None
    symbol: str = ""
    per: float = 1.0
    unit: str = ""


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

    def figure(self, quantity: Quantity) -> float | None:
        """For one unit: CPU seconds or joules."""
        counts_cpu_time = quantity is Quantity.CPU_TIME
        return self.cpu_seconds_per_unit if counts_cpu_time else self.joules_per_unit


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
class LoadRecord:
    """Requests that were kept in flight while the rounds were measured.

    concurrency: how many were asked for; in_flight: how many there were on average. requests: those
    that ended well in a round; failed: those that did not. median_seconds, p99_seconds: of their
    latencies; the latter is None for fewer than 100.
    """

    concurrency: int
    in_flight: float
    requests: int
    failed: int
    requests_per_second: float
    median_seconds: float | None
    p99_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class CellRecord:
    """Requests of one size. figure: of one request, in joules (CPU seconds where these are judged).

    missed: by how much it is over what its parts come to, as a fraction.
    """

    input_tokens: float
    output_tokens: float
    figure: float
    missed: float


@dataclass(frozen=True, kw_only=True)
class PartsRecord:
    """What the parts of a request cost, in joules (CPU seconds where these are judged).

    is_linear: whether they describe all cells; None where there are too few passes to tell.
    """

    empty_request: float
    prefill_token: float
    decode_token: float
    cells: tuple[CellRecord, ...]
    is_linear: bool | None


@dataclass(frozen=True, kw_only=True)
class TestRecord:
    """One measurement of one test, against one limit. `attempt` counts reruns from 1.

    A test with several limits has a record for each; that of a limit in FLOPs has no joules.

    joules_per_unit and interval hold the gated channels; None where nothing was measured.
    limit_joules_per_unit: the limit in joules; None for a limit in CPU time or FLOPs.
    flops_per_unit: floating-point operations, where these were judged.
    fraction_of_limit: the figure over the limit. other_cores: cores that other processes kept busy,
    None where that is unknown. other_processes: those that computed on the gated GPUs.
    contention: whether other processes kept it from its cores, which increases CPU time.
    code: the reason code, a short fixed word for machines, "" for a pass.
    findings: what each rule said; verdict, reason and code are combined from them.
    baseline: None where it has none and none was asked for. failure: what the test's own body ended
    in ("AssertionError"), "" where it passed or was skipped.
    notes: sentences for the summary.
    laps: where CPU time decided, and was read in short pieces; else None.
    session: which of the record's sessions it belongs to; 0 in a record of one session.
    location: of the test as file:line, from the root folder of the run.
    parts: of a request, where the figure is of one of them; its rounds hold what the part took.
    load: the requests that were kept in flight, None where one call followed the other.
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
    flops_per_unit: float | None = None
    laps: LapsRecord | None = None
    parts: PartsRecord | None = None
    load: LoadRecord | None = None

    @property
    def quantity(self) -> Quantity:
        """What was judged: energy, CPU time or FLOPs."""
        quantity = quantity_of(self.method)
        is_unknown = quantity is Quantity.CPU_TIME and self.cpu_seconds_per_unit is None
        return Quantity.ENERGY if is_unknown else quantity

    @property
    def figure(self) -> float | None:
        """What was judged, for one unit: joules, CPU seconds or FLOPs."""
        match self.quantity:
            case Quantity.FLOPS:
                return self.flops_per_unit
            case Quantity.CPU_TIME:
                return self.cpu_seconds_per_unit
            case _:
                return self.joules_per_unit

    @property
    def figure_interval(self) -> tuple[float, float] | None:
        """The interval of `figure`.

        The joules of an estimate are CPU seconds times watts, so both have the same spread.
        """
        if self.interval is None or self.quantity is not Quantity.CPU_TIME:
            return self.interval
        seconds_per_joule = (self.figure or 0.0) / (self.joules_per_unit or math.inf)
        return self.interval[0] * seconds_per_joule, self.interval[1] * seconds_per_joule


@dataclass(frozen=True, kw_only=True)
class CarbonRecord:
    """The intensity that turned joules into grams; basis is "location" or "market".

    description: the same as one line, as it is printed beside every gram. embodied: emissions of
    making the hardware, which are in no other figure.
    """

    grams_per_kwh: float
    source: str
    description: str
    year: int | None = None
    basis: str = "location"
    pue: float = 1.0
    embodied: tuple[Embodied, ...] = ()


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
    fail_on: tuple[str, ...] = FAIL_ON


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
    fail_on: verdicts that failed their test, and "unused" where unused budgets and baselines failed
    the run.
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
    fail_on: tuple[str, ...] = FAIL_ON

    @property
    def all_sessions(self) -> tuple[SessionRecord, ...]:
        """The sessions that were merged, or the only one."""
        return self.sessions or (SessionRecord(self.run, self.machine, self.carbon, self.fail_on),)

    def session_of(self, test: TestRecord) -> SessionRecord:
        """Where one of the tests was measured."""
        return self.all_sessions[test.session]

    def is_red(self, test: TestRecord) -> bool:
        """Whether its verdict failed one of the tests, in its session."""
        shown_only = test.code == BESIDE_FLOPS
        return test.verdict in self.session_of(test).fail_on and not shown_only

    @property
    def last_attempts(self) -> tuple[TestRecord, ...]:
        """Every measurement of each test's last attempt; a rerun takes its predecessor's place."""
        last: dict[tuple[int, str], int] = {}
        for each in self.tests:
            key = (each.session, each.id)
            last[key] = max(last.get(key, 0), each.attempt)
        return tuple(each for each in self.tests if each.attempt == last[each.session, each.id])


def quantity_of(method: str) -> Quantity:
    """What a figure that was found by this method counts."""
    if method == FLOPS_METHOD:
        return Quantity.FLOPS
    return Quantity.CPU_TIME if method == CPU_TIME_METHOD else Quantity.ENERGY


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

    Rounds that others disturbed throughout are left out. None of them where another round has no
    figure above zero.
    """
    rounds = counted_rounds(rounds)
    if rounds and rounds[0].undisturbed_cpu_seconds_per_unit is not None:
        watts = 1.0
        if method != CPU_TIME_METHOD:
            joules = sum(each.joules or 0.0 for each in rounds)
            watts = joules / sum(each.cpu_seconds for each in rounds)
        return tuple(watts * (each.undisturbed_cpu_seconds_per_unit or 0.0) for each in rounds)
    return whole_values_per_unit(rounds, method)


def whole_values_per_unit(rounds: Sequence[RoundRecord], method: str) -> tuple[float, ...]:
    """The same of each round as a whole, with what others added."""
    amounts = [each.cpu_seconds if method == CPU_TIME_METHOD else each.joules for each in rounds]
    values = [
        amount / each.units
        for amount, each in zip(amounts, rounds, strict=True)
        if amount is not None and amount > 0 and each.units > 0
    ]
    return tuple(values) if len(values) == len(rounds) else ()


def counted_rounds(rounds: Sequence[RoundRecord]) -> Sequence[RoundRecord]:
    """Those of these rounds that the figure rests on."""
    kept = [each for each in rounds if each.undisturbed_cpu_seconds_per_unit is not None]
    return kept or rounds


def units_a_call(test: TestRecord) -> dict[str, float]:
    """What one call of its measured rounds did, by unit; none in records of earlier versions."""
    measured = [each for each in test.rounds if not each.warmup]
    calls = sum(each.calls for each in measured)
    units: dict[str, float] = {}
    for each in measured:
        for unit, number in each.all_units.items():
            units[unit] = units.get(unit, 0.0) + number
    return {unit: number / calls for unit, number in units.items()} if calls else {}


def carbon_record(intensity: Intensity) -> CarbonRecord:
    return CarbonRecord(
        grams_per_kwh=intensity.grams_per_kwh,
        source=intensity.source,
        description=str(intensity),
        year=intensity.year,
        basis=str(intensity.basis),
        pue=intensity.pue,
        embodied=intensity.embodied,
    )
