"""What can go wrong with a GPU ends in a correct figure or a loud failure, never in a silent 0.

docs/failures.md holds the sentences.
"""

from __future__ import annotations

from typing import Any

import pytest

from conftest import EnergyPytester, assert_estimated
from gpu_bench import OURS, TORCH, GpuBench
from gpu_bench import QUICK_COUNTER as COUNTER

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
    container = "from pytest_energy.measure import in_use\nin_use._FIRST_PID_NAMESPACE = ''\n"
    idle = "@budget('1 kJ / query')\ndef test_idle(energy):\n"
    idle += "    with energy.window(): time.sleep(0.3)\n"
    source = container + INFER.replace("infer(0.2)", "infer(0.2); spin(20)") + idle
    result = gpu.run([COUNTER, "process gpu=0 pid=4242424 type=compute"], source)
    result.assert_outcomes(passed=1, failed=1)
    # 20 ms at 50 W or more, since the CPU works on alone.
    assert 1.0 < gpu.test()["joules_per_unit"] - gpu.true_joules() < 10.0
    assert_unmeasured(gpu.test("test_idle"), "nothing tells which GPU they used, if any")
    result.stdout.fnmatch_lines(
        ["test_it: the driver's process ids can't be matched with ours here, so all*"]
    )


# What can be read


def test_no_program_nvidia_smi_is_needed(gpu: GpuBench) -> None:
    gpu.run([COUNTER, OURS], INFER, PATH="").assert_outcomes(passed=1)
    assert_true_joules(gpu)


def test_boards_without_a_counter_have_their_power_integrated(gpu: GpuBench) -> None:
    new = "gpu uuid=GPU-aaaa name=New arch=10 watts=200 counter=no"
    old = "gpu uuid=GPU-bbbb name=Old arch=5 watts=75 counter=no instant=no"
    source = INFER.replace("infer(0.2)", "time.sleep(1.05)")
    result = gpu.run([new, old, OURS, OURS.replace("0", "1")], source)
    result.assert_outcomes(passed=1)
    (only,) = gpu.test()["rounds"]
    found = {each["name"]: each["joules_per_unit"] for each in gpu.test()["channels"]}
    # A power that never changes adds up to watts x seconds.
    assert found["gpu:0"] == pytest.approx(200.0 * only["seconds"], rel=0.005)
    assert found["gpu:1"] == pytest.approx(75.0 * only["seconds"], rel=0.005)
    assert gpu.test()["method"] == "integrated"
    result.stdout.fnmatch_lines(
        [f"gpu:{each}: power is integrated, because *: Not*" for each in (0, 1)]
    )


def test_power_samples_with_a_gap_are_unmeasured(gpu: GpuBench) -> None:
    # A call into C that keeps Python's lock: nothing can be sampled meanwhile.
    work = "import ctypes\n" + INFER.replace(
        "infer(0.2)", "time.sleep(0.3); ctypes.PyDLL(None).usleep(500000); time.sleep(0.3)"
    )
    gpu.run([f"{COUNTER} counter=no", OURS], work).assert_outcomes(failed=1)
    assert_unmeasured(gpu.test(), "the power readings have a gap of 0.")


def test_a_board_that_is_lost_fails_this_test_and_the_next(gpu: GpuBench) -> None:
    work = INFER.replace("infer(0.2)", "infer(0.2); library.fake_nvml_fault(0, b'all', 15)")
    again = INFER.replace("test_it", "test_next")
    gpu.run([COUNTER, OURS], work + again).assert_outcomes(failed=2)
    assert_unmeasured(gpu.test(), "GPU is lost")
    assert_unmeasured(gpu.test("test_next"), "GPU is lost")
