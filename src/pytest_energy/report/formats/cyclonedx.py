"""CycloneDX 1.6 ML-BOM: the energy of inference in the card of each model.

Energy is in kWh and emissions in tonnes of CO2 equivalent, for 1,000 units of work; the properties
name the unit, how the energy is known, and the carbon factor.
"""

from __future__ import annotations

import json
from datetime import datetime
from uuid import NAMESPACE_URL, uuid5

from pytest_energy.record.schema import RunRecord
from pytest_energy.report.printable import all_printable
from pytest_energy.report.quantities import Measured, measured
from pytest_energy.units import JOULES_PER_KWH, plural

#: Units of work of one entry.
UNITS = 1000
_PREFIX = "pytest-energy:"


def render(record: RunRecord) -> str:
    """A component for each model that was measured, or for each test that names none."""
    found = measured(record)
    run = all_printable(record).run
    by_model: dict[str, list[Measured]] = {}
    for each in found:
        by_model.setdefault(each.test.model or each.label, []).append(each)
    metadata: dict[str, object] = {
        "tools": {
            "components": [
                {
                    "type": "application",
                    "name": "pytest-energy",
                    "version": run.versions.get("pytest-energy", "unknown"),
                }
            ]
        }
    }
    if (moment := _moment(run.end)) is not None:
        metadata["timestamp"] = moment
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, run.uuid)}",
        "version": 1,
        "metadata": metadata,
        "components": [
            _component(f"model-{index}", model, figures)
            for index, (model, figures) in enumerate(by_model.items())
        ],
    }
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def _moment(text: str) -> str | None:
    """A time with its zone, which a record from elsewhere may lack."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.isoformat() if found.tzinfo is not None else None


def _component(ref: str, model: str, figures: list[Measured]) -> dict[str, object]:
    tasks = sorted({each.test.task for each in figures if each.test.task})
    card: dict[str, object] = {
        "considerations": {
            "environmentalConsiderations": {"energyConsumptions": list(map(_consumption, figures))}
        }
    }
    if tasks:
        card["modelParameters"] = {"task": ", ".join(tasks)}
    return {"type": "machine-learning-model", "bom-ref": ref, "name": model, "modelCard": card}


def _consumption(each: Measured) -> dict[str, object]:
    kwh = each.joules * UNITS / JOULES_PER_KWH
    carbon = each.session.carbon
    properties = {
        "measurement": each.label,
        "units": f"{UNITS} {plural(each.test.unit)}",
        "evidence": each.evidence,
        "scope": each.test.scope,
        "hardware": each.hardware,
        "commit": each.session.run.commit or "",
    }
    if carbon is not None:
        properties["carbon-factor"] = carbon.description
    found: dict[str, object] = {
        "activity": "inference",
        "energyProviders": [
            {
                "description": f"Carbon factor: {carbon.description}" if carbon else "not stated",
                "organization": {"name": "unknown"},
                "energySource": "unknown",
                # With the overhead of the data centre, which its provider delivers too.
                "energyProvided": {"value": kwh * each.pue, "unit": "kWh"},
            }
        ],
        "activityEnergyCost": {"value": kwh, "unit": "kWh"},
        "properties": [
            {"name": _PREFIX + name, "value": value} for name, value in properties.items() if value
        ],
    }
    if each.grams is not None:
        tonnes = each.grams * UNITS / 1e6
        found["co2CostEquivalent"] = {"value": tonnes, "unit": "tCO2eq"}
    return found
