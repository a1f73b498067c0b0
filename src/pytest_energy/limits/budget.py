"""A budget: an upper limit for one test, with its origin; and what a marker declares."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pytest_energy.carbon.intensity import Intensity
from pytest_energy.limits.limit import Limit, is_symbol
from pytest_energy.record.schema import BudgetRecord
from pytest_energy.rules.baseline import MAX_INCREASE
from pytest_energy.sensors.base import Provenance
from pytest_energy.units import Quantity, percent, plural, scale_for, watt_hours_per_1000

#: Units of which one call does one, unless a count says otherwise.
ONE_PER_CALL = frozenset({"query", "call", "inference", "request", "run"})
DEFAULT_UNIT = "query"
#: The parts of a request to a language model: without tokens, and one more token in or out.
REQUEST_PART, INPUT_PART, OUTPUT_PART = "empty-request", "prefill-token", "decode-token"
PART_UNITS = (OUTPUT_PART, INPUT_PART, REQUEST_PART)
#: Headroom of a suggested limit over what was measured in one session.
HEADROOM = 0.10
ESTIMATE_HEADROOM = 0.25
#: A figure times a factor is exact to this fraction.
INEXACT = 1e-13


class Scope(StrEnum):
    """Which channels a limit covers."""

    AUTO = "auto"
    GPU = "gpu"
    CPU = "cpu"
    ALL = "all"
    MACHINE = "machine"
    """The whole machine, by a sensor that another plugin brings."""


@dataclass(frozen=True)
class MaxIncrease:
    """By how much a figure may rise over its baseline, as a fraction, and where that is written.

    origin: "" for the default, which asks of no test that it has a baseline.
    """

    fraction: float = MAX_INCREASE
    origin: str = ""

    @property
    def is_asked_for(self) -> bool:
        return bool(self.origin)

    @property
    def percent(self) -> str:
        return percent(self.fraction, exact=True)

    def __str__(self) -> str:
        return f"{self.percent} ({self.origin or 'the default'})"


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What a marker declares about its test; None where it leaves something open.

    `count` is the number of units one run of the body does, `units` that of each by its name.
    `method` is the evidence that the limit is for. `origin` is the marker's place as file:line, ""
    for a test without a marker.
    """

    limits: tuple[Limit, ...] = ()
    origin: str = ""
    id: str | None = None
    task: str | None = None
    model: str | None = None
    count: int | None = None
    units: Mapping[str, int] = field(default_factory=dict)
    scope: Scope | None = None
    max_increase: MaxIncrease | None = None
    method: Provenance | None = None
    labels: Mapping[str, str | int | float | bool] = field(default_factory=dict)

    @property
    def counts(self) -> str:
        """The arguments that count, as they are written; "" for none."""
        count = [] if self.count is None else [f"count={self.count}"]
        return ", ".join([*count, *([f"units={dict(self.units)!r}"] if self.units else [])])


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a test may use of one quantity for one unit, and where that is written (file:line).

    Without a limit the test is only measured. `tolerance` is a fraction, None for the one that the
    evidence has. `message` is what its author wants to be said when the test is over the limit.
    `max_increase` over its baseline is None where nobody has asked for one. `method` is the
    evidence that the limit is for, None for any. `beside`: a limit in FLOPs, where that is all that
    a test has: its energy is measured and shown, and no reason to fail.
    """

    limit: Limit | None = None
    origin: str = ""
    scope: Scope = Scope.AUTO
    tolerance: float | None = None
    message: str = ""
    max_increase: MaxIncrease | None = None
    method: Provenance | None = None
    beside: Limit | None = None

    @property
    def units_of(self) -> Limit | None:
        """The limit that says which units are counted."""
        return self.limit or self.beside

    @property
    def unit(self) -> str:
        """The unit that the limit names."""
        return self.units_of.unit if self.units_of is not None else DEFAULT_UNIT

    @property
    def counts_cpu_time(self) -> bool:
        return self.limit is not None and self.limit.quantity is Quantity.CPU_TIME

    @property
    def counts_flops(self) -> bool:
        return self.limit is not None and self.limit.quantity is Quantity.FLOPS

    @property
    def covers_cpu_alone(self) -> bool:
        """Whether the limit leaves GPUs out, whatever is in use."""
        return self.counts_cpu_time or self.scope is Scope.CPU


def base_limit(limit: Limit, intensity: Intensity | None) -> float:
    """The limit for one unit in what is compared: joules, CPU seconds or FLOPs.

    A carbon limit becomes joules with the pinned intensity, so the grid's weather fails no build.
    """
    if limit.quantity is not Quantity.CARBON:
        return limit.base_per_unit
    if intensity is None:
        raise ValueError(
            f'limit "{limit.text}" is in carbon, and no carbon intensity is set: '
            'add --energy-carbon-intensity "300 gCO2e/kWh", --energy-country FRA, '
            'or intensity = "300 gCO2e/kWh" under [carbon] in energy-budgets.toml'
        )
    return intensity.joules(limit.base_per_unit)


def limit_of(budget: BudgetRecord) -> Limit | None:
    """The limit that a record holds as values; None where another version wrote it."""
    if not budget.amount or budget.per <= 0 or not is_symbol(budget.symbol):
        return None
    return Limit(
        amount=budget.amount,
        symbol=budget.symbol,
        per=budget.per,
        unit=budget.unit,
        text=budget.limit,
    )


def budget_record(budget: Budget, tolerance: float | None) -> BudgetRecord | None:
    """What a record holds of a limit, and of the tolerance that it was judged with."""
    if budget.limit is None:
        return None
    return BudgetRecord(
        limit=budget.limit.text,
        origin=budget.origin,
        message=budget.message,
        tolerance=tolerance,
        method=str(budget.method or ""),
        amount=budget.limit.amount,
        symbol=budget.limit.symbol,
        per=budget.limit.per,
        unit=budget.limit.unit,
    )


def limit_figure(limit: Limit, per_unit: float, intensity: Intensity | None) -> float:
    """What was compared (in joules, CPU seconds or FLOPs) on the limit's own scale, per unit."""
    if limit.quantity is Quantity.CARBON and intensity is not None:
        return intensity.grams(per_unit)
    return per_unit


