"""Grams of CO2e from joules, with a pinned intensity that is printed and stored."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum

from pytest_energy.errors import InputError
from pytest_energy.units import JOULES_PER_KWH, LONGEST_QUANTITY, grouped, plural

_INTENSITY = re.compile(r"\s*(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*(k|m)?gCO2e\s*(?:/|per)\s*kWh\s*")
#: Grams for one kWh; grids have 10 to 1,300.
LEAST_INTENSITY, LARGEST_INTENSITY = 1e-6, 1e6
#: kWh that a data centre takes for one of its machines; the worst have 3.
LARGEST_PUE = 100.0
_GRAMS = {None: 1.0, "k": 1e3, "m": 1e-3}
_RANGE = (
    f"too small or too large: from {LEAST_INTENSITY:g} to {LARGEST_INTENSITY:g} grams of CO2e for "
    "one kWh"
)


class Basis(StrEnum):
    """What an intensity is an average of, in the words of the GHG Protocol (Scope 2)."""

    LOCATION = "location"
    """The grid where the machine stands."""
    MARKET = "market"
    """The contracts and certificates that its owner has bought."""


@dataclass(frozen=True)
class Embodied:
    """Grams of CO2e that making the hardware adds to one unit of work, as its user states them."""

    unit: str
    grams_per_unit: float
    source: str


@dataclass(frozen=True, kw_only=True)
class Intensity:
    """Grams of CO2e for one kWh of electricity, where the number comes from, and for which year.

    Raises ValueError for a factor that is not above zero and for a PUE below 1.
    """

    grams_per_kwh: float
    source: str
    year: int | None = None
    """The year that the factor describes, where its source tells."""
    basis: Basis = Basis.LOCATION
    pue: float = 1.0
    """Power usage effectiveness: kWh the data centre takes for one kWh of its machines.

    It scales grams only; joules are always those of the machine.
    """
    embodied: tuple[Embodied, ...] = ()
    """Emissions of making the hardware, for each unit that has some; in no gram of this class."""

    def __post_init__(self) -> None:
        if not 0 < self.grams_per_kwh < math.inf:
            raise InputError(
                f"carbon intensity {self.grams_per_kwh!r} ({self.source}) is not above zero, "
                "in grams of CO2e for one kWh; for example 300.0"
            )
        if not LEAST_INTENSITY <= self.grams_per_kwh <= LARGEST_INTENSITY:
            raise InputError(f"carbon intensity {self.grams_per_kwh!r} ({self.source}) is {_RANGE}")
        if not 1 <= self.pue <= LARGEST_PUE:
            raise InputError(
                f"PUE {self.pue!r} ({self.source}) is not a number of at least 1, "
                f"and at most {LARGEST_PUE:g}, "
                "the data centre's kWh for one kWh of its machines; for example 1.2"
            )

    def grams(self, joules: float) -> float:
        """Grams of CO2e for this energy, the data centre's overhead included."""
        return joules * self.grams_per_kwh * self.pue / JOULES_PER_KWH

    def joules(self, grams: float) -> float:
        """The energy that weighs so many grams of CO2e; the inverse of `grams`."""
        return grams * JOULES_PER_KWH / (self.grams_per_kwh * self.pue)

    @property
    def factor(self) -> str:
        """The factor with all its digits, as `parse_intensity` reads it back."""
        return f"{float(self.grams_per_kwh)!r}".removesuffix(".0") + " gCO2e/kWh"

    def __str__(self) -> str:
        factor = self.factor if self.pue == 1 else f"{self.factor} x PUE {self.pue:.12g}"
        origin = [self.source]
        if self.year is not None:
            origin.append(str(self.year))
        if self.basis is Basis.MARKET:
            origin.append("market-based")
        unknown = ", year not given" if self.year is None else ""
        return f"{factor} ({', '.join(origin)}){unknown}"


