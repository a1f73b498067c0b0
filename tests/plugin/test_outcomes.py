"""What a verdict does to the outcome of a test: failures, xfail, skips, reruns, JUnit, summary."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import pytest

from conftest import EnergyPytester
from pytest_energy.units import per_unit

OVER = '@budget("1 mJ / query")'  # spin() takes 2 CPU milliseconds, so 8 mJ
UNDER = '@budget("1 kJ / query")'
#: Measured tests take turns on a machine, so another run may have to end first.
EXPECT_SECONDS = 120.0


def test_over_the_limit_the_build_fails_with_a_sentence(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.write(f"{OVER}\ndef test_it():\n    spin()\n")
    result = energy_pytester.run("--energy-max-seconds=20", quick=False)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    sentence = re.search(r"^energy: .*$", result.stdout.str(), re.MULTILINE)
    assert sentence is not None
    told = re.fullmatch(
        r"energy: ([\d.]+) mJ / query is over the limit of 1\.00 mJ / query \(test_it\.py:4\) by "
        r"(\d+) % \(interval ([\d.]+) to ([\d.]+) mJ\), cpu:process, estimated; "
        r"([\d.]+) ms a query at ([\d.]+) W",
        sentence[0],
    )
    assert told is not None
    figure, over, low, high, milliseconds, watts = map(float, told.groups())
    # 2 ms at 4 W or more: what other processes add is the machine's affair.
    assert 7.99 <= figure < 16.0
    assert low <= figure <= high
    assert over == pytest.approx(100 * (figure - 1.0), abs=1.0)
    # How long it took is the machine's affair; time and power make up the figure.
    assert milliseconds * watts == pytest.approx(figure, rel=0.02)
    result.stdout.fnmatch_lines(["FAILED test_it.py::test_it - energy: * mJ / query is over*"])


def test_the_place_of_a_failure_is_its_test(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(f"{OVER}\ndef test_it():\n    spin()\n")
    result = energy_pytester.run("--tb=line")
    result.stdout.fnmatch_lines([f"{energy_pytester.pytester.path}/test_it.py:4: energy: *"])


NO_GPU = "no GPU in use: "


@pytest.mark.parametrize(
    ("options", "in_failures", "noted_for"),
    [
        ([], 2, "test_expected"),
        (["-n2"], 2, "test_expected"),
        (["--tb=line"], 2, "test_expected"),
        (["--tb=no"], 0, "3 tests"),
    ],
)
def test_a_reason_that_pytest_shows_as_a_failure_is_not_repeated_as_a_note(
    energy_pytester: EnergyPytester, options: list[str], in_failures: int, noted_for: str
) -> None:
    energy_pytester.write(
        """
        @budget("1 J / query", scope="gpu")
        def test_one():
            spin()

        @budget("1 J / query", scope="gpu")
        def test_two():
            spin()

        @pytest.mark.xfail
        @budget("1 J / query", scope="gpu")
        def test_expected():
            spin()
        """
    )
    result = energy_pytester.run(*options)
    before, _, summary = result.stdout.str().partition("= energy =")
    summary = " ".join(summary.partition("= short test summary")[0].split())
    # With --tb=line, pytest puts the place before the sentence; some versions print that alone too.
    alone, placed = (
        re.findall(rf"^{place}energy: .*{NO_GPU}", before, re.MULTILINE)
        for place in ("", r"\S+:\d+: ")
    )
    assert len(alone or placed) == in_failures
    assert summary.count(NO_GPU) == 1
    assert f'{noted_for}: scope="gpu" and {NO_GPU}' in summary
    assert "unmeasured (3 tests): Run pytest-energy doctor" in summary


def test_a_tests_own_error_is_a_note_only_where_no_traceback_is_shown(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.write(f"{UNDER}\ndef test_it():\n    raise RuntimeError\n")
    note = "test_it: the test ended in RuntimeError"
    energy_pytester.run().stdout.no_fnmatch_line(note)
    energy_pytester.run("--tb=no").stdout.fnmatch_lines([note])


def test_each_reason_has_a_code_for_machines(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        f"""
        {OVER}
        def test_over():
            spin()

        {UNDER}
        def test_under():
            spin()

        @budget
        def test_new():
            spin()

        {UNDER}
        def test_raises():
            raise RuntimeError

        @budget("1 J / query", scope="all")
        def test_no_counter():
            spin()
        """
    )
    energy_pytester.run()
    found = {
        name: (each["verdict"], each["code"]) for name, each in energy_pytester.tests().items()
    }
    assert found == {
        "test_over": ("fail", "over-limit"),
        "test_under": ("pass", ""),
        "test_new": ("no-budget", "no-limit"),
        "test_raises": ("unmeasured", "test-failed"),
        "test_no_counter": ("unmeasured", "no-counter"),
    }


def test_an_energy_failure_shows_no_traceback_of_the_plugin(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.write(f"{OVER}\ndef test_it():\n    spin()\n")
    report = energy_pytester.run("--tb=long", "-vv").stdout.str()
    assert "plugin.py" not in report
    assert "EnergyFailure" not in report
    assert "hidden" not in report


def test_xfail_and_strict_xfail(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        f"""
        @pytest.mark.xfail(reason="too large a model")
        {OVER}
        def test_expected():
            spin()

        @pytest.mark.xfail(strict=True)
        {UNDER}
        def test_strict():
            spin()
        """
    )
    result = energy_pytester.run("-rx")
    result.assert_outcomes(xfailed=1, failed=1)
    result.stdout.fnmatch_lines(["XFAIL test_it.py::test_expected - too large a model"])


def test_skips_are_left_alone(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        f"""
        @pytest.mark.skip
        @budget("nonsense")
        def test_skipped():
            raise AssertionError("ran")

        {UNDER}
        def test_skips_itself():
            pytest.skip("no weights")
        """
    )
    energy_pytester.run().assert_outcomes(skipped=2)
    assert energy_pytester.record()["tests"] == []


def test_exitfirst_stops_at_an_energy_failure(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        f"{OVER}\ndef test_first():\n    spin()\n\n{UNDER}\ndef test_second():\n    spin()\n"
    )
    energy_pytester.run("-x").assert_outcomes(failed=1)


def test_reruns_are_recorded_as_attempts(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        RUNS = []

        @budget("20 mJ / query")
        def test_it(energy):
            RUNS.append(1)
            energy.measure(lambda: spin(20 if len(RUNS) == 1 else 1))
        """
    )
    result = energy_pytester.run("--reruns=2")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*1 passed*1 rerun*"])
    found = [(each["attempt"], each["verdict"]) for each in energy_pytester.record()["tests"]]
    assert found == [(1, "fail"), (2, "pass")]
    result.stdout.fnmatch_lines(["test_it.py::test_it (attempt 2)  test_it.py:*"])