def suggestion(declaration: Declaration, unit: str, joules_per_unit: float) -> str:
    """The marker line to paste for a test without a limit, to allow this many joules."""
    arguments = [f'"{round_limit(joules_per_unit, unit).text}"']
    named = {name: getattr(declaration, name) for name in ("id", "task", "model")}
    arguments += [f"{name}={value!r}" for name, value in named.items() if value is not None]
    arguments += [declaration.counts] if declaration.counts else []
    if declaration.scope is not None:
        arguments.append(f'scope="{declaration.scope}"')
    if declaration.method is not None:
        arguments.append(f'method="{declaration.method}"')
    if declaration.max_increase is not None:
        arguments.append(f'max_increase="{declaration.max_increase.percent}"')
    if declaration.labels:
        arguments.append(f"labels={dict(declaration.labels)!r}")
    return f"@pytest.mark.energy_budget({', '.join(arguments)})"


def round_limit(joules_per_unit: float, unit: str) -> Limit:
    """A limit for this figure, rounded up to three digits, in the scale that reads best."""
    watt_hours = watt_hours_per_1000(joules_per_unit)
    if watt_hours >= 0.01:
        return _rounded(watt_hours, "Wh", 1000, unit)
    return _rounded(joules_per_unit * 1000, "mJ", 1, unit)


def round_cpu_limit(cpu_seconds_per_unit: float, unit: str) -> Limit:
    """The same for CPU time."""
    return _rounded(cpu_seconds_per_unit * 1000, "cpu-ms", 1, unit)


def round_flop_limit(flops_per_unit: float, unit: str) -> Limit:
    """The same for FLOPs."""
    scale = scale_for(Quantity.FLOPS, [flops_per_unit])
    return _rounded(flops_per_unit / scale.size, scale.symbol, 1, unit)


def _rounded(amount: float, symbol: str, per: int, unit: str) -> Limit:
    shown = rounded_up(amount)
    units = unit if per == 1 else f"{per} {plural(unit)}"
    text = f"{shown} {symbol} / {units}"
    return Limit(amount=float(shown), symbol=symbol, per=per, unit=unit, text=text)


def rounded_up(amount: float) -> str:
    """Rounded up to three digits, but for what arithmetic adds to 1.1 x 1.1."""
    digits = 2 - math.floor(math.log10(amount))
    rounded = math.ceil(amount * (1 - INEXACT) * 10.0**digits) / 10.0**digits
    return f"{rounded:.{max(digits, 0)}f}"
