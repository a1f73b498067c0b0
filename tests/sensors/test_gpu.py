"""GPUs through the unmodified pynvml on a compiled fake library, in real time."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from gpu_bench import COUNTER, OURS, PRECISE, TORCH, GpuBench
from gpu_bench import QUICK_COUNTER as QUICK

from conftest import EnergyPytester
from pytest_energy.measurement.in_use import in_first_pid_namespace

pytestmark = pytest.mark.realtime

IT = "@budget('{limit}')\ndef test_it():\n    infer()\n"
#: One window, without warm-up and rounds.
ONCE = "@budget('{limit}')\ndef test_it(energy):\n    with energy.window(): infer()\n"
SPIN = "@budget('1 kJ / query')\ndef test_it(energy):\n    with energy.window(): spin(20)\n"


def test_the_counter_is_read_within_one_percent_of_the_truth(gpu: GpuBench) -> None:
    hot = f"{COUNTER} celsius=61 throttled=5"  # idle clocks, and the power cap
    result = gpu.run([hot, OURS], IT.format(limit="6 J / query"), *PRECISE)
    result.assert_outcomes(failed=1)
    test = gpu.test()
    assert test["joules_per_unit"] == pytest.approx(gpu.true_joules(), rel=0.01)
    assert (test["scope"], test["method"], test["verdict"]) == ("gpu", "measured", "fail")
    assert [(each["name"], each["gated"]) for each in test["channels"]] == [
        ("gpu:0", True),
        ("cpu:process", False),
    ]
    measured = [each for each in test["rounds"] if not each["warmup"]]
    assert all(each["seconds"] >= 1.0 for each in measured)
    found = test["explanation"]
    # Time and power make up the figure; the board draws 50 W when idle.
    seconds = 1 / found["units_per_second"]
    assert found["mean_watts"] == pytest.approx(test["joules_per_unit"] / seconds, rel=0.01)
    net = test["joules_per_unit"] - 50.0 * seconds
    assert found["net_joules_per_unit"] == pytest.approx(net, rel=0.02)
    assert found["gpus_before"] == [
        {
            "channel": "gpu:0",
            "celsius": 61,
            "megahertz": 1410,
            "power_limit_watts": 400.0,
            "throttled": ["power cap"],
        }
    ]
    result.stdout.fnmatch_lines(
        ["energy: * J / query is over *, gpu:0, measured; * ms a query at 2?? W*"]
    )


def test_a_quick_counter_needs_no_waiting(gpu: GpuBench) -> None:
    gpu.run(
        [COUNTER.replace("period_ms=100 jitter_ms=8", "period_ms=0"), OURS],
        IT.format(limit="20 J / query"),
    ).assert_outcomes(passed=1)
    assert gpu.test()["joules_per_unit"] == pytest.approx(gpu.true_joules(), rel=0.01)


@pytest.mark.parametrize("counter", ["no", "frozen"])
def test_without_a_counter_power_is_integrated(gpu: GpuBench, counter: str) -> None:
    steady = ONCE.format(limit="500 J / query").replace("infer()", "infer(1.05)")
    held = f"{QUICK} counter={counter} power_period_ms=100"
    result = gpu.run([held, OURS], steady)
    result.assert_outcomes(passed=1)
    test = gpu.test()
    assert test["method"] == "integrated"
    # The board draws 300 W all the time: what a steady power adds up to is known.
    (only,) = test["rounds"]
    # A busy machine may hold the test up for 10 ms between the two clocks at either end; how exact
    # the sum is, the accuracy tests tell on a virtual clock.
    assert only["joules"] == pytest.approx(300.0 * only["seconds"], rel=0.005, abs=300.0 * 0.02)
    assert test["channels"][0]["idle_watts"] == 50.0
    told = " ".join(each.strip() for each in result.stdout.lines)
    assert "gpu:0: power is integrated, because" in told
    assert "changes between two readings are not seen" in told


def test_averaged_power_takes_windows_of_ten_seconds(gpu: GpuBench) -> None:
    scenario = [f"{COUNTER} counter=no instant=no average_ms=1000", OURS]
    result = gpu.run(scenario, IT.format(limit="100 J / query"))
    result.assert_outcomes(passed=1)
    test = gpu.test()
    assert [each["seconds"] for each in test["rounds"] if not each["warmup"]] > [10.0]
    assert "1 s average power" in test["channels"][0]["source"]


def test_a_window_too_short_for_averaged_power_is_unmeasured(gpu: GpuBench) -> None:
    source = "@budget('1 kJ / query')\ndef test_it(energy):\n    with energy.window(): infer(0.5)\n"
    gpu.run([f"{COUNTER} counter=no instant=no average_ms=1000", OURS], source)
    test = gpu.test()
    assert test["verdict"] == "unmeasured"
    assert "needs a window of 10 s" in test["reason"]


def test_the_power_of_an_old_board_is_read_as_it_is(gpu: GpuBench) -> None:
    scenario = [f"{COUNTER} counter=no instant=no arch=5", OURS]
    gpu.run(scenario, IT.format(limit="100 J / query"))
    (measured,) = [each for each in gpu.test()["rounds"] if not each["warmup"]]
    assert measured["seconds"] < 2.0


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ("library.fake_nvml_reset_counter(0)", "was reset during the window"),
        ("library.fake_nvml_freeze_counter(0)", "stalled for at least"),
        ("library.fake_nvml_fault(0, b'nvmlDeviceGetTotalEnergyConsumption', 15)", "GPU is lost"),
    ],
)
def test_what_befalls_a_counter_in_a_window_is_unmeasured(
    gpu: GpuBench, event: str, words: str
) -> None:
    work = f"infer(0.1); {event}; infer(0.1)"
    source = ONCE.format(limit="1 kJ / query").replace("infer()", work)
    result = gpu.run([QUICK, OURS], source)
    result.assert_outcomes(failed=1)
    test = gpu.test()
    assert test["verdict"] == "unmeasured"
    assert words in test["reason"]
    assert test["joules_per_unit"] is None


def test_a_board_that_can_not_be_read_at_all_is_unmeasured(gpu: GpuBench) -> None:
    faults = [
        "fault function=nvmlDeviceGetPowerUsage error=3 gpu=0",
        "fault function=nvmlDeviceGetFieldValues error=3 gpu=0",
    ]
    gpu.run([f"{QUICK} counter=no", OURS, *faults], ONCE.format(limit="1 kJ / query"))
    test = gpu.test()
    assert test["verdict"] == "unmeasured"
    assert "gpu:0 can't be read" in test["reason"]


LOST = "fault function=nvmlDeviceGetHandleByIndex error=15 gpu=0"


def test_a_board_lost_at_the_start_is_unmeasured_not_the_cpu(gpu: GpuBench) -> None:
    gpu.run([QUICK, LOST], SPIN).assert_outcomes(failed=1)
    assert "gpu:0 can't be read" in gpu.test()["reason"]


@pytest.mark.parametrize(("index", "verdict"), [("0", "unmeasured"), ("1", "pass")])
def test_a_lost_board_does_not_move_the_others_numbers(
    gpu: GpuBench, index: str, verdict: str
) -> None:
    boards = [QUICK, "gpu uuid=GPU-bbbb watts=60 period_ms=20", LOST]
    gpu.run(boards, SPIN, f"--energy-gpus={index}", CUDA_VISIBLE_DEVICES="1")
    test = gpu.test()
    assert test["verdict"] == verdict


def test_a_driver_without_the_process_list_of_pynvml_is_unknown_not_a_crash(
    gpu: GpuBench,
) -> None:
    lists = ("Compute", "Graphics")
    faults = [
        f"fault function=nvmlDeviceGet{each}RunningProcesses error=13 gpu=0" for each in lists
    ]
    result = gpu.run([QUICK, *faults], SPIN)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["test_it: the driver's process ids can't be matched*"])


def test_idle_processes_beside_a_gpu_that_may_be_ours_are_unmeasured(gpu: GpuBench) -> None:
    source = SPIN.replace("spin(20)", "time.sleep(0.1)")
    gpu.run([f"{QUICK} procs=no"], source).assert_outcomes(failed=1)
    assert "name those in use with --energy-gpus" in gpu.test()["reason"]


@pytest.mark.parametrize(
    ("lines", "options", "visible", "gated"),
    [
        ([OURS], [], None, ["gpu:0"]),
        ([], [], None, ["cpu:process"]),  # the list is trusted and lacks us
        ([OURS], ["--energy-gpus=GPU-bb"], None, ["gpu:0", "gpu:1"]),
        ([], ["--energy-gpus=all"], "1", ["gpu:1"]),
        ([OURS], ["--energy-gpus=none"], None, ["cpu:process"]),
        ([], [], "-1", ["cpu:process"]),
    ],
)
def test_which_gpus_count(
    gpu: GpuBench, lines: list[str], options: list[str], visible: str | None, gated: list[str]
) -> None:
    second = "gpu uuid=GPU-bbbb watts=60 period_ms=20"
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    result = gpu.run(
        [QUICK, second, *lines],
        ONCE.format(limit="1 kJ / query").replace("infer()", "infer(0.2); spin(20)")
        if OURS in lines
        else SPIN,
        *options,
        **environment,
    )
    result.assert_outcomes(passed=1)
    assert [each["name"] for each in gpu.test()["channels"] if each["gated"]] == gated


def test_a_missing_gpu_is_an_error_that_lists_the_present_ones(gpu: GpuBench) -> None:
    result = gpu.run([QUICK], SPIN, "--energy-gpus=4")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["--energy-gpus: no GPU '4' on this machine; available: 0 (GPU-*"])


def test_without_a_process_list_all_allotted_gpus_count_aloud(gpu: GpuBench) -> None:
    work = ONCE.format(limit="1 J / query").replace("infer()", "infer(); spin(20)")
    result = gpu.run([f"{QUICK} procs=no"], work)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "energy: * gpu:0, measured, all allotted GPUs counted because it is unknown which*",
            "test_it: the driver's process ids can't be matched with ours here*",
        ]
    )


@pytest.mark.parametrize(("slices", "verdict"), [(7, "pass"), (3, "unmeasured")])
def test_a_mig_slice_counts_only_when_it_is_the_whole_board(
    gpu: GpuBench, energy_pytester: EnergyPytester, slices: int, verdict: str
) -> None:
    mig = f"mig gpu=0 uuid=MIG-1234 slices={slices}"
    gpu.run(
        [QUICK, mig],
        ONCE.format(limit="1 kJ / query"),
        "--energy-gpus=all",
        CUDA_VISIBLE_DEVICES="MIG-12",
    )
    assert gpu.test()["verdict"] == verdict
    (board,) = energy_pytester.record()["machine"]["gpus"]
    assert board["mig"] == f"{slices}g.{slices * 5}gb"


@pytest.mark.parametrize(
    ("use", "no_driver", "words"),
    [
        ("torch.mps.allocated = 5", False, "an Apple GPU (MPS) was used"),
        ("torch.xpu = torch.Device(count=1, initialised=True)", False, "an Intel GPU (XPU)"),
        (
            "torch.cuda = torch.Device('aaaa', 1, True)",
            True,
            "CUDA was used, and no sensor reads it",
        ),
        (
            "torch.cuda = torch.Device('cccc', 1, True)",
            False,
            "on a device that the driver does not list (cccc)",
        ),
        (
            "torch.version.hip = '6.2'; torch.cuda = torch.Device('x', 1, True)",
            False,
            "an AMD GPU (ROCm) was used",
        ),
    ],
)
def test_accelerators_that_no_sensor_reads_are_unmeasured(
    gpu: GpuBench, energy_pytester: EnergyPytester, use: str, no_driver: bool, words: str
) -> None:
    # torch's names in a stand-in: this machine has none of these devices
    energy_pytester.pytester.makepyfile(torch=TORCH)
    source = f"import torch\n{use}\n{SPIN}"
    environment = {"FAKE_NVML_SCENARIO": ""} if no_driver else {}
    gpu.run([QUICK], source, **environment).assert_outcomes(failed=1)
    test = gpu.test()
    assert (test["verdict"], words in test["reason"]) == ("unmeasured", True), test["reason"]


def test_torchs_device_is_found_by_uuid_not_by_order(
    gpu: GpuBench, energy_pytester: EnergyPytester
) -> None:
    energy_pytester.pytester.makepyfile(torch=TORCH)
    source = "import torch\ntorch.cuda = torch.Device('bbbb', 1, True)\n" + SPIN
    gpu.run([QUICK, "gpu uuid=GPU-bbbb watts=60"], source)
    assert [each["name"] for each in gpu.test()["channels"] if each["gated"]] == ["gpu:1"]


def test_scope_all_never_adds_an_estimate_to_a_measurement(gpu: GpuBench) -> None:
    source = ONCE.replace("'{limit}'", "'1 kJ / query', scope='all'")
    gpu.run([QUICK, OURS], source).assert_outcomes(failed=1)
    assert "needs a counter for the CPU" in gpu.test()["reason"]


def test_machine_and_driver_are_in_the_record(
    gpu: GpuBench, energy_pytester: EnergyPytester
) -> None:
    scenario = ["driver version=570.11", f"{QUICK} limit_w=300", OURS]
    gpu.run(scenario, ONCE.format(limit="1 kJ / query"))
    record = energy_pytester.record()
    assert record["run"]["versions"]["driver"] == "570.11"
    assert record["machine"]["gpus"] == [
        {
            "name": "Fake-A100",
            "uuid": "GPU-aaaa",
            "power_limit_watts": 300.0,
            "channel": "gpu:0",
            "mig": "",
        }
    ]


@pytest.fixture
def stranger() -> int:
    """The id of a process that isn't in the measured test's tree."""
    return os.getppid()


def test_beside_another_process_a_fail_is_inconclusive_and_a_pass_stands(
    gpu: GpuBench, stranger: int
) -> None:
    scenario = [QUICK, OURS, f"process gpu=0 pid={stranger} type=compute"]
    result = gpu.run(scenario, ONCE.format(limit="6 J / query"))
    result.assert_outcomes(failed=1)
    test = gpu.test()
    if in_first_pid_namespace():
        assert test["verdict"] == "inconclusive"
        assert f"(process {stranger}) on gpu:0 added joules" in test["reason"]
        assert len(test["other_processes"]) == 1
    else:  # a container: whose these processes are isn't known, which changes nothing
        assert test["verdict"] == "fail"
        assert any("whether others used gpu:0 is unknown" in note for note in test["notes"])
    gpu.run(scenario, ONCE.format(limit="60 J / query")).assert_outcomes(passed=1)
    desktop = [QUICK, OURS, f"process gpu=0 pid={stranger} type=graphics"]
    gpu.run(desktop, ONCE.format(limit="6 J / query")).assert_outcomes(failed=1)
    assert (gpu.test()["verdict"], gpu.test()["other_processes"]) == ("fail", [])


def test_a_listed_server_belongs_to_the_test_and_its_cpu_time_counts(gpu: GpuBench) -> None:
    code = "while True: sum(range(10000))"
    with subprocess.Popen([sys.executable, "-c", code]) as server:
        try:
            result = gpu.run(
                [QUICK, f"process gpu=0 pid={server.pid} type=compute"],
                "@budget('60 J / query')\ndef test_it():\n    infer()\n",
                f"--energy-pids={server.pid}",
            )
        finally:
            server.kill()
    result.assert_outcomes(passed=1)
    test = gpu.test()
    assert (test["scope"], test["other_processes"]) == ("gpu", [])
    (cpu,) = [each for each in test["channels"] if each["name"] == "cpu:process"]
    assert cpu["source"].startswith(f"CPU time of the process tree and of process {server.pid} x")
    # It kept a core busy for the 40 ms of each query, as far as it got one; the test itself sleeps.
    assert test["cpu_seconds_per_unit"] > 0.004


@pytest.mark.parametrize(("gain", "apart"), [("1", ""), ("0.7", "-30 %")])
def test_counter_and_power_are_compared_once_a_session(
    gpu: GpuBench, energy_pytester: EnergyPytester, gain: str, apart: str
) -> None:
    steady = "@budget('20 J / query')\ndef test_it():\n    spin(4)\n    infer(0.04, 50.0)\n"
    result = gpu.run(
        [f"{QUICK} gain={gain}", OURS],
        # Warm-up takes a quarter of the time limit at most.
        steady + steady.replace("test_it", "test_again"),
        "--energy-max-seconds=9",
    )
    result.assert_outcomes(passed=2)
    (check,) = energy_pytester.record()["machine"]["self_checks"]
    assert check["channel"] == "gpu:0"
    assert 2 <= check["seconds"] <= 5
    assert check["counter_joules"] / check["power_joules"] == pytest.approx(float(gain), rel=0.02)
    told = "don't agree" in result.stdout.str()
    assert told == bool(apart) and apart in result.stdout.str()


UPDATE = "--energy-update=new"


def test_simulated_joules_are_no_baseline(gpu: GpuBench, energy_pytester: EnergyPytester) -> None:
    result = gpu.run([QUICK, OURS], IT.format(limit="1 kJ / query"), UPDATE)
    result.assert_outcomes(passed=1)
    told = " ".join(each.strip() for each in result.stdout.lines)
    assert "not stored: its joules are simulated (driver 570.00-simulated)" in told
    assert not (energy_pytester.pytester.path / "energy-baselines").exists()


def test_a_board_is_compared_with_itself_and_not_at_another_power_limit(
    gpu: GpuBench, energy_pytester: EnergyPytester
) -> None:
    board = ["driver version=570.11", f"{QUICK} celsius=61", OURS]
    five = ["--energy-max-rounds=5", "--energy-max-seconds=20"]
    gpu.run(board, IT.format(limit="1 kJ / query"), UPDATE, *five).assert_outcomes(passed=1)
    folder = energy_pytester.pytester.path / "energy-baselines"
    (path,) = folder.iterdir()
    assert path.name == "fake-a100-x1-400w.jsonl"
    line = json.loads(path.read_bytes())
    assert (line["gpus"], line["celsius"]) == (["GPU-aaaa"], [61])
    assert line["versions"]["driver"] == "570.11"
    more = "@budget('1 kJ / query')\ndef test_it():\n    infer(0.05)\n"
    gpu.run(board, more, *five).assert_outcomes(failed=1)
    assert "over the mean of 1 session" in gpu.test()["reason"]
    gpu.run([board[0], f"{QUICK} limit_w=300", OURS], ONCE.format(limit="1 kJ / query"))
    assert gpu.test()["baseline"]["missing"] == (
        "stored on Fake-A100 x1 @ 400 W; this is Fake-A100 x1 @ 300 W"
    )
