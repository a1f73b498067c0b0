"""Energy regression testing for ML inference: what a test author may import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_energy.plugin.fixture import Energy

__all__ = ["Energy"]


def __getattr__(name: str) -> Any:
    # Lazy, because pytest imports this package at every start for the sake of its plugin.
    if name == "Energy":
        from pytest_energy.plugin.fixture import Energy

        return Energy
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
