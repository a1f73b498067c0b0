"""What commands print for people."""

from __future__ import annotations

import typer

from pytest_energy.report.printable import printable, without_commands


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print a text in which no name from a file is an escape or a command of a CI system."""
    typer.echo(without_commands(printable(text, lines=True)), err=err, nl=nl)
