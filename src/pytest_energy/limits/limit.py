"""A limit such as "2.1 Wh / 1000 queries": parsed once into the base of what it counts."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from pytest_energy.errors import InputError
from pytest_energy.record.plain import spelled
from pytest_energy.spelling import alike
from pytest_energy.units import (
    JOULES_PER_KWH,
    JOULES_PER_WH,
    LONGEST_QUANTITY,
    Quantity,
    figure,
    plural,
    singular,
)

#: Joules, grams or CPU seconds for one unit: what is measured lies far inside of this.
LEAST_LIMIT, LARGEST_LIMIT = 1e-15, 1e15
#: FLOPs for one unit; a large model's long text takes 1e18.
LARGEST_FLOPS = 1e24
#: Units that one call does, or that a limit is for.
LARGEST_COUNT = 10**12

EXAMPLES = (
    '"2.1 Wh / 1000 queries", "35 mJ / token", "0.5 gCO2e per 1k queries", "120 cpu-ms / query", '
    '"2.5 GFLOP / query"'
)


#: What each quantity is compared in.
_BASES = {
    Quantity.ENERGY: "J",
    Quantity.CARBON: "g",
    Quantity.CPU_TIME: "CPU seconds",
    Quantity.FLOPS: "FLOP",
}
#: symbol -> (quantity, size in its base)
SYMBOLS: dict[str, tuple[Quantity, float]] = {
    "uJ": (Quantity.ENERGY, 1e-6),
    "mJ": (Quantity.ENERGY, 1e-3),
    "J": (Quantity.ENERGY, 1.0),
    "kJ": (Quantity.ENERGY, 1e3),
    "mWh": (Quantity.ENERGY, 3.6),
    "Wh": (Quantity.ENERGY, JOULES_PER_WH),
    "kWh": (Quantity.ENERGY, JOULES_PER_KWH),
    "mgCO2e": (Quantity.CARBON, 1e-3),
    "gCO2e": (Quantity.CARBON, 1.0),
    "kgCO2e": (Quantity.CARBON, 1e3),
    "cpu-ms": (Quantity.CPU_TIME, 1e-3),
    "cpu-s": (Quantity.CPU_TIME, 1.0),
    "FLOP": (Quantity.FLOPS, 1.0),
    "kFLOP": (Quantity.FLOPS, 1e3),
    "MFLOP": (Quantity.FLOPS, 1e6),
    "GFLOP": (Quantity.FLOPS, 1e9),
    "TFLOP": (Quantity.FLOPS, 1e12),
    "PFLOP": (Quantity.FLOPS, 1e15),
}
#: Names that people write out, for a hint at the symbol.
_NAMES = {
    "joule": "J",
    "joules": "J",
    "\u00b5j": "uJ",
    "\u03bcj": "uJ",
    "microjoules": "uJ",
    "millijoules": "mJ",
    "kilojoules": "kJ",
    "watthours": "Wh",
    "watt-hours": "Wh",
    "kilowatt-hours": "kWh",
    "grams": "gCO2e",
    "cpu-seconds": "cpu-s",
}
#: A capital M means mega in SI, and the two readings are a factor of 10^9 apart: ask, never guess.
_AMBIGUOUS = {"mwh": "mWh or kWh?", "mj": "mJ or kJ?"}
_MULTIPLES = {"": 1.0, "k": 1e3, "M": 1e6}

_LIMIT = re.compile(
    r"""\s*(?P<amount>[+-]?(?:nan\b|inf(?:inity)?\b|[\d.,_']+(?:[eE][+-]?\d+)?))\s*
        (?P<symbol>[^\s/\d][^\s/]*)\s*
        (?:/|(?<=\s)per\s)\s*(?P<per>.*?)\s*""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_PER = re.compile(
    r"(?:(?P<number>[+-]?\d[\d.,]*)\s*(?:(?P<multiple>[kM])(?![\w-]))?)?\s*(?P<unit>[A-Za-z][\w-]*)",
    re.ASCII,
)
_WHOLE = re.compile(r"\d{1,3}(?:,\d{3})+|\d+", re.ASCII)
_DECIMAL = re.compile(r"\d+\.\d+", re.ASCII)


class LimitError(InputError):
    """A limit that can't be read; the message names the value, why, and examples that work."""

    def __init__(self, text: object, why: str) -> None:
        self.why = why
        super().__init__(f"limit {spelled(text)}: {why}; valid limits look like {EXAMPLES}")


@dataclass(frozen=True, kw_only=True)
class Limit:
    """An upper limit of energy, carbon, CPU time or FLOPs for `per` units of work."""

    amount: float
    symbol: str
    per: float
    unit: str
    text: str = field(compare=False)
    """As its author wrote it."""

    @property
    def quantity(self) -> Quantity:
        return SYMBOLS[self.symbol][0]

    @property
    def size(self) -> float:
        """One of the limit's symbol, in joules, grams of CO2e, CPU seconds or FLOPs."""
        return SYMBOLS[self.symbol][1]

    @property
    def base_per_unit(self) -> float:
        """The limit for one unit, in joules, grams of CO2e, CPU seconds or FLOPs."""
        return self.amount * self.size / self.per

    def amount_of(self, base_per_unit: float) -> float:
        """A figure per unit, in the base of what is counted, as an amount on the limit's scale."""
        return base_per_unit * self.per / self.size

    def describe(self, base_per_unit: float) -> str:
        """A figure per unit in the limit's own words, for example "3.42 Wh / 1000 queries"."""
        return f"{figure(self.amount_of(base_per_unit))} {self.symbol} / {self.units}"

    @property
    def units(self) -> str:
        """The units a limit stands for: "query", "1000 queries"."""
        return self.unit if self.per == 1 else f"{self.per:.12g} {plural(self.unit)}"

    def __str__(self) -> str:
        return self.describe(self.base_per_unit)


def parse_limit(text: object) -> Limit:
    """Read a limit such as "2.1 Wh / 1000 queries".

    Raises LimitError for anything but a string of an amount above zero, a symbol, "/" or "per",
    an optional number of units ("1000", "1,000", "1k") and the unit's name.
    """
    if not isinstance(text, str):
        raise LimitError(text, "a limit is a string that names its unit, not a bare number")
    if len(text) > LONGEST_QUANTITY:  # the patterns are slow in texts of a megabyte
        raise LimitError(text[:40] + "...", f"it is longer than {LONGEST_QUANTITY} characters")
    match = _LIMIT.fullmatch(text)
    if match is None:
        raise LimitError(text, _why_unreadable(text))
    amount = _amount(text, match["amount"])
    symbol = _symbol(text, match["symbol"])
    per, unit = _per(text, match["per"])
    limit = Limit(amount=amount, symbol=symbol, per=per, unit=unit, text=text.strip())
    largest = LARGEST_FLOPS if limit.quantity is Quantity.FLOPS else LARGEST_LIMIT
    if not LEAST_LIMIT <= limit.base_per_unit <= largest:
        raise LimitError(
            text,
            "the amount for one unit is too small or too large: from "
            f"{LEAST_LIMIT:g} to {largest:g} {_BASES[limit.quantity]}",
        )
    return limit


def is_symbol(text: str) -> bool:
    """Whether a limit may be counted in this: "Wh", "cpu-ms"."""
    return text in SYMBOLS


def _why_unreadable(text: str) -> str:
    if re.fullmatch(r"\s*[+-]?[\d.,]+\s*", text):
        return "a bare number has no unit"
    if not re.search(r"/|\bper\b", text):
        return 'it does not say for how many units of work ("/ 1000 queries")'
    return "it is not an amount, a unit of measure, and a number of units of work"


def _amount(text: str, amount: str) -> float:
    if "," in amount:
        raise LimitError(text, f"{amount!r} has a comma: write decimals with a point")
    try:
        value = float(amount.replace("_", "?"))
    except ValueError:
        raise LimitError(text, f"{amount!r} is not a number") from None
    if not math.isfinite(value):
        raise LimitError(text, f"{amount!r} is not a finite number")
    if value <= 0:
        raise LimitError(text, "a limit must be above zero")
    return value


def _symbol(text: str, symbol: str) -> str:
    if symbol in SYMBOLS:
        return symbol
    if symbol.startswith("M") and (question := _AMBIGUOUS.get(symbol.lower())):
        raise LimitError(text, f"{symbol!r} is not supported ({question})")
    folded = {known.lower(): known for known in SYMBOLS} | _NAMES
    near = alike(symbol.lower(), folded, cutoff=0.85)
    hint = f", did you mean {folded[near[0]]!r}?" if near else ""
    raise LimitError(text, f"unknown unit {symbol!r}{hint} (known: {', '.join(SYMBOLS)})")


def _per(text: str, per: str) -> tuple[float, str]:
    match = _PER.fullmatch(per)
    if match is None:
        raise LimitError(
            text, f"{per!r} is not a number of units and the unit's name, such as '1000 queries'"
        )
    number = match["number"] or "1"
    # "1.000" is a thousand to some and one to others; "1.5k" is clear.
    if not (_WHOLE.fullmatch(number) or (match["multiple"] and _DECIMAL.fullmatch(number))):
        raise LimitError(text, f"{number!r} is not a number of units ('1000', '1,000' or '1.5k')")
    if match["unit"] in _MULTIPLES:
        raise LimitError(text, f"{per!r} has no unit's name, such as '1k queries'")
    count = float(number.replace(",", "")) * _MULTIPLES[match["multiple"] or ""]
    if count <= 0:
        raise LimitError(text, "the number of units must be above zero")
    if count > LARGEST_COUNT:
        raise LimitError(text, f"the number of units is larger than {LARGEST_COUNT:g}")
    return count, singular(match["unit"])
