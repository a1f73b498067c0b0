"""A Mac with Apple silicon through pytest, on a stand-in of zeus-apple-silicon in real time."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace

import pytest

from conftest import EnergyPytester
from fake_apple_silicon import AppleEnergyMetrics
from pytest_energy.sensors import apple

pytestmark = pytest.mark.realtime

CPU_WATTS, GPU_WATTS, DRAM_WATTS = 8.0, 20.0, 2.0
BODY = "@pytest.mark.energy_budget({limit!r}, scope={scope!r})\ndef test_it():\n    spin(10)\n"


class Monitor:
    """Counts steady power, refreshed at every reading."""

    def get_cumulative_energy(self) -> AppleEnergyMetrics:
        seconds = time.perf_counter()
        return AppleEnergyMetrics(
            cpu_total_mj=int(CPU_WATTS * seconds * 1000),
            performance_cores_mj=[int(CPU_WATTS * seconds * 1000)],
            dram_mj=int(DRAM_WATTS * seconds * 1000),
            gpu_mj=int(GPU_WATTS * seconds * 1000),
        )


@pytest.fixture
def mac(energy_pytester: EnergyPytester, monkeypatch: pytest.MonkeyPatch) -> EnergyPytester:
    library = SimpleNamespace(AppleEnergyMonitor=Monitor)
    monkeypatch.setattr(apple, "_library", lambda: library)
    return energy_pytester


@pytest.fixture
def torch_on_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    """What we ask torch, of a torch that holds memory of the Mac's GPU."""
    mps = SimpleNamespace(driver_allocated_memory=lambda: 1 << 20, synchronize=lambda: None)
    available = SimpleNamespace(mps=SimpleNamespace(is_available=lambda: True))
    torch = SimpleNamespace(mps=mps, backends=available, get_num_threads=lambda: 1)
    monkeypatch.setitem(sys.modules, "torch", torch)


def run(mac: EnergyPytester, limit: str, scope: str, *options: str) -> dict[str, object]:
    mac.write(BODY.format(limit=limit, scope=scope))
    mac.run("--energy-max-seconds=4", "--energy-max-rounds=1", *options, quick=False)
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
    energy_pytester: EnergyPytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    test = run(energy_pytester, "9 J / query", "auto")
    assert test["verdict"] == "unmeasured"
    assert test["reason"] == (
        "an Apple GPU (MPS) was used, and no sensor reads it: zeus-apple-silicon isn't installed"
    )
