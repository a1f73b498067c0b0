"""Software Carbon Intensity (ISO/IEC 21031): SCI = ((E x I) + M) / R, as JSON.

pytest-energy measures E and pins I. It doesn't know M, the embodied emissions of the hardware, so
that what it writes is the operational part alone, and says so.
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
    notes = [OPERATIONAL]
    if carbon is None:
        notes.append(f"without I: {NO_FACTOR}")
    elif carbon.basis != Basis.LOCATION:
        notes.append("I is market-based, and the standard asks for a location-based one")
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
        "M_grams_co2e": None,
        "operational_grams_co2e": each.grams,
        "sci_grams_co2e": None,
        "notes": notes,
    }
