"""energy.compare: candidates compared with their reference in one test."""

from __future__ import annotations

from dataclasses import replace

import pytest
from records import TEST

from conftest import EnergyPytester
from pytest_energy.measurement.candidates import compared_record
from pytest_energy.record.schema import RoundRecord
from pytest_energy.rules.estimate import Estimate
from pytest_energy.rules.paired import Comparison, compare
from pytest_energy.rules.verdict import Verdict

pytestmark = pytest.mark.realtime


def compared(bench: EnergyPytester, body: str, *options: str) -> pytest.RunResult:
    """A test that compares; a few pairs of windows of 0.2 s decide."""
    bench.write(f"def test_it(energy):\n    {body}\n")
    return bench.run("--energy-max-seconds=8", *options, quick=False)


def test_the_same_work_passes_without_a_marker(energy_pytester: EnergyPytester) -> None:
    result = compared(energy_pytester, "energy.compare(lambda: spin(5), lambda: spin(5))")
    result.assert_outcomes(passed=1)
    (test,) = energy_pytester.record()["tests"]
    assert (test["name"], test["verdict"], test["budget"]) == ("candidate", "pass", None)
    reference = test["reference"]
    assert reference["name"] == "reference"
    assert reference["ratio"] == pytest.approx(1, abs=0.03)
    low, high = reference["interval"]
    assert low <= reference["ratio"] <= high
    joules = reference["joules_per_unit"]
    assert test["joules_per_unit"] / joules == pytest.approx(reference["ratio"], rel=0.01)
    measured = [
        [each for each in rounds if not each["warmup"]]
        for rounds in (test["rounds"], reference["rounds"])
    ]
    assert len(measured[0]) == len(measured[1]) >= 5
    assert "no limit yet" not in result.stdout.str()
    result.stdout.fnmatch_lines(["*test_it candidate  against reference"])


def test_a_costlier_candidate_fails_with_both_figures(energy_pytester: EnergyPytester) -> None:
    result = compared(energy_pytester, "energy.compare(lambda: spin(5), lambda: spin(6), count=4)")
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines(
        [
            r"energy: candidate: [\d.]+ mJ / query is [12]\d % more than the [\d.]+ mJ / query "
            r"of 'reference' \(interval \+[\d.]+ % to \+[\d.]+ %, \d+ pairs\); 3 % more is "
            r"allowed; cpu:process, estimated; \S+ ms a query at \S+ W, "
            r"against \S+ ms a query at \S+ W$"
        ]
    )
    (test,) = energy_pytester.record()["tests"]
    assert test["reference"]["ratio"] == pytest.approx(1.2, rel=0.03)


def test_max_increase_decides(energy_pytester: EnergyPytester) -> None:
    body = "energy.compare(lambda: spin(5), lambda: spin(6), max_increase={})"
    compared(energy_pytester, body.format('"40%"')).assert_outcomes(passed=1)
    compared(energy_pytester, body.format(0.1)).assert_outcomes(failed=1)


def test_the_markers_max_increase_counts_where_the_call_gives_none(
    energy_pytester: EnergyPytester,
) -> None:
    source = (
        "@budget(max_increase='40%')\ndef test_it(energy):\n"
        "    energy.compare(lambda: spin(5), lambda: spin(6){})\n"
    )
    energy_pytester.write(source.format(""))
    energy_pytester.run("--energy-max-seconds=8", quick=False).assert_outcomes(passed=1)
    energy_pytester.write(source.format(", max_increase=0.1"))
    energy_pytester.run("--energy-max-seconds=8", quick=False).assert_outcomes(failed=1)


def test_many_are_ranked_against_the_first(energy_pytester: EnergyPytester) -> None:
    works = '{"eager": lambda: spin(5), "compiled": lambda: spin(3), "int8": lambda: spin(7)}'
    result = compared(energy_pytester, f"energy.compare({works})")
    result.assert_outcomes(failed=1)
    tests = energy_pytester.record()["tests"]
    assert {each["name"]: each["verdict"] for each in tests} == {"compiled": "pass", "int8": "fail"}
    flat = " ".join(result.stdout.str().split())
    assert "from the least energy, as multiples of eager: compiled 0." in flat
    ratios = {each["name"]: each["reference"]["ratio"] for each in tests}
    assert ratios == {
        "compiled": pytest.approx(0.6, rel=0.05),
        "int8": pytest.approx(1.4, rel=0.05),
    }


@pytest.mark.parametrize(
    ("limit", "milliseconds", "words"),
    [
        ("1 kJ / query", 5, []),
        ("15 mJ / query", 5, ["over the limit of 15.0 mJ"]),
        ("1 kJ / query", 7, ["% more than the"]),
        ("15 mJ / query", 7, ["over the limit of 15.0 mJ", "% more than the"]),
    ],
)
def test_a_limit_of_the_marker_holds_too(
    energy_pytester: EnergyPytester, limit: str, milliseconds: int, words: list[str]
) -> None:
    energy_pytester.write(
        f"@budget('{limit}')\ndef test_it(energy):\n"
        f"    energy.compare(lambda: spin(5), lambda: spin({milliseconds}), max_increase=0.15)\n"
    )
    result = energy_pytester.run("--energy-max-seconds=8", quick=False)
    result.assert_outcomes(passed=not words, failed=bool(words))
    (test,) = energy_pytester.record()["tests"]
    for each in ("over the limit of 15.0 mJ", "% more than the") if words else ():
        assert (each in test["reason"]) == (each in words), test["reason"]


