"""One test's measurement from end to end: lock, instruments, rounds, verdict, record."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from pytest_energy.baselines.baseline import Baselines
from pytest_energy.baselines.regression import compared
from pytest_energy.carbon.intensity import Intensity
from pytest_energy.limits.budget import Budget, MaxIncrease, Scope, base_limit
from pytest_energy.limits.resolve import MachineClass
from pytest_energy.measurement.afterwards import Afterwards
from pytest_energy.measurement.between import BetweenRounds, Progress
from pytest_energy.measurement.candidates import CandidatesJudge, compared_record
from pytest_energy.measurement.conditions import Watch
from pytest_energy.measurement.coverage import Coverage, GpusInUse, cover, found_late
from pytest_energy.measurement.exclusive import Exclusive
from pytest_energy.measurement.explanation import Surroundings
from pytest_energy.measurement.grid import GridJudge, run_grid
from pytest_energy.measurement.in_use import find_gpus_in_use, offer_of
from pytest_energy.measurement.judgement import BudgetJudge, Job, Judgement
from pytest_energy.measurement.load import Load, run_load
from pytest_energy.measurement.meter import Meter
from pytest_energy.measurement.no_work import no_work, slow_first, work_elsewhere
from pytest_energy.measurement.pairs import run_interleaved
from pytest_energy.measurement.part_records import part_records
from pytest_energy.measurement.peers import Connects
from pytest_energy.measurement.protocol import (
    CPU_WARMUP_SECONDS,
    WARMUP_SECONDS,
    Limits,
    Round,
    Setup,
    Units,
    run_rounds,
    run_window,
)
from pytest_energy.measurement.result import not_judged, test_record
from pytest_energy.measurement.self_check import SelfCheck, disagreement, warning
from pytest_energy.measurement.turns import Turns
from pytest_energy.measurement.watcher import Watcher
from pytest_energy.measurement.work import WorkCount, work_record
from pytest_energy.record import machine
from pytest_energy.record.lock import CPU
from pytest_energy.record.schema import GpuRecord, MachineRecord, TestRecord
from pytest_energy.sensors.accelerators import DeviceUse, devices_in_use
from pytest_energy.sensors.base import Clock, Device, Kind, Probe, Provenance
from pytest_energy.sensors.discover import Choice, Instruments, discover
from pytest_energy.sensors.gpu_choice import PER_WORKER
from pytest_energy.sensors.proc import busy_seconds

__tracebackhide__ = True  # a failing test's traceback ends in the user's lines


@dataclass(frozen=True, kw_only=True)
class GateSettings:
    """What the gate takes from the user's settings."""

    choice: Choice
    limits: Limits
    intensity: Intensity | None
    require_measured: bool
    lock_folder: Path | None = None
    baselines: Baselines = field(default_factory=Baselines)
    max_increase: MaxIncrease | None = None
    added: tuple[Probe, ...] = ()


