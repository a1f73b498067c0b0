"""The `energy` fixture, in real test files."""

from __future__ import annotations

import pytest

from conftest import EnergyPytester


def test_measure_returns_the_last_result_and_cycles_inputs(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.write(
        """
        SEEN = []

        def route(x):
            spin(0.5)
            SEEN.append(x)
            return x * 10

        @budget("900 J / query")
        def test_it(energy):
            result = energy.measure(route, inputs=(number for number in [1, 2, 3]))
            assert result == SEEN[-1] * 10
            assert SEEN[:7] == [1, 2, 3, 1, 2, 3, 1]
        """
    )
    result = energy_pytester.run("--energy-max-seconds=5")  # seven calls, on a busy machine too
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["test_it: the 3 inputs were cycled: * calls saw each about *"])


def test_inputs_that_were_not_all_called_are_no_pass(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        @budget("900 J / query")
        def test_it(energy):
            energy.measure(lambda x: spin(), inputs=range(100_000))

        @budget
        def test_without_a_limit(energy):
            energy.measure(lambda x: spin(), inputs=range(100_000))

        def test_compared(energy):
            energy.compare(lambda x: spin(), lambda x: spin(), inputs=range(100_000))
        """
    )
    result = energy_pytester.run()
    result.assert_outcomes(failed=3)
    assert "cycled" not in result.stdout.str()
    for test in energy_pytester.tests().values():
        calls = sum(each["calls"] for each in test["rounds"] if not each["warmup"])
        assert (test["verdict"], test["code"]) == ("inconclusive", "inputs-not-covered")
        assert "inputs were" in test["reason"]
        assert not any("no limit yet" in note for note in test["notes"])
    test = energy_pytester.tests()["test_it"]
    calls = sum(each["calls"] for each in test["rounds"] if not each["warmup"])
    assert f"but {calls:,} of 100,000 inputs were called, and the others may cost" in test["reason"]


def test_an_input_that_costs_ten_times_counts(energy_pytester: EnergyPytester) -> None:
    """The seven that come first cost 3 ms, all ten 8.4 ms on average: 168 % of the limit."""
    energy_pytester.write(
        """
        @budget("5 cpu-ms / query")
        def test_it(energy):
            energy.measure(spin, inputs=[3] * 7 + [21] * 3)
        """
    )
    energy_pytester.run("--energy-max-seconds=5", quick=False)
    (test,) = energy_pytester.tests().values()
    assert test["verdict"] in ("fail", "inconclusive")
    assert test["fraction_of_limit"] >= 1.67
    assert all(each["calls"] % 10 == 0 for each in test["rounds"] if not each["warmup"])


def test_counts_of_numbers_and_results(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        def generate():
            spin(10)
            return "a b c d e".split()

        def test_count(energy):
            energy.measure(generate, count=5)

        def test_function(energy):
            energy.measure(generate, count=len)

        def test_tokens_only(energy):
            energy.measure(generate, tokens=len)

        @budget("900 J / token")
        def test_tokens_by_limit(energy):
            energy.measure(generate, count=1, tokens=len, images=2)

        @budget("900 J / image")
        def test_images(energy):
            energy.measure(generate, images=2)

        @budget("900 J / document")
        def test_documents(energy):
            energy.measure(generate, count=5)
        """
    )
    energy_pytester.run().assert_outcomes(passed=6)
    found = {
        name: (test["unit"], {each["units"] / each["calls"] for each in test["rounds"]})
        for name, test in energy_pytester.tests().items()
    }
    assert found == {
        "test_count": ("query", {5}),
        "test_function": ("query", {5}),
        "test_tokens_only": ("token", {5}),
        "test_tokens_by_limit": ("token", {5}),
        "test_images": ("image", {2}),
        "test_documents": ("document", {5}),
    }


