"""Which GPU did the work: children, late use, drivers that list nobody, CUDA's own order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from gpu_bench import TORCH, GpuBench

from conftest import FAKES, EnergyPytester, compiled
from pytest_energy.measurement.in_use import in_first_pid_namespace
from pytest_energy.sensors.clock import real
from pytest_energy.sensors.gpu_activity import is_flat, rise_in_step

FIRST = "gpu watts=50 period_ms=20 jitter_ms=2"
SECOND = "gpu watts=60 period_ms=20 jitter_ms=2"
SELF = "process gpu=0 pid=self type=compute"
CONTAINER = "from pytest_energy.measurement import in_use\nin_use._FIRST_PID_NAMESPACE = ''\n"

#: A process for each call, which computes on a board and may be listed there.
CHILD = '''
import subprocess, sys
WORK = """
import ctypes, os, sys, time
library = ctypes.CDLL("libnvidia-ml.so.1")
library.fake_nvml_set_watts.argtypes = [ctypes.c_uint, ctypes.c_double]
gpu, listed = int(sys.argv[1]), sys.argv[2] == "listed"
if listed:
    library.fake_nvml_list_process(gpu, os.getpid(), 1)
library.fake_nvml_set_watts(gpu, 300.0)
time.sleep(float(sys.argv[3]))
library.fake_nvml_set_watts(gpu, 50.0)
if listed:
    library.fake_nvml_list_process(gpu, os.getpid(), 0)
"""

def child(gpu=0, how="listed", seconds=1.0):
    # As long as a busy machine needs to start it, or the board hardly rises in the window.
    arguments = [str(gpu), how, str(seconds)]
    subprocess.run([sys.executable, "-ISc", WORK, *arguments], check=True)
'''


@pytest.fixture
def events(gpu: GpuBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GpuBench:
    """Boards that all processes of a test share."""
    path = tmp_path / "events"
    path.touch()
    monkeypatch.setenv("FAKE_NVML_EVENTS", str(path))
    return gpu


@pytest.fixture(scope="module")
def cuda_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fake_cuda")
    return compiled(FAKES / "fake_cuda" / "fake_cuda.c", folder / "libcuda.so.1")


def gated(gpu: GpuBench) -> list[str]:
    return [each["name"] for each in gpu.test()["channels"] if each["gated"]]


def body(call: str) -> str:
    return f"@budget('1 kJ / query')\ndef test_it():\n    {call}\n"


def window(call: str) -> str:
    return f"@budget('1 kJ / query')\ndef test_it(energy):\n    with energy.window(): {call}\n"


@pytest.mark.parametrize("test", [body, window])
@pytest.mark.parametrize("how", ["listed", "unlisted"])
def test_a_process_for_each_call_brings_its_gpu(
    events: GpuBench, test: Callable[[str], str], how: str
) -> None:
    source = CHILD + test(f"child(0, {how!r})")
    events.run([FIRST], source).assert_outcomes(passed=1)
    assert gated(events) == ["gpu:0"]
    assert events.test()["joules_per_unit"] > 0.9 * 1.0 * 300


@pytest.mark.parametrize("how", ["listed", "unlisted"])
def test_a_child_on_another_gpu_counts_beside_its_parents(events: GpuBench, how: str) -> None:
    source = CHILD + body(f"infer(0.05); child(1, {how!r})")
    result = events.run([FIRST, SECOND, SELF], source)
    result.assert_outcomes(passed=1)
    assert gated(events) == ["gpu:0", "gpu:1"]
    assert events.test()["joules_per_unit"] > 1.0 * 300 + 0.05 * 300


@pytest.mark.realtime
@pytest.mark.parametrize("how", ["listed", "unlisted"])
def test_a_gpu_that_is_used_late_is_unmeasured_with_the_remedy(events: GpuBench, how: str) -> None:
    source = CHILD + (
        "FIRST_CALL = []\n"
        "@budget('1 kJ / query')\n"
        "def test_it():\n"
        "    FIRST_CALL.append(time.monotonic())\n"
        "    spin(20)\n"
        f"    if time.monotonic() > FIRST_CALL[0] + 1.0: child(0, {how!r})\n"
    )
    options = ["--energy-max-seconds=2", "--energy-max-rounds=20"]
    events.run([FIRST], source, *options).assert_outcomes(failed=1)
    test = events.test()
    assert (test["verdict"], test["code"]) == ("unmeasured", "gpu-late")
    assert "name it with --energy-gpus 0" in test["reason"]
    events.run([FIRST], source, *options, "--energy-gpus=0").assert_outcomes(passed=1)
    assert gated(events) == ["gpu:0"]


def test_power_that_rises_beside_an_empty_list_is_evidence(gpu: GpuBench) -> None:
    result = gpu.run([FIRST, SECOND], window("infer(0.4)"))
    result.assert_outcomes(passed=1)
    assert gated(gpu) == ["gpu:0"]
    result.stdout.re_match_lines([r"test_it: gpu:0 rose by 2\d\d W while the test ran, and no.*"])


def test_power_that_other_processes_draw_is_not_evidence(gpu: GpuBench) -> None:
    """Theirs is listed, and the CPU's work is ours."""
    others = "process gpu=0 pid=1 type=compute"
    gpu.run([FIRST, others], window("infer(0.4); spin(50)")).assert_outcomes(passed=1)
    assert gated(gpu) == ["cpu:process"]


