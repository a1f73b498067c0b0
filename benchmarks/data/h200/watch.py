"""Poll counter and powers of GPU 0: watch.py OUT PERIOD_MS SECONDS."""

import sys
import time
from pathlib import Path

import pynvml as n

n.nvmlInit()
h = n.nvmlDeviceGetHandleByIndex(0)
period = float(sys.argv[2]) / 1e3
rows = []
stop = time.monotonic() + float(sys.argv[3])
INST, AVG = n.NVML_FI_DEV_POWER_INSTANT, n.NVML_FI_DEV_POWER_AVERAGE
try:
    while time.monotonic() < stop and not Path(sys.argv[1] + ".stop").exists():
        a = time.monotonic()
        e = n.nvmlDeviceGetTotalEnergyConsumption(h)
        b = time.monotonic()
        f = n.nvmlDeviceGetFieldValues(h, [INST, AVG])
        c = time.monotonic()
        rows.append((a, b, c, e, f[0].value.uiVal, f[1].value.uiVal))
        d = period - (time.monotonic() - a)
        if d > 0:
            time.sleep(d)
finally:
    with Path(sys.argv[1]).open("w") as o:
        o.write(
            "before,counter_read,power_read,millijoules,instant_milliwatts,average_milliwatts\n"
        )
        o.writelines("{:.6f},{:.6f},{:.6f},{},{},{}\n".format(*r) for r in rows)
