"""Energy of a unit against latency, a point for each number of requests in flight. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_energy.record.schema import TestRecord
from pytest_energy.report.html.measurement import LONGEST_TEXT, shortened
from pytest_energy.report.html.strip import Axis, Mark
from pytest_energy.report.judged import Judged, judged
from pytest_energy.report.loads import load_cells, load_name
from pytest_energy.units import Scale, figure, scale_for, short_label

#: Where the energies lie in the picture, from its upper edge.
_TOP, _HEIGHT = 30.0, 150.0
#: Name and cells.
Row = tuple[str, tuple[str, ...]]


@dataclass(frozen=True)
class Point:
    """One load; y grows downwards, as in SVG. mark: how many requests were in flight."""

    mark: Mark
    y: float


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """The loads of one test that differ in their concurrency: places in per cent of the width, and
    in pixels from the upper edge.

    latencies, energies: the ends of both axes, with words; limit: its height and its words.
    alternative: the same in words.
    """

    name: str
    points: tuple[Point, ...]
    latencies: tuple[Mark, Mark]
    energies: tuple[tuple[float, str], tuple[float, str]]
    limit: tuple[float, str] | None
    alternative: str


def sweeps(tests: Iterable[TestRecord]) -> tuple[Sweep, ...]:
    """A picture for each sweep with two or more figures."""
    groups: dict[tuple[str, ...], list[_Shown]] = {}
    for test in tests:
        load, found = test.load, judged(test)
        if load is None or load.median_seconds is None or found.figure is None:
            continue
        limit = "" if test.budget is None else test.budget.limit
        name = (test.name or "").removesuffix(f"{load.concurrency} in flight").removesuffix(", ")
        key = (test.id, name, test.unit, limit, test.method, test.scope)
        label = f"{short_label(test.id, name or None)}, per {test.unit}"
        shown = _Shown(
            label=label,
            concurrency=load.concurrency,
            seconds=load.median_seconds,
            figure=found.figure,
            judged=found,
        )
        groups.setdefault(key, []).append(shown)
    return tuple(_sweep(each) for each in groups.values() if len(each) > 1)


def load_rows(tests: Iterable[TestRecord], scale: Scale) -> tuple[Row, ...]:
    """Each load, for the table beside the pictures."""
    return tuple(
        (shortened(load_name(test)), load_cells(test, test.load, scale))
        for test in tests
        if test.load is not None
    )


@dataclass(frozen=True, kw_only=True)
class _Shown:
    label: str
    concurrency: int
    seconds: float
    figure: float
    judged: Judged


def _sweep(loads: Sequence[_Shown]) -> Sweep:
    loads = sorted(loads, key=lambda each: each.concurrency)
    first = loads[0]
    limit = first.judged.limit
    figures = [each.figure for each in loads]
    heights = [*figures, *([] if limit is None else [limit])]
    across = Axis(0.0, max(each.seconds for each in loads))
    upwards = Axis(0.0, max(heights))
    scale = scale_for(first.judged.quantity, heights)

    def down(value: float) -> float:
        return round(_TOP + _HEIGHT * (1 - upwards.place(value) / 100), 1)

    def words(value: float) -> str:
        return f"{scale.show(value)} {scale.symbol}"

    said = "; ".join(
        f"{each.concurrency} in flight: {words(each.figure)} at {figure(each.seconds)} s"
        for each in loads
    )
    return Sweep(
        name=shortened(first.label),
        points=tuple(
            Point(Mark(across.place(each.seconds), str(each.concurrency)), down(each.figure))
            for each in loads
        ),
        latencies=(
            Mark(across.place(0.0), "0"),
            Mark(across.place(across.high), f"{figure(across.high)} s"),
        ),
        energies=(
            (down(0.0), f"0 {scale.symbol}"),
            (down(max(figures)), words(max(figures))),
        ),
        limit=None if limit is None else (down(limit), f"limit {words(limit)}"),
        alternative=shortened(
            said if limit is None else f"{said}; limit {words(limit)}", LONGEST_TEXT
        ),
    )