class Gate:
    """Measures and judges, one job at a time on each device.

    Making one probes the instruments, which takes about half a second with a GPU. `clock` and the
    CUDA_VISIBLE_DEVICES of this process are its surroundings. Raises ValueError for a GPU that
    --energy-gpus names and isn't there, or where the lock can't be taken. `say` takes a sentence
    about a long wait for the lock. turns: with another process, which then has the locks for both;
    `clock` is theirs.
    """

    def __init__(
        self,
        settings: GateSettings,
        clock: Clock,
        say: Callable[[str], None],
        turns: Turns | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._turns = turns
        self._exclusive = Exclusive(settings.lock_folder, say, turns)
        # A busy core next to it is nothing that a measured test wants; a worker with a GPU of its
        # own reads that alone.
        with self._exclusive.hold([] if self._is_pinned else [CPU], "a search for instruments"):
            self.instruments: Instruments = discover(
                settings.choice,
                os.environ.get("CUDA_VISIBLE_DEVICES"),
                clock,
                settings.added,
                say,
            )
        found = self.instruments
        self._meter = Meter(
            found.counters, found.cpu_time, busy_seconds, clock, Watcher(), self._turns
        )
        self._self_check = SelfCheck(found, clock)
        self._connects = Connects()
        self._afterwards = Afterwards(found.tree, found.devices, busy_seconds)
        self._held_before = DeviceUse()

    @property
    def machine(self) -> MachineRecord:
        """The hardware, with what was found about it so far."""
        checks = self._self_check.found
        sentence = tuple(filter(None, map(warning, checks)))
        hardware = self._hardware
        return replace(hardware, notes=(*hardware.notes, *sentence), self_checks=checks)

    @cached_property
    def _hardware(self) -> MachineRecord:
        return machine.machine(
            [_gpu_record(each) for each in self.instruments.gpus],
            self.instruments.notes,
        )

    @cached_property
    def machine_class(self) -> MachineClass:
        """The processor, and the GPUs that this process may use."""
        mine = {each.board.index for each in self.instruments.candidates}
        gpus = [each for each in self.instruments.gpus if each.index in mine]
        return MachineClass(
            self._hardware.cpu, tuple((gpu.name, gpu.power_limit_watts) for gpu in gpus)
        )

    @cached_property
    def versions(self) -> dict[str, str]:
        return machine.versions(self.instruments.versions)

    def close(self) -> None:
        self.instruments.close()

    def rounds(self, job: Job, progress: Progress) -> Generator[int, Units, tuple[TestRecord, ...]]:
        """The protocol: yields for each call of the work, and is sent what it did.

        Gives a record for each budget.
        """
        watch = Watch(self.instruments, self._connects)
        between = BetweenRounds(watch=watch, progress=progress, turns=self._turns)
        with self._exclusively(job) as around_us, self._checking_itself():
            rounds, judge = yield from run_rounds(
                self._setup(job, between),
                job.cycle,
                lambda: between.judged_by(self._make_judges([job])[0]),
            )
            self._look_for_late_use([judge])
            self._look_for_work_left([judge], rounds)
        warmup = [each for each in rounds if each.warmup]
        around = _surroundings(watch, job, rounds, rounds[1:])
        job = _noted(job, around_us, *watch.notes(), "" if around.problem else slow_first(rounds))
        return self._records(job, judge, warmup, around)

    def interleaved(
        self,
        jobs: Sequence[Job],
        labels: Sequence[str],
        max_increase: float,
        progress: Progress,
    ) -> Generator[int, Units, tuple[TestRecord, ...]]:
        """Several works alternately, the reference first: yields the index of the one to call.

        jobs: one for each work; they differ in their names. Gives the records of all but the
        reference, whose figures are in each.
        """
        first = jobs[0]
        watch = Watch(self.instruments, self._connects)
        between = BetweenRounds(watch=watch, progress=progress, turns=self._turns)
        with self._exclusively(first) as around_us, self._checking_itself():
            rounds, comparing = yield from run_interleaved(
                self._setup(first, between),
                first.cycle,
                len(jobs),
                lambda: between.judged_by(
                    CandidatesJudge(tuple(labels), self._make_judges(jobs), max_increase)
                ),
            )
            self._look_for_late_use(comparing.judges)
            every = [each for mine in rounds for each in mine]
            self._look_for_work_left(comparing.judges, every)
        notes = watch.notes()
        warmup = [[each for each in mine if each.warmup] for mine in rounds]
        around = _surroundings(watch, first, [], [each for mine in rounds for each in mine[1:]])
        reference, *candidates = (
            self._records(
                _noted(job, around_us, *notes),
                judge,
                before,
                replace(around, problem=no_work(mine, job.empty_laps)),
            )
            for job, judge, before, mine in zip(jobs, comparing.judges, warmup, rounds, strict=True)
        )
        found = [
            compared_record(
                mine, its, comparing.comparisons.get(label), (labels[0], label), max_increase
            )
            for label, records in zip(labels[1:], candidates, strict=True)
            for mine, its in zip(records, reference, strict=True)
        ]
        found[0] = replace(found[0], notes=(*found[0].notes, *comparing.ranking()))
        return tuple(found)

    def generation(
        self, job: Job, cells: int, progress: Progress
    ) -> Generator[int, Units, tuple[TestRecord, ...]]:
        """Requests of several sizes, the largest last: yields the index of the one to make.

        job: with a unit for each budget, which names a part. Gives a record for each of them.
        """
        watch = Watch(self.instruments, self._connects)
        between = BetweenRounds(watch=watch, progress=progress, turns=self._turns)

        def make_judge() -> GridJudge:
            (judge,) = self._make_judges([job])
            for unit, each in zip(job.units, judge.judgements, strict=True):
                each.unit = unit
            return between.judged_by(GridJudge(judge))

        with self._exclusively(job) as around_us, self._checking_itself():
            warmup, measured, judge = yield from run_grid(
                self._setup(job, between),
                cells,
                make_judge,
            )
            rounds = [*warmup, *(each for mine in measured for each in mine)]
            self._look_for_late_use([judge.judge])
            self._look_for_work_left([judge.judge], rounds)
        around = _surroundings(watch, job, rounds, rounds[1:])
        job, intensity = _noted(job, around_us, *watch.notes()), self._settings.intensity
        return tuple(
            self._beside_baseline(job, budget, record)
            for budget, record in zip(
                job.budgets,
                part_records(job, judge, warmup, measured, around, intensity),
                strict=True,
            )
        )

    def load(
        self, job: Job, load: Load, progress: Progress
    ) -> Generator[float, None, tuple[TestRecord, ...]]:
        """Windows while others keep requests in flight: yields seconds to wait for them."""
        watch = Watch(self.instruments, self._connects)
        between = BetweenRounds(watch=watch, progress=progress, turns=self._turns)

        def make_judge() -> BudgetJudge:
            (judge,) = self._make_judges([job])
            return between.judged_by(judge)

        with self._exclusively(job) as around_us, self._checking_itself():
            rounds, judge = yield from run_load(
                self._setup(job, between),
                load,
                make_judge,
            )
            self._look_for_late_use([judge])
        for each in judge.judgements:
            each.coverage = replace(each.coverage, problem=load.problem or each.coverage.problem)
        warmup = [each for each in rounds if each.warmup]
        around = _surroundings(watch, job, rounds, rounds[1:])
        job = _noted(replace(job, load=load.record), around_us, load.note, *watch.notes())
        return self._records(job, judge, warmup, around)

    def window(self, job: Job) -> Generator[int, Units, tuple[TestRecord, ...]]:
        """One long run: yields once for the work, and is sent what it did."""
        names = [channel.name for channel in self.instruments.channels]
        watch = Watch(self.instruments, self._connects)
        watch.look()
        with self._exclusively(job) as around_us:
            watch.count_servers()
            watch.read_caches()
            rounds, judge = yield from run_window(
                self._meter, names, lambda: self._make_judges([job])[0]
            )
            self._look_for_work_left([judge], rounds)
        around = _surroundings(watch, job, rounds, rounds)
        return self._records(_noted(job, around_us, *watch.notes()), judge, (), around)

    def unmeasured(self, job: Job, reason: str) -> tuple[TestRecord, ...]:
        """The records of a test that ended before there was anything to judge."""
        return self._records(
            job,
            BudgetJudge(
                tuple(
                    self._judgement(
                        job,
                        each,
                        Coverage(scope=each.scope, gated=(), shown=(), method="", problem=reason),
                    )
                    for each in job.budgets
                )
            ),
            (),
            Surroundings(),
        )

    def work(self, job: Job, budgets: Sequence[Budget], count: WorkCount) -> tuple[TestRecord, ...]:
        """A record for each of these limits in FLOPs."""
        return tuple(
            self._beside_baseline(job, each, work_record(job, each, count)) for each in budgets
        )

    def _setup(self, job: Job, between: BetweenRounds) -> Setup:
        return Setup(
            meter=self._meter,
            clock=self._clock,
            limits=self._settings.limits,
            candidates=[channel.name for channel in self.instruments.channels],
            warmup_seconds=self._warmup_seconds(job),
            progress=between,
        )

    def _warmup_seconds(self, job: Job) -> float:
        """Short where only CPU time is counted."""
        may_gate = self.instruments.channels
        if all(each.covers_cpu_alone for each in job.budgets):
            may_gate = tuple(each for each in may_gate if each.kind is not Kind.GPU)
        if all(each.provenance is Provenance.ESTIMATED for each in may_gate):
            return CPU_WARMUP_SECONDS
        counted = all(each.counts_cpu_time for each in job.budgets)
        return CPU_WARMUP_SECONDS if counted else WARMUP_SECONDS

    def _make_judges(self, jobs: Sequence[Job]) -> tuple[BudgetJudge, ...]:
        """What is judged of each, once warm-up is over; they have their budgets in common."""
        self._self_check.end()
        coverages = self._coverages(jobs[0].budgets)
        return tuple(
            BudgetJudge(
                tuple(
                    self._judgement(job, budget, coverage)
                    for budget, coverage in zip(job.budgets, coverages, strict=True)
                )
            )
            for job in jobs
        )

    def _judgement(self, job: Job, budget: Budget, coverage: Coverage) -> Judgement:
        limit = budget.limit
        base = None if limit is None else base_limit(limit, self._settings.intensity)
        return Judgement(
            budget=budget, unit=job.unit_of(budget), coverage=coverage, limit=base, cycle=job.cycle
        )

    def _records(
        self, job: Job, judge: BudgetJudge, warmup: Sequence[Round], around: Surroundings
    ) -> tuple[TestRecord, ...]:
        return tuple(self._record(job, each, warmup, around) for each in judge.judgements)

    def _record(
        self, job: Job, judgement: Judgement, warmup: Sequence[Round], around: Surroundings
    ) -> TestRecord:
        """The verdict against the limit, then that against the baseline."""
        record = test_record(job, judgement, warmup, around, self._settings.intensity)
        budget = judgement.budget
        asked = budget.max_increase or self._settings.max_increase
        if budget.beside is not None and asked is None and not job.is_compared:
            return not_judged(record)
        return self._beside_baseline(job, budget, record)

    def _beside_baseline(self, job: Job, budget: Budget, record: TestRecord) -> TestRecord:
        if job.is_compared:  # with its reference, which says more than another day
            return record
        asked = budget.max_increase or self._settings.max_increase or MaxIncrease()
        return compared(record, self.machine, self._settings.baselines, asked)

    @property
    def _is_pinned(self) -> bool:
        """Whether this process has a GPU of its own, as other workers have."""
        return self._settings.choice.gpus.mode == PER_WORKER

    def hold_devices(self, budgets: Sequence[Budget], what: str) -> AbstractContextManager[str]:
        """All that a measurement under these budgets must have for itself, until the end of this.

        Where this process holds them already, it waits for nothing.
        """
        return self._exclusive.hold(self._devices(budgets), what)

    def _devices(self, budgets: Sequence[Budget]) -> list[str]:
        found = self.instruments
        is_apart = self._is_pinned and not any(each.is_elsewhere for each in found.channels)
        if is_apart and all(_on_gpu(each).scope is Scope.GPU for each in budgets):
            return [each.board.uuid for each in found.candidates]
        return [CPU, *(each.id for each in found.devices if each.id)]

    @contextmanager
    def _exclusively(self, job: Job) -> Iterator[str]:
        devices = self._devices(job.budgets)
        # The protocol's clock starts inside, so that waiting counts in no limit.
        held = self._exclusive.measurement(devices, job.test_id, job.name)
        with held as around_us, self._connects:
            try:
                self._held_before = devices_in_use()
                if self.instruments.activity is not None:
                    self.instruments.activity.begin()
                self._afterwards.begin()
                yield around_us
            finally:
                self.instruments.tree.forget()

    @contextmanager
    def _checking_itself(self) -> Iterator[None]:
        """From here until `_make_judges` ends it after warm-up, or the work raises."""
        self._self_check.begin()
        try:
            yield
        finally:
            self._self_check.end()

    def _look_for_late_use(self, judges: Sequence[BudgetJudge]) -> None:
        """A GPU that was first used after warm-up isn't in the figure, which then is none."""
        in_use = self._in_use(devices_in_use())
        for each in (judgement for judge in judges for judgement in judge.judgements):
            if not each.budget.covers_cpu_alone and not each.coverage.problem:
                late = found_late(each.coverage, in_use)
                each.coverage = replace(each.coverage, problem=late)

    def _look_for_work_left(self, judges: Sequence[BudgetJudge], rounds: Sequence[Round]) -> None:
        """A figure does not hold what goes on after the last call."""
        every = [judgement for judge in judges for judgement in judge.judgements]
        left = self._afterwards.end(rounds)
        # Counters hold what others use too.
        is_blind = any(each.coverage.is_cpu_time for each in every)
        outside = self._afterwards.outside(rounds) if is_blind and not left else ""
        for each in every:
            problem = each.coverage.problem or left
            problem = problem or (outside if each.coverage.is_cpu_time else "")
            each.coverage = replace(each.coverage, problem=problem)

    def _in_use(self, held: DeviceUse) -> GpusInUse:
        mode = self._settings.choice.gpus.mode
        return find_gpus_in_use(self.instruments, mode, held, self._held_before)

    def _coverages(self, budgets: Sequence[Budget]) -> list[Coverage]:
        held = devices_in_use()
        in_use = self._in_use(held)
        offer = offer_of(self.instruments)
        if self._is_pinned:
            budgets = [_on_gpu(each) for each in budgets]
        required = self._settings.require_measured
        covered = [cover(each, in_use, held, offer, require_measured=required) for each in budgets]
        checks = self._self_check.found
        return [
            replace(each, problem=each.problem or disagreement(checks, each.gated_names))
            for each in covered
        ]


def _noted(job: Job, *notes: str) -> Job:
    return replace(job, notices=(*job.notices, *filter(None, notes)))


def _surroundings(
    watch: Watch, job: Job, rounds: Sequence[Round], watched: Sequence[Round]
) -> Surroundings:
    """What was seen around the rounds of one work; of `watched`, whom they talked to."""
    return replace(
        watch.end(),
        problem=no_work(rounds, job.empty_laps),
        elsewhere=work_elsewhere(watch.peers(), watched),
    )


def _on_gpu(budget: Budget) -> Budget:
    """What a worker with a GPU of its own takes "auto" for."""
    is_open = budget.scope is Scope.AUTO and not budget.counts_cpu_time
    return replace(budget, scope=Scope.GPU) if is_open else budget


def _gpu_record(gpu: Device) -> GpuRecord:
    return GpuRecord(
        name=gpu.name,
        uuid=gpu.id,
        power_limit_watts=gpu.power_limit_watts,
        channel=gpu.channel,
        mig=gpu.partition,
    )
