"""What can go wrong with a GPU ends in a correct figure or a loud failure, never in a silent 0.

docs/failures.md holds the sentences.
"""

from __future__ import annotations

from typing import Any

import pytest
from gpu_bench import OURS, TORCH, GpuBench
from gpu_bench import QUICK_COUNTER as COUNTER

from conftest import EnergyPytester, assert_estimated

pytestmark = pytest.mark.realtime

#: One window of 60 J, long beside what a busy machine adds to it.
INFER = "@budget('1 kJ / query')\ndef test_it(energy):\n    with energy.window(): infer(0.2)\n"
#: One window of 20 CPU milliseconds: 80 mJ at 4 W a core.
SPIN = "@budget('1 kJ / query')\ndef test_it(energy):\n    with energy.window(): spin(20)\n"


def gated(test: dict[str, Any]) -> list[str]:
    return [each["name"] for each in test["channels"] if each["gated"]]


def assert_true_joules(gpu: GpuBench) -> None:
    """Those of this board: one that idles would have shown far more apart, over the same window."""
    (only,) = gpu.test()["rounds"]
    idle_joules = 50.0 * only["seconds"]
    assert gpu.test()["joules_per_unit"] == pytest.approx(gpu.true_joules(), abs=idle_joules / 2)


def assert_unmeasured(test: dict[str, Any], words: str) -> None:
    assert (test["verdict"], test["joules_per_unit"]) == ("unmeasured", None)
    assert words in test["reason"]


# Which GPUs count


BOARDS = [
    COUNTER,
    COUNTER.replace("aaaa", "bbbb"),
    COUNTER.replace("aaaa", "cccc"),
    "mig gpu=2 uuid=MIG-1234 slices=7",
]


@pytest.mark.parametrize(
    ("visible", "number"),
    [("0,-1,1", 0), ("GPU-bb", 1), ("MIG-12", 2)],  # the first ends at -1, as in CUDA
)
def test_a_gpu_is_found_by_its_name(gpu: GpuBench, visible: str, number: int) -> None:
    work = INFER.replace("0.2", f"0.2, gpu={number}")
    result = gpu.run(BOARDS, work, "--energy-gpus=all", CUDA_VISIBLE_DEVICES=visible)
    result.assert_outcomes(passed=1)
    assert gated(gpu.test()) == [f"gpu:{number}"]
    assert_true_joules(gpu)


@pytest.mark.parametrize("visible", ["-1", ""])
def test_without_an_allotted_gpu_the_cpu_counts(gpu: GpuBench, visible: str) -> None:
    result = gpu.run(BOARDS, SPIN, "--energy-gpus=all", CUDA_VISIBLE_DEVICES=visible)
    result.assert_outcomes(passed=1)
    assert gated(gpu.test()) == ["cpu:process"]
    assert_estimated(gpu.test(), 0.02)


def test_a_gpu_that_is_used_though_it_is_hidden_is_unmeasured(gpu: GpuBench) -> None:
    result = gpu.run([COUNTER, OURS], SPIN, CUDA_VISIBLE_DEVICES="-1")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["energy: unmeasured: gpu:0 was used, which CUDA_VISIBLE_DEVICES hides from this process;*"]
    )
    gpu.run([COUNTER, OURS], INFER, "--energy-gpus=0", CUDA_VISIBLE_DEVICES="-1")
    assert_true_joules(gpu)


def test_torch_for_the_cpu_beside_a_gpu_counts_the_cpu(
    gpu: GpuBench, energy_pytester: EnergyPytester
) -> None:
    energy_pytester.pytester.makepyfile(torch=TORCH)  # no device of its is initialised
    source = "import torch\ntorch.backends.mps.is_available = lambda: False\n"
    source += "torch.get_num_threads = lambda: 1\n" + SPIN
    gpu.run([COUNTER], source).assert_outcomes(passed=1)
    assert gated(gpu.test()) == ["cpu:process"]
    assert_estimated(gpu.test(), 0.02)


def test_process_ids_of_a_container_count_all_gpus_aloud(gpu: GpuBench) -> None:
    container = "from pytest_energy.measurement import in_use\nin_use._FIRST_PID_NAMESPACE = ''\n"
    idle = "@budget('1 kJ / query')\ndef test_idle(energy):\n"
    idle += "    with energy.window(): time.sleep(0.3)\n"
    source = container + INFER.replace("infer(0.2)", "infer(0.2); spin(60)") + idle
    result = gpu.run([COUNTER, "process gpu=0 pid=4242424 type=compute"], source)
    result.assert_outcomes(passed=1, failed=1)
    # 60 ms at 50 W or more, since the CPU works on alone.
    assert 1.0 < gpu.test()["joules_per_unit"] - gpu.true_joules() < 30.0
    assert_unmeasured(gpu.test("test_idle"), "nothing tells which GPU they used, if any")
    result.stdout.fnmatch_lines(
        ["2 tests: the driver's process ids can't be matched with ours here, so all"]
    )


