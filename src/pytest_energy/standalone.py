"""Measuring outside of pytest: in a script, in a notebook, in another tool."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from html import escape
from typing import Any

from pytest_energy.errors import EnergyError, EnergyUsageError
from pytest_energy.limits.budget import Budget, Declaration, Scope
from pytest_energy.measurement.calls import (
    Steps,
    Work,
    empty_laps,
    inputs_of,
    named,
)
from pytest_energy.measurement.counting import Count, counts_for
from pytest_energy.measurement.gate import Gate, GateSettings
from pytest_energy.measurement.judgement import Job
from pytest_energy.measurement.protocol import Limits
from pytest_energy.record.plain import LARGEST_NUMBER, spelled
from pytest_energy.record.schema import TestRecord
from pytest_energy.report.details import details_of
from pytest_energy.report.printable import printable
from pytest_energy.rules.estimate import MAX_ROUNDS
from pytest_energy.sensors import CPU_COUNTER_FOLDER, clock
from pytest_energy.sensors.base import Clock
from pytest_energy.sensors.discover import Choice
from pytest_energy.sensors.gpu_choice import GpuChoice
from pytest_energy.units import energy_scale, interval, per_unit


class Unmeasured(EnergyError):
    """The work ran, and what it used is not known; the message says why.

    code: the reason code, as in a run record.
    """

    def __init__(self, record: TestRecord) -> None:
        super().__init__(f"{record.id} is unmeasured: {record.reason}")
        self.code = record.code


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one unit of some work used, and how that is known.

    record: the measurement with all its rounds and channels, as in a run record.
    value: what the last call returned.
    """

    record: TestRecord
    value: Any

    @property
    def unit(self) -> str:
        """What the figure is for, such as "query"."""
        return self.record.unit

    @property
    def joules_per_unit(self) -> float:
        """The centre of the rounds, over the channels of the scope."""
        assert self.record.joules_per_unit is not None
        return self.record.joules_per_unit

    @property
    def interval(self) -> tuple[float, float] | None:
        """Joules for one unit, at 99 %; None with fewer than five rounds."""
        return self.record.interval

    @property
    def provenance(self) -> str:
        """How the joules are known, "measured", "integrated" or "estimated"."""
        return self.record.method

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of the channels that the figure is the sum of."""
        return tuple(each.name for each in self.record.channels if each.gated)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the figure should know."""
        return self.record.notes

    def __str__(self) -> str:
        spread = "fewer than 5 rounds, so no interval"
        if self.interval is not None:
            scale = energy_scale([self.joules_per_unit])
            spread = f"interval {interval(*self.interval, scale)} {scale.symbol}"
        figure = per_unit(self.joules_per_unit, self.unit)
        return f"{figure} ({spread}), {', '.join(self.channels)}, {self.provenance}"

    def _repr_html_(self) -> str:
        """The figure, and what makes it, for a notebook."""
        lines = [*details_of(self.record), *self.notes]
        items = "".join(f"<li>{escape(printable(each))}</li>" for each in lines)
        return f"<p><strong>{escape(printable(str(self)))}</strong></p><ul>{items}</ul>"


def measure(
    call: Callable[..., Any],
    *,
    inputs: Iterable[Any] | None = None,
    count: Count | None = None,
    tokens: Count | None = None,
    images: Count | None = None,
    units: Mapping[str, Count] | None = None,
    scope: str = "auto",
    gpus: str = "auto",
    max_seconds: float = 60.0,
    cpu_watts_per_core: float = 4.0,
) -> Result:
    """Measure `call()`, or `call(x)` with the next of `inputs` each time, as a marked test is.

    It is called until it is warm, and then in rounds until the interval is narrow.

    Args:
        inputs: one for each call, in a cycle.
        count, tokens, images: units that one call does (1), or a function of its result.
        units: the same by name, {"output-token": len}; the figure is for the first of them.
        scope: the channels: "gpu", "cpu", "all", or "auto" (gpu when one is in use, else cpu).
        gpus: "auto", "all" or "none".
        max_seconds: the measurement ends after this time.
        cpu_watts_per_core: watts of a busy core, where no counter measures the CPU.

    Raises:
        Unmeasured: the work ran, and what it used is not known.
        EnergyUsageError: the arguments, or what `call` returns, can't be measured.
    """
    if inspect.iscoroutinefunction(call):
        raise EnergyUsageError(
            f"measure was given the coroutine function {named(call)}; "
            f"write: await measure_async({named(call)}, ...)"
        )
    settings = _settings(gpus, max_seconds, cpu_watts_per_core)
    counts = counts_for((), count=count, tokens=tokens, images=images, units=units)
    with _begun(call, inputs, counts, scope, settings) as (work, finish):
        return finish(work.run())


