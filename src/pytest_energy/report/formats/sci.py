"""Software Carbon Intensity (ISO/IEC 21031): SCI = ((E x I) + M) / R, as JSON.

pytest-energy measures E and pins I. M, the embodied emissions of the hardware, is what the user
states for one unit of work; without it the operational part stands alone, and is called so.
"""

from __future__ import annotations

import json

from pytest_energy.carbon.intensity import Basis
from pytest_energy.record.schema import RunRecord
from pytest_energy.report.quantities import NO_FACTOR, Measured, measured
from pytest_energy.units import JOULES_PER_KWH

STANDARD = "ISO/IEC 21031:2024"
OPERATIONAL = "operational only, not SCI: the embodied emissions (M) are unknown"


def render(record: RunRecord) -> str:
    """For each figure the parts of the score for one functional unit (R = 1 unit of work)."""
    scores = [_score(each) for each in measured(record)]
    document = {"standard": STANDARD, "formula": "SCI = ((E x I) + M) / R", "scores": scores}
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def _score(each: Measured) -> dict[str, object]:
    carbon = each.session.carbon
    embodied = next(
        (one for one in (carbon.embodied if carbon else ()) if one.unit == each.test.unit), None
    )
    notes = [] if embodied else [OPERATIONAL]
    if carbon is None:
        notes.append(f"without I: {NO_FACTOR}")
    elif carbon.basis != Basis.LOCATION:
        notes.append("not SCI: I is market-based, and the standard asks for a location-based one")
    is_score = embodied is not None and carbon is not None and carbon.basis == Basis.LOCATION
    if each.is_estimate:
        notes.append("E is estimated, not measured")
    return {
        "name": each.series,
        "functional_unit": each.test.unit,
        "R": 1,
        "E_kwh": each.joules * each.pue / JOULES_PER_KWH,
        "E_evidence": each.evidence,
        "E_pue": each.pue,
        "I_grams_co2e_per_kwh": carbon.grams_per_kwh if carbon else None,
        "I_source": carbon.description if carbon else None,
        "M_grams_co2e": embodied.grams_per_unit if embodied else None,
        "M_source": embodied.source if embodied else None,
        "operational_grams_co2e": each.grams,
        "sci_grams_co2e": (each.grams or 0.0) + embodied.grams_per_unit
        if embodied is not None and is_score
        else None,
        "notes": notes,
    }
