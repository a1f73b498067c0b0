"""One test's measurement from end to end: lock, instruments, rounds, verdict, record."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_energy import machine
from pytest_energy.budgets.budget import Budget, MaxIncrease, Scope, base_limit
from pytest_energy.budgets.resolve import MachineClass
from pytest_energy.carbon import Intensity
from pytest_energy.measure.accelerators import devices_in_use
from pytest_energy.measure.contest import Contest, compared_record
from pytest_energy.measure.coverage import Coverage, cover
from pytest_energy.measure.explain import Surroundings
from pytest_energy.measure.in_use import find_gpus_in_use, offer_of
from pytest_energy.measure.judgement import Bench, Job, Judgement, test_record
from pytest_energy.measure.lock import CPU, DEFAULT_FOLDER, DeviceLocks
from pytest_energy.measure.meter import Meter
from pytest_energy.measure.protocol import (
    CPU_WARMUP_SECONDS,
    WARMUP_SECONDS,
    Limits,
    Round,
    Units,
    run_rounds,
    run_window,
)
from pytest_energy.measure.self_check import SelfCheck, warning
from pytest_energy.measure.turns import run_turns
from pytest_energy.measure.watch import Watch
from pytest_energy.pinning import PER_WORKER
from pytest_energy.record import GpuRecord, MachineRecord, TestRecord
from pytest_energy.sensors.base import Clock, Kind, Provenance
from pytest_energy.sensors.discover import Choice, Instruments, discover
from pytest_energy.sensors.proc_stat import busy_seconds
from pytest_energy.store.baseline import Baselines
from pytest_energy.store.regression import compared

if TYPE_CHECKING:
    from pytest_energy.sensors.nvml import Gpu

__tracebackhide__ = True  # a failing test's traceback ends in the user's lines


class AlreadyMeasuring(Exception):
    """A measurement was asked for inside another one."""

    def __init__(self) -> None:
        super().__init__(
            "a measurement is already under way, and two would count each other's energy: measure "
            "one after the other, and ask for the energy fixture as the test's argument"
        )


@dataclass(frozen=True)
class GateSettings:
    """What the gate takes from the user's settings."""

    choice: Choice
    limits: Limits
    intensity: Intensity | None
    require_measured: bool
    lock_folder: Path | None = None
    baselines: Baselines = field(default_factory=Baselines)
    max_increase: MaxIncrease | None = None


