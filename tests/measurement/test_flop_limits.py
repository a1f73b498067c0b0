"""Limits in FLOPs: exact, beside energy that is shown."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from flop_bench import WORK

from conftest import EnergyPytester

IT = "{work}\n@budget('{limit}', count=4{more})\ndef test_it():\n    work({flops})\n"


def it(bench: EnergyPytester, limit: str, flops: int, *options: str, more: str = "") -> Any:
    bench.write(IT.format(work=WORK, limit=limit, flops=flops, more=more))
    return bench.run_process(*options)


def flops_of(bench: EnergyPytester) -> list[dict[str, Any]]:
    return [each for each in bench.record()["tests"] if each["method"] == "flops"]


@pytest.mark.parametrize(
    ("limit", "verdict"),
    [
        ("1005 FLOP / query", "pass"),
        ("1.005 MFLOP / 1000 queries", "pass"),
        ("1.01 kFLOP / query", "pass"),
        ("1004 FLOP / query", "fail"),
        ("1.004999999 kFLOP / query", "fail"),
    ],
)
def test_over_the_limit_fails_and_at_it_passes(
    flop_bench: EnergyPytester, limit: str, verdict: str
) -> None:
    result = it(flop_bench, limit, 4020)
    result.assert_outcomes(**{"passed" if verdict == "pass" else "failed": 1})
    energy, work = flop_bench.record()["tests"]
    assert (energy["verdict"], energy["budget"]) == ("no-budget", None)
    assert energy["joules_per_unit"] > 0
    assert (work["verdict"], work["flops_per_unit"]) == (verdict, 1005)
    assert (work["scope"], work["unit"], work["joules_per_unit"]) == ("torch", "query", None)
    assert work["code"] == ("over-limit" if verdict == "fail" else "")
    result.stdout.fnmatch_lines([f"1.00 kFLOP * flops * {verdict}"])
    if verdict == "fail":
        result.stdout.fnmatch_lines(
            [f"energy: 1.00 kFLOP / query (1,005 FLOP) is over the limit of {limit} *"]
        )


@pytest.mark.untraced  # the work is too little to be seen
def test_energy_without_a_limit_fails_nothing_beside_it(flop_bench: EnergyPytester) -> None:
    quiet = WORK.replace("    spin()\n", "")
    flop_bench.write(f"{quiet}\n@budget('1 kFLOP / query')\ndef test_it():\n    work(1000)\n")
    result = flop_bench.run_process("--energy-strict", "--energy-report=markdown:report.md")
    result.assert_outcomes(passed=1)
    energy, _ = flop_bench.record()["tests"]
    assert (energy["verdict"], energy["joules_per_unit"]) == ("no-budget", None)
    assert energy["code"] == "beside-flops"
    result.stdout.fnmatch_lines(["*no energy limit to compare with; energy is unmeasured*"])
    report = (flop_bench.pytester.path / "report.md").read_text()
    assert "Passed: 1 measurement is within its limit" in report


def test_limits_in_energy_and_in_flops_apply_together(flop_bench: EnergyPytester) -> None:
    (flop_bench.pytester.path / "energy-budgets.toml").write_text(
        'schema = 1\n[defaults]\ntolerance = "50 %"\n'
        '[[budget]]\ntests = "test_it.py::test_it"\nmax = "1 kFLOP / query"\n'
        '[[budget]]\ntests = "test_it.py::*"\nmax = "2 kFLOP / query"\nmessage = "Ask us."\n'
    )
    flop_bench.write(f"{WORK}\n@budget('1 kJ / query')\ndef test_it():\n    work(1001)\n")
    result = flop_bench.run_process()
    result.assert_outcomes(failed=1)
    energy, work = flop_bench.record()["tests"]
    assert (energy["verdict"], energy["budget"]["limit"]) == ("pass", "1 kJ / query")
    assert work["budget"]["origin"] == "energy-budgets.toml:6"
    assert work["verdict"] == "fail"


def test_each_input_is_called_once(flop_bench: EnergyPytester) -> None:
    source = (
        "@budget('{limit} FLOP / token')\ndef test_it(energy):\n    before = len(calls)\n"
        "    energy.measure(work, inputs=[100, 200, 3000], tokens=10)\n"
        "    assert calls[-3:] == [True] * 3 and sum(calls) == 3\n"
    )
    for limit, verdict in ((110, "pass"), (109, "fail")):
        flop_bench.write(f"{WORK}\n{source.format(limit=limit)}")
        flop_bench.run_process()
        (work,) = flops_of(flop_bench)
        assert (work["verdict"], work["flops_per_unit"]) == (verdict, 110)
        assert work["rounds"][0]["calls"] == 3


def test_inputs_that_do_not_fit_into_the_time_make_it_inconclusive(
    flop_bench: EnergyPytester,
) -> None:
    flop_bench.write(
        f"{WORK}\n@budget('1 kFLOP / query')\ndef test_it(energy):\n"
        "    energy.measure(work, inputs=[10] * 5000)\n"
    )
    result = flop_bench.run_process()
    result.assert_outcomes(failed=1)
    (work,) = flops_of(flop_bench)
    assert (work["verdict"], work["code"]) == ("inconclusive", "inputs-not-covered")
    result.stdout.fnmatch_lines(["*FLOPs were counted for * of 5,000 inputs*"])


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("def test_it():\n    work(0)", "no-flops"),
        ("def test_it():\n    work(1)\n    assert not calls[-1]", "extra-call-failed"),
        (
            "def test_it(energy):\n    with energy.window(count=1):\n        work(1)",
            "window-not-counted",
        ),
        (
            "def test_it(energy):\n    energy.measure(lambda: work(1), count=lambda _: 0)",
            "no-units",
        ),
        ("def test_it():\n    work(1)\n    assert 0", "test-failed"),
    ],
)
def test_what_cannot_be_counted_is_unmeasured(
    flop_bench: EnergyPytester, body: str, code: str
) -> None:
    flop_bench.write(f"{WORK}\n@budget('1 kFLOP / query')\n{body}\n")
    flop_bench.run_process().assert_outcomes(failed=1)
    (work,) = flops_of(flop_bench)
    assert (work["verdict"], work["code"], work["flops_per_unit"]) == ("unmeasured", code, None)


def test_without_torch_it_is_unmeasured(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write("@budget('1 kFLOP / query')\ndef test_it():\n    spin()\n")
    result = energy_pytester.run_process()
    result.assert_outcomes(failed=1)
    (work,) = flops_of(energy_pytester)
    assert (work["verdict"], work["code"]) == ("unmeasured", "no-torch")
    result.stdout.fnmatch_lines(["energy: unmeasured: FLOPs are not countable: the test hasn't *"])


def test_a_candidate_is_judged_beside_its_reference(flop_bench: EnergyPytester) -> None:
    flop_bench.write(
        f"{WORK}\n@budget('1 kFLOP / query', max_increase='0.5%')\ndef test_it(energy):\n"
        "    energy.compare(lambda: work(10), lambda: work(1001), max_increase='90%')\n"
    )
    flop_bench.run_process()
    (work,) = flops_of(flop_bench)
    assert (work["name"], work["verdict"], work["baseline"]) == ("candidate", "fail", None)


@pytest.mark.parametrize(("flops", "verdict"), [(4000, "pass"), (4016, "pass"), (4040, "fail")])
def test_a_baseline_finds_each_increase(
    flop_bench: EnergyPytester, flops: int, verdict: str
) -> None:
    more = ", max_increase='0.5%'"
    it(flop_bench, "1 MFLOP / query", 4000, "--energy-update=new", more=more)
    (path,) = flop_bench.pytester.path.glob("energy-baselines/*")
    assert path.name == "any-hardware.jsonl"
    result = it(flop_bench, "1 MFLOP / query", flops, more=more)
    result.assert_outcomes(**{"passed" if verdict == "pass" else "failed": 1})
    energy, work = flop_bench.record()["tests"]
    assert (energy["verdict"], energy["baseline"]) == ("no-budget", None)
    assert (work["verdict"], work["baseline"]["sessions"]) == (verdict, 1)
    assert work["baseline"]["increase"] == pytest.approx(flops / 4000 - 1, abs=1e-12)
    if verdict == "fail":
        assert work["code"] == "over-baseline"
        result.stdout.fnmatch_lines(
            ["energy: 1.01 kFLOP / query is 1 % over the mean of 1 session (1.00 kFLOP / query; *"]
        )


def test_fewer_flops_say_how_to_keep_them(flop_bench: EnergyPytester) -> None:
    it(flop_bench, "1 MFLOP / query", 4000, "--energy-update=new")
    it(flop_bench, "1 MFLOP / query", 2000).stdout.fnmatch_lines(
        ["test_it: 50 % under the mean of 1 session; to keep it: lower its limit*"]
    )


def test_a_test_with_an_energy_limit_alone_ignores_the_flops_of_its_baseline(
    flop_bench: EnergyPytester,
) -> None:
    it(flop_bench, "1 MFLOP / query", 4000, "--energy-update=new")
    it(flop_bench, "1 kJ / query", 4000).assert_outcomes(passed=1)
    (energy,) = flop_bench.record()["tests"]
    assert "flops" not in energy["baseline"]["missing"]


def test_metrics_never_call_a_count_an_estimate(flop_bench: EnergyPytester) -> None:
    it(flop_bench, "2 kFLOP / query", 4000, "--energy-report=openmetrics:metrics.txt")
    text = (flop_bench.pytester.path / "metrics.txt").read_text()
    lines = [each for each in text.splitlines() if 'method="flops"' in each]
    names = {each.partition("{")[0].removeprefix("pytest_energy_"): each for each in lines}
    assert set(names) == {"flops_per_unit", "fraction_of_limit", "red"}
    assert names["flops_per_unit"].endswith(" 1000.0")
    assert not any("evidence=" in each or "hardware=" in each for each in lines)


@pytest.mark.parametrize("source", [("record.json",), ()])
def test_tighten_lowers_a_limit_to_the_count(
    flop_bench: EnergyPytester, source: tuple[str, ...]
) -> None:
    path = flop_bench.pytester.path / "energy-budgets.toml"
    path.write_text(
        'schema = 1\n[[budget]]\ntests = "test_it.py::test_it"\nmax = "9 kFLOP / query"\n'
    )
    flop_bench.write(f"{WORK}\n@budget(count=4)\ndef test_it():\n    work(20961)\n")
    flop_bench.run_process("--energy-update=new")
    command = (sys.executable, "-m", "pytest_energy.cli", "budgets")
    kept = flop_bench.pytester.run(*command, "suggest", "record.json")
    kept.stdout.fnmatch_lines(['test_it.py::test_it: kept "9 kFLOP / query" *'])
    assert flop_bench.pytester.run(*command, "tighten", *source).ret == 0
    assert 'max = "5.25 kFLOP / query"' in path.read_text()
    flop_bench.run_process().assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        (
            "'1 kFLOP / query', method='measured'",
            "*method='measured' with limit '1 kFLOP / query': FLOPs *leave method out*",
        ),
        ("'1 GFLOPS / query'", "*unknown unit 'GFLOPS', did you mean 'GFLOP'?*"),
        ("'1 GFLOP / token'", "*is per token, and tokens are not counted*"),
    ],
)
def test_mistakes_in_a_marker(flop_bench: EnergyPytester, marker: str, message: str) -> None:
    flop_bench.write(f"@budget({marker})\ndef test_it():\n    spin()\n")
    flop_bench.run_process().stdout.fnmatch_lines([message])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            'max_carbon = "1 GFLOP / query"',
            "*it is a limit in FLOPs, not in carbon: write it as max*",
        ),
        (
            'max = "1 GFLOP / query"\nmethod = "measured"',
            "*max is in FLOPs, which are counted in one way only; leave method out*",
        ),
    ],
)
def test_mistakes_in_the_file(flop_bench: EnergyPytester, line: str, message: str) -> None:
    path = flop_bench.pytester.path / "energy-budgets.toml"
    path.write_text(f'schema = 1\n[[budget]]\ntask = "t"\n{line}\n')
    flop_bench.write("def test_it(): pass\n")
    flop_bench.run_process().stderr.fnmatch_lines([message])
