"""Measured tests beside one other plugin each, in processes where no third one is loaded."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

from conftest import EnergyPytester

pytestmark = pytest.mark.compatibility

PAGE = Path(__file__).parents[2] / "docs" / "compatibility.md"

WITHIN = '@budget("1 kJ / query")\n'
OVER = '@budget("0.001 mJ / query")\n'
#: One test within its limit, and one over.
BOTH = f"{WITHIN}def test_within():\n    spin(2)\n\n{OVER}def test_over():\n    spin(2)\n"
ENDS = {"within": ["pass"], "over": ["fail"]}


@dataclass(frozen=True, kw_only=True)
class Case:
    """Another plugin, how it is used, and what comes of it.

    verdicts: those of each test, by the end of its name. outcomes: what pytest counts, where
    `verdicts` doesn't say it. note: what the record says of the plugin. seen: for the docs.
    """

    distribution: str
    plugins: tuple[str, ...]
    seen: str
    source: str = BOTH
    options: tuple[str, ...] = ()
    verdicts: dict[str, list[str]]
    outcomes: dict[str, int] | None = None
    note: str = ""
    says: str = ""


def asynchronous(library: str, mark: str) -> str:
    return f"""
import {library}

@pytest.mark.{mark}
{WITHIN}async def test_within():
    spin(2)
    await {library}.sleep(0)
"""


CASES = (
    Case(
        distribution="pytest-xdist",
        plugins=("xdist.plugin",),
        options=("-n2",),
        verdicts=ENDS,
        seen="workers take turns on each device; one record is written",
    ),
    Case(
        distribution="pytest-asyncio",
        plugins=("pytest_asyncio.plugin",),
        source=asynchronous("asyncio", "asyncio"),
        verdicts={"within": ["pass"]},
        seen="coroutines are measured, with the marker and with `energy.measure_async`",
    ),
    Case(
        distribution="anyio",
        plugins=("anyio.pytest_plugin",),
        source=asynchronous("anyio", "anyio"),
        verdicts={"within[asyncio]": ["pass"], "within[trio]": ["pass"]},
        seen="coroutines are measured on each backend",
    ),
    Case(
        distribution="pytest-trio",
        plugins=("pytest_trio.plugin",),
        source=asynchronous("trio", "trio"),
        verdicts={"within": ["pass"]},
        seen="coroutines are measured",
    ),
    Case(
        distribution="pytest-rerunfailures",
        plugins=("pytest_rerunfailures",),
        options=("--reruns=1",),
        verdicts={"within": ["pass"], "over": ["fail", "fail"]},
        outcomes={"passed": 1, "failed": 1, "rerun": 1},
        seen="a test over its limit is measured again; the record holds each attempt",
    ),
    Case(
        distribution="pytest-timeout",
        plugins=("pytest_timeout",),
        options=("--timeout=300",),
        verdicts=ENDS,
        seen="the timer starts when the test has the locks of its devices",
    ),
    Case(
        distribution="pytest-randomly",
        plugins=("pytest_randomly",),
        verdicts=ENDS,
        seen="works",
    ),
    Case(
        distribution="pytest-cov",
        plugins=("pytest_cov.plugin",),
        options=("--cov=.",),
        verdicts=ENDS,
        note="coverage is active and multiplies the cost of Python code",
        seen="works; a note says that coverage multiplies the cost of Python code "
        "(measure with `--no-cov`)",
    ),
    Case(
        distribution="pytest-memray",
        plugins=("pytest_memray.plugin",),
        options=("--memray",),
        verdicts=ENDS,
        note="pytest-memray follows every allocation",
        seen="works; a note says that its tracker is in the figure",
    ),
    Case(
        distribution="pytest-benchmark",
        plugins=("pytest_benchmark.plugin",),
        source=f"""
{BOTH}
@budget
def test_apart(benchmark, energy):
    benchmark(spin)
    energy.measure(spin)

{WITHIN}def test_twice(benchmark):
    benchmark(spin)
""",
        verdicts={**ENDS, "apart": ["no-budget"], "twice": ["unmeasured"]},
        seen="works together with the fixture `energy`; a marked body can't use `benchmark`, "
        "which takes one call a test",
    ),
    Case(
        distribution="pytest-codspeed",
        plugins=("pytest_codspeed.plugin",),
        options=("--codspeed",),
        source=f"@pytest.mark.benchmark\n{WITHIN}def test_within():\n    spin(2)\n",
        verdicts={"within": ["pass"]},
        outcomes={"errors": 1},
        says="called the body of the test again",
        seen="write separate tests: both plugins call the whole test many times, so a test marked "
        "for both is an error",
    ),
    Case(
        distribution="hypothesis",
        plugins=("_hypothesis_pytestplugin",),
        source=f"""
from hypothesis import given, settings, strategies

{WITHIN}@settings(max_examples=5, deadline=None)
@given(strategies.integers())
def test_within(number):
    spin(2)
