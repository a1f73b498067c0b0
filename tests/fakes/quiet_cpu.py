"""A CPU that no other process slows: its clock moves only with what the measured work declares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_energy.sensors import cpu_time
from pytest_energy.sensors.clock import real

#: Of reading the clock, so that the fixed work of a lap takes some time too.
READING_SECONDS = 1e-7


class QuietCpu:
    """Replaces the CPU clocks of runs in this process.

    The time that passes meanwhile stays real, so work should declare at least as much.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._seconds = 0.0
        for clock in ("process_time", "thread_time"):
            monkeypatch.setattr(real, clock, staticmethod(self._read))
        monkeypatch.setattr(cpu_time, "waited_seconds", lambda: 0.0)

    def use(self, seconds: float) -> None:
        """So much CPU time of the measured work has passed."""
        self._seconds += seconds

    def working(self, function: Callable[..., Any], seconds: float) -> Callable[..., Any]:
        """The function, which uses so much in each call."""

        def work(*arguments: Any) -> Any:
            self.use(seconds)
            return function(*arguments)

        return work

    def _read(self) -> float:
        self._seconds += READING_SECONDS
        return self._seconds


@pytest.fixture
def quiet_cpu(monkeypatch: pytest.MonkeyPatch, no_contention: None) -> QuietCpu:
    return QuietCpu(monkeypatch)
