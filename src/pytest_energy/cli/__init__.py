"""The command `pytest-energy`: what is typed, and what is printed; the work is done elsewhere."""

from __future__ import annotations

import typer

from pytest_energy.cli.baseline import baseline
from pytest_energy.cli.budgets import budgets
from pytest_energy.cli.compare import compare
from pytest_energy.cli.doctor import doctor
from pytest_energy.cli.figures import carbon, scale, show
from pytest_energy.cli.study import study

app = typer.Typer(
    help="Energy records, budgets and instruments of pytest-energy.",
    no_args_is_help=True,
    add_completion=False,
)
for command in (show, carbon, doctor, compare, scale):
    app.command()(command)
app.add_typer(budgets, name="budgets")
app.add_typer(baseline, name="baseline")
app.add_typer(study, name="study")
