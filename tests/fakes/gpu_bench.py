"""A machine with GPUs: test files that run on a compiled fake library, in real time."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import EnergyPytester

#: Lets a test's body set the board's power, and know the truth.
BOARD = """
import ctypes, json, time
from pathlib import Path

library = ctypes.CDLL("libnvidia-ml.so.1")
library.fake_nvml_true_joules.restype = ctypes.c_double
library.fake_nvml_true_joules.argtypes = [ctypes.c_uint]
library.fake_nvml_set_watts.argtypes = [ctypes.c_uint, ctypes.c_double]
library.fake_nvml_halt_counter.argtypes = [ctypes.c_uint, ctypes.c_double]
library.fake_nvml_add_joules.argtypes = [ctypes.c_uint, ctypes.c_double]
library.fake_nvml_set_false_watts.argtypes = [ctypes.c_uint, ctypes.c_double]
library.fake_nvml_fault.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
TRUE_JOULES = []

def infer(seconds=0.04, watts=300.0, gpu=0):
    \"\"\"Work on a board; spins a little, as a real caller does.\"\"\"
    before = library.fake_nvml_true_joules(gpu)
    library.fake_nvml_set_watts(gpu, watts)
    time.sleep(seconds)
    TRUE_JOULES.append([before, library.fake_nvml_true_joules(gpu)])
    library.fake_nvml_set_watts(gpu, 50.0)
    Path("truth.json").write_text(json.dumps(TRUE_JOULES))
"""

COUNTER = "gpu uuid=GPU-aaaa name=Fake-A100 watts=50 period_ms=100 jitter_ms=8 latency_us=200"
#: Its windows are short: where it isn't accuracy that is looked at.
QUICK_COUNTER = "gpu uuid=GPU-aaaa name=Fake-A100 watts=50 period_ms=20 jitter_ms=2 latency_us=100"
OURS = "process gpu=0 pid=self type=compute"
#: Without plugins that take long to load.
LIGHT = [f"-pno:{each}" for each in ("asyncio", "anyio", "hypothesispytest")]
#: One round decides where the limit is far away.
QUICK = ["--energy-max-rounds=1", "--energy-max-seconds=2"]
PRECISE = ["--energy-max-rounds=5", "--energy-max-seconds=60"]

#: torch's names, for a test to set: no machine has all of these devices.
TORCH = """
class version:
    hip = None

def get_num_threads(): return 1

class Device:
    def __init__(self, uuid=None, count=0, initialised=False):
        self.uuid, self.count, self.initialised = uuid, count, initialised
        self.allocations = 0

    def is_initialized(self): return self.initialised
    def device_count(self): return self.count
    def memory_reserved(self, index): return 0
    def memory_stats(self, index): return {"allocation.all.allocated": self.allocations}
    def current_device(self): return self.count - 1
    def get_device_properties(self, index): return self
    def synchronize(self, index): pass

cuda, xpu = Device(), Device()

class mps:
    allocated = 0
    @classmethod
    def driver_allocated_memory(cls): return cls.allocated
    @staticmethod
    def synchronize(): pass

class backends:
    class mps:
        @staticmethod
        def is_available(): return True
"""


class GpuBench:
    """Runs a test file on a machine with the boards of a scenario."""

    def __init__(
        self,
        bench: EnergyPytester,
        environment: Callable[[str], dict[str, str]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        self._bench = bench
        self._environment = environment
        self._monkeypatch = monkeypatch
        bench.pytester.makepyfile(board=BOARD)

    def run(
        self, scenario: list[str], source: str, *options: str, **environment: str
    ) -> pytest.RunResult:
        for name, value in {**self._environment("\n".join(scenario)), **environment}.items():
            self._monkeypatch.setenv(name, value)
        self._bench.write("from board import *\n" + source)
        return self._bench.run_process(*LIGHT, *QUICK, *options, quick=False)

    def record(self) -> dict[str, Any]:
        return self._bench.record()

    def tests(self) -> dict[str, dict[str, Any]]:
        return self._bench.tests()

    def test(self, name: str = "test_it") -> dict[str, Any]:
        return self._bench.tests()[name]

    def true_joules_of_calls(self) -> float:
        """The mean over all calls, without what lies between them."""
        calls = json.loads((self._bench.pytester.path / "truth.json").read_bytes())
        return float(sum(after - before for before, after in calls) / len(calls))

    def true_joules(self) -> float:
        """For a call of the measured rounds, what lies between two calls included."""
        calls = json.loads((self._bench.pytester.path / "truth.json").read_bytes())
        joules, number, first = 0.0, 0, 0
        for each in self.test()["rounds"]:
            last = first + each["calls"]
            if not each["warmup"]:
                joules += calls[last - 1][1] - calls[first][0]
                number += each["calls"]
            first = last
        return float(joules / number)


@pytest.fixture
def gpu(
    energy_pytester: EnergyPytester,
    gpu_env: Callable[[str], dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> GpuBench:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return GpuBench(energy_pytester, gpu_env, monkeypatch)
