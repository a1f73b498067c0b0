"""The sessions as a table of 80 columns and as a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import exp, log
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

OURS = "pytest-energy"
#: The sessions of one cell.
Sessions = Sequence[Mapping[str, Any]]
#: By work and neighbour.
Cells = Mapping[str, Mapping[str, Sessions]]


def figures(sessions: Sessions) -> dict[str, list[float]]:
    """What each method found in each session."""
    found = {OURS: [each["tests"]["test_figure"]["figure"] for each in sessions]}
    for name in sessions[0]["others"]:
        found[name] = [each["others"][name] for each in sessions]
    return {name: [each for each in values if each] for name, values in found.items()}


def spread(values: Sequence[float]) -> float:
    """Standard deviation between sessions, as a fraction."""
    return stdev(log(each) for each in values) if len(values) > 1 else float("nan")


def bias(values: Sequence[float], quiet: Sequence[float]) -> float:
    """Of the mean against the quiet machine, as a fraction."""
    return exp(fmean(map(log, values)) - log(median(quiet))) - 1


def coverage(sessions: Sessions, truth: float) -> str:
    """Share of the intervals that hold the truth, and half their median width."""
    intervals = [each["tests"]["test_figure"]["interval"] for each in sessions]
    known = [each for each in intervals if each]
    if not known:
        return "no interval"
    held = sum(low <= truth <= high for low, high in known)
    half = median((high - low) / (high + low) for low, high in known)
    return f"{held} of {len(sessions)} intervals hold the quiet figure, half width {half:.1%}"


def verdicts(sessions: Sessions, test: str) -> str:
    """How often each verdict was given."""
    found = [each["tests"][test]["verdict"] for each in sessions if test in each["tests"]]
    return ", ".join(f"{found.count(each)} {each}" for each in sorted(set(found))) or "-"


def took(sessions: Sessions, test: str) -> str:
    seconds = [each["seconds"][test] for each in sessions if test in each["seconds"]]
    return f"{median(seconds):.1f} s, at most {max(seconds):.1f} s" if seconds else "-"


def table(cells: Cells, quiet: str) -> Iterator[str]:
    """Spread and bias of each method, then the verdicts, for each work."""
    for work, neighbours in cells.items():
        still = figures(neighbours[quiet])
        truth = median(still[OURS])
        yield f"{work}: {truth * 1000:.3g} cpu-ms a call on the quiet machine"
        yield f"{'  spread / bias in %':20}" + "".join(f"{each:>15}" for each in neighbours)
        for method in still:
            row = f"  {method:18}"
            for sessions in neighbours.values():
                values = figures(sessions)[method]
                cell = f"{spread(values):.1%} / {bias(values, still[method]):+.1%}"
                row += f"{cell.replace('%', ''):>15}"
            yield row
        for neighbour, sessions in neighbours.items():
            yield f"  {neighbour}: {coverage(sessions, truth)}"
            for test in sorted(sessions[0]["tests"]):
                if test != "test_figure":
                    yield f"    {test:18} {verdicts(sessions, test)}; {took(sessions, test)}"
        yield ""


def picture(path: Path, cells: Cells, quiet: str) -> None:
    """Each session's figure, as a ratio to the quiet machine, by method and neighbour."""
    import matplotlib

    matplotlib.use("svg" if path.suffix == ".svg" else "agg")
    from matplotlib import pyplot

    shape, axes = pyplot.subplots(
        len(cells), 1, figsize=(9, 2.6 * len(cells)), squeeze=False, layout="constrained"
    )
    for (work, neighbours), axis in zip(cells.items(), axes[:, 0], strict=True):
        still = figures(neighbours[quiet])
        labels: list[str] = []
        for neighbour, sessions in neighbours.items():
            for method, values in figures(sessions).items():
                ratios = [each / median(still[method]) for each in values]
                colour = "tab:blue" if method == OURS else "tab:gray"
                axis.plot(ratios, [len(labels)] * len(ratios), "|", color=colour, markersize=9)
                labels.append(f"{neighbour}: {method}" if method == OURS else method)
        axis.set_yticks(range(len(labels)), labels, fontsize=6)
        axis.invert_yaxis()
        axis.set_xscale("log")
        axis.axvline(1.0, color="black", linewidth=0.5)
        axis.set_title(f"{work}: figure of each session against the quiet machine", fontsize=9)
    shape.savefig(path, dpi=110)
