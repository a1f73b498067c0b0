"""What one unit of work adds up to: under traffic, and beside the training of its model. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_energy.errors import InputError
from pytest_energy.units import DAYS_PER_YEAR, JOULES_PER_KWH, plural, singular

_DAYS = {
    "second": 1 / 86_400,
    "minute": 1 / 1_440,
    "hour": 1 / 24,
    "day": 1.0,
    "week": 7.0,
    "month": DAYS_PER_YEAR / 12,
    "year": DAYS_PER_YEAR,
}
#: Units of work: the world's web searches of a century are fewer.
LARGEST_VOLUME = 1e18
#: Joules of a training: more than what the world uses in a year.
LARGEST_TRAINING = 3.6e24
_MULTIPLES = {"": 1.0, "k": 1e3, "M": 1e6, "B": 1e9}
_VOLUME = re.compile(
    r"\s*(?:(?P<whole>\d{1,3}(?:,\d{3})+|\d+)|(?P<decimal>\d+\.\d+)(?=\s*[kMB]\b))\s*"
    r"(?:(?P<multiple>[kMB])\b)?\s*(?P<unit>[A-Za-z][\w-]*)\s*"
    r"(?:/|\sper\s)\s*(?P<period>[a-z]+)\s*",
    re.ASCII,
)
#: Training takes megawatt-hours, so here a capital M is mega, and no other case is taken.
_KWH = {"Wh": 1e-3, "kWh": 1.0, "MWh": 1e3, "GWh": 1e6}
_TRAINING = re.compile(
    r"\s*(?P<amount>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)\s*(?P<symbol>[A-Za-z]+)\s*",
    re.ASCII,
)


@dataclass(frozen=True)
class Volume:
    """How many units of work a service does."""

    units_per_day: float
    unit: str
    text: str
    """As its author wrote it."""


def parse_volume(text: str) -> Volume:
    """From "10M queries / day". Raises ValueError with an example that works."""
    match = _VOLUME.fullmatch(text)
    days = _DAYS.get(singular(match["period"])) if match else None
    if match is None or days is None or match["unit"] in _MULTIPLES:
        raise InputError(
            f"volume {text!r} is not a number of units in a {', '.join(_DAYS)}; write it as "
            '"10M queries / day" (k is a thousand, M a million, B a billion)'
        )
    number = match["decimal"] or match["whole"].replace(",", "")
    units = float(number) * _MULTIPLES[match["multiple"] or ""]
    if not 0 < units <= LARGEST_VOLUME:
        raise InputError(
            f"volume {text!r} is not above zero, or too large: at most "
            f'{LARGEST_VOLUME:g}; write it as "10M queries / day"'
        )
    return Volume(units / days, singular(match["unit"]), text.strip())


def parse_training(text: str) -> float:
    """Joules of a training, from "1287 MWh". Raises ValueError with an example that works."""
    match = _TRAINING.fullmatch(text)
    if match is None or match["symbol"] not in _KWH:
        raise InputError(
            f"training {text!r} is not an amount in {', '.join(_KWH)} (written so); "
            'write it as "1287 MWh"'
        )
    joules = float(match["amount"].replace(",", "")) * _KWH[match["symbol"]] * JOULES_PER_KWH
    if not 0 < joules <= LARGEST_TRAINING:
        raise InputError(
            f"training {text!r} is not above zero, or too large: at most "
            '1e9 GWh; write it as "1287 MWh"'
        )
    return joules


def joules_per_day(joules_per_unit: float, unit: str, volume: Volume) -> float:
    """Joules a day of this traffic. Raises ValueError where it counts another unit."""
    if volume.unit != unit:
        raise InputError(
            f'volume "{volume.text}" counts {plural(volume.unit)}, and the figure is for one '
            f'{unit}; write it as "10M {plural(unit)} / day"'
        )
    return joules_per_unit * volume.units_per_day


def parity(training_joules: float, joules_per_unit: float) -> int:
    """The number of units after which use has taken as much as training.

    As in Table 5 of the study (arXiv 2311.16863), where training includes fine-tuning.
    """
    return round(training_joules / joules_per_unit)
