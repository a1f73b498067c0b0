"""What other processes add to a figure, and when that puts a verdict in doubt."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_energy.errors import Reason
from pytest_energy.record.schema import LapsRecord, TestRecord
from pytest_energy.units import percent

#: Laps that nothing disturbed hardly differ within this coefficient of variation, and a figure
#: rests on them alone where they are at least this share of all.
STEADY = 0.05
MOST = 1 / 3
#: What the work costs at least is this quantile of an input's laps.
CHEAPEST = 0.05
#: Of the machine; others that use less hardly slow what runs on the rest of it.
NEIGHBOUR_SHARE = 0.1
#: An interval that ends beyond so many times the figure tells too little of the work.
WIDEST = 2.0


def doubt_of_figure(test: TestRecord) -> str:
    """Why no later figure or limit can rest on this one, or ""."""
    if doubt := contention(test):
        return doubt
    centre, interval = test.figure, test.figure_interval
    if not centre or interval is None or interval[1] <= WIDEST * centre:
        return ""
    return (
        f"its rounds differ so much that its interval ends at {percent(interval[1] / centre)} of "
        "the figure; measure again, on a quieter machine or with more rounds"
    )


def contention(test: TestRecord) -> str:
    """Why a figure may be larger than the work's own, or ""."""
    if test.other_processes:
        return f"{added_joules(test.other_processes[0])}; measure without it"
    if not test.contention:
        return ""
    grew, remedy = "CPU contention increased the CPU time", "measure on a quieter machine"
    if test.laps is None:
        return f"{grew}; {remedy}"
    why = _still_in(test.laps)
    return f"{grew}, and {why}; {remedy}" if why else ""


def _still_in(laps: LapsRecord) -> str:
    """Why what others added is still in the figure, or "".

    It is not where enough laps were undisturbed and these hardly differ. Laps that differ have a
    spread of their own, or were disturbed by what the fixed work beside them can't see, such as
    contention for memory; nothing tells which.
    """
    if laps.problem:
        return f"the figure includes that: {laps.problem}"
    if laps.affected > 1 - MOST:
        return f"{percent(laps.affected)} of {laps.laps:,} short windows were disturbed"
    if laps.spread is None:
        return "too few short windows were undisturbed"
    if laps.spread > STEADY:
        return f"undisturbed calls with the same input still differ by {percent(laps.spread)}"
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


def cheapest_of(test: TestRecord) -> float | None:
    """The CPU seconds for one unit in the cheapest calls; None where that isn't known."""
    found = test.laps.cheapest_cpu_seconds_per_unit if test.laps is not None else None
    return found if found is not None and found > 0 else None


def doubt_of_cheapest(
    other_cores: float | None, cores: int, ratio: float | None, allowed: float, of: str
) -> str:
    """Why a figure that is too high may hold what other processes added unseen, or "".

    They only add: what the work costs itself shows in its cheapest calls too. other_cores: that
    they used, of the machine's `cores`; None where nothing tells. ratio: the cheapest calls over
    what they are compared with, which is `of`; None where no short windows tell. allowed: the
    ratio up to which they are no excess.
    """
    if other_cores is None or other_cores < NEIGHBOUR_SHARE * cores:
        return ""
    if ratio is None or ratio > allowed:
        return ""
    return Reason(
        "contention",
        f"other processes used {other_cores:.1f} cores, and the cheapest {percent(CHEAPEST)} of "
        f"the calls are at {percent(ratio)} of {of}",
    )