""",
        verdicts={"within": ["pass"]},
        seen="all examples of a test are one run of its body",
    ),
    Case(
        distribution="pytest-html",
        plugins=("pytest_html.plugin", "pytest_html.fixtures", "pytest_metadata.plugin"),
        options=("--html=report.html",),
        verdicts=ENDS,
        seen="works",
    ),
    Case(
        distribution="pytest-sugar",
        plugins=("pytest_sugar",),
        options=("--force-sugar",),
        verdicts=ENDS,
        outcomes={},
        seen="works",
    ),
    Case(
        distribution="pytest-repeat",
        plugins=("pytest_repeat",),
        options=("--count=2",),
        verdicts={
            "within[1-2]": ["pass"],
            "within[2-2]": ["pass"],
            "over[1-2]": ["fail"],
            "over[2-2]": ["fail"],
        },
        seen="each repetition is a measurement with an id of its own",
    ),
    Case(
        distribution="pytest-order",
        plugins=("pytest_order.plugin",),
        source=f"{BOTH}\n@pytest.mark.order(1)\n{WITHIN}def test_first():\n    spin(2)\n",
        verdicts={**ENDS, "first": ["pass"]},
        seen="works",
    ),
    Case(
        distribution="pytest-split",
        plugins=("pytest_split.plugin",),
        options=("--splits=2", "--group=1"),
        verdicts={"within": ["pass"]},
        outcomes={"passed": 1, "deselected": 1},
        seen="each group has a record of its own",
    ),
    Case(
        distribution="pytest-run-parallel",
        plugins=("pytest_run_parallel.plugin",),
        options=("--parallel-threads=2",),
        verdicts=ENDS,
        outcomes={"passed": 1, "errors": 1},
        note="pytest-run-parallel runs the body in several threads at once",
        seen="the threads count as one run, which a note says; a failing verdict is an error",
    ),
    Case(
        distribution="pytest-check",
        plugins=("pytest_check.plugin",),
        source=f"""
from pytest_check import check

{WITHIN}def test_within():
    spin(2)
    check.equal(1, 1)

{WITHIN}def test_soft():
    spin(2)
    check.equal(1, 2)
""",
        verdicts={"within": ["pass"], "soft": ["unmeasured"]},
        seen="a test whose check failed is unmeasured",
    ),
    Case(
        distribution="pytest-mock",
        plugins=("pytest_mock",),
        source=f"""
import os

{WITHIN}def test_within(mocker):
    mocker.patch("os.getcwd", return_value="elsewhere")
    spin(2)
    assert os.getcwd() == "elsewhere"
""",
        verdicts={"within": ["pass"]},
        seen="works; use a spy that counts calls with the fixture `energy`, not in a marked body",
    ),
    Case(
        distribution="syrupy",
        plugins=("syrupy",),
        options=("--snapshot-update",),
        source=f"""
@budget
def test_apart(energy, snapshot):
    assert energy.measure(lambda: (spin(2), "answer")[1]) == snapshot

{WITHIN}def test_inside(snapshot):
    spin(2)
    assert "answer" == snapshot
""",
        verdicts={"apart": ["no-budget"], "inside": ["unmeasured"]},
        seen="works together with the fixture `energy`; in a marked body each call would be a "
        "snapshot of its own, so it is unmeasured",
    ),
    Case(
        distribution="inline-snapshot",
        plugins=("inline_snapshot.pytest_plugin",),
        options=("--inline-snapshot=disable",),
        source=f"""
from inline_snapshot import snapshot

{WITHIN}def test_within():
    spin(2)
    assert "answer" == snapshot("answer")
""",
        verdicts={"within": ["pass"]},
        seen="works",
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.distribution)
def test_measured_beside(
    energy_pytester: EnergyPytester, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_PLUGINS", raising=False)
    energy_pytester.pytester.makeini("[pytest]\n")
    energy_pytester.write(case.source)
    plugins = ("pytest_energy.plugin.entry", *case.plugins)
    result = energy_pytester.run_process(
        *(f"-p{each}" for each in plugins), *case.options, fresh=True
    )
    records = energy_pytester.record()["tests"]
    verdicts: dict[str, list[str]] = {}
    for each in sorted(records, key=lambda each: each["attempt"]):
        name = each["id"].rpartition("::test_")[2]
        verdicts.setdefault(name, []).append(each["verdict"])
    assert verdicts == case.verdicts
    wanted = case.outcomes
    if wanted is None:
        red = Counter(each[-1] in ("fail", "unmeasured") for each in verdicts.values())
        wanted = {"passed": red[False], "failed": red[True]}
    counted = result.parseoutcomes() if wanted else {}
    assert {name: counted.get(name, 0) for name in wanted} == wanted
    is_green = all(each[-1] in ("pass", "no-budget") for each in verdicts.values())
    assert result.ret == (0 if is_green and not case.says else 1)
    for each in records:
        assert not case.note or [note for note in each["notes"] if case.note in note]
    assert case.says in result.stdout.str()


@pytest.mark.skipif(not hasattr(pytest, "Subtests"), reason="subtests came with pytest 9")
def test_measured_with_subtests(
    energy_pytester: EnergyPytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    energy_pytester.pytester.makeini("[pytest]\n")
    energy_pytester.write(
        f"{WITHIN}def test_within(subtests):\n    with subtests.test('first'):\n        spin(2)\n"
    )
    result = energy_pytester.run_process("-ppytest_energy.plugin.entry", fresh=True)
    assert result.parseoutcomes()["passed"] == 1
    assert energy_pytester.tests()["test_within"]["verdict"] == "pass"


def test_the_page_says_what_was_seen() -> None:
    rows = re.findall(
        r"^\| ([\w-]+) \| ([\d.]+) \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.M
    )
    assert {name: seen for name, _, seen in rows if name not in ("pytest", "pytest-forked")} == {
        each.distribution: each.seen for each in CASES
    }


def table() -> str:
    """The rows of the page, with the versions that are installed here."""
    rows = [
        f"| {each.distribution} | {version(each.distribution)} | {each.seen} |" for each in CASES
    ]
    return "\n".join(["| plugin | version | what was seen |", "| --- | --- | --- |", *rows])


if __name__ == "__main__":
    print(table())