class Gate:
    """Measures and judges, one job at a time on each device.

    Making one probes the instruments, which takes about half a second with a GPU. `clock` and the
    CUDA_VISIBLE_DEVICES of this process are its surroundings. Raises ValueError for a GPU that
    --energy-gpus names and isn't there, or where the lock can't be taken.
    """

    def __init__(self, settings: GateSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._busy = False
        folder = settings.lock_folder or DEFAULT_FOLDER
        try:
            self._locks = DeviceLocks(folder)
        except OSError as error:
            raise ValueError(
                f"the locks by which measured tests take turns can't be taken: {error.filename}: "
                f"{error.strerror}; make that folder writable for all its users, or name another "
                "with --energy-lock-folder"
            ) from None
        # A busy core beside it is nothing that a measured test wants; a worker with a GPU of its
        # own reads that alone.
        with self._locks.hold([] if self._is_pinned else [CPU]):
            self.instruments: Instruments = discover(
                settings.choice, os.environ.get("CUDA_VISIBLE_DEVICES"), clock
            )
        found = self.instruments
        self._meter = Meter(found.counters, found.cpu_time, busy_seconds, clock)
        self._self_check = SelfCheck(found, clock)

    @property
    def machine(self) -> MachineRecord:
        """The hardware, with what was found about it so far."""
        checks = self._self_check.found
        told = tuple(filter(None, map(warning, checks)))
        hardware = self._hardware
        return replace(hardware, notes=(*hardware.notes, *told), self_checks=checks)

    @cached_property
    def _hardware(self) -> MachineRecord:
        nvml = self.instruments.nvml
        return machine.machine(
            [_gpu_record(gpu) for gpu in nvml.gpus] if nvml else [],
            self.instruments.notes,
        )

    @cached_property
    def machine_class(self) -> MachineClass:
        """The processor, and the GPUs that this process may use."""
        nvml = self.instruments.nvml
        mine = {each.board.index for each in self.instruments.candidates}
        gpus = [gpu for gpu in nvml.gpus if gpu.board.index in mine] if nvml else []
        return MachineClass(
            self._hardware.cpu, tuple((gpu.name, gpu.power_limit_watts) for gpu in gpus)
        )

    @cached_property
    def versions(self) -> dict[str, str]:
        return machine.versions(self.instruments.nvml.driver if self.instruments.nvml else None)

    def close(self) -> None:
        self.instruments.close()

    def rounds(
        self, job: Job, progress: Callable[[Sequence[Round]], None]
    ) -> Generator[int, Units, tuple[TestRecord, ...]]:
        """The protocol: yields for each call of the work, and is sent what it did.

        `progress` is told of all rounds so far after each one. Gives a record for each budget.
        """
        watch = Watch(self.instruments)
        with self._exclusively(job), self._checking_itself():
            rounds, bench = yield from run_rounds(
                self._meter,
                self._clock,
                self._settings.limits,
                [channel.name for channel in self.instruments.channels],
                self._warmup_seconds(job),
                job.cycle,
                lambda: self._appoint([job])[0],
                _watched(watch, progress),
            )
        warmup = [each for each in rounds if each.warmup]
        return self._records(job, bench, warmup, watch.end())

    def turns(
        self,
        jobs: Sequence[Job],
        labels: Sequence[str],
        max_increase: float,
        progress: Callable[[Sequence[Round]], None],
    ) -> Generator[int, Units, tuple[TestRecord, ...]]:
        """Several works in turns, the reference first: yields the index of the one to call.

        jobs: one for each work; they differ in their names. Gives the records of all but the
        reference, whose figures are in each.
        """
        first = jobs[0]
        watch = Watch(self.instruments)
        with self._exclusively(first), self._checking_itself():
            rounds, contest = yield from run_turns(
                self._meter,
                self._clock,
                self._settings.limits,
                [channel.name for channel in self.instruments.channels],
                self._warmup_seconds(first),
                first.cycle,
                len(jobs),
                lambda: Contest(tuple(labels), self._appoint(jobs), max_increase),
                _watched(watch, progress),
            )
        around = watch.end()
        warmup = [[each for each in mine if each.warmup] for mine in rounds]
        reference, *candidates = (
            self._records(job, bench, before, around)
            for job, bench, before in zip(jobs, contest.benches, warmup, strict=True)
        )
        found = [
            compared_record(
                mine, its, contest.comparisons.get(label), (labels[0], label), max_increase
            )
            for label, records in zip(labels[1:], candidates, strict=True)
            for mine, its in zip(records, reference, strict=True)
        ]
        found[0] = replace(found[0], notes=(*found[0].notes, *contest.ranking()))
        return tuple(found)

    def window(self, job: Job) -> Generator[int, Units, tuple[TestRecord, ...]]:
        """One long run: yields once for the work, and is sent what it did."""
        names = [channel.name for channel in self.instruments.channels]
        watch = Watch(self.instruments)
        watch.look()
        with self._exclusively(job):
            _, bench = yield from run_window(self._meter, names, lambda: self._appoint([job])[0])
        return self._records(job, bench, (), watch.end())

    def unmeasured(self, job: Job, reason: str) -> tuple[TestRecord, ...]:
        """The records of a test that ended before there was anything to judge."""
        return self._records(
            job,
            Bench(
                tuple(
                    self._judgement(job, each, Coverage(each.scope, (), (), "", reason))
                    for each in job.budgets
                )
            ),
            (),
            Surroundings(),
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

    def _appoint(self, jobs: Sequence[Job]) -> tuple[Bench, ...]:
        """What is judged of each, once warm-up is over; they have their budgets in common."""
        self._self_check.end()
        coverages = self._coverages(jobs[0].budgets)
        return tuple(
            Bench(
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
        return Judgement(budget, job.unit_of(budget), coverage, base)

    def _records(
        self, job: Job, bench: Bench, warmup: Sequence[Round], around: Surroundings
    ) -> tuple[TestRecord, ...]:
        return tuple(self._record(job, each, warmup, around) for each in bench.judgements)

    def _record(
        self, job: Job, judgement: Judgement, warmup: Sequence[Round], around: Surroundings
    ) -> TestRecord:
        """The verdict against the limit, then that against the baseline."""
        record = test_record(job, judgement, warmup, around, self._settings.intensity)
        if job.is_compared:  # with its reference, which says more than another day
            return record
        asked = judgement.budget.max_increase or self._settings.max_increase or MaxIncrease()
        return compared(record, self.machine, self._settings.baselines, asked)

    @property
    def _is_pinned(self) -> bool:
        """Whether this process has a GPU of its own, beside others that have theirs."""
        return self._settings.choice.gpus.mode == PER_WORKER

    def _devices(self, job: Job) -> list[str]:
        """What a measurement must have for itself, by the names of locks."""
        found = self.instruments
        if self._is_pinned and all(_on_gpu(each).scope is Scope.GPU for each in job.budgets):
            return [each.board.uuid for each in found.candidates]
        return [CPU, *(gpu.board.uuid for gpu in (found.nvml.gpus if found.nvml else ()))]

    @contextmanager
    def _exclusively(self, job: Job) -> Iterator[None]:
        if self._busy:
            raise AlreadyMeasuring
        self._busy = True
        try:
            # The protocol's clock starts inside, so that waiting counts in no limit.
            with self._locks.hold(self._devices(job)):
                yield
        finally:
            self._busy = False

    @contextmanager
    def _checking_itself(self) -> Iterator[None]:
        """From here until `_appoint` ends it after warm-up, or the work raises."""
        self._self_check.begin()
        try:
            yield
        finally:
            self._self_check.end()

    def _coverages(self, budgets: Sequence[Budget]) -> list[Coverage]:
        held = devices_in_use()
        mode = self._settings.choice.gpus.mode
        in_use = find_gpus_in_use(self.instruments, mode, held)
        offer = offer_of(self.instruments)
        if self._is_pinned:
            budgets = [_on_gpu(each) for each in budgets]
        required = self._settings.require_measured
        return [cover(each, in_use, held, offer, require_measured=required) for each in budgets]


def _watched(
    watch: Watch, progress: Callable[[Sequence[Round]], None]
) -> Callable[[Sequence[Round]], None]:
    """Tells of progress, and looks who else is on the GPUs, after each round or turn."""

    def after(rounds: Sequence[Round]) -> None:
        watch.look()
        progress(rounds)

    return after


def _on_gpu(budget: Budget) -> Budget:
    """What a worker with a GPU of its own takes "auto" for."""
    is_open = budget.scope is Scope.AUTO and not budget.counts_cpu_time
    return replace(budget, scope=Scope.GPU) if is_open else budget


def _gpu_record(gpu: Gpu) -> GpuRecord:
    profiles = ", ".join(each.profile for each in gpu.board.migs)
    return GpuRecord(gpu.name, gpu.board.uuid, gpu.power_limit_watts, gpu.channel, profiles)
