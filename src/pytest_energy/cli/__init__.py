"""The command `pytest-energy`: what is typed, and what is printed; the work is done elsewhere."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from importlib.metadata import version
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pytest_energy.cli.baseline import baseline
from pytest_energy.cli.budgets import budgets
from pytest_energy.cli.compare import compare
from pytest_energy.cli.doctor import doctor
from pytest_energy.cli.figures import carbon, report, schema, show
from pytest_energy.cli.model_card import model_card
from pytest_energy.cli.output import say
from pytest_energy.errors import EnergyError
from pytest_energy.study import commands as study_commands


class Commands(TyperGroup):
    """Ends with status 2 and the message where a command raises an error of this package."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Read the command line, and run the command that is named."""
        for stream in (sys.stdout, sys.stderr):
            # A name that the terminal's encoding lacks, or no encoding has, ends no command.
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        return super().main(*args, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that is named."""
        words = [str(each) for each in (*ctx._protected_args, *ctx.args)]
        try:
            return super().invoke(ctx)
        except EnergyError as error:
            names = " ".join(("pytest-energy", *self._named_by(words)))
            say(f"{names}: {error}", err=True)
            raise typer.Exit(2) from None
        except OSError as error:
            # Of the standard output, which is full, or whose reader has gone: no status of a
            # comparison may come of it, nor a second error when Python flushes it at the end.
            sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
            if error.errno != errno.EPIPE:
                where = error.filename or "the standard output"
                with suppress(OSError):
                    say(f"pytest-energy: {where}: {error.strerror}", err=True)
            raise typer.Exit(2) from None

    def _named_by(self, words: list[str]) -> list[str]:
        """The names of the group and the command that these words run."""
        command: Any = self
        names = []
        for word in words:
            inner = getattr(command, "commands", {}).get(word)
            if inner is None:
                break
            command = inner
            names.append(word)
        default = getattr(command, "default_command", None)
        return [*names, default] if default else names


app = typer.Typer(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
    # Plain help wraps paragraphs at any width, and keeps the lines of examples.
    rich_markup_mode=None,
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"pytest-energy {version('pytest-energy')}")
        raise typer.Exit


@app.callback(no_args_is_help=True)
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_show_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Energy records, budgets and instruments of pytest-energy."""


for command in (show, report, schema, model_card, carbon, doctor, compare):
    app.command()(command)
app.add_typer(budgets, name="budgets")
app.add_typer(baseline, name="baseline")
study_commands.add_to(app)