async def measure_async(
    call: Callable[..., Awaitable[Any]],
    *,
    inputs: Iterable[Any] | None = None,
    count: Count | None = None,
    tokens: Count | None = None,
    images: Count | None = None,
    units: Mapping[str, Count] | None = None,
    scope: str = "auto",
    gpus: str = "auto",
    max_seconds: float = 60.0,
    cpu_watts_per_core: float = 4.0,
) -> Result:
    """As `measure`, for a function that returns an awaitable: await measure_async(f)."""
    settings = _settings(gpus, max_seconds, cpu_watts_per_core)
    counts = counts_for((), count=count, tokens=tokens, images=images, units=units)
    with _begun(call, inputs, counts, scope, settings) as (work, finish):
        return finish(await work.run_async())


def _settings(gpus: str, max_seconds: float, cpu_watts_per_core: float) -> GateSettings:
    if gpus not in ("auto", "all", "none"):
        raise EnergyUsageError(f'gpus={spelled(gpus)} is not known; write "auto", "all" or "none"')
    for name, value in (("max_seconds", max_seconds), ("cpu_watts_per_core", cpu_watts_per_core)):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0 < value < LARGEST_NUMBER:
            raise EnergyUsageError(f"{name}={spelled(value)} is not a number above zero")
    return GateSettings(
        choice=Choice(
            gpus=GpuChoice(gpus),
            cpu_watts_per_core=cpu_watts_per_core,
            cpu_counter_folder=CPU_COUNTER_FOLDER,
        ),
        limits=Limits(MAX_ROUNDS, max_seconds),
        intensity=None,
        require_measured=False,
    )


@contextmanager
def _begun(
    call: Callable[..., Any],
    inputs: Iterable[Any] | None,
    counts: Mapping[str, Count],
    scope: str,
    settings: GateSettings,
) -> Iterator[tuple[Work, Callable[[Any], Result]]]:
    """The calls to be made, and what makes a result of them; the instruments are released."""
    if not callable(call):
        raise EnergyUsageError(
            f"measure calls what it is given, and {spelled(call)} can't be called"
        )
    items = inputs_of(inputs)
    job = Job(
        test_id=named(call),
        declaration=Declaration(),
        budgets=(Budget(scope=_scope(scope)),),
        units=tuple(counts),
        cycle=len(items or [None]),
        is_compared=True,  # nothing is suggested that could be pasted here
        empty_laps=empty_laps,
    )
    notes: list[str] = []
    records: list[TestRecord] = []
    gate = Gate(settings, Clock(clock.now, clock.sleep), _say)

    def steps() -> Steps:
        records.extend((yield from gate.rounds(job, lambda *_: None)))

    def finish(value: Any) -> Result:
        (record,) = records
        if record.joules_per_unit is None:
            raise Unmeasured(record)
        notes.extend(gate.machine.notes)
        return Result(record=replace(record, notes=(*record.notes, *notes)), value=value)

    try:
        yield Work(steps(), [call], items, counts, notes), finish
    finally:
        gate.close()


def _scope(text: str) -> Scope:
    try:
        return Scope(str.__str__(text))
    except (TypeError, ValueError):
        raise EnergyUsageError(
            f"scope={spelled(text)} is not known; write one of {', '.join(Scope)}"
        ) from None


def _say(sentence: str) -> None:
    print(printable(sentence), file=sys.stderr, flush=True)
