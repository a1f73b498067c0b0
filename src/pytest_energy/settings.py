"""Settings: command line > environment > ini file > default, as one frozen object."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pytest_energy.carbon import Intensity, parse_intensity
from pytest_energy.options import OPTIONS, given
from pytest_energy.sensors.visible import GpuChoice
from pytest_energy.verdict import MAX_ROUNDS, RED, Verdict


@dataclass(frozen=True)
class Settings:
    """Everything a user can set for one pytest run."""

    disable: bool = False
    json_path: Path | None = None
    gpus: GpuChoice = field(default_factory=GpuChoice)
    max_rounds: int = MAX_ROUNDS
    max_seconds: float = 60.0
    fail_on: frozenset[Verdict] = RED
    require_measured: bool = False
    intensity: Intensity | None = None
    cpu_watts_per_core: float = 4.0


def _gpus(text: str) -> GpuChoice:
    if text in ("auto", "all", "none"):
        return GpuChoice(text)
    listed = tuple(part.strip() for part in text.split(","))
    for part in listed:
        if not (part.isdecimal() or part.startswith(("GPU-", "MIG-"))):
            raise ValueError(
                f"{part!r} is neither a GPU's index nor its UUID; "
                'write auto, all, none, or a list such as "0,1" or "GPU-8f6c2a5e" (nvidia-smi -L)'
            )
    return GpuChoice("auto", listed)


def _max_rounds(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_ROUNDS:
        raise ValueError(
            f"{text!r} is not a whole number from 1 to {MAX_ROUNDS}; for example {MAX_ROUNDS}"
        )
    return int(text)


def _positive(example: str) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not 0 < value < float("inf"):
            raise ValueError(f"{text!r} is not a number above zero; for example {example}")
        return value

    return parse


def _fail_on(text: str) -> frozenset[Verdict]:
    names = text.replace(",", " ").split()
    known = {str(verdict) for verdict in Verdict} - {"pass", "no-baseline"}
    wrong = [name for name in names if name not in known]
    if wrong or not names:
        raise ValueError(
            f"{wrong[0] if wrong else text!r} is not a verdict; "
            f"choose from {', '.join(sorted(known))}; for example fail,unmeasured,inconclusive"
        )
    return frozenset(Verdict(name) for name in names)


def _require(text: str) -> bool:
    if text not in ("measured", "any"):
        raise ValueError(f'{text!r} is not known; write "measured" or "any"')
    return text == "measured"


_PARSERS: Mapping[str, Callable[[str], Any]] = {
    "gpus": _gpus,
    "max_rounds": _max_rounds,
    "max_seconds": _positive("60"),
    "fail_on": _fail_on,
    "require": _require,
    "carbon_intensity": parse_intensity,
    "cpu_watts_per_core": _positive("4"),
}


def read_settings(config: pytest.Config, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of this run. Raises pytest.UsageError for all values that can't be used."""
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    mistakes: list[str] = []
    for option in OPTIONS:
        found = given(option, config, environment)
        if found is None:
            continue
        text, origin = found
        try:
            values[option.name] = _PARSERS[option.name](text.strip())
        except ValueError as error:
            mistakes.append(f"{origin}: {error}")
        origins[option.name] = origin
    json_path = _json_path(config, mistakes)
    if mistakes:
        raise pytest.UsageError("\n".join(mistakes))
    if config.getoption("--energy-strict"):
        values["fail_on"] = frozenset(Verdict) - {Verdict.PASS}
    grams_per_kwh = values.pop("carbon_intensity", None)
    intensity = Intensity(grams_per_kwh, origins["carbon_intensity"]) if grams_per_kwh else None
    return Settings(
        disable=config.getoption("--energy-disable"),
        json_path=json_path,
        require_measured=values.pop("require", False),
        intensity=intensity,
        **values,
    )


def _json_path(config: pytest.Config, mistakes: list[str]) -> Path | None:
    text = config.getoption("--energy-json")
    if text is None:
        return None
    path = Path(config.invocation_params.dir, text).resolve()
    if not text.strip() or (path.exists() and not path.is_file()):
        mistakes.append(
            f"--energy-json: {text!r} is not a file's path; for example --energy-json energy.json"
        )
    return path
