"""The values of options: each text becomes what it means, or a mistake with an example."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from pytest_energy.limits import checks
from pytest_energy.rules.estimate import MAX_ROUNDS
from pytest_energy.rules.verdict import Verdict
from pytest_energy.sensors.gpu_choice import PER_WORKER, GpuChoice
from pytest_energy.sensors.process_tree import PidChoice
from pytest_energy.sensors.remote_metrics import Endpoint, endpoints
from pytest_energy.units import LONGEST_QUANTITY


def _gpus(text: str) -> GpuChoice:
    if text in ("auto", "all", "none", PER_WORKER):
        return GpuChoice(text)
    listed = tuple(part.strip() for part in text.split(","))
    for part in listed:
        if not (part.isdecimal() or part.startswith(("GPU-", "MIG-"))):
            raise ValueError(
                f"{part!r} is neither a GPU's index nor its UUID; "
                'write auto, all, none, per-worker, or a list such as "0,1" or "GPU-8f6c2a5e" '
                "(nvidia-smi -L)"
            )
    return GpuChoice("auto", listed)


def _pids(text: str) -> PidChoice:
    all_words = [word.strip() for word in text.split(",")]
    words = [word for word in all_words if word != "auto"]
    if not all(word.isdecimal() and len(word) < 10 and int(word) > 0 for word in words):
        raise ValueError(
            f"{text!r} is not a list of process ids; for example 4711 or 4711,4712, or auto for "
            "the servers that a test talks to"
        )
    return PidChoice(tuple(dict.fromkeys(map(int, words))), len(words) < len(all_words))


def _remote(text: str) -> tuple[Endpoint, ...]:
    return endpoints(text.split())


def _max_rounds(text: str) -> int:
    if not text.isdecimal() or len(text) > 9 or not 1 <= int(text) <= MAX_ROUNDS:
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
        try:
            return checks.in_range(value)
        except ValueError as error:
            raise ValueError(f"{text!r}: {error}; for example {example}") from None

    return parse


def _fail_on(text: str) -> frozenset[Verdict]:
    if text == "none":
        return frozenset()
    names = text.replace(",", " ").split()
    known = {str(verdict) for verdict in Verdict} - {"pass"}
    wrong = [name for name in names if name not in known]
    if wrong or not names:
        raise ValueError(
            f"{wrong[0] if wrong else text!r} is not a verdict; "
            f"choose from {', '.join(sorted(known))}, or write none; "
            "for example fail,unmeasured,inconclusive"
        )
    return frozenset(Verdict(name) for name in names)


def _require(text: str) -> bool:
    if text not in ("measured", "any"):
        raise ValueError(f'{text!r} is not known; write "measured" or "any"')
    return text == "measured"


def _fraction(text: str) -> float:
    try:
        value: object = float(text)
    except ValueError:
        value = text
    try:
        return checks.fraction(value)
    except ValueError as error:
        raise ValueError(f'{text!r}: {error}; for example "5 %"') from None


def _watts(text: str) -> float | Literal["tdp"]:
    return "tdp" if text == "tdp" else _positive('4, or "tdp"')(text)


def _junit_property(text: str) -> str:
    if text.count("{name}") != 1 or not text.isprintable() or len(text) > LONGEST_QUANTITY:
        raise ValueError(
            f"{text[:LONGEST_QUANTITY]!r} doesn't contain {{name}} exactly once, for the name of a "
            'property such as energy.verdict; for example "dd_tags[{name}]"'
        )
    return text


PARSERS: Mapping[str, Callable[[str], Any]] = {
    "gpus": _gpus,
    "pids": _pids,
    "remote": _remote,
    "max_rounds": _max_rounds,
    "max_seconds": _positive("60"),
    "fail_on": _fail_on,
    "require": _require,
    "cpu_watts_per_core": _watts,
    "max_increase": _fraction,
    "junit_property": _junit_property,
}