def parse_intensity(text: str) -> float:
    """Grams for one kWh, from "300 gCO2e/kWh". Raises ValueError with an example that works."""
    if len(text) > LONGEST_QUANTITY:
        raise InputError(f"carbon intensity: it is longer than {LONGEST_QUANTITY} characters")
    match = _INTENSITY.fullmatch(text)
    grams = float(match[1]) * _GRAMS[match[2]] if match else 0.0
    if not 0 < grams < math.inf:
        raise InputError(
            f"carbon intensity {text!r} is not an amount above zero for one kWh; "
            'write it as "300 gCO2e/kWh"'
        )
    if not LEAST_INTENSITY <= grams <= LARGEST_INTENSITY:
        raise InputError(f"carbon intensity {text!r} is {_RANGE}")
    return grams


@dataclass(frozen=True, kw_only=True)
class Equivalence:
    """Something familiar that takes energy, to compare with: an illustration, never a limit."""

    name: str
    plural: str
    kwh_each: float
    source: str
    year: int | None = None


PHONE_CHARGE = Equivalence(
    name="phone charge",
    plural="phone charges",
    kwh_each=0.022,
    source="US EPA greenhouse gas equivalencies calculator, from January 2024 on; "
    "v3 of the study arXiv 2311.16863",
    year=2024,
)
#: The press has its "charges" from v1 of the study, which are smaller by a factor of 1.8.
PHONE_CHARGE_2023 = Equivalence(
    name="phone charge",
    plural="phone charges",
    kwh_each=0.012,
    source="US EPA greenhouse gas equivalencies calculator, before January 2024; "
    "v1 of the study arXiv 2311.16863",
    year=2023,
)
#: The battery alone; what is lost in charging comes on top.
CAR_CHARGE = Equivalence(
    name="electric-car charge",
    plural="electric-car charges",
    kwh_each=50.0,
    source="battery of the first base Tesla Model 3, which its maker gave as just over 50 kWh "
    "in August 2017",
    year=2017,
)
_KWH_PER_GALLON = 33.7  # as the EPA counts it in miles per gallon of gasoline-equivalent (MPGe)
_KILOMETRES_PER_MILE = 1.609344
CAR_KILOMETRE = Equivalence(
    name="electric-car kilometre",
    plural="electric-car kilometres",
    kwh_each=_KWH_PER_GALLON / (132 * _KILOMETRES_PER_MILE),
    source="US EPA rating of the 2024 Tesla Model 3 RWD, 132 MPGe at 33.7 kWh a gallon, charging "
    "losses included",
    year=2024,
)
US_HOUSEHOLD_YEAR = Equivalence(
    name="US household-year",
    plural="US household-years",
    kwh_each=10_715.0,
    source="US Energy Information Administration (FAQ 97): electricity of a residential customer "
    "in 2020",
    year=2020,
)
EU_HOUSEHOLD_YEAR = Equivalence(
    name="EU household-year",
    plural="EU household-years",
    kwh_each=3_700.0,
    source="Odyssee-Mure: electricity of a dwelling, EU average",
)
EQUIVALENCES = (
    PHONE_CHARGE,
    PHONE_CHARGE_2023,
    CAR_CHARGE,
    CAR_KILOMETRE,
    US_HOUSEHOLD_YEAR,
    EU_HOUSEHOLD_YEAR,
)


#: Of less than this, people have no idea.
LEAST_EQUIVALENT = 0.01


def equivalent(joules: float, each: Equivalence) -> float:
    """How many of `each` this energy is."""
    return joules / (each.kwh_each * JOULES_PER_KWH)


def readable_units(joules_per_unit: float, each: Equivalence) -> int:
    """Of how many units to tell: 1,000, or a million where 1,000 take less than 0.01 of it."""
    is_little = 0 < equivalent(joules_per_unit * 1000, each) < LEAST_EQUIVALENT
    return 1_000_000 if is_little else 1000


def in_words(joules_per_unit: float, unit: str, units: int, each: Equivalence) -> str:
    """For example "0.270 phone charges per 1,000 queries"; `unit` is singular."""
    found = equivalent(joules_per_unit * units, each)
    is_little = 0 < found < LEAST_EQUIVALENT
    amount = f"less than {LEAST_EQUIVALENT:g}" if is_little else grouped(found)
    counted = f"1 {each.name}" if amount == "1.00" else f"{amount} {each.plural}"
    return f"{counted} per {units:,} {plural(unit)}"
