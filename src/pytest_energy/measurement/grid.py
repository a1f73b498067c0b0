"""Generation on a small grid of prompt lengths and numbers of new tokens, pass by pass."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace

from pytest_energy.errors import Reason
from pytest_energy.limits.budget import INPUT_PART, OUTPUT_PART, REQUEST_PART
from pytest_energy.measurement.coverage import Coverage
from pytest_energy.measurement.judgement import BudgetJudge, Judgement, problem_of
from pytest_energy.measurement.protocol import (
    MARGIN,
    Round,
    Setup,
    Units,
    calls_for,
    one_round,
    warm_up,
)
from pytest_energy.record.schema import CPU_TIME_METHOD
from pytest_energy.rules.parts import PARTS, Cell, Fit, Part, fit, look
from pytest_energy.rules.verdict import Verdict
from pytest_energy.sensors.base import Channel

__tracebackhide__ = True  # a failing test's traceback ends in the user's lines

#: The measured rounds of each cell, one a pass.
Grid = Sequence[Sequence[Round]]


@dataclass
class GridJudge:
    """Judges each part of a request by its budget, once there are passes enough.

    judge: its judgements hold what is read, and the rounds. found: the parts by the number of each
    judgement, once they are decided.
    """

    judge: BudgetJudge
    fits: dict[int, Fit] = field(default_factory=dict)
    verdicts: dict[int, Verdict] = field(default_factory=dict)

    @property
    def channels(self) -> tuple[Channel, ...]:
        return self.judge.channels

    @property
    def window_seconds(self) -> float:
        return self.judge.window_seconds

    @property
    def coverage(self) -> Coverage:
        return self.judge.judgements[0].coverage

    def undetectable(self, rounds: int) -> float | None:
        """Nothing tells beforehand how far the parts will be known."""

    def is_done(self, measured: Grid, *, final: bool) -> bool:
        for number, judgement in enumerate(self.judge.judgements):
            if number not in self.verdicts:
                judgement.measured = tuple(each for mine in measured for each in mine)
                self._decide(number, judgement, measured, final)
        return len(self.verdicts) == len(self.judge.judgements)

    def _decide(self, number: int, judgement: Judgement, measured: Grid, final: bool) -> None:
        problem = problem_of(judgement, final)
        found = None
        if not problem and measured[0]:
            found = fit([cell_of(each, judgement) for each in measured])
            if found is None:
                problem = _NOT_SEPARABLE
        if problem:
            judgement.coverage = replace(judgement.coverage, problem=problem)
            self.verdicts[number] = judgement.verdict = Verdict.UNMEASURED
        elif found is not None:
            part = part_of(found, judgement.unit)
            verdict = _verdict(judgement, part, found, final)
            if verdict is not None:
                self.fits[number] = found
                self.verdicts[number] = verdict
                judgement.verdict = Verdict.NO_BUDGET  # the whole has none


_NOT_SEPARABLE = Reason(
    "parts-not-separable",
    "the numbers of tokens of these requests are too alike to tell what each part costs; measure "
    "prompts and new_tokens that differ tenfold",
)


def _verdict(judgement: Judgement, part: Part, found: Fit, final: bool) -> Verdict | None:
    if judgement.limit is None:
        enough = final or part.interval is not None
        return Verdict.NO_BUDGET if enough else None
    return look(part, judgement.limit, judgement.tolerance, is_linear=found.is_linear, final=final)


def part_of(found: Fit, unit: str) -> Part:
    return {REQUEST_PART: found.request, INPUT_PART: found.inputs, OUTPUT_PART: found.outputs}[unit]


def cell_of(rounds: Sequence[Round], judgement: Judgement) -> Cell:
    """The requests of one size in all passes."""
    calls = sum(each.calls for each in rounds)
    return Cell(
        inputs=sum(each.units[INPUT_PART] for each in rounds) / calls,
        outputs=sum(each.units[OUTPUT_PART] for each in rounds) / calls,
        values=tuple(amount_of(each, judgement) / each.calls for each in rounds),
    )


def amount_of(measured: Round, judgement: Judgement) -> float:
    """What a round is judged by: joules, or CPU seconds."""
    if judgement.coverage.method == CPU_TIME_METHOD:
        return measured.window.cpu_seconds
    return measured.window.joules(judgement.coverage.gated_names)


def run_grid(
    setup: Setup, cells: int, make_judge: Callable[[], GridJudge]
) -> Generator[int, Units, tuple[list[Round], list[list[Round]], GridJudge]]:
    """Warm every cell up, then measure a round of each, in passes forwards and backwards.

    The last cell, which is the largest, is warmed up until it agrees with itself. Gives the rounds
    of warm-up, the measured rounds of each cell, and the judge. The arguments are those of
    `run_rounds`; each of the three parts has the time that one measurement has.
    """
    meter, clock, limits = setup.meter, setup.clock, setup.limits
    ends = clock.now() + PARTS * limits.max_seconds
    warm = yield from warm_up(setup, 1, work=cells - 1)
    latest: dict[int, Round] = {cells - 1: warm[-1]}
    for cell in range(cells - 1):
        latest[cell] = yield from one_round(meter, setup.candidates, 1, 0.0, warmup=True, work=cell)
        warm.append(latest[cell])
    judge = make_judge()
    measured: list[list[Round]] = [[] for _ in range(cells)]
    if judge.is_done(measured, final=False):
        return warm, measured, judge
    names = [channel.name for channel in judge.channels]
    aim = judge.window_seconds * MARGIN
    while True:
        before = clock.now()
        forwards = len(measured[0]) % 2 == 0
        for cell in range(cells) if forwards else reversed(range(cells)):
            latest[cell] = yield from one_round(
                meter,
                names,
                calls_for(latest[cell], aim),
                judge.window_seconds,
                warmup=False,
                work=cell,
            )
            measured[cell].append(latest[cell])
        setup.progress([*warm, *(each for mine in measured for each in mine)])
        took = clock.now() - before
        final = len(measured[0]) >= limits.max_rounds or clock.now() + took > ends
        if judge.is_done(measured, final=final) or final:
            return warm, measured, judge