def test_a_steady_power_is_not_evidence(gpu: GpuBench) -> None:
    gpu.run([FIRST.replace("50", "200")], window("spin(300)")).assert_outcomes(passed=1)
    assert gated(gpu) == ["cpu:process"]


LOADED = "import os\nctypes.CDLL('libcuda.so.1')\n"


def with_cuda(library: Path, gpu: GpuBench, **variables: str) -> dict[str, str]:
    search = gpu._environment("")["LD_LIBRARY_PATH"]
    return {"LD_LIBRARY_PATH": f"{library.parent}:{search}", **variables}


@pytest.mark.parametrize("visible", [{}, {"CUDA_VISIBLE_DEVICES": "0"}])
def test_a_context_of_any_library_identifies_the_gpu_by_its_uuid(
    gpu: GpuBench, cuda_library: Path, visible: dict[str, str]
) -> None:
    """Also in a container, where CUDA_VISIBLE_DEVICES=0 is the fastest board."""
    cuda = with_cuda(cuda_library, gpu, FAKE_CUDA_ACTIVE="0", FAKE_CUDA_BOARDS="102", **visible)
    boards = [f"{FIRST} name=Slow", f"{SECOND} name=Fast"]
    work = window("infer(0.2, gpu=1); spin(20)")
    gpu.run(boards, CONTAINER + LOADED + work, **cuda).assert_outcomes(passed=1)
    assert gated(gpu) == ["gpu:1"]


def test_ambiguous_indices_are_reported_with_the_remedy(gpu: GpuBench) -> None:
    boards = [f"{FIRST} name=Slow", f"{SECOND} name=Fast"]
    source = CONTAINER + window("spin(20)")
    result = gpu.run(boards, source, CUDA_VISIBLE_DEVICES="0")
    assert gated(gpu) == ["gpu:0", "gpu:1"]
    result.stdout.fnmatch_lines(["CUDA_DEVICE_ORDER=PCI_BUS_ID, or name it by UUID"])
    gpu.run(boards, source, CUDA_VISIBLE_DEVICES="0", CUDA_DEVICE_ORDER="PCI_BUS_ID")
    assert gated(gpu) == ["gpu:0"]


def test_cuda_of_any_library_without_nvml_is_unmeasured(gpu: GpuBench, cuda_library: Path) -> None:
    cuda = with_cuda(cuda_library, gpu, FAKE_CUDA_ACTIVE="0", FAKE_NVML_SCENARIO="")
    source = "import ctypes\n" + LOADED + window("pytest.importorskip('spin').spin(20)")
    gpu._bench.write(source)
    for name, value in cuda.items():
        gpu._monkeypatch.setenv(name, value)
    gpu._bench.run_process(quick=True).assert_outcomes(failed=1)
    assert (gpu.test()["verdict"], gpu.test()["code"]) == ("unmeasured", "no-sensor")


def test_torchs_account_and_the_power_of_its_workers_count_together_in_a_container(
    events: GpuBench, energy_pytester: EnergyPytester
) -> None:
    energy_pytester.pytester.makepyfile(torch=TORCH)
    source = (
        "import torch\ntorch.cuda = torch.Device('fa4e0000-0000-0000-0000-000000000000', 1, True)\n"
    )
    source = CONTAINER + CHILD + source + body("infer(0.05); child(1, 'unlisted')")
    events.run([FIRST, SECOND], source).assert_outcomes(passed=1)
    assert gated(events) == ["gpu:0", "gpu:1"]


