"""A measurement in sentences: why it has its verdict, and what a reader should know of it."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pytest_energy.carbon.intensity import Intensity
from pytest_energy.limits.budget import Scope, limit_figure
from pytest_energy.measurement.coverage import Coverage
from pytest_energy.measurement.explanation import other_cores
from pytest_energy.measurement.judgement import Judgement
from pytest_energy.measurement.laps import Cleaned
from pytest_energy.measurement.protocol import Round
from pytest_energy.record.schema import CPU_TIME_METHOD, Explanation
from pytest_energy.rules.estimate import MIN_ROUNDS, Estimate
from pytest_energy.rules.verdict import Verdict
from pytest_energy.sensors.accelerators import torch_threads
from pytest_energy.sensors.base import Channel, Kind, Provenance
from pytest_energy.units import (
    CPU_TIME,
    Quantity,
    Scale,
    energy_scale,
    interval,
    per_unit,
    percent,
    time_and_power,
)

#: Other processes are reported when they use more than this next to the test.
NEIGHBOUR_SHARE = 0.10
NEIGHBOUR_CORES = 0.05
#: The CPU is reported where it uses more than this share of what the gated GPU uses.
HOST_SHARE = 0.20
#: Of laps; a quiet machine disturbs fewer.
WORTH_SAYING = 0.10
#: Calls with the same input that differ by more have a spread of their own.
OWN_SPREAD = 0.20


def reason_of(
    verdict: Verdict,
    judgement: Judgement,
    compared: Estimate | None,
    explanation: Explanation | None,
    doubt: str,
    intensity: Intensity | None,
) -> str:
    """Why a figure has this verdict. doubt: what makes it uncertain, or ""."""
    assert compared is not None
    budget, coverage, limit = judgement.budget, judgement.coverage, judgement.limit
    evidence = f"{', '.join(coverage.gated_names)}, {coverage.method}"
    if coverage.guessed:
        evidence += ", all allotted GPUs counted because it is unknown which are in use"
    if budget.limit is None or limit is None:
        return (
            f"{per_unit(compared.centre, judgement.unit)}, no limit to compare with, {evidence}"
            + (f"; but {doubt}" if doubt else "")
        )
    chosen = budget.limit
    shown = chosen.describe(limit_figure(chosen, compared.centre, intensity))
    scale = Scale(chosen.symbol, chosen.size)
    if chosen.per != 1 or chosen.quantity is Quantity.CARBON:
        shown = f"{per_unit(compared.centre, judgement.unit)} ({shown})"
        scale = energy_scale([compared.centre])
    if chosen.quantity is Quantity.CPU_TIME:
        shown = per_unit(compared.centre, judgement.unit, Quantity.CPU_TIME)
        scale = CPU_TIME
    against = f"the limit of {chosen} ({budget.origin})"
    if intensity is not None and limit_figure(chosen, 1.0, intensity) != 1.0:
        evidence += f", at {intensity}"
    if compared.interval:
        spread = f"(interval {interval(*compared.interval, scale)} {scale.symbol})"
    else:
        spread = f"(fewer than {MIN_ROUNDS} rounds, so no interval)"
    over = compared.centre / limit - 1
    by = percent(over)
    side = "over" if over > 0 else "under"
    made = (
        f"; {time_and_power(explanation.units_per_second, explanation.mean_watts, judgement.unit)}"
        if explanation is not None
        else ""
    )
    match verdict:
        case Verdict.FAIL:
            return f"{shown} is over {against} by {by} {spread}, {evidence}{made}"
        case Verdict.PASS:
            return f"{shown} is under {against} by {by} {spread}, {evidence}"
        case Verdict.CLOSE:
            return f"{shown} is close to {against}: {side} by {by} {spread}, {evidence}"
        case _ if doubt:
            return f"{shown} is {side} {against} by {by} {spread}, {evidence}; but {doubt}"
        case _ if compared.interval and compared.interval[0] > limit:
            return (
                f"{shown} is over {against} by {by} {spread}, {evidence}: within the tolerance of "
                f"{percent(judgement.tolerance)} that another session could explain, and more than "
                "the 10 % that is close; a counter instead of an estimate, or more room in the "
                "limit, would tell"
            )
        case _:
            return (
                f"{shown} cannot be distinguished from {against}: {side} by {by} {spread}, "
                f"{evidence}; {_would_tell(compared, coverage)}"
            )


def outlook(undetectable: float | None, coverage: Coverage) -> str:
    """How a measurement will likely end, for while it runs; "" where it will be decided.

    undetectable: the difference (a fraction) that will not show.
    """
    if undetectable is None:
        return ""
    helps = ["a quieter machine"]
    if counts_cpu_time(coverage):
        helps += ["one torch thread"] if torch_threads() > 1 else []
        helps += ["energy.compare", "a limit in FLOPs"]
    shown = percent(undetectable)
    return f"likely inconclusive, less than {shown} is not detectable; try {' or '.join(helps)}"


def _would_tell(compared: Estimate, coverage: Coverage) -> str:
    """The smallest difference that shows here, and what makes a smaller one show."""
    smallest = ""
    if compared.interval:
        half = max(compared.interval[1] / compared.centre, compared.centre / compared.interval[0])
        smallest = f"smallest detectable difference here: {percent(half - 1)}; "
    helps = "a quieter machine, more --energy-max-seconds or more room in the limit would tell"
    if counts_cpu_time(coverage):
        helps = f"energy.compare with the model in use, a limit in FLOPs, {helps}"
    return smallest + helps


def contention_notes(
    contention: bool, clean: Cleaned | None, measured: Sequence[Round]
) -> tuple[str, ...]:
    """What others did to the CPU time, what was done about it, and what is the work's own spread.

    contention: whether others kept the test from its cores.
    """
    if clean is None or not (clean.values or clean.problem):
        return _contention_remedy() if contention else ()
    if clean.problem:
        disturbed = contention or clean.affected >= WORTH_SAYING
        why = f"its figure includes what other processes add: {clean.problem}"
        return (*_contention_remedy(), why) if disturbed else ()
    notes = []
    if contention or clean.affected >= WORTH_SAYING:
        cores = other_cores(measured)
        used = ""  # other virtual machines take cores unseen
        if cores is not None and cores >= 0.05:
            used = f"other processes used {cores:.1f} of {os.cpu_count()} cores; "
        windows = f"{clean.laps:,} short windows ({clean.seconds * 1000:.0f} ms)"
        left_out = (
            f"{percent(clean.affected)} of {windows} were disturbed, and the figure leaves them out"
            if clean.affected
            else f"none of {windows} was disturbed"
        )
        notes.append(f"CPU contention: {used}{left_out}")
    if clean.spread >= OWN_SPREAD:
        notes.append(
            f"calls with the same input differ by {percent(clean.spread)} also where nothing "
            "disturbs them: the work's own spread, which the figure is the mean of"
        )
    return tuple(notes)


def _contention_remedy() -> tuple[str, ...]:
    """What helps against CPU contention."""
    threads = torch_threads()
    remedy = "measure on a quieter machine"
    if threads > 1:
        remedy = (
            f"torch uses {threads} threads: torch.set_num_threads(1), or OMP_WAIT_POLICY=PASSIVE "
            "in the environment before torch is imported, keeps its CPU time steady"
        )
    return (f"CPU contention increased the CPU time; {remedy}",)


def neighbour_notes(measured: Sequence[Round], coverage: Coverage) -> tuple[str, ...]:
    """Others whose energy the CPU's counters hold too."""
    cores = other_cores(measured)
    kinds = {each.kind for each in coverage.gated if each.provenance is Provenance.MEASURED}
    if cores is None or not kinds & {Kind.CPU, Kind.DRAM}:
        return ()
    own = sum(each.window.cpu_seconds for each in measured)
    own /= sum(each.window.seconds for each in measured)
    if cores <= max(NEIGHBOUR_CORES, NEIGHBOUR_SHARE * own):
        return ()
    return (
        f"other processes kept {cores:.1f} cores busy, next to the {own:.1f} of this test, and "
        "the CPU's counters hold their energy too",
    )


