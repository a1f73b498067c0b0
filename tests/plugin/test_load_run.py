"""energy.measure_load in real test files: threads and coroutines."""

from __future__ import annotations

import pytest

from conftest import EnergyPytester

pytestmark = pytest.mark.usefixtures("no_contention")


def test_threads_and_coroutines_keep_requests_in_flight(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        import asyncio
        import threading
        import time

        GATE = threading.Lock()

        def request(text):
            time.sleep(0.01)
            with GATE:
                spin(1)
            return text.split()

        async def streaming(text):
            await asyncio.sleep(0.01)
            spin(1)
            return text.split()

        UNITS = {"output-token": len, "request": 1}

        @budget(["900 J / output-token", "900 J / request"])
        def test_threads(energy):
            result = energy.measure_load(request, ["a b c"], concurrency=4, units=UNITS)
            assert result == ["a", "b", "c"]

        @budget("900 J / output-token")
        def test_coroutines(energy):
            energy.measure_load(streaming, ["a b c"], concurrency=(1, 3), units=UNITS)
        """
    )
    result = energy_pytester.run("--energy-max-seconds=1")
    result.assert_outcomes(passed=2)
    tests = energy_pytester.record()["tests"]
    assert [(each["name"], each["unit"], each["load"]["concurrency"]) for each in tests] == [
        (None, "output-token", 4),
        (None, "request", 4),
        ("1 in flight", "output-token", 1),
        ("3 in flight", "output-token", 3),
    ]
    tokens, requests = tests[:2]
    assert requests["joules_per_unit"] == pytest.approx(3 * tokens["joules_per_unit"])
    for each in tests:
        load = each["load"]
        assert load["failed"] == 0
        assert load["median_seconds"] >= 0.01
        assert load["in_flight"] == pytest.approx(load["concurrency"], rel=0.05)
    result.stdout.fnmatch_lines(["*in flight requests/s units/s median s p99 s failed *mJ/unit"])


MISUSED = {
    "energy.measure_load(3)": "calls its request, and 3 can't be called",
    "energy.measure_load(spin, concurrency=0)": "concurrency=0 is neither a number of requests",
    "energy.measure_load(spin, concurrency=(2, 2))": "has a number twice",
    "energy.measure_load(lambda: iter(()), concurrency=2)": "whose work isn't done yet",
    "energy.measure_load(spin, concurrency=2, units={'token': lambda x: 'a'})": "returned 'a', not",
    "energy.measure_load(spin)": "a limit in FLOPs is for energy.measure",
}


def test_misuse_is_an_error_of_the_test(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        "".join(
            f"@budget({repr('1 FLOP / query') if i == 5 else ''})\n"
            f"def test_{i}(energy):\n    {line}\n\n"
            for i, line in enumerate(MISUSED)
        )
    )
    result = energy_pytester.run()
    result.assert_outcomes(errors=len(MISUSED))
    report = result.stdout.str()
    for i, why in enumerate(MISUSED.values()):
        section = report.partition(f" ERROR at call of test_{i} ")[2].partition("\n____")[0]
        assert why in section


def test_what_requests_raise_fails_the_test_and_the_next_one_is_measured(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.write(
        """
        def refuse():
            raise ConnectionError("refused")

        async def refuse_later():
            refuse()

        def test_refused(energy):
            energy.measure_load(refuse, concurrency=2)

        def test_refused_later(energy):
            energy.measure_load(refuse_later, concurrency=2)

        def test_after(energy):
            energy.measure(spin)
        """
    )
    result = energy_pytester.run()
    result.assert_outcomes(failed=2, passed=1)
    result.stdout.fnmatch_lines(["*ConnectionError: refused"])
    result.stdout.no_fnmatch_line("*pytest_energy*.py:*")  # no line of ours


def test_without_measuring_requests_are_made_once(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        def test_it(energy):
            assert energy.measure_load(lambda x: x + 1, [1], concurrency=2) == 2
        """
    )
    energy_pytester.run("--energy-disable").assert_outcomes(passed=1)


def test_requests_in_the_loop_of_the_test(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(
        """
        import asyncio

        @pytest.fixture
        async def client():
            loop = asyncio.get_running_loop()

            async def ask(text):
                assert asyncio.get_running_loop() is loop
                await asyncio.sleep(0.01)
                spin(1)
                return text.split()

            return ask

        @budget("900 J / output-token")
        async def test_load(energy, client):
            result = await energy.measure_load_async(
                client, ["a b c"], concurrency=(1, 3), units={"output-token": len}
            )
            assert result == ["a", "b", "c"]

        async def test_fails(energy):
            async def refuse():
                raise ConnectionError("refused")

            await energy.measure_load_async(refuse, concurrency=2)

        async def test_misused(energy):
            await energy.measure_load_async(lambda: 3, concurrency=2)

        async def test_parts(energy):
            async def generate(prompt, new_tokens):
                spin(1 + len(prompt) / 50 + new_tokens / 50)

            await energy.measure_generation_async(
                generate, prompts={10: "a" * 10, 200: "a" * 200}, new_tokens=(1, 100)
            )

        def test_not_awaited(energy):
            async def generate(prompt, new_tokens): ...

            energy.measure_generation(generate, prompts={1: "a", 2: "b"})
        """
    )
    result = energy_pytester.run("-o", "asyncio_mode=auto", "--energy-max-seconds=1")
    result.assert_outcomes(passed=2, failed=1, errors=2)
    result.stdout.fnmatch_lines(["*lambda* returned int, which can't be awaited*"])
    result.stdout.fnmatch_lines(["*write: await energy.measure_generation_async(generate, ...)"])
    result.stdout.fnmatch_lines(["*ConnectionError: refused"])
    result.stdout.no_fnmatch_line("*pytest_energy*.py:*")
    tests = energy_pytester.record()["tests"]
    shown = [(each["name"], each["unit"], each["verdict"]) for each in tests]
    assert ("1 in flight", "output-token", "pass") in shown
    assert ("3 in flight", "output-token", "pass") in shown
    parts = [each for each in tests if each["id"].endswith("::test_parts")]
    assert [each["unit"] for each in parts] == ["decode-token", "prefill-token", "empty-request"]
    assert len(parts[0]["parts"]["cells"]) == 4
