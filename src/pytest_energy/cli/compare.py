"""The command `pytest-energy compare`."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pytest_energy import record
from pytest_energy.cli.shared import stop

#: As a path, the standard output.
_STDOUT = Path("-")


def compare(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RECORD RECORD | -- ARGUMENT",
            help="two files of --energy-json, the reference first; or arguments of pytest",
        ),
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME:VARIABLE=VALUE", help="two names; the first is the reference"),
    ] = None,
    base: Annotated[
        str | None, typer.Option(metavar="REF", help="the commit that your tree is compared with")
    ] = None,
    setup: Annotated[
        str | None, typer.Option(metavar="COMMAND", help="run in each tree before its turns")
    ] = None,
    pairs: Annotated[
        int | None, typer.Option(metavar="N", help="exactly so many pairs; usually 5 to 20")
    ] = None,
    max_seconds: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="at most, but for three pairs")
    ] = None,
    max_increase: Annotated[
        str | None, typer.Option(metavar="PERCENT", help="3% for pairs, 5% for records")
    ] = None,
    to_json: Annotated[
        Path | None, typer.Option("--json", metavar="PATH", help="write JSON; - is the output")
    ] = None,
    to_markdown: Annotated[
        Path | None, typer.Option("--markdown", metavar="PATH", help="the same in Markdown")
    ] = None,
) -> None:
    """Compare a candidate with its reference: two records, two variants, or a commit and your tree.

    Exit status 0: within. 1: regressed. 2: could not compare.

    \b
    pytest-energy compare old.json new.json
    pytest-energy compare --variant old:MODEL=a --variant new:MODEL=b -- tests
    pytest-energy compare --base main --setup 'pip install -e .' -- tests
    """
    from pytest_energy.comparing.answer import answer
    from pytest_energy.comparing.outcome import NOT_COMPARED
    from pytest_energy.comparing.question import Options, read_question
    from pytest_energy.report.comparison import json_of, markdown_of, render_comparison

    options = Options(
        tuple(arguments or ()),
        tuple(variant or ()),
        base,
        setup,
        pairs,
        max_seconds,
        max_increase,
    )
    outputs = ((to_json, json_of), (to_markdown, markdown_of))
    to_stdout = [text_of for path, text_of in outputs if path == _STDOUT]
    try:
        if len(to_stdout) > 1:
            raise ValueError("--json - and --markdown - both write to the output; give one a path")
        question = read_question(options, Path.cwd())
    except ValueError as error:
        stop("compare", error)
    try:
        found = answer(question, sys.stderr)
        console = Console(stderr=bool(to_stdout))
        text = render_comparison(found, console.width, colour=console.is_terminal)
        typer.echo(text, nl=False, err=bool(to_stdout))
        for path, text_of in outputs:
            if path == _STDOUT:
                typer.echo(text_of(found), nl=False)
            elif path is not None:
                _write(path, text_of(found))
        status = found.exit_status
    except typer.Exit:
        raise
    except (Exception, KeyboardInterrupt):
        # A mistake of ours must not look like a regression, whose status is 1.
        traceback.print_exc()
        status = NOT_COMPARED
    raise typer.Exit(status)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(path, text)
    except OSError as error:
        stop("compare", f"{path} can't be written: {error.strerror}")
