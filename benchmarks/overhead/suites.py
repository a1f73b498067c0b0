"""Whole runs of pytest: with one plugin each, or with a tool that a conftest.py starts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TypedDict

from realtime import HERE as ACCURACY
from realtime import environment

SEED = 20231128
BOARD = "gpu name=Fake-A100 watts=50 period_ms=100 jitter_ms=8 latency_us=200\n"
BOARD += "process gpu=0 pid=self type=compute\n"
ALONE = "pytest alone"
OURS = "pytest-energy"


class Cost(TypedDict):
    """Seconds of one run, on the clock and of the processor."""

    wall: float
    cpu: float


#: Of each contestant, one for each repetition.
Costs = Mapping[str, Sequence[Cost]]


@dataclass(frozen=True)
class Contestant:
    """How pytest is started. Other plugins aren't loaded."""

    name: str
    test: str
    options: Sequence[str] = ()
    conftest: str = ""


@dataclass(frozen=True)
class Suite:
    """Contestants that are compared with the first one."""

    name: str
    contestants: Sequence[Contestant] = field(default_factory=tuple)


CODECARBON = f"""
import sys
sys.path.append({str(ACCURACY)!r})
import pytest
from rivals import CodeCarbon

@pytest.fixture(scope="session", autouse=True)
def tracker():
    found = CodeCarbon()
    found.begin()
    yield
    found.end(0.0)
"""
ZEUS = CODECARBON.replace("CodeCarbon", "Zeus")


def _with_each_tool(test: str) -> tuple[Contestant, ...]:
    return (
        Contestant(ALONE, test),
        Contestant(OURS, test, ["-ppytest_energy.plugin.entry"]),
        Contestant("pytest-benchmark", test, ["-ppytest_benchmark.plugin"]),
        Contestant("pytest-memray", test, ["-ppytest_memray.plugin"]),
        Contestant("CodeCarbon's tracker", test, conftest=CODECARBON),
        Contestant("Zeus's monitor", test, conftest=ZEUS),
    )


START_UP = Suite("start-up, one unmarked test", _with_each_tool("def test_it(): pass\n"))
UNMARKED = Suite(
    "1,000 unmarked tests",
    _with_each_tool(
        "import pytest\n"
        "@pytest.mark.parametrize('number', range(1000))\n"
        "def test_it(number): pass\n"
    ),
)
#: About 10 us; an empty body would be unmeasured.
_WORK = "sum(range(1000))"
_TEST = f"def test_it(): {_WORK}\n"
_MARKED = f"import pytest\n@pytest.mark.energy_budget('1 kJ / query')\n{_TEST}"
MARKED = Suite(
    "a marked test of 10 us",
    (
        Contestant(ALONE, _TEST),
        Contestant(f"{OURS}, one GPU", _MARKED, ["-ppytest_energy.plugin.entry"]),
        Contestant(
            f"{OURS}, CPU time", _MARKED, ["-ppytest_energy.plugin.entry", "--energy-gpus=none"]
        ),
        Contestant(
            "pytest-benchmark",
            f"def test_it(benchmark): benchmark(lambda: {_WORK})\n",
            ["-ppytest_benchmark.plugin"],
        ),
        Contestant(
            "pytest-memray",
            f"import pytest\n@pytest.mark.limit_memory('100 MB')\n{_TEST}",
            ["-ppytest_memray.plugin", "--memray"],
        ),
    ),
)


def run(suite: Suite, folder: Path, repetitions: int) -> dict[str, list[Cost]]:
    """All costs by contestant; a first run of each, which fills caches, isn't kept."""
    rng = Random(SEED)
    found: dict[str, list[Cost]] = {each.name: [] for each in suite.contestants}
    for repetition in range(repetitions + 1):
        print(f"{suite.name}: {repetition} of {repetitions}", file=sys.stderr)
        for each in rng.sample(suite.contestants, len(suite.contestants)):
            cost = _cost(each, suite, folder)
            if repetition:
                found[each.name].append(cost)
    return found


def _cost(contestant: Contestant, suite: Suite, folder: Path) -> Cost:
    tests = folder / f"{suite.name} {contestant.name}"
    tests.mkdir(exist_ok=True)
    (tests / "test_it.py").write_text(contestant.test, encoding="utf-8")
    if contestant.conftest:
        (tests / "conftest.py").write_text(contestant.conftest, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-pno:cacheprovider", *contestant.options]
    variables = {**environment(folder, BOARD), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    del variables["PYTHONPATH"]  # all are installed
    before, started = os.times(), time.perf_counter()
    done = subprocess.run(
        command,
        cwd=tests,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{contestant.name}: {done.stdout[-2000:]}")
    wall, after = time.perf_counter() - started, os.times()
    cpu = after.children_user + after.children_system
    return Cost(wall=wall, cpu=cpu - before.children_user - before.children_system)