# What can be read


def test_no_program_nvidia_smi_is_needed(gpu: GpuBench) -> None:
    gpu.run([COUNTER, OURS], INFER, PATH="").assert_outcomes(passed=1)
    assert_true_joules(gpu)


def test_boards_without_a_counter_have_their_power_integrated(gpu: GpuBench) -> None:
    new = "gpu uuid=GPU-aaaa name=New arch=10 watts=200 counter=no"
    old = "gpu uuid=GPU-bbbb name=Old arch=5 watts=75 counter=no instant=no"
    work = "library.fake_nvml_set_watts(1, 175.0); infer(1.05)"
    source = INFER.replace("infer(0.2)", work)
    result = gpu.run([new, old, OURS, OURS.replace("0", "1")], source)
    result.assert_outcomes(passed=1)
    (only,) = gpu.test()["rounds"]
    found = {each["name"]: each["joules_per_unit"] for each in gpu.test()["channels"]}
    # A power that doesn't change adds up to watts x seconds.
    assert found["gpu:0"] == pytest.approx(300.0 * only["seconds"], rel=0.005)
    assert found["gpu:1"] == pytest.approx(175.0 * only["seconds"], rel=0.005)
    assert gpu.test()["method"] == "integrated"
    result.stdout.fnmatch_lines(
        [f"gpu:{each}: power is integrated, because *: Not*" for each in (0, 1)]
    )


def test_power_samples_with_a_gap_are_unmeasured(gpu: GpuBench) -> None:
    # A call into C that keeps Python's lock: nothing can be sampled meanwhile.
    work = "import ctypes\n" + INFER.replace(
        "infer(0.2)", "infer(0.3); ctypes.PyDLL(None).usleep(500000); infer(0.3)"
    )
    gpu.run([f"{COUNTER} counter=no", OURS], work).assert_outcomes(failed=1)
    assert_unmeasured(gpu.test(), "the power was not read for 0.")


def test_a_board_that_is_lost_fails_this_test_and_the_next(gpu: GpuBench) -> None:
    work = INFER.replace("infer(0.2)", "infer(0.2); library.fake_nvml_fault(0, b'all', 15)")
    again = INFER.replace("test_it", "test_next")
    gpu.run([COUNTER, OURS], work + again).assert_outcomes(failed=2)
    assert_unmeasured(gpu.test(), "GPU is lost")
    assert_unmeasured(gpu.test("test_next"), "GPU is lost")


NOT_UTF_8 = COUNTER.replace("Fake-A100", "Fake-\udce9\udcff")


@pytest.mark.parametrize("source", [INFER, SPIN])
def test_a_name_that_is_not_utf_8_is_accepted(gpu: GpuBench, source: str) -> None:
    gpu.run([NOT_UTF_8, OURS] if source == INFER else [NOT_UTF_8], source).assert_outcomes(passed=1)
    (board,) = gpu.record()["machine"]["gpus"]
    assert board["name"] == r"Fake-\xe9\xff"


# What a counter does inside a window


@pytest.mark.parametrize(
    ("work", "code", "words"),
    [
        (
            "library.fake_nvml_halt_counter(0, 0.6); infer(1.0)",
            "counter-stalled",
            "gpu:0: the energy counter stalled for at least 0.",
        ),
        (
            "infer(0.2); library.fake_nvml_halt_counter(0, 0.8); infer(0.2)",
            "counter-stalled",
            "gpu:0: the energy counter stalled for at least 0.",
        ),
        (
            "library.fake_nvml_reset_counter(0); infer(0.8)",
            "counter-reset",
            "gpu:0: the energy counter went back from ",
        ),
        (
            "library.fake_nvml_add_joules(0, 1e6); infer(0.5)",
            "implausible-power",
            "the device can draw at most 800 W, so the counter was reset or the reading is wrong",
        ),
        (
            "library.fake_nvml_add_joules(0, 600); infer(0.5)",
            "implausible-power",
            "the device can draw at most 800 W, so the counter was reset or the reading is wrong",
        ),
    ],
)
def test_a_counter_that_fails_in_a_window_is_unmeasured(
    gpu: GpuBench, work: str, code: str, words: str
) -> None:
    # Near zero, a counter that is reset grows past where it was; below that it is for several
    # refreshes, one of which a busy machine sees.
    young = f"{COUNTER.replace('period_ms=20 jitter_ms=2', 'period_ms=100')} start_mj=80000"
    work = f"time.sleep(0.3); {work}"
    gpu.run([young, OURS], INFER.replace("infer(0.2)", work)).assert_outcomes(failed=1)
    assert_unmeasured(gpu.test(), words)
    assert gpu.test()["code"] == code


