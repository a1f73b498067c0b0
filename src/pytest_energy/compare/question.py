"""What `pytest-energy compare` can be asked, read from its options."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pytest_energy.compare.interrupts import Interrupts
from pytest_energy.compare.of_base import OfBase
from pytest_energy.compare.of_records import OfRecords
from pytest_energy.compare.of_variants import EXAMPLE, OfVariants, read_variants
from pytest_energy.compare.outcome import ComparisonRecord, Side
from pytest_energy.compare.pairs import Rule
from pytest_energy.compare.turns import LEAST_PAIRS, Plan, Tell
from pytest_energy.errors import InputError
from pytest_energy.limits.checks import fraction
from pytest_energy.rules.verdict import LOOKS, MAX_INCREASE, MAX_RATIO_INCREASE


class Question(Protocol):
    """One way to compare."""

    @property
    def sides(self) -> tuple[Side, Side]:
        """What is known of the two before anything has run."""

    @property
    def max_increase(self) -> float:
        """A fraction."""

    def answer(self, interrupts: Interrupts, tell: Tell) -> ComparisonRecord:
        """Raises CouldNotCompare. `tell` is called with what goes on."""


@dataclass(frozen=True)
class Options:
    """The options as they were given, None where they weren't; max_seconds: seconds."""

    arguments: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    base: str | None = None
    setup: str | None = None
    pairs: int | None = None
    max_seconds: float | None = None
    max_increase: str | None = None


def read_question(options: Options, folder: Path) -> Question:
    """What is asked in this folder. Raises ValueError for what can't be asked."""
    if options.variants and options.base is not None:
        raise InputError("--variant and --base are two ways to compare; keep one of them")
    if options.setup is not None and options.base is None:
        raise InputError("--setup prepares the two trees of --base; for example --base main")
    if options.variants:
        return OfVariants(read_variants(options.variants), _plan(options, folder))
    if options.base is not None:
        return OfBase(options.base, options.setup, _plan(options, folder))
    if options.pairs is not None or options.max_seconds is not None:
        raise InputError("--pairs and --max-seconds are for --variant and --base; records have run")
    if len(options.arguments) != 2:
        raise InputError(
            f"it compares two records, not {len(options.arguments)}: old.json new.json; "
            f"or --base main; or {EXAMPLE}"
        )
    reference, candidate = map(Path, options.arguments)
    return OfRecords(reference, candidate, _max_increase(options, MAX_INCREASE))


def _plan(options: Options, folder: Path) -> Plan:
    seconds = math.inf if options.max_seconds is None else options.max_seconds
    if not seconds > 0:
        raise InputError(f"--max-seconds {seconds:g} is not above zero; for example 1800")
    pairs = LOOKS[-1] if options.pairs is None else options.pairs
    if pairs < LEAST_PAIRS:
        raise InputError(f"--pairs {pairs} is fewer than {LEAST_PAIRS}; for example 5")
    looks = LOOKS if options.pairs is None else ()
    rule = Rule(_max_increase(options, MAX_RATIO_INCREASE), looks)
    return Plan(options.arguments, folder, rule, pairs, seconds)


def _max_increase(options: Options, usual: float) -> float:
    text = options.max_increase
    if text is None:
        return usual
    try:
        if "%" not in text:  # is 3 three per cent, or three times as much?
            raise ValueError
        return fraction(text)
    except ValueError:
        raise InputError(
            f"--max-increase {text!r} is not a percentage below 100 %; for example 3%"
        ) from None
