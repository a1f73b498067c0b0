"""Where the marks of a picture lie, in per cent of its width; the templates draw them. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import geometric_mean

from pytest_energy.report.judged import Judged
from pytest_energy.units import Scale, interval, numbered

#: Rounds that are further from the figure than by this factor stand at the edge of the picture.
FARTHEST = 2.0
#: Of the width, left free on each side.
_MARGIN = 4.0
#: Rounds that one picture shows; of more, every second, third, ...
_MOST_ROUNDS = 60


@dataclass(frozen=True)
class Axis:
    """A linear scale from `low` to `high`."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """Where a value lies, in per cent of the width; beyond an end it lies at that end."""
        span = self.high - self.low
        share = (value - self.low) / span if span > 0 else 0.5
        return round(_MARGIN + (100 - 2 * _MARGIN) * min(max(share, 0.0), 1.0), 1)


@dataclass(frozen=True)
class Mark:
    """A place with its words; anchor is where the words are held, as SVG has it."""

    x: float
    words: str

    @property
    def anchor(self) -> str:
        if self.x < 25:
            return "start"
        return "end" if self.x > 75 else "middle"


@dataclass(frozen=True, kw_only=True)
class Strip:
    """The rounds of one measurement, the first at the top.

    dots: x and y of each round in a square of 999 by 99, so that they take few characters. band:
    ends of the interval. sessions: of the baseline, whose mean has the words. alternative: the same
    in words, with the figures.
    """

    dots: tuple[tuple[int, int], ...]
    band: tuple[float, float] | None
    figure: Mark | None
    limit: Mark | None
    sessions: tuple[float, ...]
    baseline: Mark | None
    alternative: str


def strip_of(found: Judged) -> Strip | None:
    """The picture of a measurement; None where there are no rounds to show."""
    if not found.rounds:
        return None
    axis = axis_of([found])
    return _strip(
        axis,
        found.scale,
        rounds=found.rounds,
        figure=found.figure,
        band=found.interval,
        limit=found.limit,
        sessions=found.sessions,
    )


def pair_of(found: Judged, noun: str = "round") -> tuple[Strip, Strip] | None:
    """The reference and the candidate on one axis; None where one of them has no rounds.

    noun: what a dot is.
    """
    if not (found.rounds and found.reference_rounds):
        return None
    axis = axis_of([found])
    scale = found.scale
    old = _strip(axis, scale, rounds=found.reference_rounds, figure=found.reference, noun=noun)
    new = _strip(
        axis,
        scale,
        rounds=found.rounds,
        figure=found.figure,
        band=found.interval,
        limit=found.limit,
        noun=noun,
    )
    return old, new


def axis_of(measurements: Iterable[Judged]) -> Axis:
    """One that holds all figures, intervals, limits and sessions, and all rounds but outliers."""
    values: list[float] = []
    for each in measurements:
        middles = [one for one in (each.figure, each.reference) if one is not None]
        rounds = (*each.rounds, *each.reference_rounds)
        near = [one for one in rounds if _is_near(one, middles)]
        values += [*middles, *(each.interval or ()), *each.sessions, *near]
        values += [] if each.limit is None else [each.limit]
    return Axis(min(values), max(values)) if values else Axis(0.0, 0.0)


def _is_near(value: float, middles: Sequence[float]) -> bool:
    return not middles or min(middles) / FARTHEST <= value <= max(middles) * FARTHEST


def _strip(
    axis: Axis,
    scale: Scale,
    *,
    rounds: Sequence[float],
    figure: float | None,
    band: tuple[float, float] | None = None,
    limit: float | None = None,
    sessions: Sequence[float] = (),
    noun: str = "round",
) -> Strip:
    step = math.ceil(len(rounds) / _MOST_ROUNDS)
    shown = rounds[::step]
    heights = [round(99 * (index + 0.5) / len(shown)) for index in range(len(shown))]

    def words(value: float) -> str:
        return f"{scale.show(value)} {scale.symbol}"

    alternative = [
        f"{numbered(len(rounds), noun)} from {interval(min(rounds), max(rounds), scale)} "
        f"{scale.symbol}"
    ]
    if figure is not None:
        alternative.append(f"figure {words(figure)}")
    if band is not None:
        alternative.append(f"interval {interval(*band, scale)} {scale.symbol}")
    if limit is not None:
        alternative.append(f"limit {words(limit)}")
    level = geometric_mean(sessions) if sessions else 0.0
    if sessions:
        alternative.append("baseline " + ", ".join(scale.show(each) for each in sessions))
    return Strip(
        dots=tuple(
            (round(9.99 * axis.place(each)), height)
            for each, height in zip(shown, heights, strict=True)
        ),
        band=None if band is None else (axis.place(band[0]), axis.place(band[1])),
        figure=None if figure is None else Mark(axis.place(figure), words(figure)),
        limit=None if limit is None else Mark(axis.place(limit), f"limit {words(limit)}"),
        sessions=tuple(axis.place(each) for each in sessions),
        baseline=Mark(axis.place(level), f"baseline {words(level)}") if sessions else None,
        alternative="; ".join(alternative),
    )
