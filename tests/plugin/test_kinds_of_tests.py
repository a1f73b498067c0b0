"""Parametrized, async, hypothesis and subtests: each kind of test is measured as pytest runs it."""

from __future__ import annotations

import pytest

from conftest import EnergyPytester, assert_estimated

OVER = '@budget("1 mJ / query")'  # spin() takes 2 CPU milliseconds, so 8 mJ
UNDER = '@budget("1 kJ / query")'


@pytest.mark.skipif(not hasattr(pytest, "Subtests"), reason="subtests came with pytest 9")
def test_subtests_do_not_repeat_records(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        f"""
        {UNDER}
        def test_it(energy, subtests):
            energy.measure(spin)
            for number in range(3):
                with subtests.test(number=number):
                    pass
        """
    )
    energy_pytester.run()
    assert len(energy_pytester.record()["tests"]) == 1


def test_parametrized_tests_are_measured_each(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        @pytest.mark.parametrize("milliseconds", [1, 5])
        @budget("10 mJ / query")
        def test_it(milliseconds):
            spin(milliseconds)
        """
    )
    energy_pytester.run().assert_outcomes(passed=1, failed=1)
    verdicts = {name: each["verdict"] for name, each in energy_pytester.tests().items()}
    assert verdicts == {"test_it[1]": "pass", "test_it[5]": "fail"}


def test_a_marker_may_stand_on_one_parameter(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        @pytest.mark.parametrize(
            "model",
            ["small", pytest.param("large", marks=pytest.mark.energy_budget("1 kJ / query"))],
        )
        def test_it(model):
            spin()
        """
    )
    energy_pytester.run().assert_outcomes(passed=2)
    (test,) = energy_pytester.record()["tests"]
    assert (test["id"], test["budget"]["origin"]) == ("test_it.py::test_it[large]", "test_it.py:7")


def test_the_body_runs_on_one_set_of_fixtures(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        SETUPS = []

        @pytest.fixture
        def model():
            SETUPS.append(1)
            return spin

        class TestModel:
            @budget("1 kJ / query")
            def test_it(self, model):
                model(0.5)
                assert len(SETUPS) == 1
        """
    )
    result = energy_pytester.run("--energy-max-seconds=5")  # ten calls, on a busy machine too
    result.assert_outcomes(passed=1)
    calls = sum(each["calls"] for each in energy_pytester.record()["tests"][0]["rounds"])
    assert calls > 10
    result.stdout.fnmatch_lines([f"*{calls} estimated pass*"])  # the summary says how often


def test_pytest_asyncio(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        f"""
        import asyncio

        @pytest.mark.asyncio
        {OVER}
        async def test_body():
            await asyncio.sleep(0)
            spin()

        @pytest.mark.asyncio
        {OVER}
        async def test_fixture(energy):
            async def answer(x):
                await asyncio.sleep(0)
                spin()
                return x

            assert await energy.measure_async(answer, inputs=[7], count=lambda result: 1) == 7

        @pytest.mark.asyncio
        {OVER}
        async def test_not_awaitable(energy):
            await energy.measure_async(spin)
        """
    )
    energy_pytester.run_process().assert_outcomes(failed=2, errors=1)
    tests = energy_pytester.tests()
    for name in ("test_body", "test_fixture"):
        assert tests[name]["verdict"] == "fail"
        assert_estimated(tests[name], 0.002)


def test_anyio_on_both_backends(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        f"""
        import anyio

        pytestmark = pytest.mark.anyio

        {OVER}
        async def test_body():
            await anyio.sleep(0)
            spin()

        {UNDER}
        async def test_fixture(energy):
            async def answer():
                await anyio.sleep(0)
                spin()

            await energy.measure_async(answer)
        """
    )
    energy_pytester.run_process("-p", "no:asyncio").assert_outcomes(failed=2, passed=2)
    verdicts = {name: each["verdict"] for name, each in energy_pytester.tests().items()}
    assert verdicts == {
        "test_body[asyncio]": "fail",
        "test_body[trio]": "fail",
        "test_fixture[asyncio]": "pass",
        "test_fixture[trio]": "pass",
    }


def test_an_async_body_without_a_plugin_fails_with_the_reason_of_pytest(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.write(f"{UNDER}\nasync def test_it():\n    spin()\n")
    result = energy_pytester.run("-p", "no:asyncio", "-p", "no:anyio")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*async def functions are not natively supported*"])


def test_hypothesis_tests_are_work_like_others(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        f"""
        from hypothesis import given, settings, strategies as st

        {OVER}
        @settings(max_examples=3, database=None)
        @given(st.integers())
        def test_it(number):
            spin()
        """
    )
    energy_pytester.run().assert_outcomes(failed=1)
    assert energy_pytester.tests()["test_it"]["verdict"] == "fail"
