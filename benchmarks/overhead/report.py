"""The figures as tables of 80 columns and as a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from suites import ALONE, OURS, Costs
from windows import COUNTER, WHOLE

#: What is asked for: at a start, with unmarked tests, and of a window beside its waiting.
START_UP_SECONDS = 0.020
UNMARKED_RATIO = 1.05
WINDOW_SECONDS = 20e-6


def suites_text(found: Mapping[str, Costs]) -> Iterator[str]:
    """Differences and ratios are of one repetition, against pytest alone; then the median."""
    for suite, costs in found.items():
        yield f"{suite}, medians of {len(costs[ALONE])} (quartiles)"
        yield f"{'':26}{'wall':>9}{'CPU':>9}{'more than pytest alone':>26}{'ratio':>9}"
        for name, each in costs.items():
            wall, cpu = (median(one[key] for one in each) for key in ("wall", "cpu"))
            row = f"{name:26}{wall * 1000:>6.0f} ms{cpu * 1000:>6.0f} ms"
            if name != ALONE:
                more, ratios = against(each, costs[ALONE])
                low, middle, high = (1000 * each for each in quartiles(more))
                row += f"{middle:>9.1f} ({low:.1f}..{high:.1f}) ms".rjust(26)
                row += f"{median(ratios):>9.3f}"
            yield row
        yield ""
    yield f"Start-up of {OURS}: {_told(found, 0)}; asked for: {START_UP_SECONDS * 1000:.0f} ms"
    yield f"Unmarked tests: {_told(found, 1)}; asked for: {UNMARKED_RATIO}"
    yield "A marked test of ours takes as long as its protocol asks for: with a GPU, a"
    yield "warm-up of 3 s and 5 rounds of 1 s or more, so that a 100 ms counter is read within"
    yield "1 % and five rounds give an interval; 0.5 s and 0.2 s where CPU time is counted. A"
    yield "quick body is called again and again meanwhile, which is its CPU time."
    yield ""


def windows_text(empty: Costs) -> Iterator[str]:
    yield f"An empty window on one GPU, medians of {_repetitions(empty)} (quartiles), in us"
    yield f"{'':38}{'wall':>12}{'':20}{'CPU':>10}"
    for name, each in empty.items():
        cells = []
        for key in ("wall", "cpu"):
            low, middle, high = (1e6 * value for value in quartiles([one[key] for one in each]))
            cells.append(f"{middle:>10.0f} {f'({low:.0f}..{high:.0f})':19}")
        yield f"{name:38}" + "".join(cells).rstrip()
    yield f"The first two of {OURS} run on a counter that is refreshed at every reading and"
    yield "don't sleep: what is left is our code, pynvml and the kernel. The first reads the"
    yield "GPU alone, as Zeus does; the second also the CPU time of the process tree and how"
    yield "busy the machine is. The third waits for four refreshes of a 100 ms counter."
    seconds = median(each["wall"] for each in empty[COUNTER])
    all_seconds = median(each["wall"] for each in empty[WHOLE])
    yield (
        f"Beside the wait: {seconds * 1e6:.0f} us for the GPU, {all_seconds * 1e6:.0f} us with "
        f"everything; asked for: {WINDOW_SECONDS * 1e6:.0f} us"
    )
    yield ""


def about_text(about: Mapping[str, Any]) -> Iterator[str]:
    before, after = (f"{about[each][0]:.2f}" for each in ("load_before", "load_after"))
    python, cores = about["python"], about["cores"]
    yield f"Python {python}, {cores} cores, load {before} before and {after} after"
    versions = [f"{name} {each}" for name, each in about["versions"].items()]
    yield ", ".join(versions[:4]) + ","
    yield ", ".join(versions[4:])


def against(
    costs: Sequence[Mapping[str, float]], base: Sequence[Mapping[str, float]]
) -> tuple[list[float], list[float]]:
    """Differences and ratios on the clock, repetition by repetition."""
    pairs = [(one["wall"], other["wall"]) for one, other in zip(costs, base, strict=True)]
    return [one - other for one, other in pairs], [one / other for one, other in pairs]


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    if len(values) < 2:
        return (values[0],) * 3
    low, middle, high = quantiles(values, method="inclusive")
    return low, middle, high


def _repetitions(costs: Costs) -> int:
    return len(next(iter(costs.values())))


def _told(found: Mapping[str, Costs], index: int) -> str:
    costs = list(found.values())[index]
    more, ratios = against(costs[OURS], costs[ALONE])
    low, middle, high = quartiles(ratios)
    return f"{median(more) * 1000:+.1f} ms, {middle:.3f} times ({low:.3f}..{high:.3f})"


def picture(path: Path, found: Mapping[str, Costs], empty: Costs) -> None:
    """Every repetition: start-up and unmarked tests against pytest alone, and empty windows."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(14, 4))
    for place, (suite, costs) in zip(axes, list(found.items())[:2], strict=False):
        rivals = [name for name in costs if name != ALONE]
        for row, name in enumerate(rivals):
            more, _ = against(costs[name], costs[ALONE])
            place.plot(
                [1000 * each for each in more], _spread(row, len(more)), ".", color=f"C{row}"
            )
        place.set_yticks(range(len(rivals)), rivals)
        place.axvline(0, color="grey", linewidth=0.8)
        place.set_xscale("symlog", linthresh=10)
        place.set(xlabel="ms more than pytest alone", title=suite)
        place.invert_yaxis()
    for row, costs in enumerate(empty.values()):
        walls = [1e6 * each["wall"] for each in costs]
        axes[2].plot(walls, _spread(row, len(walls)), ".", color=f"C{row}")
    axes[2].set_yticks(range(len(empty)), [name.replace(", ", ",\n") for name in empty])
    axes[2].axvline(1e6 * WINDOW_SECONDS, color="grey", linewidth=0.8)
    axes[2].set_xscale("log")
    axes[2].set(xlabel="us on the clock (grey: asked for)", title="an empty window")
    axes[2].invert_yaxis()
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def _spread(row: int, count: int) -> list[float]:
    return [row + 0.3 * (each / max(count - 1, 1) - 0.5) for each in range(count)]
