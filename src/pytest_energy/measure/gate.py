"""One test's measurement from end to end: lock, instruments, rounds, verdict, record."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pytest_energy import machine
from pytest_energy.budgets import Budget, base_limit
from pytest_energy.carbon import Intensity
from pytest_energy.measure.accelerators import torch_use
from pytest_energy.measure.coverage import Coverage, GpuFacts, cover, gpus_in_use
from pytest_energy.measure.judgement import Job, judge, test_record
from pytest_energy.measure.lock import machine_lock
from pytest_energy.measure.meter import Meter
from pytest_energy.measure.protocol import (
    CPU_WARMUP_SECONDS,
    WARMUP_SECONDS,
    Limits,
    Round,
    Rounds,
    run_rounds,
    run_window,
)
from pytest_energy.record import GpuRecord, MachineRecord, TestRecord
from pytest_energy.sensors.base import Clock
from pytest_energy.sensors.cpu_time import ProcessTree
from pytest_energy.sensors.discover import Instruments, discover
from pytest_energy.sensors.visible import GpuChoice

__tracebackhide__ = True  # a failing test's traceback ends in the user's lines

#: The inode of the first PID namespace (PROC_PID_INIT_INO in the kernel): in any other one the
#: driver's process ids are not ours.
_FIRST_PID_NAMESPACE = "pid:[4026531836]"


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

    gpus: GpuChoice
    limits: Limits
    intensity: Intensity | None
    require_measured: bool
    cpu_watts_per_core: float


class Gate:
    """Measures and judges, one job at a time on the whole machine.

    Making one probes the instruments, which takes about half a second with a GPU. `clock` and the
    CUDA_VISIBLE_DEVICES of this process are its surroundings. Raises ValueError for a GPU that
    --energy-gpus names and isn't there, or where the lock can't be taken.
    """

    def __init__(self, settings: GateSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._tree = ProcessTree()
        self._busy = False
        try:
            self._lock = machine_lock()
            with self._lock:
                pass  # whether it can be taken
        except OSError as error:
            raise ValueError(
                f"the lock by which measured tests take turns can't be taken: {error.filename}: "
                f"{error.strerror}; make that folder writable for all its users"
            ) from None
        with self._lock:
            self.instruments: Instruments = discover(
                settings.gpus,
                os.environ.get("CUDA_VISIBLE_DEVICES"),
                settings.cpu_watts_per_core,
                clock,
            )
        self._meter = Meter(self.instruments.gpu_sensors, self.instruments.cpu_time, clock)

    @cached_property
    def machine(self) -> MachineRecord:
        nvml = self.instruments.nvml
        return machine.machine(
            [GpuRecord(gpu.name, gpu.board.uuid, gpu.power_limit_watts) for gpu in nvml.gpus]
            if nvml
            else []
        )

    @cached_property
    def versions(self) -> dict[str, str]:
        return machine.versions(self.instruments.nvml.driver if self.instruments.nvml else None)

    def close(self) -> None:
        self.instruments.close()

    def rounds(
        self, job: Job, progress: Callable[[Sequence[Round]], None]
    ) -> Generator[None, float, TestRecord]:
        """The protocol: yields for each call of the work, and is sent its units.

        `progress` is told of all rounds so far after each one.
        """
        candidates = [channel.name for channel in self.instruments.channels]
        cpu_only = len(candidates) == 1 or job.budget.covers_cpu_alone
        warmup = CPU_WARMUP_SECONDS if cpu_only else WARMUP_SECONDS

        with self._exclusively():
            rounds = yield from run_rounds(
                self._meter,
                self._clock,
                self._settings.limits,
                candidates,
                warmup,
                job.cycle,
                lambda: self._coverage(job.budget),
                lambda rounds, coverage, final: judge(self._limit(job), rounds, coverage, final),
                progress,
            )
        return self._record(job, rounds)

    def window(self, job: Job) -> Generator[None, float, TestRecord]:
        """One long run: yields once for the work, and is sent its units."""
        with self._exclusively():
            rounds = yield from run_window(
                self._meter,
                [channel.name for channel in self.instruments.channels],
                lambda: self._coverage(job.budget),
                lambda rounds, coverage, final: judge(self._limit(job), rounds, coverage, final),
            )
        return self._record(job, rounds)

    def unmeasured(self, job: Job, reason: str) -> TestRecord:
        """The record of a test that ended before there was anything to judge."""
        coverage = Coverage(job.budget.scope, (), (), "", reason)
        return self._record(job, Rounds((), coverage, None))

    def _limit(self, job: Job) -> float | None:
        limit = job.budget.limit
        return None if limit is None else base_limit(limit, self._settings.intensity)

    def _record(self, job: Job, rounds: Rounds) -> TestRecord:
        return test_record(job, rounds, self._limit(job), self._settings.intensity)

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        if self._busy:
            raise AlreadyMeasuring
        self._busy = True
        try:
            # The protocol's clock starts inside, so that waiting counts in no limit.
            with self._lock:
                yield
        finally:
            self._busy = False

    def _coverage(self, budget: Budget) -> Coverage:
        found = self.instruments
        torch = torch_use()
        in_use = gpus_in_use(
            GpuFacts(
                mode=self._settings.gpus.mode,
                allotted=found.allotted,
                listed=found.listed,
                torch=torch,
                process_ids=self._gpu_process_ids(),
                our_process_ids=self._tree.pids(),
                ids_match=_in_first_pid_namespace(),
            )
        )
        coverage = cover(
            budget,
            in_use,
            torch,
            found.channels,
            found.gpu_faults,
            found.no_nvml,
            require_measured=self._settings.require_measured,
        )
        return replace(coverage, notes=(*coverage.notes, *found.notes))

    def _gpu_process_ids(self) -> dict[int, frozenset[int] | None]:
        nvml = self.instruments.nvml
        if nvml is None:
            return {}
        return {gpu.board.index: nvml.process_ids(gpu) for gpu in nvml.gpus}


def _in_first_pid_namespace() -> bool:
    try:
        return str(Path("/proc/self/ns/pid").readlink()) == _FIRST_PID_NAMESPACE
    except OSError:
        return not Path("/proc/self").exists()  # only Linux has such namespaces
