"""The table of `pytest-energy baseline list`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.text import Text

from pytest_energy.baselines.baseline import Key, Line, by_key
from pytest_energy.baselines.regression import threshold_of
from pytest_energy.baselines.update import mean
from pytest_energy.record.schema import quantity_of
from pytest_energy.report.table import Column, Row, console_of, print_table, printed
from pytest_energy.units import Quantity, amount, energy_scale, label, signed_percent


def render_baselines(lines: Sequence[Line], width: int) -> str:
    """A table for each kind of hardware, ending in a newline."""
    console = console_of(width, colour=False)
    stored = by_key(lines)
    for hardware in sorted({key.hardware for key in stored}):
        console.print(Text(hardware))
        _print(console, {key: each for key, each in stored.items() if key.hardware == hardware})
    return printed(console)


def _print(console: Console, stored: Mapping[Key, Sequence[Line]]) -> None:
    means = {key: mean(sessions) for key, sessions in stored.items()}
    joules = [each for key, each in means.items() if quantity_of(key.method) is Quantity.ENERGY]
    scale = energy_scale(joules)

    def shown(key: Key) -> str:
        quantity = quantity_of(key.method)
        is_energy = quantity is Quantity.ENERGY
        return scale.show(means[key]) if is_energy else amount(means[key], quantity)

    print_table(
        console,
        [
            Column("sessions"),
            Column("last", "left"),
            Column(f"mean, {scale.symbol}/unit" if joules else "mean per unit"),
            Column("fails from"),
        ],
        [
            Row(
                Text(_named(key), overflow="fold"),
                [
                    str(len(sessions)),
                    sessions[-1].day,
                    shown(key),
                    signed_percent(threshold_of(sessions)),
                ],
            )
            for key, sessions in stored.items()
        ],
    )


def _named(key: Key) -> str:
    about = [f"per {key.unit}"] if key.unit != "query" else []
    about += [f"scope {key.scope}", key.method]
    about += [each for each in (key.estimate, key.labels) if each]
    return f"{label(key.test, key.name)} ({', '.join(about)})"
