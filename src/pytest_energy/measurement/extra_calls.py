"""Extra calls of a measured work, in which torch counts what it does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from pytest_energy.errors import Reason
from pytest_energy.measurement.calls import Function, Work
from pytest_energy.measurement.flops import counting_flops
from pytest_energy.measurement.work import WorkCount
from pytest_energy.sensors.clock import now, real


class ExtraCalls:
    """Counts one call after the other, one with each input; `index` is of the function."""

    def __init__(self, work: Work, index: int) -> None:
        self._work = work
        self._index = index
        self.count = WorkCount(cycle=work.cycle)

    @property
    def goes_on(self) -> bool:
        """Whether some input has not been called with, and no call has raised."""
        return self.count.calls < self.count.cycle and not self.count.problem

    @contextmanager
    def one(self) -> Iterator[Function]:
        """The next call; what it raises is kept as the reason why there is no count."""
        before, flops = self.count, 0
        started, cpu = now(), real.process_time()
        try:
            with counting_flops() as total:
                yield self._work.bound(self._index, before.calls)
                flops = total()
        except Exception as error:
            why = f"FLOPs are not counted: one more call raised {type(error).__name__}"
            self.count = replace(before, problem=Reason("extra-call-failed", why))
            return
        units = self._work.units
        self.count = replace(
            before,
            flops=before.flops + flops,
            units={each: before.units.get(each, 0.0) + units[each] for each in units},
            calls=before.calls + 1,
            seconds=before.seconds + now() - started,
            cpu_seconds=before.cpu_seconds + real.process_time() - cpu,
        )
