"""`--variant NAME:VARIABLE=VALUE`: one tree under two sets of environment variables."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pytest_energy.compare.interrupts import Interrupts
from pytest_energy.compare.outcome import ComparisonRecord, Side
from pytest_energy.compare.pairs import compare_pairs
from pytest_energy.compare.process import PytestProcess
from pytest_energy.compare.turns import Plan, Tell, take_turns
from pytest_energy.errors import InputError
from pytest_energy.record.schema import RunRecord
from pytest_energy.sensors import clock

EXAMPLE = "--variant old:MODEL=distilbert --variant new:MODEL=modernbert"

_VARIANT = re.compile(r"(?P<name>\w[\w.-]*):(?P<variable>[A-Za-z_]\w*)=(?P<value>.*)", re.DOTALL)


class _Setting(NamedTuple):
    name: str
    variable: str
    value: str


@dataclass(frozen=True)
class Variant:
    """A name, and the variables that make it."""

    name: str
    variables: dict[str, str]


def read_variants(texts: Sequence[str]) -> tuple[Variant, Variant]:
    """The two that are named; the first is the reference. Raises ValueError.

    A name may be given several times, each with another variable.
    """
    found: dict[str, dict[str, str]] = {}
    for setting in map(_setting, texts):
        variables = found.setdefault(setting.name, {})
        if setting.variable in variables:
            raise InputError(f"--variant {setting.name} sets {setting.variable} twice; keep one")
        variables[setting.variable] = setting.value
    if len(found) != 2:
        raise InputError(
            f"--variant names {len(found)} ({', '.join(found)}), and two are compared; for example "
            f"{EXAMPLE}"
        )
    first, second = (Variant(name, variables) for name, variables in found.items())
    if first.variables == second.variables:
        raise InputError(
            f"--variant {first.name} and {second.name} set the same, so there is nothing to "
            f"compare; for example {EXAMPLE}"
        )
    return first, second


def _setting(text: str) -> _Setting:
    match = _VARIANT.fullmatch(text)
    if match is None:
        raise InputError(f"--variant {text!r} is not NAME:VARIABLE=VALUE; for example {EXAMPLE}")
    return _Setting(match["name"], match["variable"], match["value"])


@dataclass(frozen=True)
class OfVariants:
    """Asks how one tree does under both, by rule B'."""

    variants: tuple[Variant, Variant]
    plan: Plan

    @property
    def sides(self) -> tuple[Side, Side]:
        first, second = (Side(each.name) for each in self.variants)
        return first, second

    @property
    def max_increase(self) -> float:
        return self.plan.rule.max_increase

    def answer(self, interrupts: Interrupts, tell: Tell) -> ComparisonRecord:
        """Raises CouldNotCompare."""
        plan = self.plan

        def process(variant: Variant) -> Callable[[], RunRecord]:
            process = PytestProcess(variant.name, plan.arguments, plan.folder, variant.variables)
            return lambda: process.run(interrupts).record

        first, second = (process(each) for each in self.variants)
        pairs = take_turns((first, second), plan, clock.now, tell)
        return compare_pairs(pairs, self.sides, plan.rule)
