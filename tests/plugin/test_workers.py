"""Many GPUs and workers of pytest-xdist: each measures on a GPU of its own, in real time."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from fake_powercap import Layout, Zone, running
from gpu_bench import LIGHT, TORCH, GpuBench
from hypothesis import given
from hypothesis import strategies as st

from conftest import EnergyPytester
from pytest_energy.sensors.gpu_choice import VISIBLE, WORKER, pin

#: Refreshed every 50 ms, so a window takes half a second.
BOARDS = [
    f"gpu uuid=GPU-{letter * 4} watts=50 period_ms=50 jitter_ms=4 latency_us=200"
    for letter in "abcd"
]
#: One window of work on the worker's GPU; each says when it was called, and with which GPU.
TESTS = """
import os, time, json
from pathlib import Path
import torch

mine = os.environ["CUDA_VISIBLE_DEVICES"]
torch.cuda = torch.Device(mine, 1, True)

def work(seconds=0.04):
    started = time.monotonic()
    infer(seconds, 150.0, max("abcd".find(mine[-1]), 0))
    line = json.dumps([mine, started, time.monotonic()])
    with Path("calls").open("a") as file:
        file.write(line + chr(10))
"""
GPU_TESTS = """
@pytest.mark.parametrize("number", range({tests}))
@budget("20 J / query")
def test_it(number):
    work()
