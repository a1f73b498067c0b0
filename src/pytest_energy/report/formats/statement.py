"""One paragraph for the documentation of a model: its energy, how it is known, and from what.

Rules such as Annex XI of the EU AI Act ask for the known or estimated energy of a model. Where a
run has many figures, those that may stand together are a range and a sum.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from pytest_energy.record.schema import RunRecord
from pytest_energy.report.markdown_text import clipped
from pytest_energy.report.printable import all_printable
from pytest_energy.report.quantities import NO_FACTOR, Measured, measured
from pytest_energy.units import (
    energy,
    energy_scale,
    figure,
    interval,
    label,
    numbered,
    per_unit,
    plural,
)

_EVIDENCE = {
    "measured": "measured with a hardware energy counter",
    "integrated": "integrated from power readings of the hardware",
    "estimated": "estimated from CPU time and a pinned power per core, not measured",
}
#: Sentences about figures; the finest of `_LEVELS` that needs no more is taken.
MOST = 5
#: Names in a row.
_NAMES = 3
_LONGEST_NAME = 200
#: What a sentence is about, from one figure to all that may stand together.
_LEVELS: tuple[Callable[[Measured], object], ...] = (
    id,
    lambda each: (each.test.task, each.test.model),
    lambda each: each.test.task,
    lambda _: None,
)


def render(record: RunRecord) -> str:
    """Plain text that ends in a newline."""
    found = measured(record)
    record = all_printable(record)
    version = record.run.versions.get("pytest-energy", "")
    tool = f"pytest-energy {version}".strip()
    days = sorted({each.run.start[:10] for each in record.all_sessions})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    if not found:
        return f"No energy of inference is known: {tool} measured nothing on {when}.\n"
    groups = _groups(found)
    sentences = [f"Energy of inference, determined by {tool} on {when}."]
    sentences += [_sentence(each) for each in groups[:MOST]]
    if left := sum(map(len, groups[MOST:])):
        sentences.append(f"{numbered(left, 'more figure')} could not be put together with these.")
    carbons = dict.fromkeys(each.session.carbon for each in found)
    factors = _several([each.description for each in carbons if each is not None], "factor")
    sentences += [f"Emissions are energy times {factors}."] if factors else []
    if None in carbons:
        sentences.append(f"Emissions are not stated where {NO_FACTOR}.")
    sentences.append(
        "Energy is that of the named hardware alone: it leaves out training, embodied emissions, "
        "networks and the overhead of a data centre."
    )
    missing = _several(
        [label(each.id, each.name) for each in record.last_attempts if each.figure is None], "test"
    )
    sentences += [f"Not measured: {missing}."] if missing else []
    if len(groups) < len(found):
        sessions = [each.run.uuid for each in record.all_sessions]
        sentences.append(
            "Each figure, with its interval, rounds and instruments, is in the run record of "
            f"session {_several(sessions, 'session')}."
        )
    return " ".join(sentences) + "\n"


def _groups(found: Sequence[Measured]) -> list[list[Measured]]:
    """Figures that share a sentence; those of other units, evidence or hardware never do."""
    groups: dict[object, list[Measured]] = {}
    for level in _LEVELS:
        groups = {}
        for each in found:
            kind = (each.test.unit, each.evidence, each.hardware, _instruments(each))
            groups.setdefault((kind, level(each)), []).append(each)
        if len(groups) <= MOST:
            return list(groups.values())
    return sorted(groups.values(), key=len, reverse=True)


def _sentence(group: Sequence[Measured]) -> str:
    first = group[0]
    unit = clipped(first.test.unit, _LONGEST_NAME)
    models = _several([each.test.model for each in group if each.test.model], "model")
    tests = _several([each.label for each in group], "test")
    tasks = _several([each.test.task for each in group if each.test.task], "task")
    parts = [f"{models or tests}{f' ({tasks})' if tasks else ''} used {_used(group, unit)}"]
    parts.append(f"{_EVIDENCE[first.evidence]} ({_instruments(first) or 'no channel'})")
    parts += [f"on {first.hardware}"] if first.hardware else []
    rounds = [one for each in group for one in each.test.rounds if not one.warmup]
    counted = f"{sum(one.units for one in rounds):,.12g} {plural(unit)}"
    of = f" of {tests}" if models else ""
    parts.append(f"over {counted} in {numbered(len(rounds), 'round')}{of}")
    if len(group) > 1:
        total = sum(
            each.joules * sum(one.units for one in each.test.rounds if not one.warmup)
            for each in group
        )
        parts.append(f"{energy(total)} in all")
    sentence = ", ".join(parts)
    grams = [each.grams * 1000 for each in group if each.grams is not None]
    if grams:
        low, high = figure(min(grams)), figure(max(grams))
        amount = low if low == high else f"{low} to {high}"
        sentence += f"; this is {amount} gCO2e for 1,000 {plural(unit)}"
    return sentence + "."


def _used(group: Sequence[Measured], unit: str) -> str:
    """One figure with its interval, or the range of several."""
    joules = [each.joules for each in group]
    if len(group) > 1:
        scale = energy_scale(joules)
        return (
            f"{interval(min(joules), max(joules), scale)} {scale.symbol} / {unit} (median "
            f"{scale.show(median(joules))} {scale.symbol} of {numbered(len(group), 'figure')})"
        )
    shown = per_unit(joules[0], unit)
    if (spread := group[0].test.interval) is None:
        return shown
    scale = energy_scale(joules)
    return f"{shown}, interval {interval(*spread, scale)} {scale.symbol}"


def _instruments(each: Measured) -> str:
    gated = [f"{one.name}: {one.source}" for one in each.test.channels if one.gated]
    return clipped("; ".join(gated), 2 * _LONGEST_NAME)


def _several(names: Sequence[str], word: str) -> str:
    """The names, each once; of many their number."""
    different = list(dict.fromkeys(clipped(each, _LONGEST_NAME) for each in names))
    if len(different) <= _NAMES:
        return ", ".join(different)
    return (
        f"{', '.join(different[:_NAMES])} and {numbered(len(different) - _NAMES, f'more {word}')}"
    )