def host_notes(measured: Sequence[Round], coverage: Coverage) -> tuple[str, ...]:
    """That the CPU uses much beside a GPU whose energy is limited.

    By its counters as far as they rose above their idle power, else by the estimate of this test.
    """
    cpu = [each for each in coverage.shown if each.kind in (Kind.CPU, Kind.DRAM)]
    counters = [each for each in cpu if each.provenance is Provenance.MEASURED]
    joules = _joules(measured, coverage.gated)
    host = _joules(measured, counters or cpu, above_idle=True)
    if coverage.scope is not Scope.GPU or joules <= 0 or host <= HOST_SHARE * joules:
        return ()
    evidence = "" if counters else ", estimated"
    return (
        f"the CPU used {percent(host / joules)} of what the GPU used{evidence}, and this limit "
        "does not cover it: work that moves from the GPU to the CPU would pass as a saving; add a "
        'limit with scope="cpu"',
    )


def _joules(
    measured: Sequence[Round], channels: Sequence[Channel], *, above_idle: bool = False
) -> float:
    """Of these channels in all rounds; a reading that failed counts as none."""
    total = 0.0
    for window in (each.window for each in measured):
        for channel in channels:
            reading = window.readings.get(channel.name)
            idle = (channel.idle_watts or 0.0) * window.seconds if above_idle else 0.0
            total += max(reading - idle, 0.0) if isinstance(reading, float) else 0.0
    return total


def drift_notes(explanation: Explanation | None) -> tuple[str, ...]:
    """That the figure rises or falls from round to round."""
    slope = explanation.drift_per_round if explanation is not None else None
    if slope is None:
        return ()
    way, why = "rises", "the machine warms up, or memory grows"
    if slope < 0:
        way, why = "falls", "the work isn't warm yet, or other processes ended"
    return (f"the figure {way} by {percent(slope)} from round to round: {why}",)


def counts_cpu_time(coverage: Coverage) -> bool:
    """Whether the figure rests on CPU time, which contention increases."""
    return coverage.method in (CPU_TIME_METHOD, Provenance.ESTIMATED)
