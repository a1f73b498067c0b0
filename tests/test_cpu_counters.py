"""Limits judged by CPU counters, on a powercap tree that another process moves in real time."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conftest import EnergyPytester
from fake_powercap import Layout, Zone, running

pytestmark = pytest.mark.realtime

ZONES = [
    Zone("package-0", watts=40.0, parts=[Zone("core", 30.0), Zone("dram", 5.0)]),
    Zone("package-1", watts=20.0, start_uj=1_000_000),
    Zone("psys", watts=90.0),
]
CPU = "@pytest.mark.energy_budget({limit}, scope={scope!r})\ndef test_it():\n    spin(10)\n"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "powercap"
    with running(folder, ZONES, Layout.FLAT):
        yield folder


def test_a_cpu_limit_is_judged_by_the_counters_and_not_by_the_estimate(
    energy_pytester: EnergyPytester, root: Path
) -> None:
    energy_pytester.pytester.makeini(f"[pytest]\nenergy_powercap_root = {root}\n")
    energy_pytester.write(CPU.format(limit="'2 J / query'", scope="cpu"))
    result = energy_pytester.run_process("--energy-require=measured")
    result.assert_outcomes(passed=1)
    test = energy_pytester.tests()["test_it"]
    assert (test["method"], test["scope"], test["verdict"]) == ("measured", "cpu", "pass")
    assert [(each["name"], each["kind"], each["gated"]) for each in test["channels"]] == [
        ("cpu:package-0", "cpu", True),
        ("dram:0", "dram", True),
        ("cpu:package-1", "cpu", True),
        ("cpu:process", "cpu", False),
    ]
    for each in (each for each in test["rounds"] if not each["warmup"]):
        assert each["joules"] == pytest.approx(65.0 * each["seconds"], rel=0.05)
        assert each["seconds"] >= 0.2


def test_all_holds_every_counter_and_is_unmeasured_where_one_is_missing(
    energy_pytester: EnergyPytester, root: Path
) -> None:
    energy_pytester.write(CPU.format(limit="'2 J / query'", scope="all"))
    energy_pytester.run_process(f"--energy-powercap-root={root}").assert_outcomes(passed=1)
    assert energy_pytester.tests()["test_it"]["method"] == "measured"
    result = energy_pytester.run_process(f"--energy-powercap-root={root / 'gone'}")
    result.assert_outcomes(failed=1)
    test = energy_pytester.tests()["test_it"]
    assert test["verdict"] == "unmeasured"
    assert 'scope="all" needs a counter for the CPU: ' in test["reason"]


def test_neighbours_are_stored_and_said(energy_pytester: EnergyPytester, root: Path) -> None:
    energy_pytester.write(
        "@pytest.mark.energy_budget(scope='cpu')\n"
        "def test_it():\n    import time\n    time.sleep(0.05)\n    spin(10)\n"
    )
    with busy_neighbour():
        result = energy_pytester.run_process(
            f"--energy-powercap-root={root}", "--energy-max-seconds=4", quick=False
        )
    test = energy_pytester.tests()["test_it"]
    assert test["neighbour_cores"] > 0.4
    assert all(each["neighbour_cpu_seconds"] is not None for each in test["rounds"])
    result.stdout.fnmatch_lines(["test_it: other processes kept *"])


@contextmanager
def busy_neighbour() -> Iterator[None]:
    process = multiprocessing.get_context("spawn").Process(target=_spin, daemon=True)
    process.start()
    try:
        time.sleep(0.5)  # until it has started; nothing is timed by it
        yield
    finally:
        process.terminate()
        process.join()


def _spin() -> None:
    parent = os.getppid()
    while os.getppid() == parent:
        pass
