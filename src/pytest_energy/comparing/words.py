"""Figures and changes in sentences."""

from __future__ import annotations

from pytest_energy.comparing.figures import Figure, Key
from pytest_energy.comparing.outcome import Quantity
from pytest_energy.units import figure, plural, watt_hours_per_1000


def described(key: Key, value: float) -> str:
    """A figure per unit, on the scale of the tables: "3.42 Wh / 1000 queries"."""
    if key.quantity is Quantity.CPU_SECONDS:
        return f"{figure(value * 1000)} cpu-ms / {key.unit}"
    return f"{figure(watt_hours_per_1000(value))} Wh / 1000 {plural(key.unit)}"


def changed(key: Key, reference: float, candidate: float, ratio: float) -> str:
    """ "3.42 Wh / 1000 queries is 12 % over the reference's 3.05 Wh / 1000 queries"."""
    side = "over" if ratio > 1 else "under"
    return (
        f"{described(key, candidate)} is {percent(ratio - 1)} {side} the reference's "
        f"{described(key, reference)}"
    )


def evidence(figure: Figure) -> str:
    """ "gpu:0, measured"."""
    return f"{', '.join(figure.channels)}, {figure.key.method}"


def percent(fraction: float) -> str:
    """Without its sign: "12 %", "3.1 %"."""
    size = abs(fraction)
    text = f"{size:.0%}" if size >= 0.1 else f"{size:.1%}"
    return text.replace(".0%", "%").replace("%", " %")


def signed(fraction: float) -> str:
    """ "+12 %", "-3.1 %"."""
    return ("-" if fraction < 0 else "+") + percent(fraction)
