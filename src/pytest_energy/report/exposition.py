"""Metrics as OpenMetrics text; units are in the names of the families."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from pytest_energy.record.schema import RunRecord, TestRecord
from pytest_energy.report.quantities import Measured, kind_of, measured

#: name -> what it says
FAMILIES = {
    "pytest_energy_joules_per_unit": "Energy for one unit of work; the label evidence says how it "
    "is known.",
    "pytest_energy_joules_per_unit_low": "Lower end of the interval that holds it.",
    "pytest_energy_joules_per_unit_high": "Upper end of the interval that holds it.",
    "pytest_energy_cpu_seconds_per_unit": "CPU time for one unit of work.",
    "pytest_energy_grams_co2e_per_unit": "Emissions for one unit of work, by grams_co2e_per_kwh.",
    "pytest_energy_grams_co2e_per_kwh": "The carbon factor, with the overhead of the data centre.",
}
LIMITS = {
    "pytest_energy_flops_per_unit": "Floating-point operations for one unit of work.",
    "pytest_energy_limit_joules_per_unit": "The limit in energy for one unit of work.",
    "pytest_energy_fraction_of_limit": "The figure divided by its limit.",
    "pytest_energy_red": "1 where the verdict failed the test, else 0.",
}


@dataclass
class Family:
    """Samples of one name: labels and value."""

    help: str
    samples: list[tuple[Mapping[str, str], float]] = field(default_factory=list)


def families(record: RunRecord) -> dict[str, Family]:
    """All that has samples."""
    found = {name: Family(text) for name, text in (FAMILIES | LIMITS).items()}
    figures = measured(record)
    for each in figures:
        for name, value in _figures(each).items():
            if value is not None:
                found[name].samples.append((_labels(record, each), value))
    known = {kind_of(each.test): each for each in figures}
    for test in record.last_attempts:
        of = known.get(kind_of(test))
        labels = _labels(record, of) if of else _names(record, test)
        if test.flops_per_unit is not None:
            found["pytest_energy_flops_per_unit"].samples.append((labels, test.flops_per_unit))
        labels = {**labels, "verdict": test.verdict}
        if test.budget is not None:
            labels["limit"] = test.budget.limit
        values = {
            "pytest_energy_limit_joules_per_unit": test.limit_joules_per_unit,
            "pytest_energy_fraction_of_limit": test.fraction_of_limit,
            "pytest_energy_red": float(record.is_red(test)),
        }
        for name, number in values.items():
            if number is not None:
                found[name].samples.append((labels, number))
    return {name: each for name, each in found.items() if each.samples}


def exposition(found: Mapping[str, Family]) -> str:
    """OpenMetrics 1.0 text; of equal samples the first one stands."""
    lines: list[str] = []
    for name, family in found.items():
        lines += [f"# TYPE {name} gauge", f"# HELP {name} {_escaped(family.help)}"]
        seen: dict[str, str] = {}
        for labels, value in family.samples:
            pairs = (f'{key}="{_escaped(text)}"' for key, text in sorted(labels.items()) if text)
            seen.setdefault(f"{name}{{{','.join(pairs)}}}", repr(float(value)))
        lines += [f"{sample} {value}" for sample, value in seen.items()]
    return "\n".join([*lines, "# EOF"]) + "\n"


def fixed_point(value: float) -> str:
    """All digits without an exponent: "0.0000012"."""
    return format(Decimal(repr(value)), "f")


def _figures(each: Measured) -> dict[str, float | None]:
    low, high = each.test.interval or (None, None)
    carbon = each.session.carbon
    return dict(
        zip(
            FAMILIES,
            (
                each.joules,
                low,
                high,
                each.test.cpu_seconds_per_unit,
                each.grams,
                None if carbon is None else carbon.grams_per_kwh * carbon.pue,
            ),
            strict=True,
        )
    )


def _labels(record: RunRecord, each: Measured) -> dict[str, str]:
    return {
        **_names(record, each.test),
        "scope": each.test.scope,
        "evidence": each.evidence,
        "hardware": each.hardware,
    }


def _names(record: RunRecord, test: TestRecord) -> dict[str, str]:
    """What is known of a test without a figure in joules, too."""
    run = record.session_of(test).run
    return {
        "test": test.id,
        "name": test.name or "",
        "unit": test.unit,
        "task": test.task or "",
        "model": test.model or "",
        "method": test.method,
        "commit": run.commit or "",
        "session": run.uuid if record.sessions else "",
    }


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def plain_samples(found: Mapping[str, Family], names: Sequence[str]) -> list[str]:
    """Lines of a name, labels without a blank or a quote in them, and a fixed-point value."""
    lines: dict[str, str] = {}
    for name in names:
        for labels, value in found[name].samples if name in found else ():
            kept = {key: labels[key] for key in _PLAIN if labels.get(key)}
            pairs = (f'{key}="{_plain(text)}"' for key, text in kept.items())
            lines.setdefault(f"{name}{{{','.join(pairs)}}}", fixed_point(value))
    return [f"{sample} {value}" for sample, value in lines.items()]


#: Labels by which a reader that compares text tells samples apart; none changes with the commit.
_PLAIN = ("test", "name", "unit", "evidence", "scope", "hardware", "limit")


def _plain(text: str) -> str:
    allowed = set("-_./:[],+=@()")
    return "".join(each if each.isalnum() or each in allowed else "_" for each in text)
