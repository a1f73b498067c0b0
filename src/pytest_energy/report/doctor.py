"""The text of `pytest-energy doctor`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from itertools import groupby

from pytest_energy.measurement.doctor import Diagnosis, Gated, Reading
from pytest_energy.report.printable import printable
from pytest_energy.sensors.base import Missing
from pytest_energy.units import figure, percent

_NARROWEST = 40


def render_diagnosis(found: Diagnosis, width: int) -> str:
    """All that was found, for a terminal of this width; commands to paste are never wrapped."""
    width = max(width, _NARROWEST)
    return "\n".join(printable(line.rstrip()) for line in _lines(found, width)) + "\n"


def _lines(found: Diagnosis, width: int) -> Iterator[str]:
    yield f"{found.cpu}, {found.cpu_count} cores, {found.os} {found.architecture}"
    for device in found.devices:
        watts = device.power_limit_watts
        limit = f", power limit {watts:g} W" if watts is not None else ""
        yield f"{device.channel} {device.name}{limit}"
    yield from _wrapped(
        ", ".join(f"{name} {version}" for name, version in found.versions.items()), width
    )
    yield ""
    yield f"Instruments, read for {found.seconds:.1f} s with one core kept busy:"
    for each in found.readings:
        yield from _reading(each, width)
    if found.other_cores is not None:
        yield from _wrapped(
            f"Meanwhile other processes kept {found.other_cores:.2f} cores busy.", width
        )
    yield ""
    used = ", ".join(found.gpus_in_use) or "none"
    yield from _wrapped(f"GPUs in use by this process: {used} ({found.why_in_use})", width)
    yield ""
    yield "On this machine, a limit with scope auto covers:"
    for gated in found.auto:
        yield from _wrapped(_gated(gated), width, "  ", "    ")
    if found.notes:
        yield ""
        yield "Notes:"
        for note in found.notes:
            yield from _wrapped(note, width, "  ", "    ")
    if found.left_out:
        yield ""
        yield "Left out:"
        for zone, why in found.left_out.items():
            yield from _wrapped(f"{zone}: {why}", width, "  ", "    ")
    if found.missing:
        yield ""
        yield "Missing, and what to do about it:"
        for missing in found.missing:
            yield from _missing(missing, width)
    yield ""
    yield _verdict(found)


def _reading(each: Reading, width: int) -> Iterator[str]:
    watts = "no reading" if each.watts is None else f"{figure(each.watts)} W"
    line = f"{each.channel:<16} {watts:>10}  {each.provenance:<10} {_update(each)}"
    yield from _wrapped(line, width, "  ", "    ") if len(line) > width - 2 else [f"  {line}"]
    yield from _wrapped(f"{each.source}; plausible: {each.plausible}", width, " " * 4, " " * 4)


def _update(each: Reading) -> str:
    if each.update_seconds == 0:
        return "counts continuously"
    return f"refreshed every {figure(each.update_seconds * 1000)} ms"


def _gated(gated: Gated) -> str:
    if gated.problem:
        return f"{gated.case}: unmeasured, because {gated.problem}"
    return (
        f"{gated.case}: {', '.join(gated.channels)} (scope {gated.scope}, {gated.evidence}, "
        f"tolerance {percent(gated.tolerance)})"
    )


def _missing(missing: Missing, width: int) -> Iterator[str]:
    yield from _wrapped(f"{missing.what}: {missing.why}", width, "  ", "    ")
    lines = missing.remedy.splitlines()
    for comment, group in groupby(lines, key=lambda line: line.startswith("#")):
        if comment:
            text = " ".join(line.lstrip("# ") for line in group)
            yield from _wrapped(f"# {text}", width, "    ", "    # ")
        else:
            yield from (f"    {line}" for line in group)


def _verdict(found: Diagnosis) -> str:
    kinds = {each.provenance for each in found.readings if each.watts is not None}
    if not kinds:
        return "This machine can neither measure nor estimate energy."
    return f"On this machine, energy can be {' and '.join(sorted(kinds, reverse=True))}."


def _wrapped(text: str, width: int, first: str = "", rest: str = "  ") -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_on_hyphens=False,
        break_long_words=False,
    )
