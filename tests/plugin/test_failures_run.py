"""What can go wrong with a run ends in a correct figure or a loud failure: time, ends, interrupts.

docs/failures.md holds the sentences.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from gpu_bench import LIGHT, GpuBench

from conftest import FAKES, EnergyPytester, compiled

WATTS_PER_CORE = 4.0
NOT_ENDED = "its measurement did not run to the end"


def joules_are_cpu_seconds(test: dict[str, Any]) -> bool:
    joules = WATTS_PER_CORE * test["cpu_seconds_per_unit"]
    return bool(test["joules_per_unit"] == pytest.approx(joules, rel=1e-9))


# A window that is never closed


LEFT_OPEN = """
import threading
KEPT = []

@budget("1 kJ / query")
def test_entered(energy):
    KEPT.append(energy.window())
    KEPT[0].__enter__()
    spin(20)

def answers(energy):
    with energy.window():
        spin(20)
        yield

@budget("1 kJ / query")
def test_generator(energy):
    KEPT.append(answers(energy))
    next(KEPT[1])

@pytest.fixture
def whole(energy):
    with energy.window():
        yield

@budget("1 kJ / query")
def test_fixture(whole):
    spin(20)

@budget("1 kJ / query")
def test_thread(energy):
    gone_on = threading.Event()
    def work():
        KEPT.append(1)
        gone_on.wait(20)
    thread = threading.Thread(target=energy.measure, args=[work])
    thread.start()
    while len(KEPT) < 3:
        spin(1)
    KEPT.append((thread, gone_on))

@budget("1 kJ / query")
def test_after(energy):
    with energy.window():
        spin(200)

def test_at_last():
    KEPT[0].__exit__(None, None, None)
    KEPT[1].close()
    thread, gone_on = KEPT[-1]
    gone_on.set()
    thread.join()
"""


def test_a_window_left_open_fails_its_test_and_no_other(energy_pytester: EnergyPytester) -> None:
    energy_pytester.write(LEFT_OPEN)
    result = energy_pytester.run_process("--energy-gpus=none", *LIGHT)
    result.assert_outcomes(passed=2, failed=4)
    tests = energy_pytester.tests()
    left_open = ["test_entered", "test_generator", "test_fixture", "test_thread"]
    for name in left_open:
        assert (tests[name]["verdict"], tests[name]["reason"]) == ("unmeasured", NOT_ENDED)
    assert list(tests) == [*left_open, "test_after"]
    assert 0.2 <= tests["test_after"]["cpu_seconds_per_unit"] < 0.25
    assert joules_are_cpu_seconds(tests["test_after"])
    result.stdout.fnmatch_lines([f"energy: unmeasured: {NOT_ENDED}"] * 4)


@pytest.mark.untraced
# Interrupts and limits


def test_an_interrupt_in_a_window_leaves_a_record_of_both_tests(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.write(
        """
        CALLS = []

        @budget("1 kJ / query")
        def test_finished():
            spin()

        @budget("1 kJ / query")
        def test_interrupted(energy):
            def work():
                spin()
                CALLS.append(1)
                if len(CALLS) == 2:  # one round to warm up, and one more
                    raise KeyboardInterrupt
            energy.measure(work)

        def test_never_run():
            pass
        """
    )
    result = energy_pytester.run_process("--energy-gpus=none", *LIGHT)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    tests = energy_pytester.tests()
    assert [(name, each["verdict"]) for name, each in tests.items()] == [
        ("test_finished", "pass"),
        ("test_interrupted", "unmeasured"),
    ]
    assert joules_are_cpu_seconds(tests["test_finished"])
    result.stdout.fnmatch_lines(
        [
            "test_it.py::test_finished *",
            "test_it.py::test_interrupted *",
            "test_interrupted: the test ended in KeyboardInterrupt",
        ]
    )


@pytest.mark.parametrize(
    ("limit", "verdict", "words"),
    [
        ("1 kJ", "pass", "is under the limit of 1.00 kJ / query"),
        ("1.2 J", "inconclusive", "the limit of 1.20 J / query"),
        ("1 mJ", "fail", "is over the limit of 1.00 mJ / query"),
    ],
)
def test_a_time_limit_ends_a_slow_test_with_the_few_rounds_it_has(
    energy_pytester: EnergyPytester, limit: str, verdict: str, words: str
) -> None:
    energy_pytester.write(f"@budget('{limit} / query')\ndef test_it():\n    spin(300)\n")
    energy_pytester.run("--energy-gpus=none", "--energy-max-seconds=0.4", quick=False)
    test = energy_pytester.tests()["test_it"]
    assert [each["warmup"] for each in test["rounds"]] == [True, False]
    assert test["verdict"] == verdict
    assert words in test["reason"]
    assert "(fewer than 5 rounds, so no interval)" in test["reason"]
    assert 0.3 <= test["cpu_seconds_per_unit"] < 0.33
    assert joules_are_cpu_seconds(test)


# The clock on the wall


WALL_CLOCK = """
import ctypes, os
clock = ctypes.CDLL(os.environ["LD_PRELOAD"])

def jump(hours):
    before = time.time()
    clock.wall_clock_jump(hours * 3600)
    assert abs(time.time() - before - hours * 3600) < 60

@budget("1 kJ / query")
def test_window(energy):
    with energy.window():
        infer(0.05)
        jump(1)
        infer(0.05)

@budget("1 kJ / query", scope="cpu")
def test_rounds(energy):
    def work():
        spin(10)
        jump(-1)
    energy.measure(work)
"""


@pytest.fixture(scope="session")
def wall_clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("wall_clock") / "libwallclock.so"
    compiled(FAKES / "wall_clock.c", library)
    return library


@pytest.mark.realtime
def test_a_jump_of_the_wall_clock_changes_nothing(
    gpu: GpuBench, energy_pytester: EnergyPytester, wall_clock: Path
) -> None:
    boards = [
        "gpu uuid=GPU-aaaa watts=50 period_ms=20 jitter_ms=2 latency_us=100",
        "process gpu=0 pid=self type=compute",
    ]
    gpu.run(boards, WALL_CLOCK, LD_PRELOAD=str(wall_clock)).assert_outcomes(passed=2)
    (window,) = gpu.test("test_window")["rounds"]
    assert 0.1 <= window["seconds"] < 60
    # 300 W over at least 0.1 s, and 50 W between the two.
    expected = 2 * gpu.true_joules_of_calls()
    assert expected <= window["joules"] + 0.5
    assert window["joules"] <= expected + 50 * (window["seconds"] - 0.1) + 0.5
    rounds = gpu.test("test_rounds")
    assert joules_are_cpu_seconds(rounds)
    assert 0.01 <= rounds["cpu_seconds_per_unit"] < 0.02
    for each in rounds["rounds"]:
        assert each["calls"] * 0.01 <= each["seconds"] < 60
    run = energy_pytester.record()["run"]
    start, end = (datetime.fromisoformat(run[each]) for each in ("start", "end"))
    assert 0 < (end - start).total_seconds() < 60