MISUSED = {
    "energy.measure(coroutine)": "write: await energy.measure_async(coroutine, ...)",
    "energy.measure(lambda: coroutine())": "returned an awaitable",
    "energy.measure(3)": "3 can't be called",
    "energy.measure(spin, name=b'a')": "name=b'a' is not a name",
    "energy.measure(spin, name=' ')": "name=' ' is not a name",
    "energy.compare(spin, spin, count=10**5000)": "a number of too many digits",
    "energy.measure_load(spin, concurrency=10**9)": "a number of requests from 1 to 10,000",
    "energy.measure_load(spin, concurrency=None)": "a number of requests from 1 to 10,000",
    "energy.measure(spin, inputs=[])": "inputs is empty",
    "energy.measure(spin, inputs=iter(int, 1))": "more than 1,000,000 members, or no end",
    "energy.measure(spin, inputs=5)": "inputs of type int is no list",
    "energy.measure(spin, inputs='abc')": "inputs of type str is no list",
    "energy.measure(stream)": "stream returned a generator, whose work isn't done yet",
    "energy.measure(lambda: astream())": "returned a generator",
    "energy.measure(spin, count=0)": "count=0 is neither",
    "energy.measure(spin, count=True)": "count=True is neither",
    "energy.measure(spin, count=2.5)": "count=2.5 is neither",
    "energy.measure(spin, tokens='7')": "tokens='7' is neither",
    "energy.measure(spin, count=lambda result: 'many')": "returned 'many', not a number",
    "energy.measure(spin, count=lambda result: -1)": "returned -1, not a number",
    "energy.measure(spin, count=lambda result: float('nan'))": "returned nan, not a number",
    "energy.measure(spin); energy.measure(spin)": "needs a name of its own; add name=",
    "energy.measure(spin, name='a'); energy.measure(spin, name='a')": "a second measurement 'a'",
    "energy.measure(lambda: energy.measure(spin, name='inner'))": "already under way",
    "energy.window(count=len).__enter__()": "counts before the work",
    "pass": "measured nothing with it",
}


def test_misuse_is_an_error_of_the_test(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        "async def coroutine(): pass\n"
        "def stream(): yield spin(50)\n"
        "async def astream(): yield spin(50)\n"
        + "".join(
            f"@budget('1 kJ / query')\ndef test_{i}(energy):\n    {line}\n\n"
            for i, line in enumerate(MISUSED)
        )
    )
    result = energy_pytester.run()
    result.assert_outcomes(errors=len(MISUSED))
    report = result.stdout.str()
    for i, why in enumerate(MISUSED.values()):
        section = report.partition(f" ERROR at call of test_{i} ")[2].partition("\n____")[0]
        assert why in section
    # Tracebacks end in the user's line, not in ours.
    assert "src/pytest_energy" not in report


@pytest.mark.parametrize(
    ("limit", "call", "words"),
    [
        ("1 J / token", "energy.measure(spin, count=3)", "add tokens=128"),
        ("1 J / image", "energy.measure(spin)", "add images=128"),
        ("1 J / page", "energy.measure(spin, tokens=3)", "add count=128"),
        ("1 J / page", "energy.window().__enter__()", "add count=128"),
    ],
)
def test_a_unit_that_is_not_counted_is_an_error(
    energy_pytester: EnergyPytester, limit: str, call: str, words: str
) -> None:
    energy_pytester.write(f"@budget('{limit}')\ndef test_it(energy):\n    {call}\n")
    result = energy_pytester.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*is per *s are not counted: {words}*"])


def test_zero_units_are_unmeasured(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        @budget("1 J / query")
        def test_it(energy):
            energy.measure(spin, count=lambda result: 0)
        """
    )
    energy_pytester.run().assert_outcomes(failed=1)
    assert "no units were counted" in energy_pytester.tests()["test_it"]["reason"]


def test_two_measurements_by_name_are_judged_by_one_limit(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.write(
        """
        @budget("30 mJ / query")
        def test_it(energy):
            energy.measure(lambda: spin(2), name="short")
            energy.measure(lambda: spin(20), name="long")
        """
    )
    result = energy_pytester.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["energy: long: *mJ / query is over the limit of 30.0 mJ*"])
    verdicts = {each["name"]: each["verdict"] for each in energy_pytester.record()["tests"]}
    assert verdicts == {"short": "pass", "long": "fail"}


def test_a_window_is_one_long_run(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        @budget("900 mJ / query")
        def test_it(energy):
            with energy.window(count=4):
                spin(800)
        """
    )
    result = energy_pytester.run()
    result.assert_outcomes(failed=1)
    test = energy_pytester.tests()["test_it"]
    assert (test["verdict"], len(test["rounds"])) == ("inconclusive", 1)
    assert test["interval"] is None
    result.stdout.fnmatch_lines(["*fewer than 5 rounds, so no interval*"])


def test_work_that_raises_in_a_window_frees_the_meter(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        @budget("1 kJ / query")
        def test_window(energy):
            with energy.window(count=1):
                raise RuntimeError("out of memory")

        @budget("1 kJ / query")
        def test_measure(energy):
            energy.measure(lambda: 1 / 0)

        @budget("1 kJ / query")
        def test_after(energy):
            energy.measure(spin)
        """
    )
    result = energy_pytester.run()
    result.assert_outcomes(failed=2, passed=1)
    result.stdout.fnmatch_lines(["*RuntimeError: out of memory", "*ZeroDivisionError*"])
    tests = energy_pytester.tests()
    assert tests["test_window"]["reason"] == "the test ended in RuntimeError"
    assert tests["test_window"]["verdict"] == tests["test_measure"]["verdict"] == "unmeasured"


def test_a_fixture_may_ask_for_the_fixture(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        @pytest.fixture
        def measured(energy):
            return lambda call: energy.measure(call, count=2)

        @budget("1 kJ / query")
        def test_it(measured):
            measured(spin)
        """
    )
    energy_pytester.run().assert_outcomes(passed=1)


