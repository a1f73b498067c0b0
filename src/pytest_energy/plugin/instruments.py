"""The instruments of a session: found once, locked for a test, shown while it takes long."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

import pytest

from pytest_energy.limits.budget import Budget, Declaration, Scope
from pytest_energy.plugin import marker
from pytest_energy.plugin.measured_tests import is_measured, test_id
from pytest_energy.plugin.progress import ProgressLine, say
from pytest_energy.plugin.sensors import added_probes
from pytest_energy.plugin.settings import Settings
from pytest_energy.sensors import clock

if TYPE_CHECKING:
    from pytest_energy.measurement.gate import Gate
    from pytest_energy.measurement.turns import Turns


class Instruments:
    """The instruments of this session, found when the first test needs them."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self._config = config
        self._settings = settings
        self._found: Gate | None = None

    def find(self) -> Gate:
        """Raises InputError for settings that this machine cannot meet."""
        if self._found is None:
            from pytest_energy.measurement.gate import Gate, GateSettings
            from pytest_energy.measurement.protocol import Limits
            from pytest_energy.sensors.base import Clock

            settings, turns = self._settings, self._turns
            self._found = Gate(
                GateSettings(
                    choice=settings.choice,
                    limits=Limits(settings.max_rounds, settings.max_seconds),
                    intensity=settings.intensity,
                    require_measured=settings.require_measured,
                    lock_folder=settings.lock_folder,
                    baselines=settings.baselines,
                    max_increase=settings.max_increase,
                    added=added_probes(self._config),
                ),
                Clock(clock.now, clock.sleep) if turns is None else turns.clock,
                functools.partial(say, self._config),
                turns,
            )
            # Read now: a test may leave no file descriptor.
            _ = self._found.versions
        return self._found

    @functools.cached_property
    def _turns(self) -> Turns | None:
        """With the other process of a comparison, whose plugin left the pipes here."""
        pipes = getattr(self._config, "energy_turns", None)
        if pipes is None:
            return None
        from pytest_energy.measurement.turns import Turns

        return Turns(*pipes)

    @contextmanager
    def reserve(self, item: pytest.Item) -> Iterator[None]:
        """The locks of a whole test that pytest-timeout limits, whose timer starts inside.

        What is wrong with the marker, the instruments or the locks is reported later.
        """
        with ExitStack() as held:
            with suppress(ValueError):
                held.enter_context(self._reserved(item))
            yield

    def _reserved(self, item: pytest.Item) -> AbstractContextManager[Any]:
        if self._settings.disable or not is_measured(item) or not _has_timeout(item):
            return nullcontext()
        if self._turns is not None:
            self._turns.unable = "pytest-timeout would count the time of both"
            return nullcontext()
        declaration = marker.declaration_of(item) or Declaration()
        scope = declaration.scope or Scope.AUTO
        budgets = [Budget(limit=each, scope=scope) for each in declaration.limits or (None,)]
        return self.find().hold_devices(budgets, test_id(item))

    def progress(self, test: str, works: int = 1) -> ProgressLine:
        """The line on the terminal for a test that takes long.

        works: functions that alternate; each but the reference has the time of a measurement.
        """
        manager = self._config.pluginmanager
        return ProgressLine(
            manager.get_plugin("terminalreporter"),
            manager.get_plugin("capturemanager"),
            test,
            self._settings.max_rounds,
            self._settings.max_seconds * max(works - 1, 1),
        )

    def close(self) -> None:
        """Let go of the instruments."""
        if self._found is not None:
            self._found.close()


def _has_timeout(item: pytest.Item) -> bool:
    """Whether pytest-timeout limits the time of this test."""
    config = item.config
    if not config.pluginmanager.hasplugin("timeout"):
        return False
    return bool(
        item.get_closest_marker("timeout")
        or config.getoption("timeout", None)
        or config.getini("timeout")
        or os.environ.get("PYTEST_TIMEOUT")
    )
