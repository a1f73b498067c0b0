"""The fake NVML library, driven through the unmodified pynvml, behaves as its README says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Env = Callable[[str], dict[str, str]]

pytestmark = pytest.mark.realtime

PRELUDE = """
import ctypes, os, time
from math import exp
from pynvml import *
lib = ctypes.CDLL("libnvidia-ml.so.1")
true_joules, counter = lib.fake_nvml_true_joules, nvmlDeviceGetTotalEnergyConsumption
true_joules.restype = ctypes.c_double
lib.fake_nvml_set_watts.argtypes = [ctypes.c_uint, ctypes.c_double]
def error(function, *args):
    try:
        function(*args)
    except NVMLError as exc:
        return exc.value
    return 0
def boards():
    return [nvmlDeviceGetHandleByIndex(i) for i in range(nvmlDeviceGetCount())]
"""


def check(env: dict[str, str], script: str, *, stderr: str = "") -> None:
    """Run the script in a process of its own: the library reads one scenario per process."""
    command = [sys.executable, "-c", PRELUDE + script]
    done = subprocess.run(
        command, check=False, env={**os.environ, **env}, stderr=subprocess.PIPE, text=True
    )
    assert done.returncode == 0, done.stderr
    assert stderr in done.stderr


def test_inert_without_a_scenario(fake_nvml_library: Path) -> None:
    env = {"LD_LIBRARY_PATH": str(fake_nvml_library), "FAKE_NVML_SCENARIO": ""}
    check(env, "assert error(nvmlInit) == 9; assert error(nvmlDeviceGetCount) == 1")


@pytest.mark.parametrize(
    "line",
    [
        "gpu watts=x",
        "gpu wats=5",
        "gpu watts=5 watts=6",
        "gpu seed=0.5",
        "gpu counter=maybe",
        "gpu uuid=GPU-a",
        "process gpu=7 pid=1",
        "process gpu=0",
        "fault function=nvmlDeviceGetTypo error=15",
    ],
)
def test_malformed_line(gpu_env: Env, line: str) -> None:
    env = gpu_env(f"# first\ngpu uuid=GPU-a\n{line}\n")
    check(env, "assert error(nvmlInit) == 999", stderr=":3: fake_nvml: ")


def test_identity_and_reference_count(gpu_env: Env) -> None:
    script = """
nvmlInit(); nvmlInit()
assert nvmlSystemGetDriverVersion() == "555.42" and nvmlSystemGetNVMLVersion() == "12.555.42"
a, b = boards()
assert nvmlDeviceGetIndex(nvmlDeviceGetHandleByUUID("GPU-b")) == 1
assert nvmlDeviceGetName(a) == "Fake A100" and nvmlDeviceGetUUID(b) == "GPU-b"
assert nvmlDeviceGetArchitecture(b) == 9 and nvmlDeviceGetEnforcedPowerLimit(a) == 300_000
assert error(nvmlDeviceGetHandleByUUID, "GPU-c") == 6 and error(nvmlDeviceGetHandleByIndex, 2) == 2
assert error(nvmlDeviceGetFanSpeed, a) == NVML_ERROR_FUNCTION_NOT_FOUND
before = counter(a)
nvmlShutdown(); assert counter(a) >= before
nvmlShutdown(); assert error(counter, a) == error(nvmlShutdown) == 1
nvmlInit(); assert counter(a) >= before and lib.fake_nvml_calls(b"nvmlInitWithFlags") == 3
"""
    scenario = "driver version=555.42\ngpu name=Fake_A100 limit_w=300 # one\ngpu uuid=GPU-b arch=9"
    check(gpu_env(scenario), script)


def test_counter_ticks_and_agrees_with_the_integral(gpu_env: Env) -> None:
    # At a constant 100 W a published value tells when its tick was, however late it is read.
    script = """
nvmlInit()
(a, b), seen = boards(), []
while len(seen) < 7:
    before, value, after = true_joules(0), counter(a), true_joules(0)
    assert after - before >= 100 * 200e-6  # the latency
    assert before - 100 * 0.0581 <= value / 1e3 - 7 <= after
    assert (counter(b) - 3700) % 5000 in (0, 4999) or counter(b) == 0
    seen += [value] * (value not in seen)
    time.sleep(0.004)
steps = [y - x for x, y in zip(seen[1:], seen[2:])]
assert all(any(5000 * n - 1 <= step <= 5800 * n + 1 for n in (1, 2, 3)) for step in steps), steps
assert len(set(steps)) > 3
"""
    scenario = """
gpu watts=100 period_ms=50 jitter_ms=8 phase_ms=37 start_mj=7000 latency_us=200
gpu watts=100 period_ms=50 phase_ms=37 start_mj=0"""
    check(gpu_env(scenario), script)


def test_power_trace_and_decay(gpu_env: Env) -> None:
    script = """
t0 = time.monotonic(); nvmlInit(); t1 = time.monotonic()
a, b = boards()
def instant(gpu):
    value = nvmlDeviceGetFieldValues(gpu, [186])[0]
    return value.value.uiVal / 1e3 if value.nvmlReturn == 0 else value.nvmlReturn
def joules(t):
    tail = max(0, t - 0.2)
    decayed = 100 * tail + 200 * 0.1 * (1 - exp(-tail / 0.1))
    return 50 * min(t, 0.1) + 300 * min(max(0, t - 0.1), 0.1) + decayed
