"""What other processes add to a figure, and when that puts a verdict in doubt."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_energy.errors import Reason
from pytest_energy.record.schema import TestRecord
from pytest_energy.units import percent


def contention(test: TestRecord) -> str:
    """Why a figure may be larger than the work's own, or ""."""
    if test.other_processes:
        return f"{added_joules(test.other_processes[0])}; measure without it"
    if test.contention:
        return "CPU contention increased the CPU time; measure on a quieter machine"
    return ""


def added_joules(process: str, to: str = "") -> str:
    """That a process on a gated GPU adds to what the counter shows, and to what figure."""
    return f"{process} added joules to {to}" if to else f"{process} added joules"


def doubt_of_excess(
    other_processes: Sequence[str], lowest: float | None, allowed: float, of: str
) -> str:
    """Why a figure that is too high may not be the work's own, or "".

    lowest: the lowest round as a fraction of what it is compared with, None where there was no CPU
    contention. allowed: the fraction up to which such a round is no excess. of: what it is compared
    with.
    """
    if other_processes:
        return Reason(
            "other-process",
            f"{added_joules(other_processes[0])}, so it is unknown whose they are: "
            "measure without it",
        )
    if lowest is None or lowest > allowed:
        return ""
    return Reason(
        "contention",
        f"there was CPU contention, and the lowest round is at {percent(lowest)} of the {of}",
    )
