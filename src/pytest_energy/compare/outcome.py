"""The result of a comparison as plain data; every report of it is a function of this."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pytest_energy.errors import EnergyError

SCHEMA = 1
#: Exit statuses of the command; nothing else may end it with 1.
WITHIN, REGRESSED, NOT_COMPARED = 0, 1, 2


class CouldNotCompare(EnergyError):
    """Why nothing can be compared.

    The sentence is stored in reports. `detail` is for the terminal only, because it may name paths
    (the output of a process).
    """

    def __init__(self, sentence: str, detail: str = "") -> None:
        super().__init__(sentence)
        self.detail = detail


class Outcome(StrEnum):
    """The result for one figure."""

    WITHIN = "within"
    IMPROVED = "improved"
    REGRESSED = "regressed"
    INCONCLUSIVE = "inconclusive"
    INCOMPARABLE = "incomparable"


class Quantity(StrEnum):
    """What is compared, for one unit of work."""

    JOULES = "joules"
    CPU_SECONDS = "cpu_seconds"


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One figure of a test on both sides, and its outcome.

    pairs: (reference, candidate) in joules or CPU seconds per unit, as `quantity` says; one for
    each pair of processes that the outcome rests on, or the centres of two records. reference and
    candidate: their centres. ratio: candidate / reference, with its interval where there are pairs
    enough. threshold: the increase, as a fraction, from which it is a regression. All of these are
    empty or None where it is incomparable. reason: a sentence.
    """

    id: str
    name: str | None
    outcome: Outcome
    reason: str
    unit: str = ""
    scope: str = ""
    method: str = ""
    channels: tuple[str, ...] = ()
    quantity: Quantity = Quantity.JOULES
    pairs: tuple[tuple[float, float], ...] = ()
    reference: float | None = None
    candidate: float | None = None
    ratio: float | None = None
    interval: tuple[float, float] | None = None
    threshold: float | None = None


@dataclass(frozen=True)
class Side:
    """One of the two: its name, its git commit if known, and a remark."""

    name: str
    commit: str | None = None
    about: str = ""


@dataclass(frozen=True, kw_only=True)
class ComparisonRecord:
    """Everything that one comparison found, without any path, host or user.

    max_increase: a fraction. notes: sentences, such as which tests only one side has. problem: why
    nothing was compared, or "".
    """

    reference: Side
    candidate: Side
    max_increase: float
    tests: tuple[Compared, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str = ""
    schema: int = SCHEMA

    @property
    def exit_status(self) -> int:
        """0 within, 1 regressed, 2 could not compare; a regression comes before all else."""
        outcomes = {each.outcome for each in self.tests}
        if Outcome.REGRESSED in outcomes:
            return REGRESSED
        if self.problem or outcomes - {Outcome.WITHIN, Outcome.IMPROVED} or not outcomes:
            return NOT_COMPARED
        return WITHIN