def test_every_function_sees_the_same_inputs_and_its_last_result_is_given(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.write(
        """
        seen = {"old": [], "new": []}

        def work(name):
            def call(text):
                seen[name].append(text)
                spin()
                return f"{name} {text}"
            return call

        def test_it(energy):
            found = energy.compare({each: work(each) for each in seen}, inputs=["a", "b"])
            for name, texts in seen.items():
                assert found[name] == f"{name} {texts[-1]}"
                assert texts == (["a", "b"] * len(texts))[: len(texts)]
        """
    )
    # So few pairs are inconclusive, which is not what this is about.
    energy_pytester.run("--energy-fail-on=fail").assert_outcomes(passed=1)


def test_disabled_each_function_is_called_once(energy_pytester: EnergyPytester) -> None:
    body = "assert energy.compare(lambda: 1, lambda: 2) == {'reference': 1, 'candidate': 2}"
    result = compared(energy_pytester, body, "--energy-disable")
    result.assert_outcomes(passed=1)


def test_a_candidate_that_raises_fails_its_test_and_no_other(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.write(
        """
        calls = []

        def test_it(energy):
            def candidate():
                calls.append(1)
                spin()
                if len(calls) > 3:
                    raise RuntimeError("out of memory")
            energy.compare(spin, candidate)

        def test_next(energy):
            energy.measure(spin)
        """
    )
    result = energy_pytester.run()
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["E * RuntimeError: out of memory"])
    test = next(each for each in energy_pytester.record()["tests"] if each["name"] == "candidate")
    assert (test["verdict"], test["reason"]) == ("unmeasured", "the test ended in RuntimeError")


@pytest.mark.parametrize(
    ("reference", "candidate"), [("spin", "idle"), ("idle", "spin")], ids=["candidate", "reference"]
)
def test_unseen_work_is_not_a_saving(
    energy_pytester: EnergyPytester, reference: str, candidate: str
) -> None:
    body = f"import time; idle = lambda: time.sleep(0.05); energy.compare({reference}, {candidate})"
    result = compared(energy_pytester, body)
    result.assert_outcomes(failed=1)
    (test,) = energy_pytester.record()["tests"]
    assert test["verdict"] == "unmeasured"
    assert "no sensor looks" in test["reason"]
    assert ("reference, which it is compared with" in test["reason"]) == (reference == "idle")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("energy.compare(spin)", "the candidate, None, can't be called"),
        ("energy.compare({'eager': spin})", "was given 1 functions, and takes two or more"),
        (
            "energy.compare({'a': spin, 'b': spin}, spin)",
            "by name and a second argument",
        ),
        ("energy.compare({1: spin, 'b': spin})", "1 is not a name"),
        ("energy.compare(spin, spin, max_increase='much')", "max_increase='much'"),
        ("energy.compare(spin, spin, max_increase=3)", "max_increase=3"),
        ("energy.compare(spin, spin, inputs=[])", "inputs is empty"),
        ("energy.compare(spin, later)", "the coroutine function later"),
        ("energy.compare(spin, lambda: later())", "in energy.compare: lambda: asyncio.run("),
        ("energy.compare(spin, lambda: (x for x in ()))", "write: lambda: list("),
        ("energy.compare(spin, spin); energy.compare(spin, spin)", 'add name="long" to the call'),
    ],
)
def test_misuse_is_an_error_that_shows_the_way(
    energy_pytester: EnergyPytester, call: str, words: str
) -> None:
    energy_pytester.write(f"async def later(): pass\ndef test_it(energy):\n    {call}\n")
    result = energy_pytester.run()
    result.stdout.fnmatch_lines(["ERROR*"])
    flat = " ".join(result.stdout.str().split())
    assert words in flat, flat
    assert "rite: " in flat or "for example" in flat or "name=" in flat or "asyncio.run" in flat


def test_two_comparisons_differ_by_name(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        "def test_it(energy):\n"
        "    for name in ('short', 'long'):\n        energy.compare(spin, spin, name=name)\n"
    )
    energy_pytester.run()
    names = [each["name"] for each in energy_pytester.record()["tests"]]
    assert names == ["short: candidate", "long: candidate"]


@pytest.mark.parametrize(
    ("verdict", "expected"), [(Verdict.PASS, "inconclusive"), (Verdict.FAIL, "fail")]
)
def test_another_process_makes_differences_look_smaller(verdict: Verdict, expected: str) -> None:
    mine = replace(TEST, budget=None, verdict="no-budget", other_processes=("ollama (7) on gpu:0",))
    seen = Comparison(Estimate(1.0, (0.99, 1.01)), verdict, 5)
    found = compared_record(mine, TEST, seen, ("old", "new"), 0.03)
    assert found.verdict == expected
    told = "added joules to both, which makes any difference look smaller" in found.reason
    assert told == (verdict is Verdict.PASS)


def test_rounds_for_another_candidate_are_no_pairs_of_one_that_was_decided() -> None:
    seen = compare([1.2, 1.2, 1.2, 1.2, 1.2], 0.03, final=False)
    assert seen is not None
    each = RoundRecord(
        joules=20.0, seconds=1.0, units=10.0, warmup=False, cpu_seconds=5.0, calls=10
    )
    mine = replace(TEST, budget=None, rounds=(each,) * 20)
    found = compared_record(mine, TEST, seen, ("old", "new"), 0.03)
    assert ", 5 pairs)" in found.reason
    assert found.reference is not None
    assert found.reference.pairs == 5


@pytest.mark.parametrize(
    ("ratio", "words"), [(9.9, "is 890 % more"), (1.2, "is 20 % more"), (1.016, "is 1.6 % more")]
)
def test_percentages_are_written_out(ratio: float, words: str) -> None:
    seen = Comparison(Estimate(ratio, (ratio, ratio)), Verdict.FAIL, 5)
    reason = compared_record(TEST, TEST, seen, ("old", "new"), 0.125).reason
    assert words in reason
    assert "; 12.5 % more is allowed" in reason
