"""One paragraph for the documentation of a model: its energy, how it is known, and from what.

Rules such as Annex XI of the EU AI Act ask for the known or estimated energy of a model.
"""

from __future__ import annotations

from pytest_energy.record.schema import RunRecord
from pytest_energy.report.printable import all_printable
from pytest_energy.report.quantities import NO_FACTOR, Measured, measured
from pytest_energy.units import energy_scale, figure, interval, label, numbered, per_unit, plural

_EVIDENCE = {
    "measured": "measured with a hardware energy counter",
    "integrated": "integrated from power readings of the hardware",
    "estimated": "estimated from CPU time and a pinned power per core, not measured",
}


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
    sentences = [f"Energy of inference, determined by {tool} on {when}."]
    sentences += [_sentence(each) for each in found]
    carbons = dict.fromkeys(each.session.carbon for each in found)
    sentences += [
        f"Emissions are energy times {each.description}." for each in carbons if each is not None
    ]
    if None in carbons:
        sentences.append(f"Emissions are not stated where {NO_FACTOR}.")
    sentences.append(
        "Energy is that of the named hardware alone: it leaves out training, embodied emissions, "
        "networks and the overhead of a data centre."
    )
    missing = [
        label(each.id, each.name) for each in record.last_attempts if each.joules_per_unit is None
    ]
    if missing:
        sentences.append(f"Not measured: {', '.join(dict.fromkeys(missing))}.")
    return " ".join(sentences) + "\n"


def _sentence(each: Measured) -> str:
    test = each.test
    subject = test.model or each.label
    about = f" ({test.task})" if test.task else ""
    rounds = [one for one in test.rounds if not one.warmup]
    units = sum(one.units for one in rounds)
    shown = per_unit(each.joules, test.unit)
    parts = [f"{subject}{about} used {shown}"]
    if test.interval is not None:
        scale = energy_scale(test.interval)
        parts.append(f"interval {interval(*test.interval, scale)} {scale.symbol}")
    gated = [f"{one.name}: {one.source}" for one in test.channels if one.gated]
    parts.append(f"{_EVIDENCE[each.evidence]} ({'; '.join(gated) or 'no channel'})")
    if each.hardware:
        parts.append(f"on {each.hardware}")
    counted = f"{units:,.12g} {plural(test.unit)}"
    parts.append(f"over {counted} in {numbered(len(rounds), 'round')} of {each.label}")
    sentence = ", ".join(parts)
    if each.grams is not None:
        sentence += f"; this is {figure(each.grams * 1000)} gCO2e for 1,000 {plural(test.unit)}"
    return sentence + "."