"""


@pytest.fixture
def workers(
    gpu: GpuBench, energy_pytester: EnergyPytester, monkeypatch: pytest.MonkeyPatch
) -> GpuBench:
    monkeypatch.delenv(WORKER, raising=False)  # this test may run in a worker itself
    energy_pytester.pytester.makepyfile(torch=TORCH)
    return gpu


def calls(bench: EnergyPytester) -> list[tuple[str, float, float]]:
    """The GPU of each call, and when it began and ended, in their order."""
    path = bench.pytester.path / "calls"
    found = [tuple(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    path.unlink()
    return sorted(found, key=lambda each: each[1])


def wall_seconds(bench: EnergyPytester) -> float:
    found = calls(bench)
    return max(ended for _, _, ended in found) - found[0][1]


def gated(record: dict[str, Any]) -> list[list[str]]:
    tests = [test["channels"] for test in record["tests"]]
    return [[each["name"] for each in channels if each["gated"]] for channels in tests]


@pytest.mark.realtime
def test_four_workers_on_four_gpus_take_a_third_of_the_time_of_one(
    workers: GpuBench, energy_pytester: EnergyPytester
) -> None:
    source, options = TESTS + GPU_TESTS.format(tests=8), [*LIGHT, "--energy-gpus=per-worker"]
    workers.run(BOARDS, source, "-n4", *options).assert_outcomes(passed=8)
    record = energy_pytester.record()
    assert sorted({name for names in gated(record) for name in names}) == [
        f"gpu:{index}" for index in range(4)
    ]
    assert all(each["scope"] == "gpu" and each["verdict"] == "pass" for each in record["tests"])
    four = wall_seconds(energy_pytester)
    workers.run(BOARDS, source, "-n1", *options).assert_outcomes(passed=8)
    assert {tuple(names) for names in gated(energy_pytester.record())} == {("gpu:0",)}
    assert four <= 0.35 * wall_seconds(energy_pytester)


@pytest.mark.realtime
def test_workers_that_share_a_gpu_wait_for_each_other_and_cpu_tests_run_alone(
    workers: GpuBench, energy_pytester: EnergyPytester
) -> None:
    source = TESTS + GPU_TESTS.format(tests=6)
    source += (
        "@budget('1 kJ / query', scope='cpu')\ndef test_cpu():\n"
        "    global mine\n    mine = 'cpu'\n    spin(40)\n    work(0)\n"
    )
    result = workers.run(BOARDS[:2], source, "-n4", *LIGHT, "--energy-gpus=per-worker")
    result.assert_outcomes(passed=7)
    seen = calls(energy_pytester)
    for device in {each[0] for each in seen} - {"cpu"}:
        alone = [each for each in seen if each[0] in (device, "cpu")]
        assert all(later[1] >= earlier[2] for earlier, later in pairwise(alone))
    # While the CPU's test ran, nobody else did.
    places = [index for index, each in enumerate(seen) if each[0] == "cpu"]
    assert places == list(range(places[0], places[-1] + 1))


@pytest.mark.realtime
def test_tests_of_all_counters_run_alone(
    workers: GpuBench, energy_pytester: EnergyPytester, tmp_path: Path
) -> None:
    source = TESTS + GPU_TESTS.format(tests=4).replace('query"', 'query", scope="all"')
    with running(tmp_path / "powercap", [Zone("package-0")], Layout.FLAT):
        options = [
            "--energy-gpus=per-worker",
            f"--energy-cpu-counter-folder={tmp_path / 'powercap'}",
        ]
        result = workers.run(BOARDS[:2], source, "-n2", *LIGHT, *options)
    result.assert_outcomes(passed=4)
    assert {len(names) for names in gated(energy_pytester.record())} == {2}
    assert all(later[1] >= earlier[2] for earlier, later in pairwise(calls(energy_pytester)))


def test_the_gpu_is_chosen_before_a_conftest_is_loaded(
    workers: GpuBench, energy_pytester: EnergyPytester
) -> None:
    energy_pytester.pytester.makeconftest(
        "import os\nSEEN = os.environ.get('CUDA_VISIBLE_DEVICES')\n"
        "def pytest_runtest_setup(item):\n"
        "    worker = int(os.environ['PYTEST_XDIST_WORKER'][2:])\n"
        "    assert SEEN == f'GPU-{\"abcd\"[worker] * 4}', SEEN\n"
    )
    source = "@pytest.mark.parametrize('n', range(4))\ndef test_it(n):\n    pass\n"
    workers.run(BOARDS, source, "-n2", *LIGHT, "--energy-gpus=per-worker").assert_outcomes(passed=4)


def test_without_a_gpu_there_is_none_for_a_worker(
    workers: GpuBench, energy_pytester: EnergyPytester
) -> None:
    source = "@budget('1 J / query')\ndef test_it():\n    spin()\n"
    options = ("-n1", *LIGHT, "--energy-gpus=per-worker")
    result = workers.run([], source, *options, FAKE_NVML_SCENARIO="")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*--energy-gpus per-worker: no NVIDIA driver answers*"])


def test_a_lost_worker_frees_its_locks_and_its_test_is_named(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.write(
        """
        import os

        @pytest.mark.parametrize("number", range(4))
        @budget("1 kJ / query")
        def test_it(number):
            spin()
            if number == 1:
                os._exit(1)
        """
    )
    result = energy_pytester.run_process("-n2")
    result.assert_outcomes(passed=3, failed=1)
    record = energy_pytester.record()
    assert record["lost_tests"] == ["test_it.py::test_it[1]"]
    assert len(record["tests"]) == 3
    flat = " ".join(result.stdout.str().split())
    assert "test_it.py::test_it[1]: its worker process was lost while it ran, and with it" in flat


def test_a_lost_worker_is_reported_where_nothing_else_was_measured(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.write("import os\n@budget('1 kJ / query')\ndef test_it():\n    os._exit(1)\n")
    result = energy_pytester.run_process("-n1")
    assert "test_it: its worker process was lost" in " ".join(result.stdout.str().split())


@given(st.integers(min_value=0, max_value=99), st.lists(st.text("ab1", min_size=1), min_size=1))
def test_a_worker_has_one_of_the_devices_it_may_use(worker: int, devices: list[str]) -> None:
    environment = {VISIBLE: ", ".join(devices), WORKER: f"gw{worker}"}
    pin(environment)
    assert environment[VISIBLE] == devices[worker % len(devices)]


def test_a_list_ends_where_cuda_ends_it() -> None:
    environment = {VISIBLE: "a,b,-1,c", WORKER: "gw2"}
    pin(environment)
    assert environment[VISIBLE] == "a"


@pytest.mark.parametrize(
    "environment",
    [
        {VISIBLE: "a,b"},
        {VISIBLE: "a,b", WORKER: "master"},
        {VISIBLE: "", WORKER: "gw0"},
        {VISIBLE: "-1,a", WORKER: "gw1"},
    ],
)
def test_else_nothing_changes(environment: dict[str, str]) -> None:
    before = dict(environment)
    pin(environment)
    assert environment == before
