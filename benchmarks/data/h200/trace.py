"""Facts and samples of GPU 0 beside the works of loads.py: trace.py FOLDER."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import loads
import pynvml as n
import torch

out = sys.argv[1]

n.nvmlInit()
h = n.nvmlDeviceGetHandleByIndex(0)


def ask(f, *a):
    try:
        return str(f(*a))
    except n.NVMLError as e:
        return repr(e)


def ask_often(f, times, *a):
    for _ in range(times):
        f(*a)


info = {
    k: ask(getattr(n, k), h)
    for k in (
        "nvmlDeviceGetName",
        "nvmlDeviceGetEnforcedPowerLimit",
        "nvmlDeviceGetPowerManagementLimitConstraints",
        "nvmlDeviceGetPowerManagementDefaultLimit",
        "nvmlDeviceGetMigMode",
        "nvmlDeviceGetPersistenceMode",
        "nvmlDeviceGetComputeRunningProcesses",
        "nvmlDeviceGetUUID",
        "nvmlDeviceGetTotalEnergyConsumption",
        "nvmlDeviceGetPowerUsage",
        "nvmlDeviceGetPerformanceState",
    )
}
info["driver"] = ask(n.nvmlSystemGetDriverVersion)
info["pid"] = os.getpid()
loads.matmul(1.0)
info["processes with a context"] = ask(n.nvmlDeviceGetComputeRunningProcesses, h)
info["dev"] = sorted(each.name for each in Path("/dev").glob("*nvidia*"))
info["fds"] = sorted(
    {str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.exists()}
)
t = time.perf_counter()
ask_often(n.nvmlDeviceGetTotalEnergyConsumption, 300, h)
info["us per counter call"] = (time.perf_counter() - t) / 300 * 1e6
t = time.perf_counter()
ask_often(n.nvmlDeviceGetFieldValues, 300, h, [186])
info["us per field call"] = (time.perf_counter() - t) / 300 * 1e6
t = time.perf_counter()
ask_often(n.nvmlDeviceGetComputeRunningProcesses, 100, h)
info["us per process list"] = (time.perf_counter() - t) / 100 * 1e6
t = time.perf_counter()
ask_often(n.nvmlDeviceGetHandleByIndex, 300, 0)
info["us per handle"] = (time.perf_counter() - t) / 300 * 1e6
Path(f"{out}/facts.json").write_text(json.dumps(info, indent=1))
print(json.dumps(info, indent=1), flush=True)


def run(period, seconds, reps, gap):
    path = f"{out}/samples_{period}ms_{seconds}s.csv"
    p = subprocess.Popen([sys.executable, "watch.py", path, str(period), "300"])
    time.sleep(2.0)
    marks = []
    for load in loads.LOADS:
        for r in range(reps):
            torch.cuda.synchronize()
            a = time.monotonic()
            load(seconds)
            torch.cuda.synchronize()
            b = time.monotonic()
            marks.append((load.__name__, r, a, b))
            time.sleep(gap + 0.037 * r)
    Path(path + ".stop").touch()
    p.wait()
    Path(path + ".stop").unlink()
    with Path(f"{out}/windows_{period}ms_{seconds}s.csv").open("w") as o:
        o.write("load,repeat,began,ended\n")
        for m in marks:
            o.write("{},{},{:.6f},{:.6f}\n".format(*m))


run(2, 1.0, 3, 1.0)
run(2, 0.3, 4, 0.8)
run(20, 1.0, 1, 1.0)
