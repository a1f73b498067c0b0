"""What one run of one test gathers: its measurements, its failure, its notes."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_energy.errors import Reason
from pytest_energy.limits.budget import DEFAULT_UNIT, PART_UNITS
from pytest_energy.limits.resolve import Resolution
from pytest_energy.plugin.instruments import Instruments
from pytest_energy.plugin.measured_tests import location_of, test_id
from pytest_energy.plugin.overheads import overheads_of
from pytest_energy.plugin.progress import ProgressLine

if TYPE_CHECKING:
    from pytest_energy.measurement.calls import Steps
    from pytest_energy.measurement.judgement import Job
    from pytest_energy.measurement.load import Load
    from pytest_energy.measurement.work import WorkCount
    from pytest_energy.plugin.fixture import Energy
    from pytest_energy.record.schema import TestRecord


@dataclass(kw_only=True)
class TestRun:
    """What one run of one test gathers; `attempt` counts reruns from 1."""

    __test__ = False  # pytest would collect the class by its name

    item: pytest.Item
    instruments: Instruments
    resolution: Resolution
    attempt: int
    uses_fixture: bool
    """Whether the test says itself what is measured; else its body is."""
    energy: Energy = field(init=False)
    records: list[TestRecord] = field(default_factory=list)
    looping: bool = False
    """Whether the body itself is being measured."""
    _compared: set[str | None] = field(default_factory=set)
    """Measurements that alternate with others."""
    _judged: set[str | None] = field(default_factory=set)
    """Measurements whose FLOPs were judged, where there is a limit."""
    failure: str = ""
    """What the body itself ended in, where it failed."""
    ended: bool = False
    """Whether the body has ended, so that its own report comes next and not a subtest's."""
    reported: bool = False

    def rounds(self, name: str | None, units: Sequence[str], cycle: int) -> Steps:
        """Measure by the protocol; `cycle` calls see each input once."""
        __tracebackhide__ = True
        job = self._job(name, units, cycle)
        with self._progress() as progress:
            self.records += yield from self.instruments.find().rounds(job, progress)

    def interleaved(
        self,
        names: Sequence[str],
        units: Sequence[str],
        cycle: int,
        labels: Sequence[str],
        max_increase: float,
    ) -> Steps:
        """Measure several functions alternately, A B B A, the reference first."""
        __tracebackhide__ = True
        self._compared |= set(names)
        jobs = [self._job(each, units, cycle) for each in names]
        with self._progress(len(jobs)) as progress:
            found = self.instruments.find()
            self.records += yield from found.interleaved(jobs, labels, max_increase, progress)

    def generation(self, name: str | None, cells: int) -> Steps:
        """Measure requests of several sizes, the largest last, and judge their parts."""
        __tracebackhide__ = True
        job = self._job(name, PART_UNITS, 1)
        if any(each.limit is not None for each in job.budgets):
            job = replace(job, units=tuple(each.unit for each in job.budgets))
        else:
            job = replace(job, budgets=job.budgets * len(PART_UNITS))
        with self._progress(1 + len(PART_UNITS)) as progress:
            self.records += yield from self.instruments.find().generation(job, cells, progress)

    def load(
        self, name: str | None, units: Sequence[str], load: Load
    ) -> Generator[float, None, None]:
        """Measure while others keep requests in flight: yields seconds to wait for them."""
        __tracebackhide__ = True
        job = self._job(name, units, 1)
        with self._progress() as progress:
            self.records += yield from self.instruments.find().load(job, load, progress)

    def window(self, name: str | None, units: Sequence[str]) -> Steps:
        """Measure one long run."""
        __tracebackhide__ = True
        self.records += yield from self.instruments.find().window(self._job(name, units, 1))
        reason = (
            "FLOPs are not countable in energy.window, whose work runs once; use energy.measure"
        )
        from pytest_energy.measurement.work import WorkCount

        self._add_work(name, WorkCount(problem=Reason("window-not-counted", reason)))

    def complete(self, reason: str) -> None:
        """Record as unmeasured what was begun, or asked for, and has no record."""
        from pytest_energy.measurement.work import WorkCount

        begun = self.energy.names or {None}
        for name in begun - {each.name for each in self.records}:
            job = self._job(name, [DEFAULT_UNIT], 1)
            self.records += self.instruments.find().unmeasured(job, reason)
        for name in begun - self._judged:
            self._add_work(name, WorkCount(problem=reason))

    def judge_flops(self, name: str | None) -> None:
        """Judge what extra calls of a measurement did, where a limit is in FLOPs."""
        self._add_work(name, self.energy.flops[name])

    def _add_work(self, name: str | None, count: WorkCount) -> None:
        self._judged.add(name)
        budgets = [each for each in self.resolution.budgets if each.counts_flops]
        if budgets:
            job = self._job(name, [DEFAULT_UNIT], 1)
            self.records += self.instruments.find().work(job, budgets, count)

    def report(self) -> dict[str, Any]:
        """The plain data that a report carries to the writer of the record."""
        from pytest_energy.record.plain import to_plain

        found = self.instruments.find()
        return {
            "tests": [
                to_plain(
                    replace(self._full(each), failure=self.failure, location=location_of(self.item))
                )
                for each in self.records
            ],
            "machine": to_plain(found.machine),
            "versions": found.versions,
        }

    @contextmanager
    def _progress(self, works: int = 1) -> Iterator[ProgressLine]:
        """The line on the terminal, which is cleared at the end of this."""
        progress = self.instruments.progress(self.item.nodeid, works)
        try:
            yield progress
        finally:
            progress.clear()

    def _job(self, name: str | None, units: Sequence[str], cycle: int) -> Job:
        from pytest_energy.measurement.calls import empty_laps
        from pytest_energy.measurement.judgement import Job

        found = self.resolution
        return Job(
            test_id=test_id(self.item),
            declaration=found.declaration,
            budgets=tuple(each for each in found.budgets if not each.counts_flops),
            units=tuple(units),
            name=name,
            attempt=self.attempt,
            cycle=cycle,
            notices=(*found.notices, *overheads_of(self.item)),
            is_compared=name in self._compared,
            empty_laps=empty_laps,
        )

    def _full(self, record: TestRecord) -> TestRecord:
        """The record with what the fixture adds: notes, and the FLOPs of extra calls."""
        notes = [*record.notes, *self.energy.notes.get(record.name, ())]
        counted, explanation = self.energy.flops.get(record.name), record.explanation
        if counted is not None and explanation is not None:
            if why := counted.why_none(record.unit) or counted.unseen:
                notes.append(why)
            flops = counted.per_unit(record.unit)
            explanation = replace(explanation, flops_per_unit=flops)
        return replace(record, notes=tuple(notes), explanation=explanation)