def test_a_rerun_replaces_the_properties_in_junit(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(f"{OVER}\ndef test_it():\n    spin()\n")
    path = energy_pytester.pytester.path / "junit.xml"
    energy_pytester.run("--reruns=1", f"--junit-xml={path}").assert_outcomes(failed=1)
    for case in ElementTree.parse(path).iter("testcase"):
        names = [each.get("name") for each in case.iter("property")]
        assert sorted(names, key=str) == [
            "energy.code",
            "energy.joules_per_unit",
            "energy.method",
            "energy.unit",
            "energy.verdict",
        ]


def test_a_skip_hides_no_verdict_reached_before_it(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        f"""
        {OVER}
        def test_over(energy):
            energy.measure(spin)
            pytest.skip("later")

        {UNDER}
        def test_under(energy):
            energy.measure(spin)
            pytest.skip("later")

        {UNDER}
        def test_old_skip():
            import unittest
            raise unittest.SkipTest("no weights")
        """
    )
    energy_pytester.run().assert_outcomes(failed=1, skipped=2)
    assert list(energy_pytester.tests()) == ["test_over", "test_under"]


def test_an_interrupted_test_is_in_the_record(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(f"{UNDER}\ndef test_it():\n    raise KeyboardInterrupt\n")
    result = energy_pytester.run_process()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    test = energy_pytester.tests()["test_it"]
    assert (test["verdict"], test["reason"]) == (
        "unmeasured",
        "the test ended in KeyboardInterrupt",
    )


def test_pdb_opens_at_an_energy_failure(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(f"{OVER}\ndef test_it():\n    spin()\n")
    child = energy_pytester.pytester.spawn_pytest(
        f"--pdb --energy-max-seconds=1 {energy_pytester.pytester.path}/test_it.py", EXPECT_SECONDS
    )
    child.expect(r"energy: [\d.]+ mJ / query is over the limit")
    child.expect("Pdb")
    child.sendline("q")
    child.expect("1 failed")
    child.wait()


def test_junit_holds_verdict_and_figure(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(f"{OVER}\ndef test_it():\n    spin()\n")
    path = energy_pytester.pytester.path / "junit.xml"
    energy_pytester.run(f"--junit-xml={path}")
    case = ElementTree.parse(path).find(".//testcase")
    assert case is not None
    properties = {each.get("name"): each.get("value") for each in case.iter("property")}
    assert properties["energy.verdict"] == "fail"
    joules = energy_pytester.tests()["test_it"]["joules_per_unit"]
    assert float(properties["energy.joules_per_unit"] or 0) == joules
    assert (properties["energy.method"], properties["energy.unit"]) == ("estimated", "query")
    failure = case.find("failure")
    assert failure is not None
    message = f"energy: {per_unit(joules, 'query')} is over the limit of "
    assert (failure.get("message") or "").startswith(message)


@pytest.mark.realtime
def test_two_workers_measure_one_after_the_other_and_one_record_is_written(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.write(
        """
        import json, os, time
        from pathlib import Path

        def work(name):
            start = time.monotonic()
            spin(10)
            with Path(f"calls-{os.getpid()}").open("a") as file:
                file.write(f"{start} {time.monotonic()}\\n")

        @pytest.mark.parametrize("name", "abcd")
        @budget("1 kJ / query", labels={"worker": "any"})
        def test_it(name):
            work(name)

        def test_unmarked():
            pass

        @budget("1 mJ / query")
        def test_red():
            spin()
        """
    )
    result = energy_pytester.run_process("-n2")
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines(["energy: * mJ / query is over the limit of 1.00 mJ / query*"])
    assert len(energy_pytester.record()["tests"]) == 5
    calls = []
    for worker, path in enumerate(energy_pytester.pytester.path.glob("calls-*")):
        for line in path.read_text(encoding="utf-8").splitlines():
            start, end = line.split()
            calls.append((float(start), float(end), worker))
    calls.sort()
    assert {worker for _, _, worker in calls} == {0, 1}  # both measured
    # No call overlaps another worker's, and they come in a few unbroken runs, one for each test.
    assert all(one[1] <= next_one[0] for one, next_one in pairwise(calls))
    assert sum(one[2] != next_one[2] for one, next_one in pairwise(calls)) <= 4


def test_disabled_tests_run_once_and_are_reported_as_disabled(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.write(
        f"""
        RUNS = []

        {OVER}
        def test_body():
            RUNS.append(1)

        {OVER}
        def test_fixture(energy):
            assert energy.measure(lambda x: RUNS.append(x) or x, inputs=[5, 6]) == 5
            with energy.window(count=2, name="window"):
                pass

        def test_once():
            assert RUNS == [1, 5]

        @budget("nonsense")
        def test_bad_marker():
            pass
        """
    )
    result = energy_pytester.run("--energy-disable")
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(
        ["--energy-disable: 2 tests ran once, unmeasured", "no run record written to: *"]
    )
    assert not energy_pytester.record_path.exists()


def test_without_the_plugin_marked_tests_run_and_fixture_tests_error(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.write(
        f"{OVER}\ndef test_body():\n    spin()\n\ndef test_fixture(energy):\n    pass\n"
    )
    result = energy_pytester.pytester.runpytest_inprocess("-p", "no:energy")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*fixture 'energy' not found*"])


def test_idle_work_is_unmeasured(energy_pytester: EnergyPytester) -> None:
    limits = '@budget(["9 kJ / token", "9 kJ / word"], units={"token": 1, "word": 1})'
    energy_pytester.write(f"import time\n{limits}\ndef test_it():\n    time.sleep(0.02)\n")
    # In a longer window, in which a process that an earlier test has left is no work.
    result = energy_pytester.run("--energy-max-seconds=0.5", quick=False)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["energy: unmeasured: *the work happened where no sensor looks*"])
    assert result.stdout.str().count("\nenergy: unmeasured: ") == 1  # for both limits


def test_nothing_is_printed_without_measured_tests(energy_pytester: EnergyPytester) -> None:
    energy_pytester.pytester.makepyfile("def test_it(): pass")
    result = energy_pytester.pytester.runpytest_inprocess()
    assert "energy =" not in result.stdout.str()


@pytest.mark.realtime
def test_a_long_test_has_a_progress_line_on_a_terminal_only(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.write(f"{OVER}\ndef test_it():\n    spin(700)\n")
    child = energy_pytester.pytester.spawn_pytest(
        f"--energy-max-seconds=3 {energy_pytester.pytester.path}/test_it.py", EXPECT_SECONDS
    )
    child.expect(r"energy: \d s, round \d of at most 20, \d s left at most, test_it")
    child.expect("1 failed")
    child.wait()
    captured = energy_pytester.run("--energy-max-seconds=3", quick=False)
    assert "of at most 20" not in captured.stdout.str() + captured.stderr.str()


@pytest.mark.parametrize("pdb", [False, True])
@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("raise SystemExit(3)", "SystemExit"),
        ("__import__('sys').exit()", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("pytest.exit('enough')", "Exit"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("raise __import__('asyncio').CancelledError", "CancelledError"),
    ],
)
@pytest.mark.parametrize("where", ["body", "window"])
def test_a_test_is_in_the_record_once_whatever_ends_it(
    statement: str, name: str, where: str, pdb: bool, energy_pytester: EnergyPytester
) -> None:
    if where == "body":
        energy_pytester.write(f"{UNDER}\ndef test_it():\n    {statement}\n")
    else:
        energy_pytester.write(
            f"def test_it(energy):\n    with energy.window():\n        {statement}\n"
        )
    # A debugger that leaves at once: with one, pytest reports an interrupt like a failure.
    options = ["--pdb", "--pdbcls=test_it:Leave"] if pdb else []
    if pdb:
        with energy_pytester.pytester.path.joinpath("test_it.py").open("a") as file:
            file.write(
                "\nimport pdb\nclass Leave(pdb.Pdb):\n"
                "    def interaction(self, *arguments):\n        pass\n"
            )
    # In this process, pytester would raise the interrupt once more and end the worker.
    run = energy_pytester.run_process if name == "KeyboardInterrupt" else energy_pytester.run
    run(*options)
    (test,) = energy_pytester.record()["tests"]
    assert (test["verdict"], test["reason"]) == ("unmeasured", f"the test ended in {name}")
