"""The figures as tables of 80 columns, as JSON and as a picture."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import physics
from instruments import INSTRUMENTS, PART_TIME, SLOW, WINDOWS, Cell, Instrument
from loads import LOADS
from realtime import SECONDS, Result

TARGET = 0.005
STATISTICS = ("bias", "sd", "worst")
NAIVE = "naive"


def misses(cells: Sequence[Cell]) -> list[Cell]:
    """Cells of ours, with the six loads, in which the target is asked for and missed."""
    return [
        cell
        for cell in cells
        if cell.reader != NAIVE
        and cell.load in LOADS
        and cell.instrument.asks(cell.window)
        and max(abs(cell.bias), cell.sd) > TARGET
    ]


def virtual_text(cells: Sequence[Cell], phases: int) -> Iterator[str]:
    """The tables of the virtual part."""
    yield f"Error in % of the true energy, {phases} windows of random phase a cell, virtual time;"
    yield "* is beyond 0.5 % where the target asks for less (10 periods of an integrating"
    yield "counter; RAPL from 0.2 s, since shorter windows have no figure). The last four loads"
    yield "are beyond the six of the target: they end at another power than their mean, from"
    yield "which it falls with a time constant of 15 to 300 ms."
    for instrument in INSTRUMENTS:
        yield ""
        yield _head(f"{instrument.name}: pytest-energy")
        mine = [each for each in cells if each.instrument == instrument and each.reader != NAIVE]
        for load in dict.fromkeys(each.load for each in mine):
            row = [each for each in mine if each.load == load]
            for statistic in STATISTICS:
                name = load.name if statistic == STATISTICS[0] else ""
                yield f"{name:15}{statistic:6}" + "".join(_cell(each, statistic) for each in row)
    yield ""
    yield _head("A plain difference of two readings, constant load")
    for instrument in INSTRUMENTS:
        row = [
            each
            for each in cells
            if (each.instrument, each.load, each.reader) == (instrument, LOADS[0], NAIVE)
        ]
        for statistic in STATISTICS if row else ():
            name = _short(instrument) if statistic == STATISTICS[0] else ""
            yield f"{name:15}{statistic:6}" + "".join(_cell(each, statistic) for each in row)


def physics_text(cells: Sequence[Cell]) -> Iterator[str]:
    """What the part-time counter allows, beside what was found."""
    constant = LOADS[0]
    yield f"{PART_TIME.name}: what it allows and what was found, constant 300 W"
    yield f"{'':21}{'mean expected':>15}{'found':>9}{'most possible':>16}{'found':>9}"
    for cell in cells:
        if (cell.instrument, cell.load, cell.reader) != (PART_TIME, constant, "ours"):
            continue
        if cell.window < 10 * PART_TIME.period:
            continue
        bias = physics.end_bias(PART_TIME, cell.window, 300.0, 300.0)
        worst = physics.end_worst(PART_TIME, cell.window, 300.0, 300.0)
        yield (
            f"{f'{cell.window:g} s':>21}{bias:>14.2%} {cell.bias:>8.2%} {worst:>15.2%} "
            f"{cell.worst:>8.2%}"
        )
    needed = physics.periods_needed(PART_TIME, 300.0, TARGET)
    yield f"A mean error of {TARGET:.1%} takes {needed:.0f} periods. With a load that keeps step"
    yield "with the sampling (square 100 ms without jitter; square 52 ms where refreshes"
    yield "are 104 ms apart) no window is long enough: what is not sampled is not seen."


def lagging_text(cells: Sequence[Cell]) -> Iterator[str]:
    """How many windows of counters that show the past are unmeasured."""
    yield "Counters that show the past, windows of 1 s: unmeasured, and the error of the others"
    for cell in cells:
        windows = cell.refused + len(cell.errors)
        rest = f", {cell.bias:.2%}" if cell.errors else ""
        name = f"{cell.instrument.name}, {cell.load.name}:"
        yield f"  {name:40} {cell.refused} of {windows}{rest}"


CONSTANT = "constant 300 W over 50 W idle"
BURST = "300 W in the last\nfifth over 50 W idle, falling in 80 ms"


def realtime_text(result: Result, windows: int, load: str) -> Iterator[str]:
    """The table of the real-time part."""
    yield f"Error in %, in real time, {windows} windows a cell, {load},"
    yield "a 100 ms counter with 0-8 ms jitter; each tool after one discarded window of 1 s"
    yield f"{'':14}" + "".join(f"{f'{seconds:g} s':>20}" for seconds in SECONDS)
    yield f"{'':14}" + f"{'bias':>7}{'sd':>6}{'worst':>7}" * len(SECONDS)
    rows = result.summary()
    for tool in result.tools:
        cells = "".join(
            f"{100 * each['bias']:>7.2f}{100 * each['sd']:>6.2f}{100 * each['worst']:>7.2f}"
            for each in rows
            if each["tool"] == tool
        )
        yield f"{tool:14}{cells}"
    first = result.warm_up["CodeCarbon"]
    yield (
        f"CodeCarbon's discarded window: {first['joules']:.0f} J for {first['true_joules']:.0f} J "
        "true."
    )
    yield f"A bias is known to sd / {windows**0.5:.1f}: that of {windows} windows."
    yield "Versions: " + ", ".join(f"{name} {each}" for name, each in result.versions.items())


def misses_text(cells: Sequence[Cell]) -> Iterator[str]:
    missed = misses(cells)
    yield f"Target missed in {len(missed)} cells" + (":" if missed else ".")
    for cell in missed:
        yield (
            f"  {cell.instrument.name}, {cell.load.name}, {cell.window:g} s: "
            f"bias {cell.bias:.2%}, sd {cell.sd:.2%}"
        )


def _head(title: str) -> str:
    columns = "".join(f"{each:>6g} " for each in WINDOWS)
    return f"{title}\n{'window in s':21}{columns}".rstrip()


def _cell(cell: Cell, statistic: str) -> str:
    value = getattr(cell, statistic)
    missed = statistic != "worst" and cell.instrument.asks(cell.window) and abs(value) > TARGET
    digits = 1 if abs(value) >= 0.9995 else 2
    return f"{100 * value:>6.{digits}f}" + ("*" if missed else " ")


def _short(instrument: Instrument) -> str:
    if instrument.integrating:
        return instrument.name.split(",")[0]
    return "25 of 100 ms" if instrument.jitter else "25, no jitter"


def as_json(
    cells: Sequence[Cell], result: Result | None, burst: Result | None, about: dict[str, Any]
) -> str:
    """One line for a cell or a window, so that two runs can be compared."""
    virtual = [
        {
            "instrument": cell.instrument.name,
            "load": cell.load.name,
            "window": cell.window,
            "reader": cell.reader,
            "windows": len(cell.errors),
            "refused": cell.refused,
            **{each: getattr(cell, each) for each in STATISTICS},
        }
        for cell in cells
    ]
    parts: dict[str, Any] = {"about": about, "virtual": virtual}
    if result is not None:
        parts |= {
            "realtime": result.summary(),
            "realtime_versions": dict(result.versions),
            "realtime_warm_up": [{"tool": name, **each} for name, each in result.warm_up.items()],
            "realtime_windows": list(result.windows),
        }
    if burst is not None:
        parts |= {"burst": burst.summary(), "burst_windows": list(burst.windows)}
    texts = []
    for name, part in parts.items():
        if isinstance(part, list):
            lines = ",\n".join("  " + json.dumps(each) for each in part)
            texts.append(f'"{name}": [\n{lines}\n]')
        else:
            texts.append(f'"{name}": {json.dumps(part)}')
    return "{\n" + ",\n".join(texts) + "\n}\n"


def picture(path: Path, cells: Sequence[Cell], result: Result | None) -> None:
    """Left: the largest error of ours and of a plain difference. Right: every window, in real time.

    Raises ImportError where matplotlib is missing.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2 if result else 1, figsize=(11 if result else 6, 4.5))
    left, *others = figure.axes
    del axes
    for instrument, colour in ((SLOW, "tab:blue"), (PART_TIME, "tab:orange")):
        for reader, style in (("ours", "o-"), (NAIVE, "x--")):
            worst = [
                max(
                    max(abs(each.bias), each.sd)
                    for each in cells
                    if (each.instrument, each.window, each.reader) == (instrument, window, reader)
                    and each.load in LOADS
                )
                for window in WINDOWS
            ]
            who = "pytest-energy" if reader == "ours" else "plain difference"
            label = f"{who}, {instrument.name}"
            left.plot(WINDOWS, [100 * each for each in worst], style, color=colour, label=label)
    left.axhline(100 * TARGET, color="grey", linewidth=0.8)
    left.set(xscale="log", yscale="log", xlabel="window in s", ylabel="error in %")
    left.set_title("Virtual clock: bias or sd, whichever is larger,\nof the worst of six loads")
    left.legend(fontsize=7)
    for right in others:
        assert result is not None
        for index, tool in enumerate(result.tools):
            for place, seconds in enumerate(SECONDS):
                errors = [100 * each for each in result.errors(tool, seconds)]
                spread = [(number / len(errors) - 0.5) * 0.2 for number in range(len(errors))]
                x = [place + 0.27 * (index - 1) + each for each in spread]
                legend = {"label": tool} if place == 0 else {}
                right.plot(x, errors, ".", color=f"C{index}", **legend)
        right.axhline(0, color="grey", linewidth=0.8)
        right.set_xticks(range(len(SECONDS)), [f"{each:g} s" for each in SECONDS])
        right.set(xlabel="window", ylabel="error in %")
        right.set_title("Real time: every window, constant load,\n100 ms integrating counter")
        right.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)
