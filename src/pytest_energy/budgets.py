"""A budget: an upper limit for one test, with its origin."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pytest_energy.carbon import Intensity
from pytest_energy.units import Limit, Quantity, plural, watt_hours_per_1000

#: Units of which one call does one, unless a count says otherwise.
ONE_PER_CALL = frozenset({"query", "call", "inference", "request", "run"})
DEFAULT_UNIT = "query"


class Scope(StrEnum):
    """Which channels a limit covers."""

    AUTO = "auto"
    GPU = "gpu"
    CPU = "cpu"
    ALL = "all"


@dataclass(frozen=True)
class Budget:
    """What a test may use, and how it is counted.

    `count` is the number of units one run of the body does; None where nobody gave one.
    `origin` is the marker's place as file:line.
    """

    limit: Limit | None = None
    origin: str = ""
    task: str | None = None
    model: str | None = None
    count: int | None = None
    scope: Scope = Scope.AUTO
    labels: Mapping[str, str | int | float | bool] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        """The unit that the limit names."""
        return self.limit.unit if self.limit is not None else DEFAULT_UNIT

    @property
    def counts_cpu_time(self) -> bool:
        return self.limit is not None and self.limit.quantity is Quantity.CPU_TIME

    @property
    def covers_cpu_alone(self) -> bool:
        """Whether the limit leaves GPUs out, whatever is in use."""
        return self.counts_cpu_time or self.scope is Scope.CPU


def base_limit(limit: Limit, intensity: Intensity | None) -> float:
    """The limit for one unit in what is compared: joules, or CPU seconds for a CPU-time limit.

    A carbon limit becomes joules with the pinned intensity, so the grid's weather fails no build.
    """
    if limit.quantity is not Quantity.CARBON:
        return limit.base_per_unit
    if intensity is None:
        raise ValueError(
            f'limit "{limit.text}" is in carbon, and no carbon intensity is set: '
            'add --energy-carbon-intensity "300 gCO2e/kWh" '
            'or energy_carbon_intensity = "300 gCO2e/kWh" to pytest\'s ini file'
        )
    return intensity.joules(limit.base_per_unit)


def limit_figure(limit: Limit, per_unit: float, intensity: Intensity | None) -> float:
    """What was compared (joules or CPU seconds per unit) on the limit's own scale, per unit."""
    if limit.quantity is Quantity.CARBON and intensity is not None:
        return intensity.grams(per_unit)
    return per_unit


def suggestion(budget: Budget, unit: str, joules_per_unit: float, headroom: float) -> str:
    """The marker line to paste for a test without a limit, `headroom` (0.1) above the figure."""
    arguments = [f'"{_round_limit(joules_per_unit * (1 + headroom), unit)}"']
    for name, value in (("task", budget.task), ("model", budget.model), ("count", budget.count)):
        if value is not None:
            arguments.append(f"{name}={value!r}")
    if budget.scope is not Scope.AUTO:
        arguments.append(f'scope="{budget.scope}"')
    if budget.labels:
        arguments.append(f"labels={dict(budget.labels)!r}")
    return f"@pytest.mark.energy_budget({', '.join(arguments)})"


def _round_limit(joules_per_unit: float, unit: str) -> str:
    """Rounded up to three digits, in the scale that reads best."""
    watt_hours = watt_hours_per_1000(joules_per_unit)
    if watt_hours >= 0.01:
        amount, words = watt_hours, f"Wh / 1000 {plural(unit)}"
    else:
        amount, words = joules_per_unit * 1000, f"mJ / {unit}"
    step = 10.0 ** (math.floor(math.log10(amount)) - 2)
    rounded = math.ceil(amount / step) * step
    digits = max(0, -math.floor(math.log10(step)))
    return f"{rounded:.{digits}f} {words}"
