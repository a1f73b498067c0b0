"""What the samples in this folder show: refresh, agreement and delay of counter and power."""

from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def percentiles(values):
    return " ".join(f"{each:.1f}" for each in np.percentile(values, [1, 50, 99]))


for path in sorted(HERE.glob("samples_*.csv.gz")):
    rows = np.genfromtxt(path, delimiter=",", names=True)
    read, joules = rows["counter_read"], rows["millijoules"] / 1e3
    power_read, watts = rows["power_read"], rows["instant_milliwatts"] / 1e3
    ticks = np.flatnonzero(np.diff(joules) > 0) + 1
    changes = np.flatnonzero(np.diff(watts) != 0) + 1
    integrated = np.sum((watts[1:] + watts[:-1]) / 2 * np.diff(power_read))
    grid = np.arange(read[0] + 1, read[-1] - 1, 0.002)
    counted = np.gradient(np.interp(grid, read[ticks], joules[ticks]), grid)
    delays = np.arange(-0.2, 0.3, 0.005)
    alike = [
        np.corrcoef(counted, np.interp(grid + each, power_read, watts))[0, 1] for each in delays
    ]
    print(path.name)
    print("  ms a counter call, 1 50 99 %:", percentiles((read - rows["before"]) * 1e3))
    print("  ms between refreshes of the counter:", percentiles(np.diff(read[ticks]) * 1e3))
    print("  ms between refreshes of the power:", percentiles(np.diff(power_read[changes]) * 1e3))
    print(f"  counter / integrated power: {(joules[-1] - joules[0]) / integrated:.4f}")
    print(f"  power behind the counter: {delays[int(np.argmax(alike))] * 1e3:.0f} ms")
