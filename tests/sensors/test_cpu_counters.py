"""Limits judged by CPU counters, on a powercap tree that another process moves in real time."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fake_powercap import Layout, Zone, running

from conftest import EnergyPytester

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
    energy_pytester.pytester.makeini(f"[pytest]\nenergy_cpu_counter_folder = {root}\n")
    # 10 ms of a core are 0.04 J by the estimate, and at least 0.65 J by the counters.
    energy_pytester.write(CPU.format(limit="'0.4 J / query'", scope="cpu"))
    result = energy_pytester.run_process("--energy-require=measured")
    result.assert_outcomes(failed=1)
    test = energy_pytester.tests()["test_it"]
    assert (test["method"], test["scope"], test["verdict"]) == ("measured", "cpu", "fail")
    assert test["joules_per_unit"] >= 0.64
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
    energy_pytester.write(CPU.format(limit="'1 kJ / query'", scope="all"))
    energy_pytester.run_process(f"--energy-cpu-counter-folder={root}").assert_outcomes(passed=1)
    assert energy_pytester.tests()["test_it"]["method"] == "measured"
    result = energy_pytester.run_process(f"--energy-cpu-counter-folder={root / 'gone'}")
    result.assert_outcomes(failed=1)
    test = energy_pytester.tests()["test_it"]
    assert test["verdict"] == "unmeasured"
    assert 'scope="all" needs a counter for the CPU: ' in test["reason"]


BUDGETS = 'schema = 1\n[[budget]]\ntests = "*test_it"\nmax = "1 kJ / query"\nscope = "cpu"\n'


@pytest.mark.parametrize(
    ("marker", "file"),
    [
        ("'1 kJ / query', scope='cpu', method='measured'", ""),
        ("", BUDGETS + 'method = "measured"\n'),
        ("", BUDGETS + 'hardware = "here"\n[hardware.here]\ncpu = "*"\nmethod = "measured"\n'),
    ],
    ids=["marker", "budget", "hardware"],
)
def test_a_limit_for_counters_does_not_judge_an_estimate(
    energy_pytester: EnergyPytester, root: Path, marker: str, file: str
) -> None:
    if file:
        energy_pytester.pytester.path.joinpath("energy-budgets.toml").write_text(file)
    energy_pytester.write(f"@budget({marker})\ndef test_it():\n    spin(10)\n")
    energy_pytester.run_process(f"--energy-cpu-counter-folder={root}").assert_outcomes(passed=1)
    assert energy_pytester.tests()["test_it"]["method"] == "measured"
    energy_pytester.run_process(f"--energy-cpu-counter-folder={root / 'gone'}").assert_outcomes(
        failed=1
    )
    test = energy_pytester.tests()["test_it"]
    assert (test["verdict"], test["code"]) == ("unmeasured", "method-changed")
    assert " is for measured figures, and cpu:process is estimated (no RAPL" in test["reason"]


def test_a_limit_beside_a_baseline_of_counters_is_not_kept_by_an_estimate(
    energy_pytester: EnergyPytester, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    quick = ("--energy-max-rounds=5", "--energy-max-seconds=8", "--energy-gpus=none")
    energy_pytester.write(CPU.format(limit="'1 kJ / query'", scope="cpu"))
    store = (*quick, f"--energy-cpu-counter-folder={root}", "--energy-update=new")
    for _ in range(3):  # rounds that others made to wait for a core differ too much, and say so
        result = energy_pytester.run_process(*store, quick=False)
        result.assert_outcomes(passed=1)
        if "its rounds differ so much" not in result.stdout.str():
            break
    for given, passed in [("", 0), ("method='estimated', ", 1)]:
        source = CPU.format(limit="'1 kJ / query'", scope="cpu").replace("scope", f"{given}scope")
        energy_pytester.write(source)
        result = energy_pytester.run_process(
            *quick, f"--energy-cpu-counter-folder={root / 'gone'}", quick=False
        )
        result.assert_outcomes(passed=passed, failed=1 - passed)
        test = energy_pytester.tests()["test_it"]
        assert (test["code"] == "method-changed") is not bool(passed)
    assert energy_pytester.tests()["test_it"]["verdict"] == "pass"


def test_the_line_to_paste_remembers_that_it_was_measured(
    energy_pytester: EnergyPytester, root: Path
) -> None:
    energy_pytester.write("@budget(scope='cpu')\ndef test_it():\n    spin(10)\n")
    result = energy_pytester.run_process(f"--energy-cpu-counter-folder={root}")
    result.stdout.fnmatch_lines(['*@pytest.mark.energy_budget(*, scope="cpu", method="measured")'])
    result = energy_pytester.run_process(f"--energy-cpu-counter-folder={root / 'gone'}")
    result.stdout.fnmatch_lines(['*@pytest.mark.energy_budget(*, scope="cpu")'])


def test_other_processes_are_stored_and_reported(
    energy_pytester: EnergyPytester, root: Path
) -> None:
    energy_pytester.write(
        "@pytest.mark.energy_budget(scope='cpu')\n"
        "def test_it():\n    import time\n    time.sleep(0.05)\n    spin(10)\n"
    )
    with busy_neighbour():
        result = energy_pytester.run_process(
            f"--energy-cpu-counter-folder={root}", "--energy-max-seconds=4", quick=False
        )
    test = energy_pytester.tests()["test_it"]
    assert test["other_cores"] > 0.4
    assert all(each["other_cpu_seconds"] is not None for each in test["rounds"])
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