def test_a_short_halt_after_the_work_is_waited_for(gpu: GpuBench) -> None:
    gpu.run(
        [COUNTER, OURS],
        INFER.replace("infer(0.2)", "infer(0.2); library.fake_nvml_halt_counter(0, 0.03)"),
    ).assert_outcomes(passed=1)


# Shorter lags: test_gpu_energy.py, where the machine takes no samples away.
@pytest.mark.parametrize(("lag_ms", "seconds"), [(300, 1.0), (300, 0.3)])
def test_a_counter_that_shows_the_past_is_unmeasured(
    gpu: GpuBench, lag_ms: int, seconds: float
) -> None:
    lagging = COUNTER.replace("period_ms=20 jitter_ms=2", f"period_ms=100 lag_ms={lag_ms}")
    gpu.run([lagging, OURS], INFER.replace("0.2", str(seconds))).assert_outcomes(failed=1)
    assert_unmeasured(gpu.test(), "gpu:0: the energy counter lags 0.")
    assert gpu.test()["code"] == "counter-lags"


def test_power_that_lags_is_not_reported_as_a_fault_of_the_counter(gpu: GpuBench) -> None:
    # As an H200: power 70 ms behind the counter, and calls of 3 ms.
    board = COUNTER.replace("period_ms=20 jitter_ms=2 latency_us=100", "period_ms=100 jitter_ms=10")
    board += " latency_us=3000 power_lag_ms=70 power_period_ms=100"
    gpu.run([board, OURS], INFER.replace("0.2", "1.0")).assert_outcomes(passed=1)
    assert_true_joules(gpu)


@pytest.mark.parametrize("gain", [0.5, 2])
def test_a_counter_and_a_power_that_differ_by_half_are_unmeasured(
    gpu: GpuBench, gain: float
) -> None:
    work = "@budget('1 kJ / query')\ndef test_it():\n    infer()\n"
    seconds = "--energy-max-seconds=16"  # warm-up takes a quarter of it
    gpu.run([f"{COUNTER} gain={gain}", OURS], work, seconds).assert_outcomes(failed=1)
    assert_unmeasured(gpu.test(), "gpu:0: its energy counter and its power don't agree: ")
    assert gpu.test()["code"] == "counter-disagrees"


# Power


NO_COUNTER = f"{COUNTER} counter=no"


@pytest.mark.parametrize("averaged", [False, True])
def test_a_power_that_can_not_be_is_unmeasured(gpu: GpuBench, averaged: bool) -> None:
    board = f"{NO_COUNTER} instant={'no' if averaged else 'yes'}"
    work = "library.fake_nvml_set_false_watts(0, 3.7e6 / 1000); infer(1.1)"
    gpu.run([board, OURS], INFER.replace("infer(0.2)", work)).assert_outcomes(failed=1)
    if averaged:
        assert_unmeasured(gpu.test(), "needs a window of 10 s")
    else:
        assert_unmeasured(gpu.test(), "the power reads 3,700 W, and the board can draw at most 800")
        assert gpu.test()["code"] == "implausible-power"


def test_a_body_that_sleeps_beside_an_idle_board_with_power_alone_is_unmeasured(
    gpu: GpuBench,
) -> None:
    work = INFER.replace("infer(0.2)", "time.sleep(1.1)")
    gpu.run([NO_COUNTER, OURS], work).assert_outcomes(failed=1)
    assert_unmeasured(gpu.test(), "no GPU in use rose above its idle power")


def test_bursts_between_two_readings_of_the_power_are_unmeasured(gpu: GpuBench) -> None:
    bursts = "[(infer(0.05), time.sleep(0.087)) for _ in range(10)]"
    board = f"{NO_COUNTER} power_period_ms=100"
    gpu.run([board, OURS], INFER.replace("infer(0.2)", bursts)).assert_outcomes(failed=1)
    assert_unmeasured(gpu.test(), "which makes the figure uncertain by about ")
    assert gpu.test()["code"] == "power-unresolved"
