"""The figures as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cost
import limit
import pairs
import recorded
from noise import Shape

from pytest_energy.rules.verdict import Verdict


def picture(
    path: Path,
    curve: Sequence[limit.Cell],
    costs: Sequence[cost.Cost],
    rows: Sequence[recorded.Row],
    paired: Sequence[pairs.Cell],
) -> None:
    """Raises ImportError where matplotlib is missing."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 2, figsize=(11, 8.5))
    _limit(axes[0][0], curve)
    _cost(axes[0][1], costs)
    _recorded(axes[1][0], rows)
    _pairs(axes[1][1], paired)
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def _limit(axes: Any, curve: Sequence[limit.Cell]) -> None:
    over = [100 * (each.truth - 1) for each in curve]
    axes.plot(over, [100 * each.red for each in curve], "o-", label="rule A")
    for name in limit.OTHERS:
        axes.plot(over, [100 * each.red_by(name) for each in curve], ".--", label=name, lw=1)
    axes.axvline(0, color="grey", linewidth=0.8)
    axes.set(xlabel="truth over the limit in %", ylabel="red in %")
    axes.set_title("Against a limit: cv 3 % with bursts,\n2 % between sessions")
    axes.legend(fontsize=8)


def _cost(axes: Any, costs: Sequence[cost.Cost]) -> None:
    for index, query in enumerate(cost.QUERY_SECONDS):
        for noise, style in zip(cost.NOISES, ("-", "--"), strict=True):
            row = [
                each
                for each in costs
                if (each.noise, each.query_seconds, each.window_seconds)
                == (noise, query, cost.COUNTER)
                and abs(each.distance) <= 0.3
            ]
            axes.plot(
                [100 * each.distance for each in row],
                [each.queries for each in row],
                style,
                color=f"C{index}",
                label=f"query {query:g} s, cv {noise.cv:.0%}",
            )
    axes.axhline(cost.SCORE_QUERIES, color="black", linewidth=0.8)
    axes.annotate("AI Energy Score: 10 x 1,000", (-30, cost.SCORE_QUERIES * 1.1), fontsize=8)
    axes.set(yscale="log", xlabel="truth over the limit in %", ylabel="queries, with warm-up")
    axes.set_ylim(top=cost.SCORE_QUERIES * 15)
    axes.set_title("Cost of a verdict, windows of 1 s")
    axes.legend(fontsize=7, ncols=3, loc="upper center")


def _recorded(axes: Any, rows: Sequence[recorded.Row]) -> None:
    shown = [row for row in rows if row.rounds != recorded.ALL and "two-sided" not in row.rule]
    names = [f"{row.rule}, {row.rounds} round{'s'[: row.rounds > 1]}" for row in shown]
    places = range(len(shown), 0, -1)
    alarms = [100 * row.red[1.0] for row in shown]
    found = [100 * row.red[1.1] for row in shown]
    axes.barh([each + 0.2 for each in places], found, 0.4, color="tab:blue", label="found at +10 %")
    axes.barh([each - 0.2 for each in places], alarms, 0.4, color="tab:red", label="false alarms")
    for place, each in zip(places, alarms, strict=True):
        axes.annotate(f"{each:.1f}", (each + 1, place - 0.38), fontsize=7)
    axes.set_yticks(list(places), names, fontsize=7)
    axes.set(xlabel="% of commits", xlim=(0, 150), xticks=range(0, 101, 20))
    axes.set_title("The same commits on different days (RAPL)")
    axes.legend(fontsize=8, loc="lower right")


def _pairs(axes: Any, cells: Sequence[pairs.Cell]) -> None:
    for index, cv in enumerate((0.01, 0.03)):
        row = [each for each in cells if each.noise.cv == cv and each.noise.shape is Shape.BURSTS]
        truths = [100 * (each.truth - 1) for each in row]
        fails = [100 * each.rate(Verdict.FAIL) for each in row]
        theirs = [100 * each.joules_ci for each in row]
        axes.plot(truths, fails, "o-", color=f"C{index}", label=f"rule B', cv {cv:.0%}")
        axes.plot(truths, theirs, "x--", color=f"C{index}", label=f"joules ci, cv {cv:.0%}")
    axes.set(xlabel="true increase in %", ylabel="failed in %")
    axes.set_title("Two candidates in turns, bursts,\n3 % allowed")
    axes.legend(fontsize=8)
