"""The distributions that are installed here, each read once.

A run of pytest reads the files of each several times, which is a third of a short run.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from functools import cache, cached_property
from typing import Any


class Distribution:
    """One that keeps what pytest asks of it."""

    def __init__(self, found: importlib.metadata.Distribution) -> None:
        self._found = found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._found, name)

    @cached_property
    def metadata(self) -> Any:
        return self._found.metadata

    @cached_property
    def version(self) -> str:
        return self._found.version

    @cached_property
    def entry_points(self) -> Sequence[importlib.metadata.EntryPoint]:
        return tuple(self._found.entry_points)

    @cached_property
    def files(self) -> Any:
        return self._found.files


@cache
def distributions() -> Sequence[Distribution]:
    """What `importlib.metadata.distributions` found at the first call."""
    return tuple(Distribution(each) for each in importlib.metadata.Distribution.discover())
