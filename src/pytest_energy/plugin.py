"""What pytest loads at every start: options, marker, fixture. All else waits for a marked test."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from pytest_energy.items import is_measured
from pytest_energy.options import BASELINES_FOLDER, BUDGETS_FILE, FLAGS, OPTIONS, given

if TYPE_CHECKING:
    from pytest_energy.fixture import Energy
    from pytest_energy.hooks import EnergyHooks

#: The signature of `marker.energy_budget` and the first line of its help, written out because
#: importing it takes longer than all the rest of this file.
MARKER = (
    "energy_budget(limit=None, *, id=None, task=None, model=None, count=1, scope='auto', "
    "max_increase=None, labels=None): Measure the energy of this test and fail it over the limit."
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("energy", "energy budgets")
    for option in OPTIONS:
        where = f"(also {option.variable} and ini {option.ini})"
        group.addoption(
            option.flag, dest=option.ini, metavar=option.metavar, help=f"{option.help} {where}"
        )
        parser.addini(option.ini, help=option.help, default=None)
    for flag, metavar, help_text in FLAGS:
        if metavar is None:
            group.addoption(flag, action="store_true", help=help_text)
        else:
            group.addoption(flag, metavar=metavar, help=help_text)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    # Before a conftest can import torch.
    gpus = next(option for option in OPTIONS if option.name == "gpus")
    named = getattr(early_config.known_args_namespace, gpus.ini, None)
    if (named or os.environ.get(gpus.variable) or early_config.getini(gpus.ini)) == "per-worker":
        from pytest_energy.pinning import pin

        pin()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    # A mistake in a setting, in the budgets file or a baseline is said before any test runs.
    if _is_anything_set(config) or _has_a_file(config):
        _hooks(config)


def pytest_collection_finish(session: pytest.Session) -> None:
    if any(is_measured(item) for item in session.items):
        _hooks(session.config)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    if is_measured(item):  # also where a fixture has added the marker, after collection
        _hooks(item.config).prepare(item)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    _hooks(node.config)  # under xdist, workers collect and the controller reports


@pytest.fixture
def energy(request: pytest.FixtureRequest) -> Energy:
    """Measure a part of a test: energy.measure(call), measure_async(call), window(count=...)."""
    return _hooks(request.config).energy_fixture(request.node)


def _is_anything_set(config: pytest.Config) -> bool:
    return any(config.getoption(flag) not in (None, False) for flag, _, _ in FLAGS) or any(
        given(option, config, os.environ) for option in OPTIONS
    )


def _has_a_file(config: pytest.Config) -> bool:
    """Whether there are limits or baselines."""
    folders = (config.rootpath, config.invocation_params.dir)
    names = (BUDGETS_FILE, BASELINES_FOLDER)
    return any(os.path.lexists(folder / name) for folder in folders for name in names)


def _hooks(config: pytest.Config) -> EnergyHooks:
    """The hooks of this session, registered on first need."""
    found: EnergyHooks | None = config.pluginmanager.get_plugin("energy-hooks")
    if found is None:
        from pytest_energy.budget_use import BudgetUse
        from pytest_energy.hooks import EnergyHooks
        from pytest_energy.reporting import Reporting
        from pytest_energy.settings import read_settings

        settings = read_settings(config)
        budget_use = BudgetUse(config, settings.budgets, settings.baselines.tests)
        reporting = Reporting(config, settings, budget_use)
        found = EnergyHooks(config, settings, budget_use, reporting)
        if settings.budgets.entries or settings.baselines.tests:
            config.pluginmanager.register(budget_use, "energy-budget-use")
        config.pluginmanager.register(reporting, "energy-reporting")
        config.pluginmanager.register(found, "energy-hooks")
    return found
