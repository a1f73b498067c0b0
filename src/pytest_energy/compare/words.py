"""Figures and changes in sentences."""

from __future__ import annotations

from pytest_energy.compare.figures import Figure, Key
from pytest_energy.compare.outcome import Quantity
from pytest_energy.units import per_unit, percent


def described(key: Key, value: float) -> str:
    """A figure per unit: "12.3 J / query", "23.1 cpu-ms / query"."""
    return per_unit(value, key.unit, is_cpu_time=key.quantity is Quantity.CPU_SECONDS)


def changed(key: Key, reference: float, candidate: float, ratio: float) -> str:
    """ "12.3 J / query is 12 % over the reference's 11.0 J / query"."""
    side = "over" if ratio > 1 else "under"
    return (
        f"{described(key, candidate)} is {percent(ratio - 1)} {side} the reference's "
        f"{described(key, reference)}"
    )


def evidence(figure: Figure) -> str:
    """ "gpu:0, measured"."""
    return f"{', '.join(figure.channels)}, {figure.key.method}"