while time.monotonic() < t0 + 0.5:
    low = time.monotonic() - t1
    energy, power, mean = true_joules(0), instant(a), nvmlDeviceGetPowerUsage(a) / 1e3
    high = time.monotonic() - t0
    assert joules(low) - 1e-6 <= energy <= joules(high) + 1e-6
    if low > 0.2 and high < 1:  # the mean reaches back to before the start, at 50 W
        assert 99.999 + 200 * exp(2 - high / 0.1) <= power <= 100.001 + 200 * exp(2 - low / 0.1)
        assert joules(low) - 50 * low + 49.999 <= mean <= joules(high) - 50 * high + 50.001
    time.sleep(0.01)
lib.fake_nvml_set_watts(1, 400)
assert nvmlDeviceGetPowerUsage(b) == 50_000 and instant(b) == 3  # held; not supported
lib.fake_nvml_set_watts(0, 250); assert instant(a) == 250  # a rise is immediate
"""
    scenario = """
gpu watts=50 decay_ms=100 period_ms=0 average_ms=1000
gpu watts=50 power_period_ms=10000 instant=no
at gpu=0 seconds=0.2 watts=100
at gpu=0 seconds=0.1 watts=300"""
    check(gpu_env(scenario), script)


def test_counter_reset_freeze_and_absence(gpu_env: Env) -> None:
    script = """
nvmlInit()
a, b, c = boards()
assert counter(a) >= 123456789012 and error(counter, c) == 3
base = true_joules(0); lib.fake_nvml_reset_counter(0); time.sleep(0.05)
assert base > 0 and 50_000 <= counter(a) <= (true_joules(0) - base) * 1e3
lib.fake_nvml_freeze_counter(0); value = counter(a); time.sleep(0.02)
assert counter(a) == value and counter(b) == 5 and true_joules(0) > value / 1e3
"""
    check(
        gpu_env("gpu watts=1000 period_ms=0\ngpu counter=frozen start_mj=5\ngpu counter=no"), script
    )


def test_processes_and_mig(gpu_env: Env) -> None:
    script = """
nvmlInit()
a, b, c = boards()
compute, graphics = nvmlDeviceGetComputeRunningProcesses, nvmlDeviceGetGraphicsRunningProcesses
def pids(function, gpu):
    return [process.pid for process in function(gpu)]
assert pids(compute, a) == [os.getpid(), 77] and pids(graphics, a) == [88]
size = ctypes.c_uint(1)
assert lib.nvmlDeviceGetComputeRunningProcesses_v3(a, ctypes.byref(size), None) == 7
assert size.value == 2 and error(compute, b) == 3 and compute(a)[0].gpuInstanceId == 0xFFFFFFFF
assert nvmlDeviceGetMigMode(a) == [0, 0] and error(nvmlDeviceGetMigMode, b) == 3
assert nvmlDeviceGetMigMode(c) == [1, 1] and nvmlDeviceGetMaxMigDeviceCount(c) == 7
first, mig = (nvmlDeviceGetMigDeviceHandleByIndex(c, i) for i in (0, 1))
assert error(nvmlDeviceGetMigDeviceHandleByIndex, c, 2) == 6 and nvmlDeviceGetIndex(mig) == 1
assert nvmlDeviceGetAttributes(mig).gpuInstanceSliceCount == 4 and error(counter, mig) == 3
assert nvmlDeviceGetUUID(mig) == "MIG-b" and nvmlDeviceGetName(mig) == "A MIG 4g.20gb"
parent = nvmlDeviceGetDeviceHandleFromMigDeviceHandle(nvmlDeviceGetHandleByUUID("MIG-b"))
assert nvmlDeviceGetIndex(parent) == 2 and counter(parent) > 0
assert pids(compute, mig) == pids(compute, c) == [99] and pids(compute, first) == []
"""
    scenario = """
gpu mig=disabled\nprocess pid=self\nprocess pid=77\nprocess pid=88 type=graphics
gpu procs=no
gpu name=A\nmig gpu=2 uuid=MIG-a slices=3\nmig gpu=2 uuid=MIG-b slices=4
process gpu=2 pid=99 mig=1"""
    check(gpu_env(scenario), script)


def test_faults(gpu_env: Env) -> None:
    script = """
start = time.monotonic(); nvmlInit()
a, b = boards()
assert error(counter, a) == 0 or time.monotonic() > start + 0.2
time.sleep(0.2)
assert (error(counter, a), error(counter, b)) == (15, 0) or time.monotonic() > start + 0.4
time.sleep(0.2)
assert error(counter, a) == 0 and error(nvmlSystemGetDriverVersion) == 999
lib.fake_nvml_fault(1, b"all", 15)
assert error(counter, b) == error(nvmlDeviceGetHandleByIndex, 1) == 15
assert error(counter, a) == error(nvmlDeviceGetCount) == error(nvmlDeviceGetHandleByIndex, 0) == 0
lib.fake_nvml_fault(1, b"all", 0); assert error(counter, b) == 0
lib.fake_nvml_fault(-1, b"nvmlDeviceGetCount", 10); assert error(nvmlDeviceGetCount) == 10
"""
    scenario = """
gpu\ngpu
fault function=nvmlDeviceGetTotalEnergyConsumption gpu=0 error=15 after_s=0.2 until_s=0.4
fault function=nvmlSystemGetDriverVersion error=999"""
    check(gpu_env(scenario), script)


def test_threads_do_not_wait_for_each_others_latency(gpu_env: Env) -> None:
    script = """
from concurrent.futures import ThreadPoolExecutor
nvmlInit(); start = time.monotonic()
with ThreadPoolExecutor(8) as pool:
    list(pool.map(counter, boards() * 4))
assert 0.2 <= time.monotonic() - start < 1.4
"""
    check(gpu_env("gpu latency_us=200000\ngpu latency_us=200000"), script)
