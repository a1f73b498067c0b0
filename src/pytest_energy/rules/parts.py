"""The parts of a request: energy = request + a x input tokens + b x output tokens; pure.

Cells (a number of tokens in and one out) are measured in passes, once each. The parts are those of
non-negative least squares over all passes, each cell weighted by its own energy, so that equal
relative errors count alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from operator import mul
from statistics import fmean, stdev

from pytest_energy.rules.estimate import LOOK_CONFIDENCE, LOOKS, MIN_ROUNDS
from pytest_energy.rules.limit import CLOSE_AT_WORST, few_rounds
from pytest_energy.rules.statistics import SD_FLOOR, f_tail, t_quantile
from pytest_energy.rules.verdict import Verdict

#: False alarms of the test for linearity.
LINEARITY_ALPHA = 0.01
#: A cell that the parts miss by no more than this fraction is no matter, however sure.
LINEAR_WITHIN = 0.05
#: Columns nearer to one another than this can't be told apart.
SINGULAR = 1e-9
PARTS = 3

Row = tuple[float, ...]


@dataclass(frozen=True)
class Cell:
    """Requests of one size: tokens in and out, and the energy of one request in each pass."""

    inputs: float
    outputs: float
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return fmean(self.values)


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one unit of a part costs; `values` in each pass, which may be negative by chance."""

    centre: float
    interval: tuple[float, float] | None
    values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Fit:
    """The parts, and how well they describe the cells.

    missed: by how much each cell's energy is over what its parts come to, as a fraction.
    is_linear: None where nothing can tell: with one pass, or as many parts as cells.
    """

    request: Part
    inputs: Part
    outputs: Part
    missed: tuple[float, ...]
    is_linear: bool | None

    @property
    def worst(self) -> int:
        """The cell that the parts miss by most."""
        return max(range(len(self.missed)), key=lambda each: abs(self.missed[each]))


def fit(cells: Sequence[Cell]) -> Fit | None:
    """The parts of these cells; None where the cells are too few, or too alike, to tell them."""
    rows = [(1 / each.mean, each.inputs / each.mean, each.outputs / each.mean) for each in cells]
    everything = tuple(range(PARTS))
    if _solve(rows, [1.0] * len(rows), everything) is None:
        return None
    active, centres = _non_negative(rows)
    passes = [
        [each.values[number] / each.mean for each in cells]
        for number in range(len(cells[0].values))
    ]
    of_active = [_least_squares(rows, each, active) for each in passes]
    of_all = [_least_squares(rows, each, everything) for each in passes]
    found = [
        _part(centres[part], [each[part] for each in (of_active if part in active else of_all)])
        for part in everything
    ]
    missed = tuple(1 - sum(row[part] * centres[part] for part in everything) for row in rows)
    return Fit(
        request=found[0],
        inputs=found[1],
        outputs=found[2],
        missed=missed,
        is_linear=_is_linear(cells, missed, len(active)),
    )


def look(
    part: Part, limit: float, tolerance: float, *, is_linear: bool | None, final: bool
) -> Verdict | None:
    """The verdict on a part against its limit, or None to go on.

    As rule A at the same numbers of passes, but on the scale of the limit, because a part may be
    zero. Parts that don't describe what was measured are never more than inconclusive.
    """
    passes = len(part.values)
    if part.interval is None:
        verdict = few_rounds(part.centre, limit) if final else None
    elif not final and passes not in LOOKS:
        return None
    else:
        low, high = part.interval
        verdict = None
        if low > limit * (1 + tolerance):
            verdict = Verdict.FAIL
        elif high < limit:
            verdict = Verdict.PASS
        elif final:
            close = high <= limit * math.exp(CLOSE_AT_WORST)
            verdict = Verdict.CLOSE if close else Verdict.INCONCLUSIVE
    return Verdict.INCONCLUSIVE if verdict is not None and is_linear is False else verdict


def _part(centre: float, values: Sequence[float]) -> Part:
    """`values`: of each pass. A part has no energy below zero, whatever chance says."""
    n = len(values)
    if n < MIN_ROUNDS:
        return Part(centre=centre, interval=None, values=tuple(values))
    mean = fmean(values)
    error = max(stdev(values), SD_FLOOR * abs(mean)) / math.sqrt(n)
    half = t_quantile(LOOK_CONFIDENCE, n - 1) * error
    interval = max(mean - half, 0.0), max(mean + half, 0.0)
    return Part(centre=centre, interval=interval, values=tuple(values))


def _is_linear(cells: Sequence[Cell], missed: Sequence[float], parts: int) -> bool | None:
    """Whether what the parts miss may be chance: an F test of the lack of fit."""
    passes = len(cells[0].values)
    fitted, repeated = len(cells) - parts, len(cells) * (passes - 1)
    if fitted < 1 or repeated < 1:
        return None
    if max(map(abs, missed)) <= LINEAR_WITHIN:
        return True
    lack = passes * sum(each**2 for each in missed) / fitted
    scatter = sum((value / each.mean - 1) ** 2 for each in cells for value in each.values)
    return f_tail(lack / max(scatter / repeated, SD_FLOOR**2), fitted, repeated) > LINEARITY_ALPHA


def _non_negative(rows: Sequence[Row]) -> tuple[tuple[int, ...], list[float]]:
    """The parts that aren't zero, and all of them.

    The least squares of these alone are the solution where none comes out negative; of all such
    choices it is the one that misses least.
    """
    ones = [1.0] * len(rows)
    best: tuple[float, tuple[int, ...], list[float]] | None = None
    for size in range(1, PARTS + 1):
        for columns in combinations(range(PARTS), size):
            found = _solve(rows, ones, columns)
            if found is None or min(found) < 0:
                continue
            full = _full(found, columns)
            missed = sum((1 - sum(map(mul, row, full))) ** 2 for row in rows)
            if best is None or missed < best[0]:
                best = missed, columns, full
    assert best is not None  # each column alone has a solution, which is above zero
    return best[1], best[2]


def _least_squares(
    rows: Sequence[Row], targets: Sequence[float], columns: tuple[int, ...]
) -> list[float]:
    found = _solve(rows, targets, columns)
    assert found is not None  # of a subset of columns that can be told apart
    return _full(found, columns)


def _full(found: Sequence[float], columns: tuple[int, ...]) -> list[float]:
    by_column = dict(zip(columns, found, strict=True))
    return [by_column.get(each, 0.0) for each in range(PARTS)]


def _solve(
    rows: Sequence[Row], targets: Sequence[float], columns: tuple[int, ...]
) -> list[float] | None:
    """Least squares in these columns by their normal equations; None where they are too alike.

    Three columns of length one are far from what floating-point arithmetic can't resolve.
    """
    scales = [math.sqrt(sum(row[each] ** 2 for row in rows)) for each in columns]
    if not all(scales):
        return None
    matrix = [
        [
            sum(row[i] * row[j] for row in rows) / (scale_i * scale_j)
            for j, scale_j in zip(columns, scales, strict=True)
        ]
        + [sum(row[i] * target for row, target in zip(rows, targets, strict=True)) / scale_i]
        for i, scale_i in zip(columns, scales, strict=True)
    ]
    size = len(columns)
    for pivot in range(size):  # the matrix is positive definite, so no rows are exchanged
        if matrix[pivot][pivot] < SINGULAR:
            return None
        for other in range(size):
            if other != pivot:
                factor = matrix[other][pivot] / matrix[pivot][pivot]
                matrix[other] = [
                    a - factor * b for a, b in zip(matrix[other], matrix[pivot], strict=True)
                ]
    return [matrix[each][size] / matrix[each][each] / scales[each] for each in range(size)]
