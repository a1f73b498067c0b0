"""A Mac with Apple silicon through pytest, on a stand-in of zeus-apple-silicon in real time."""

from __future__ import annotations

import pytest

from conftest import EnergyPytester

pytestmark = pytest.mark.realtime

CPU_WATTS, GPU_WATTS, DRAM_WATTS = 8.0, 20.0, 2.0
BODY = "@pytest.mark.energy_budget({limit!r}, scope={scope!r})\ndef test_it():\n    spin(10)\n"

#: In the process under test: steady power, refreshed at every reading.
MAC = f"""
import time
from types import SimpleNamespace
from pytest_energy.sensors import apple

class Monitor:
    def get_cumulative_energy(self):
        def millijoules(watts):
            return int(watts * time.perf_counter() * 1000)

        cpu = millijoules({CPU_WATTS})
        fields = dict.fromkeys(FIELDS)
        fields |= dict(cpu_total_mj=cpu, performance_cores_mj=[cpu])
        fields |= dict(dram_mj=millijoules({DRAM_WATTS}), gpu_mj=millijoules({GPU_WATTS}))
        return SimpleNamespace(**fields)

FIELDS = [
    "cpu_total_mj", "efficiency_cores_mj", "performance_cores_mj", "efficiency_cluster_mj",
    "performance_cluster_mj", "efficiency_core_manager_mj", "performance_core_manager_mj",
    "dram_mj", "gpu_mj", "gpu_sram_mj", "ane_mj",
]
apple._library = lambda: SimpleNamespace(AppleEnergyMonitor=Monitor)
"""
#: A Mac on which the library isn't installed.
BARE_MAC = """
from types import SimpleNamespace
from pytest_energy.sensors import apple

apple.platform = SimpleNamespace(system=lambda: "Darwin", machine=lambda: "arm64")
"""
#: What we ask torch, of a torch that holds memory of the Mac's GPU.
TORCH = """
class mps:
    driver_allocated_memory = staticmethod(lambda: 1 << 20)
    synchronize = staticmethod(lambda: None)

class backends:
    class mps:
        is_available = staticmethod(lambda: True)

def get_num_threads():
    return 1
"""


@pytest.fixture
def mac(energy_pytester: EnergyPytester) -> EnergyPytester:
    energy_pytester.pytester.makeconftest(MAC)
    return energy_pytester


@pytest.fixture
def torch_on_mps(energy_pytester: EnergyPytester) -> None:
    energy_pytester.pytester.makepyfile(torch=TORCH)
    energy_pytester.pytester.makepyfile(test_first="import torch\n")


def run(mac: EnergyPytester, limit: str, scope: str, *options: str) -> dict[str, object]:
    mac.write(BODY.format(limit=limit, scope=scope))
    mac.run_process("--energy-max-seconds=1", "--energy-max-rounds=1", *options, quick=False)
    return dict(mac.tests()["test_it"])


def watts(test: dict[str, object]) -> float:
    explanation = test["explanation"]
    assert isinstance(explanation, dict)
    return float(explanation["mean_watts"])


def test_a_test_on_the_cpu_is_judged_by_the_macs_counters(mac: EnergyPytester) -> None:
    test = run(mac, "9 J / query", "auto", "--energy-require=measured")
    assert (test["scope"], test["method"], test["verdict"]) == ("cpu", "measured", "pass")
    assert watts(test) == pytest.approx(CPU_WATTS + DRAM_WATTS, rel=0.02)


@pytest.mark.usefixtures("torch_on_mps")
def test_a_test_on_the_gpu_is_judged_by_the_gpus(mac: EnergyPytester) -> None:
    test = run(mac, "9 J / query", "auto")
    assert (test["scope"], test["method"], test["verdict"]) == ("gpu", "measured", "pass")
    assert watts(test) == pytest.approx(GPU_WATTS, rel=0.02)
    test = run(mac, "9 J / query", "all")
    assert watts(test) == pytest.approx(CPU_WATTS + DRAM_WATTS + GPU_WATTS, rel=0.02)


def test_the_gpu_counts_where_it_is_named_and_not_where_it_is_left_out(
    mac: EnergyPytester,
) -> None:
    assert run(mac, "9 J / query", "auto", "--energy-gpus=0")["scope"] == "gpu"
    assert run(mac, "9 J / query", "auto", "--energy-gpus=all")["scope"] == "gpu"
    test = run(mac, "9 J / query", "auto", "--energy-gpus=none")
    assert test["scope"] == "cpu"
    channels = test["channels"]
    assert isinstance(channels, list)
    assert "gpu:0" not in [each["name"] for each in channels]


@pytest.mark.usefixtures("torch_on_mps")
def test_without_the_library_work_on_the_gpu_is_unmeasured(
    energy_pytester: EnergyPytester,
) -> None:
    energy_pytester.pytester.makeconftest(BARE_MAC)
    test = run(energy_pytester, "9 J / query", "auto")
    assert test["verdict"] == "unmeasured"
    assert test["reason"] == (
        "an Apple GPU (MPS) was used, and no sensor reads it: zeus-apple-silicon is not installed"
    )
