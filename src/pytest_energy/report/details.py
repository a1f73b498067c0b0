"""What makes each figure, and how sure it is: for `-v`."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator

from pytest_energy.record.schema import (
    Explanation,
    GpuStateRecord,
    PartsRecord,
    RunRecord,
    TestRecord,
    units_a_call,
)
from pytest_energy.units import (
    Quantity,
    amount,
    energy,
    energy_scale,
    figure,
    for_one,
    grouped,
    interval,
    label,
    plural,
    signed_percent,
    time_and_power,
)

#: The gain of a board's counter differs from board to board by about this much, and is the same in
#: every run on one board.
GAIN = "about 5 % (the gain of the counter, the same in every run on this hardware)"
ESTIMATE = "unknown (the watts of a busy core are set, not measured)"


def details(record: RunRecord, width: int) -> list[str]:
    """A few lines for each figure, wrapped; nothing for tests without one.

    An accuracy that several figures have is printed once, after them.
    """
    explained = [each for each in record.tests if each.explanation is not None]
    number = Counter(map(_accuracy, explained))
    lines = []
    for test in explained:
        lines.append(label(test.id, test.name) + f" (per {test.unit})")
        for line in details_of(test):
            if line != _accuracy(test) or number[line] == 1:
                lines += _wrapped(line, width, "  ")
    for line, figures in number.items():
        if figures > 1:
            lines += _wrapped(f"{figures} figures: {line}", width, "")
    return lines


def _wrapped(line: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(
        line,
        width,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_on_hyphens=False,
    )


def details_of(test: TestRecord) -> list[str]:
    """The same of one test, a line each; nothing where it has no figure."""
    return [] if test.explanation is None else list(_lines(test, test.explanation))


def _lines(test: TestRecord, found: Explanation) -> Iterator[str]:
    yield f"time and power: {time_and_power(found.units_per_second, found.mean_watts, test.unit)}"
    if test.interval is not None and test.joules_per_unit is not None:
        scale = energy_scale([test.joules_per_unit])
        yield (
            f"repeatability: {interval(*test.interval, scale)} {scale.symbol}, the interval of the "
            "centre of these rounds"
        )
    yield _accuracy(test)
    if found.net_joules_per_unit is not None and test.joules_per_unit is not None:
        yield (
            f"gross: {energy(test.joules_per_unit)} (judged); net of idle power: "
            f"{energy(found.net_joules_per_unit)}"
        )
    counted = ", ".join(f"{number:,.0f} {plural(unit)}" for unit, number in found.units.items())
    yield f"counted: {counted} in {found.seconds:.2f} s"
    if len(found.units) > 1 and (call := units_a_call(test)):
        did = ", ".join(f"{grouped(number)} {plural(unit)}" for unit, number in call.items())
        yield f"a call: {did}"
    if test.parts is not None:
        yield from _cells(test.parts, test.quantity)
    for before, after in zip(found.gpus_before, found.gpus_after, strict=False):
        yield _board(before, after)
    if found.flops_per_unit is not None:
        yield _work(found.flops_per_unit, test)
    if found.involuntary_switches_per_unit is not None:
        each = figure(found.involuntary_switches_per_unit)
        yield f"involuntary context switches: {each} {for_one(test.unit)}"


def _cells(parts: PartsRecord, quantity: Quantity) -> Iterator[str]:
    """What each size of request used, and how far its parts are from that."""
    for each in parts.cells:
        size = f"{each.input_tokens:,.0f} input and {each.output_tokens:,.0f} output tokens"
        beside = f"{signed_percent(each.missed)} beside its parts"
        yield f"a request with {size}: {amount(each.figure, quantity)}, {beside}"


def _accuracy(test: TestRecord) -> str:
    return f"absolute accuracy: {GAIN if test.method == 'measured' else ESTIMATE}"


def _work(flops_per_unit: float, test: TestRecord) -> str:
    sentence = (
        f"work: {amount(flops_per_unit, Quantity.FLOPS)} {for_one(test.unit)}, as torch counts them"
    )
    if not test.joules_per_unit:
        return sentence
    return f"{sentence}; {amount(flops_per_unit / test.joules_per_unit, Quantity.FLOPS)} a joule"


def _board(before: GpuStateRecord, after: GpuStateRecord) -> str:
    def both(first: float | None, last: float | None, symbol: str) -> str:
        return f"{_shown(first)} -> {_shown(last)} {symbol}"

    throttled = sorted({*before.throttled, *after.throttled})
    return (
        f"{before.channel}: {both(before.celsius, after.celsius, 'C')}, "
        f"{both(before.megahertz, after.megahertz, 'MHz')}, "
        f"{both(before.power_limit_watts, after.power_limit_watts, 'W limit')}, "
        f"throttled: {', '.join(throttled) or 'no'}"
    )


def _shown(value: float | None) -> str:
    return "?" if value is None else f"{value:g}"
