"""The command `pytest-energy compare`."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pytest_energy.errors import EnergyError, InputError
from pytest_energy.record.project_files import write_text, writing

#: As a path, the standard output.
_STDOUT = Path("-")


def compare(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RECORD RECORD | -- ARGUMENT",
            help="Two run records, the reference first; or, after --, arguments for pytest",
        ),
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:VARIABLE=VALUE",
            help="Set an environment variable of a variant; the first NAME is the reference",
        ),
    ] = None,
    base: Annotated[
        str | None, typer.Option(metavar="REF", help="Compare your working tree with this commit")
    ] = None,
    setup: Annotated[
        str | None,
        typer.Option(metavar="COMMAND", help="Run COMMAND in each tree before its tests"),
    ] = None,
    pairs: Annotated[
        int | None, typer.Option(metavar="N", help="Measure exactly N pairs (at least 3)")
    ] = None,
    max_seconds: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Start no pair that would end after SECONDS (three pairs always run)",
        ),
    ] = None,
    max_increase: Annotated[
        str | None,
        typer.Option(
            metavar="PERCENT", help="Allow this increase (default: 3 %; of two records: 5 %)"
        ),
    ] = None,
    sequential: Annotated[
        bool,
        typer.Option(
            "--sequential", help="Run the processes of a pair one after the other, not in turns"
        ),
    ] = False,
    to_json: Annotated[
        Path | None,
        typer.Option("--json", metavar="PATH", help="Write JSON (-: standard output)"),
    ] = None,
    to_markdown: Annotated[
        Path | None,
        typer.Option("--markdown", metavar="PATH", help="Write Markdown (-: standard output)"),
    ] = None,
    to_html: Annotated[
        Path | None,
        typer.Option("--html", metavar="PATH", help="Write HTML (-: standard output)"),
    ] = None,
) -> None:
    """Compare the energy of a candidate with that of its reference.

    The two are two run records, two variants, or a commit and your working tree.

    Exit status: 0 within the allowed increase, 1 regression, 2 not compared.

    \b
    pytest-energy compare old.json new.json
    pytest-energy compare --variant old:MODEL=a --variant new:MODEL=b -- tests
    pytest-energy compare --base main --setup 'pip install -e .' -- tests
    """
    from pytest_energy.compare.answer import answer
    from pytest_energy.compare.outcome import NOT_COMPARED
    from pytest_energy.compare.question import Options, read_question
    from pytest_energy.compare.report import json_of, markdown_of, render_comparison

    options = Options(
        arguments=tuple(arguments or ()),
        variants=tuple(variant or ()),
        base=base,
        setup=setup,
        pairs=pairs,
        max_seconds=max_seconds,
        max_increase=max_increase,
        sequential=sequential,
    )
    outputs = [(to_json, json_of), (to_markdown, markdown_of)]
    if to_html is not None:
        from pytest_energy.compare.html import html_of  # says what to install before anything runs

        outputs.append((to_html, html_of))
    to_stdout = [text_of for path, text_of in outputs if path == _STDOUT]
    if len(to_stdout) > 1:
        raise InputError(
            "only one of --json, --markdown and --html can write to the standard output; give the "
            "others a path"
        )
    question = read_question(options, Path.cwd())
    try:
        found = answer(question, sys.stderr)
        console = Console(stderr=bool(to_stdout))
        text = render_comparison(found, console.width, colour=console.is_terminal)
        typer.echo(text, nl=False, err=bool(to_stdout))
        for path, text_of in outputs:
            if path == _STDOUT:
                typer.echo(text_of(found), nl=False)
            elif path is not None:
                with writing(path):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_text(path, text_of(found))
        status = found.exit_status
    except (EnergyError, OSError):
        raise
    except (Exception, KeyboardInterrupt):
        # An internal error must not look like a regression, whose status is 1.
        traceback.print_exc()
        status = NOT_COMPARED
    raise typer.Exit(status)
