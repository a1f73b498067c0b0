"""What pytest loads at every start: options, marker, fixture. All else waits for a marked test."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

import pytest

import pytest_energy.sensors.clock  # noqa: F401  (binds system calls before a conftest can replace them)
from pytest_energy.baselines import BASELINES_FOLDER
from pytest_energy.limits import BUDGETS_FILE
from pytest_energy.plugin.measured_tests import MARKER as MARKER_NAME
from pytest_energy.plugin.measured_tests import is_measured, is_misspelled
from pytest_energy.plugin.options import (
    COMMAND_LINE_ONLY,
    HEADING,
    OPTIONS,
    SWITCHES,
    given,
    is_job,
)

if TYPE_CHECKING:
    from pytest_energy.plugin.fixture import Energy
    from pytest_energy.plugin.run import EnergyHooks

#: The signature of `marker.energy_budget` and the first line of its help, written out because
#: importing it takes longer than all the rest of this file.
MARKER = (
    "energy_budget(limit=None, *, id=None, task=None, model=None, count=1, units=None, "
    "scope='auto', max_increase=None, method=None, labels=None): "
    "Measure the energy of this test and fail it over the limit."
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("energy", HEADING)
    for option in OPTIONS:
        plain = option.description.replace("%", "%%")
        action = "append" if option.is_list else "store"
        group.addoption(
            option.flag, dest=option.ini, action=action, metavar=option.metavar, help=plain
        )
        parser.addini(option.ini, help=f"{option.flag}", default=None)
    for option in SWITCHES:
        group.addoption(
            option.flag, dest=option.ini, action="store_const", const="true", help=option.help
        )
        parser.addini(option.ini, help=f"{option.flag}", type="bool", default=False)
    for flag, metavar, action, help_text in COMMAND_LINE_ONLY:
        group.addoption(flag, metavar=metavar, action=action, help=help_text)
    # How `pytest-energy doctor` learns the settings: the file for its answer, and the seconds.
    group.addoption("--energy-doctor", nargs=2, help=argparse.SUPPRESS)
    # How `pytest-energy report` asks for a plugin's format: its name, a record, and the answer.
    group.addoption("--energy-render", nargs=3, help=argparse.SUPPRESS)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    if (asked := config.getoption("--energy-doctor")) is not None:
        from pytest_energy.plugin import doctor

        return doctor.answer(config, *asked)
    if (asked := config.getoption("--energy-render")) is not None:
        from pytest_energy.plugin import reports

        return reports.answer(config, *asked)
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    # Before a conftest can import torch.
    gpus = next(option for option in OPTIONS if option.name == "gpus")
    named = getattr(early_config.known_args_namespace, gpus.ini, None)
    if (named or os.environ.get(gpus.variable) or early_config.getini(gpus.ini)) == "per-worker":
        from pytest_energy.sensors.gpu_choice import pin

        pin()


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    from pytest_energy.plugin import hookspec

    pluginmanager.add_hookspecs(hookspec)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    # Mistakes in settings, the budgets file or a baseline are reported before any test runs.
    if _is_anything_set(config) or _has_a_file(config):
        _hooks(config)


def pytest_collection_finish(session: pytest.Session) -> None:
    if any(is_measured(item) for item in session.items):
        _hooks(session.config)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers():
        if is_misspelled(mark.name) and not _is_registered(item.config, mark.name):
            # An error of the test: one while collecting is an INTERNALERROR under xdist.
            pytest.fail(
                f"unknown marker {mark.name!r} ({item.location[0]}:{(item.location[1] or 0) + 1}); "
                f"did you mean @pytest.mark.{MARKER_NAME}? If the marker is your own, "
                "register it under `markers` in the ini file",
                pytrace=False,
            )


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


def _is_registered(config: pytest.Config, name: str) -> bool:
    lines = config.getini("markers")
    return any(line.partition(":")[0].partition("(")[0].strip() == name for line in lines)


def _is_anything_set(config: pytest.Config) -> bool:
    return any(config.getoption(flag) is not None for flag, *_ in COMMAND_LINE_ONLY) or any(
        given(option, config, os.environ) for option in (*OPTIONS, *SWITCHES)
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
        from pytest_energy.plugin import github
        from pytest_energy.plugin.run import EnergyHooks
        from pytest_energy.plugin.session import Reporting
        from pytest_energy.plugin.settings import read_settings
        from pytest_energy.plugin.unused_budgets import BudgetUse

        settings = read_settings(config)
        budget_use = BudgetUse(config, settings.budgets, settings.baselines.tests)
        reporting = Reporting(config, settings, budget_use)
        found = EnergyHooks(config, settings, budget_use, reporting)
        if settings.budgets.entries or settings.baselines.tests:
            config.pluginmanager.register(budget_use, "energy-budget-use")
        config.pluginmanager.register(reporting, "energy-reporting")
        config.pluginmanager.register(found, "energy-hooks")
        if is_job(os.environ):
            job = github.GitHubJob(config, reporting, os.environ)
            config.pluginmanager.register(job, "energy-github")
    return found
