"""What `pytest-energy compare` is asked to compare, read from its options."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_energy.compare.judgement import Rule
from pytest_energy.compare.outcome import Side
from pytest_energy.errors import InputError
from pytest_energy.limits.checks import fraction
from pytest_energy.rules.baseline import MAX_INCREASE
from pytest_energy.rules.estimate import LOOKS
from pytest_energy.rules.paired import MAX_RATIO_INCREASE

#: With fewer pairs, even a large change can't be judged.
MIN_PAIRS = 3
YOURS = "your tree"
_EXAMPLE = "--variant old:MODEL=distilbert --variant new:MODEL=modernbert"
_VARIANT = re.compile(r"(?P<name>\w[\w.-]*):(?P<variable>[A-Za-z_]\w*)=(?P<value>.*)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options as given, None for those that are missing; max_seconds: seconds."""

    arguments: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    base: str | None = None
    setup: str | None = None
    pairs: int | None = None
    max_seconds: float | None = None
    max_increase: str | None = None
    sequential: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How pairs of pytest processes are run.

    arguments: pytest's, in `folder`. max_pairs: pairs at most. max_seconds: seconds at most, except
    for the first three pairs. sequential: one process after the other, not in turns.
    """

    arguments: tuple[str, ...]
    folder: Path
    rule: Rule
    max_pairs: int
    max_seconds: float
    sequential: bool = False


@dataclass(frozen=True)
class TwoRecords:
    """Two runs that were recorded before, by rule B. max_increase: a fraction."""

    reference: Path
    candidate: Path
    max_increase: float

    @property
    def sides(self) -> tuple[Side, Side]:
        return Side(self.reference.name), Side(self.candidate.name)


@dataclass(frozen=True)
class Variant:
    """A name, and its environment variables."""

    name: str
    variables: dict[str, str]


@dataclass(frozen=True)
class TwoVariants:
    """One tree under two sets of environment variables, by rule B'."""

    variants: tuple[Variant, Variant]
    plan: Plan

    @property
    def sides(self) -> tuple[Side, Side]:
        first, second = self.variants
        return Side(first.name), Side(second.name)

    @property
    def max_increase(self) -> float:
        return self.plan.rule.max_increase


@dataclass(frozen=True)
class BaseCommit:
    """A commit and the user's tree, by rule B'. setup: a command to run in each tree, or None."""

    ref: str
    setup: str | None
    plan: Plan

    @property
    def sides(self) -> tuple[Side, Side]:
        return Side(self.ref), Side(YOURS)

    @property
    def max_increase(self) -> float:
        return self.plan.rule.max_increase


Question = TwoRecords | TwoVariants | BaseCommit


def read_question(options: Options, folder: Path) -> Question:
    """What the options ask in this folder. Raises InputError for options that don't fit."""
    if options.variants and options.base is not None:
        raise InputError("--variant and --base are two ways to compare; use one of them")
    if options.setup is not None and options.base is None:
        raise InputError("--setup prepares the two trees of --base; add, for example, --base main")
    if options.variants:
        return TwoVariants(read_variants(options.variants), _plan(options, folder))
    if options.base is not None:
        return BaseCommit(options.base, options.setup, _plan(options, folder))
    if options.pairs is not None or options.max_seconds is not None or options.sequential:
        raise InputError(
            "--pairs, --max-seconds and --sequential need --variant or --base; two records are "
            "already measured"
        )
    if len(options.arguments) != 2:
        raise InputError(
            f"expected two records, got {len(options.arguments)}; for example old.json new.json, "
            f"--base main, or {_EXAMPLE}"
        )
    reference, candidate = map(Path, options.arguments)
    return TwoRecords(reference, candidate, _max_increase(options, MAX_INCREASE))


def _plan(options: Options, folder: Path) -> Plan:
    seconds = math.inf if options.max_seconds is None else options.max_seconds
    if not seconds > 0:
        raise InputError(
            f"--max-seconds {seconds:g}: expected a number above zero; for example 1800"
        )
    pairs = LOOKS[-1] if options.pairs is None else options.pairs
    if pairs < MIN_PAIRS:
        raise InputError(f"--pairs {pairs}: expected at least {MIN_PAIRS}; for example 5")
    rule = Rule(_max_increase(options, MAX_RATIO_INCREASE), LOOKS if options.pairs is None else ())
    return Plan(
        arguments=options.arguments,
        folder=folder,
        rule=rule,
        max_pairs=pairs,
        max_seconds=seconds,
        sequential=options.sequential,
    )


def _max_increase(options: Options, default: float) -> float:
    text = options.max_increase
    if text is None:
        return default
    try:
        if "%" not in text:  # is 3 three per cent, or three times as much?
            raise ValueError
        return fraction(text)
    except ValueError:
        raise InputError(
            f"--max-increase {text!r}: expected a percentage below 100 %; for example 3%"
        ) from None


def read_variants(texts: Sequence[str]) -> tuple[Variant, Variant]:
    """The two variants in NAME:VARIABLE=VALUE; the first is the reference. Raises InputError.

    A name may be given several times, each with another variable.
    """
    found: dict[str, dict[str, str]] = {}
    for text in texts:
        match = _VARIANT.fullmatch(text)
        if match is None:
            raise InputError(
                f"--variant {text!r}: expected NAME:VARIABLE=VALUE; for example {_EXAMPLE}"
            )
        variables = found.setdefault(match["name"], {})
        if match["variable"] in variables:
            raise InputError(f"--variant {match['name']} sets {match['variable']} twice; keep one")
        variables[match["variable"]] = match["value"]
    if len(found) != 2:
        raise InputError(
            f"--variant: expected two names, got {len(found)} ({', '.join(found)}); for example "
            f"{_EXAMPLE}"
        )
    first, second = (Variant(name, variables) for name, variables in found.items())
    if first.variables == second.variables:
        raise InputError(
            f"--variant {first.name} and {second.name} set the same variables, so there is nothing "
            f"to compare; for example {_EXAMPLE}"
        )
    return first, second