def test_slices_that_can_not_be_listed_are_unmeasured(gpu: GpuBench) -> None:
    gpu.run([f"{FIRST} mig=enabled", SELF], window("infer(0.2)")).assert_outcomes(failed=1)
    assert (gpu.test()["verdict"], gpu.test()["code"]) == ("unmeasured", "mig-slice")


def test_process_ids_without_proc_match_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: str) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(real, "readlink", staticmethod(missing))
    assert not in_first_pid_namespace()
    monkeypatch.setattr("sys.platform", "win32")
    assert in_first_pid_namespace()


@pytest.mark.parametrize(
    ("gaps", "windows", "rise"),
    [
        ([50, 50, 50], [300, 300], 250),
        ([50, 50], [None], None),
        ([50, 51, 50], [52, 51], None),  # noise
        ([300, 200, 50], [250, 60], None),  # the board falls from the work before
        ([50, 60, 300], [55, 300], 240),  # the first use; the board hasn't fallen after it
        ([50, 50, 50, 50], [50, 90, 50], None),  # a moment of something else
        ([50, 290, 290, 290], [290, 290, 290], 240),  # gaps too short to fall in
    ],
)
def test_a_rise_is_in_step_with_the_work(
    gaps: list[float], windows: list[float | None], rise: float | None
) -> None:
    assert rise_in_step(gaps, windows, onset_watts=60.0) == rise


# What ran before

THEN_CPU = "@budget('1 kJ / query')\ndef test_then(energy):\n    with energy.window(): spin(700)\n"


def scopes(gpu: GpuBench) -> dict[str, str]:
    return {name: test["scope"] for name, test in gpu.tests().items()}


@pytest.mark.realtime
def test_the_cpus_work_is_charged_no_gpu_that_another_test_used(gpu: GpuBench) -> None:
    gpu.run([FIRST, SELF], window("infer(0.4)") + THEN_CPU).assert_outcomes(passed=2)
    assert scopes(gpu) == {"test_it": "gpu", "test_then": "cpu"}


@pytest.mark.parametrize(("allocations", "scope"), [(0, "cpu"), (1, "gpu")])
def test_an_earlier_context_is_not_use_but_new_memory_is(
    gpu: GpuBench, energy_pytester: EnergyPytester, allocations: int, scope: str
) -> None:
    energy_pytester.pytester.makepyfile(torch=TORCH)
    held = (
        "import torch\ntorch.cuda = torch.Device('fa4e0000-0000-0000-0000-000000000000', 1, True)\n"
    )
    work = f"torch.cuda.allocations += {allocations}; spin(700)"
    gpu.run([FIRST, SELF], held + window(work)).assert_outcomes(passed=1)
    assert scopes(gpu) == {"test_it": scope}


@pytest.mark.realtime
def test_a_context_that_a_test_makes_is_use(gpu: GpuBench, cuda_library: Path) -> None:
    cuda = with_cuda(cuda_library, gpu, FAKE_CUDA_ACTIVE="")
    work = "os.environ['FAKE_CUDA_ACTIVE'] = '0'; spin(700)"
    source = LOADED + window(work) + THEN_CPU
    gpu.run([FIRST], source, **cuda).assert_outcomes(passed=2)
    assert scopes(gpu) == {"test_it": "gpu", "test_then": "cpu"}


@pytest.mark.parametrize(
    ("gaps", "windows", "seconds", "flat"),
    [
        ([126, 126], [126.4, 127], [1.5, 1.5], True),
        ([126, 126], [126, 140], [1.5, 1.5], False),
        ([300, 126], [180, 126], [1.5, 1.5], True),  # it falls from the work before
        ([126, 126], [126, 126], [0.02, 1.5], True),
        ([126, 126], [126, 126], [0.02, 0.3], False),  # the readings may be older than the work
        ([126], [None], [1.5], False),
        ([], [], [], False),
    ],
)
def test_a_board_is_flat_where_no_window_rises(
    gaps: list[float], windows: list[float | None], seconds: list[float], flat: bool
) -> None:
    assert is_flat(gaps, windows, seconds) is flat


def test_without_an_allotted_board_nothing_is_watched(gpu: GpuBench) -> None:
    result = gpu.run([FIRST], window("spin(300)"), CUDA_VISIBLE_DEVICES="-1")
    result.assert_outcomes(passed=1)
    assert "StopIteration" not in result.stdout.str() + result.stderr.str()