def test_without_a_marker_the_fixture_measures_and_suggests(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.write("def test_it(energy):\n    energy.measure(spin)\n")
    result = energy_pytester.run()
    result.assert_outcomes(passed=1)
    assert energy_pytester.tests()["test_it"]["verdict"] == "no-budget"
    result.stdout.fnmatch_lines(['    @pytest.mark.energy_budget("* mJ / query")'])


def test_a_failing_assertion_is_not_hidden_by_the_verdict(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.write(
        """
        @budget("1 mJ / query")
        def test_it(energy):
            energy.measure(lambda: spin(20))
            assert "quality" == "good"
        """
    )
    result = energy_pytester.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E       AssertionError: assert 'quality' == 'good'"])
    assert "energy: " not in result.stdout.str().partition(" energy ")[0]
    assert energy_pytester.tests()["test_it"]["verdict"] == "fail"


def test_an_own_fixture_or_parameter_called_energy_is_left_alone(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.pytester.makepyfile(
        test_parameter="""
        import pytest

        @pytest.mark.parametrize("energy", [1.0, 2.0])
        def test_parameter(energy):
            assert energy > 0
        """,
    )
    energy_pytester.write(
        """
        @pytest.fixture
        def energy():
            return 13.6

        def test_own(energy):
            assert energy == 13.6

        @budget("1 mJ / query", count=2)
        def test_own_and_marked(energy):
            spin()
        """
    )
    energy_pytester.run().assert_outcomes(passed=3, failed=1)
    assert list(energy_pytester.tests()) == ["test_own_and_marked"]


def test_a_measurement_that_was_begun_and_did_not_end_is_unmeasured(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.write(
        """
        import asyncio
        from contextlib import suppress

        def bad():
            raise ValueError

        async def slow():
            await asyncio.sleep(0.02)
            spin()

        @budget("1 kJ / query")
        def test_raises(energy):
            with pytest.raises(ValueError):
                energy.measure(bad)

        @budget("1 kJ / query")
        def test_window(energy):
            with suppress(ValueError), energy.window():
                bad()

        @pytest.mark.asyncio
        @budget("1 kJ / query")
        async def test_timeout(energy):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await energy.measure_async(slow)

        @pytest.mark.asyncio
        @budget("1 kJ / query")
        async def test_gather(energy):
            await asyncio.gather(
                energy.measure_async(slow, name="a"),
                energy.measure_async(slow, name="b"),
                return_exceptions=True,
            )
        """
    )
    energy_pytester.run_process().assert_outcomes(failed=4)
    found = [
        (each["id"][12:], each["name"], each["verdict"])
        for each in energy_pytester.record()["tests"]
    ]
    assert sorted(found, key=str) == [
        ("test_gather", "a", "pass"),
        ("test_gather", "b", "unmeasured"),
        ("test_raises", None, "unmeasured"),
        ("test_timeout", None, "unmeasured"),
        ("test_window", None, "unmeasured"),
    ]


def test_the_fixture_inside_a_measured_body_is_an_error(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        @budget("1 kJ / query")
        def test_it(request):
            request.getfixturevalue("energy").measure(spin)
        """
    )
    result = energy_pytester.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*ask for the fixture as an argument: def test_it(energy, ...):"])


def test_a_fixture_asked_for_while_the_test_runs_is_recorded(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.write(
        """
        def test_it(request):
            request.getfixturevalue("energy").measure(spin)
        """
    )
    energy_pytester.run().assert_outcomes(passed=1)
    assert energy_pytester.tests()["test_it"]["verdict"] == "no-budget"


def test_notes_belong_to_their_measurement(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        def test_it(energy):
            energy.measure(lambda x: spin(0.5), inputs=[1, 2, 3], name="a")
            energy.measure(lambda: spin(0.5), name="b")
            energy.measure(lambda x: spin(0.5), inputs=[1], name="c")
        """
    )
    result = energy_pytester.run()
    result.stdout.fnmatch_lines(
        ["test_it a: the 3 inputs were cycled: *", "test_it c: the one input was used for all *"]
    )
    result.stdout.no_fnmatch_line("test_it b: the * input*")
