"""The command `pytest-energy model-card`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from pytest_energy.cli.arguments import RecordPaths
from pytest_energy.cli.output import say
from pytest_energy.errors import InputError
from pytest_energy.record import file as record
from pytest_energy.record.project_files import read_file, write_text, writing

#: Cards of people are smaller.
LARGEST_BYTES = 1 << 22


def model_card(
    paths: RecordPaths,
    readme: Annotated[
        Path, typer.Option("--readme", metavar="PATH", help="Model card", readable=False)
    ] = Path("README.md"),
    test: Annotated[
        str,
        typer.Option("--test", metavar="ID", help="Test whose emissions stand for the model"),
    ] = "",
) -> None:
    """Write energy and emissions into a Hugging Face model card.

    They go into the metadata of the card. Other lines stay as they are, as do emissions from
    another source.
    """
    from pytest_energy.record.merge import merge
    from pytest_energy.report.model_card import updated

    merged = merge([record.read(each) for each in paths])
    with writing(readme):
        text = ""
        if os.path.lexists(readme):
            try:
                text = read_file(readme, LARGEST_BYTES).decode("utf-8")
            except UnicodeDecodeError:
                raise InputError(f"{readme} is not UTF-8; save it as UTF-8") from None
        card = updated(text, merged, test)
        write_text(readme, card.text)
    for line in card.messages:
        say(f"{readme}: {line}")
