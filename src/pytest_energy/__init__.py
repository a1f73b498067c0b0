"""Energy regression testing for ML inference: what a test author or a script may import."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_energy.plugin.fixture import Energy
    from pytest_energy.standalone import Result, Unmeasured, measure, measure_async

__all__ = ["Energy", "Result", "Unmeasured", "measure", "measure_async"]

_WHERE = {"Energy": "plugin.fixture", **dict.fromkeys(__all__[1:], "standalone")}


def __getattr__(name: str) -> Any:
    # Lazy, because pytest imports this package at every start for the sake of its plugin.
    if name in _WHERE:
        return getattr(import_module(f"pytest_energy.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
