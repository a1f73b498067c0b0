"""The table of `pytest-energy baseline list`."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pytest_energy.baselines.baseline import Key, Line, by_key
from pytest_energy.baselines.regression import threshold_of
from pytest_energy.baselines.update import mean
from pytest_energy.record.schema import CPU_TIME_METHOD
from pytest_energy.units import cpu_time, energy, label, signed_percent


def render_baselines(lines: Sequence[Line], width: int) -> str:
    """A table for each kind of hardware, ending in a newline."""
    console = Console(file=io.StringIO(), width=width, highlight=False, markup=False, emoji=False)
    stored = by_key(lines)
    for hardware in sorted({key.hardware for key in stored}):
        console.print(Text(hardware))
        console.print(
            _table({key: each for key, each in stored.items() if key.hardware == hardware})
        )
    output = console.file
    assert isinstance(output, io.StringIO)
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines()) + "\n"


def _table(stored: dict[Key, tuple[Line, ...]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("test", overflow="fold")
    table.add_column("sessions", justify="right", no_wrap=True)
    table.add_column("last", no_wrap=True)
    table.add_column("mean per unit", justify="right", no_wrap=True)
    table.add_column("fails from", justify="right", no_wrap=True)
    for key, sessions in stored.items():
        table.add_row(
            Text(_named(key)),
            str(len(sessions)),
            sessions[-1].day,
            _figure(key, mean(sessions)),
            signed_percent(threshold_of(sessions)),
        )
    return table


def _named(key: Key) -> str:
    about = [f"per {key.unit}"] if key.unit != "query" else []
    about += [f"scope {key.scope}", key.method]
    about += [each for each in (key.estimate, key.labels) if each]
    return f"{label(key.test, key.name)} ({', '.join(about)})"


def _figure(key: Key, value: float) -> str:
    return cpu_time(value) if key.method == CPU_TIME_METHOD else energy(value)
