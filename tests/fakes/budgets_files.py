"""energy-budgets.toml in a folder: what is read from it, or its mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_energy.limits.file import (
    BudgetsFile,
    BudgetsFileError,
    read_budgets,
)
from pytest_energy.limits.limit import Limit, parse_limit

NAME = "energy-budgets.toml"


def read(content: str | bytes, folder: Path) -> BudgetsFile:
    path = folder / NAME
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_budgets(path, NAME)


def mistakes(content: str | bytes, folder: Path) -> list[str]:
    with pytest.raises(BudgetsFileError) as caught:
        read(content, folder)
    return str(caught.value).split("\n")


def limit(text: str, line: int) -> tuple[Limit, str]:
    return parse_limit(text), f"{NAME}:{line}"
