"""Grams of CO2e from joules, with a pinned intensity that is printed and stored."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from pytest_energy.units import JOULES_PER_KWH

_INTENSITY = re.compile(r"\s*(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*(k|m)?gCO2e\s*(?:/|per)\s*kWh\s*")
_GRAMS = {None: 1.0, "k": 1e3, "m": 1e-3}


@dataclass(frozen=True)
class Intensity:
    """Grams of CO2e for one kWh of electricity, and where the number comes from."""

    grams_per_kwh: float
    source: str

    def grams(self, joules: float) -> float:
        return joules * self.grams_per_kwh / JOULES_PER_KWH

    def joules(self, grams: float) -> float:
        return grams * JOULES_PER_KWH / self.grams_per_kwh

    def __str__(self) -> str:
        return f"{self.grams_per_kwh:g} gCO2e/kWh ({self.source})"


def parse_intensity(text: str) -> float:
    """Grams for one kWh, from "300 gCO2e/kWh". Raises ValueError with an example that works."""
    match = _INTENSITY.fullmatch(text)
    grams = float(match[1]) * _GRAMS[match[2]] if match else 0.0
    if not 0 < grams < math.inf:
        raise ValueError(
            f"carbon intensity {text!r} is not an amount above zero for one kWh; "
            'write it as "300 gCO2e/kWh"'
        )
    return grams
