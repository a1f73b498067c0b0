"""Shared fixtures: the compiled fake library, environments that load it, and pytester."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import pkgutil
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import hypothesis
import installed
import pytest
from forked import Forked

import pytest_energy
from pytest_energy.sensors import cpu_time

pytest_plugins = [
    "pytester",
    "gpu_bench",
    "rapl_bench",
    "baseline_project",
    "budgets_pytester",
    "flop_bench",
    "quiet_cpu",
    "scripted_gate",
]

# Runs inside this process drop the modules that they import first; a module of ours that is loaded
# a second time would bring a second copy of its classes. So all are loaded here, once.
for module in pkgutil.walk_packages(pytest_energy.__path__, "pytest_energy."):
    importlib.import_module(module.name)
# How long an example takes is the machine's affair.
hypothesis.settings.register_profile("suite", deadline=None)
# pytest --hypothesis-profile=nightly
hypothesis.settings.register_profile("nightly", deadline=None, max_examples=10_000)
hypothesis.settings.load_profile("suite")
# Its plugin imports all of it at the end of every run, which takes two seconds.
importlib.import_module("hypothesis.internal.observability")
# Only runs inside of tests use it, and each would load it anew.
importlib.import_module("pytest_asyncio.plugin")

#: Of a window of CPU time, and of a measurement, in runs that are about neither.
QUICK_SECONDS = 0.02
FAKES = Path(__file__).parent / "fakes"
# A shell lets what it starts in the background ignore Ctrl-C, and all that tests start inherit it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Runs inside of tests leave no summary and no annotations in the job that runs them.
for variable in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
    os.environ.pop(variable, None)


def compiled(source: Path, library: Path) -> Path:
    """The library, freshly compiled from C."""
    # A machine with only Python has no compiler; the environment py311 then brings one.
    compiler = ["cc"] if shutil.which("cc") else [sys.executable, "-m", "ziglang", "cc"]
    command = [*compiler, "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror"]
    command += [f"-Wl,-soname,{library.name}", "-o", str(library), str(source)]
    subprocess.run([*command, "-lpthread", "-lm"], check=True)
    return library


@pytest.fixture(scope="session")
def fake_nvml_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a freshly compiled libnvidia-ml.so.1."""
    folder = tmp_path_factory.mktemp("fake_nvml")
    return compiled(FAKES / "fake_nvml" / "fake_nvml.c", folder / "libnvidia-ml.so.1").parent


@pytest.fixture
def gpu_env(
    fake_nvml_library: Path, tmp_path: Path, forked: Forked
) -> Callable[[str], dict[str, str]]:
    """Environment variables with which a new process sees the boards of a scenario."""

    def environment(scenario: str) -> dict[str, str]:
        path = tmp_path / "scenario.txt"
        path.write_text(scenario, encoding="utf-8", errors="surrogateescape")
        search = os.pathsep.join(
            filter(None, [str(fake_nvml_library), os.environ.get("LD_LIBRARY_PATH")])
        )
        forked.searches.add(search)
        return {"LD_LIBRARY_PATH": search, "FAKE_NVML_SCENARIO": str(path)}

    return environment


SPIN = '''
import time

def spin(milliseconds=2):
    """Use this much CPU time."""
    end = time.thread_time() + milliseconds / 1000  # without the thread that watches the window
    while time.thread_time() < end:
        pass
'''


def assert_estimated(test: dict[str, Any], spun_seconds: float) -> None:
    """4 W for the CPU time of its rounds, which is at least what its work spins for one unit.

    How much more it is, is the machine's affair.
    """
    measured = [each for each in test["rounds"] if not each["warmup"]]
    units = sum(each["units"] for each in measured)
    seconds = sum(each["cpu_seconds"] for each in measured) / units
    assert test["joules_per_unit"] == pytest.approx(4.0 * seconds, rel=0.1)
    assert seconds >= 0.99 * spun_seconds


@pytest.fixture
def no_contention(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that run in this process see a machine without contention, whatever it does."""
    monkeypatch.setattr("pytest_energy.measurement.result.has_contention", lambda measured: False)


class EnergyPytester:
    """Runs test files in a folder of their own, with the plugin installed as users have it."""

    def __init__(self, pytester: pytest.Pytester, forked: Forked) -> None:
        self.pytester = pytester
        self._forked = forked
        self.record_path = pytester.path / "record.json"
        pytester.makepyfile(spin=SPIN)
        # Its plugin takes two seconds of every process.
        lines = [
            "addopts = -p no:hypothesispytest",
            "asyncio_default_fixture_loop_scope = function",
        ]
        pytester.makeini("\n".join(["[pytest]", *lines]))

    def write(self, source: str) -> None:
        """The test file; `pytest`, `spin` and the marker's short name are imported in it."""
        head = "import pytest\nfrom spin import spin\nbudget = pytest.mark.energy_budget\n"
        self.pytester.makepyfile(test_it=head + textwrap.dedent(source))

    def run(self, *options: str, quick: bool = True) -> pytest.RunResult:
        """Run in this process; quick runs measure a test in a few short rounds.

        With workers in a process of its own: pytest-rerunfailures leaves a thread for each worker,
        and these spin once the workers have ended.
        """
        if any(option.startswith("-n") for option in options):
            return self.run_process(*options, quick=quick)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(importlib.metadata, "distributions", installed.distributions)
            if quick:
                patch.setattr(cpu_time, "WINDOW_SECONDS", QUICK_SECONDS)
            return self.pytester.runpytest_inprocess(
                *self._options(options, QUICK_SECONDS if quick else None)
            )

    def run_process(
        self, *options: str, quick: bool = True, fresh: bool = False
    ) -> pytest.RunResult:
        """Run in a process of its own, in one window a test where that is quick.

        fresh: where it matters what is loaded, so that a fork of a loaded process won't do.
        """
        given = self._options(options, cpu_time.WINDOW_SECONDS if quick else None)
        if fresh or not self._forked.fits():
            return self.pytester.runpytest_subprocess(*given, timeout=180)
        return self._forked.run(self.pytester.path, given, timeout_seconds=180)

    def record(self) -> dict[str, Any]:
        """The run record of the latest run."""
        return cast(dict[str, Any], json.loads(self.record_path.read_bytes()))

    def tests(self) -> dict[str, dict[str, Any]]:
        """The record's tests by the part of their id behind the file."""
        return {each["id"].partition("::")[2]: each for each in self.record()["tests"]}

    def _options(self, options: tuple[str, ...], max_seconds: float | None) -> list[str]:
        limits = [] if max_seconds is None else [f"--energy-max-seconds={max_seconds}"]
        # Tests of this suite needn't wait for each other, and least of all for other runs.
        locks = f"--energy-lock-folder={self.pytester.path / 'locks'}"
        return [*limits, locks, f"--energy-json={self.record_path}", *options]


@pytest.fixture(scope="session")
def forked() -> Iterator[Forked]:
    processes = Forked()
    yield processes
    processes.close()


@pytest.fixture
def energy_pytester(pytester: pytest.Pytester, forked: Forked) -> EnergyPytester:
    return EnergyPytester(pytester, forked)
