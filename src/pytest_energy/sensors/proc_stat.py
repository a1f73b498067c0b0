"""How busy the whole machine is, to tell what others use beside a test (Linux)."""

from __future__ import annotations

import os

from pytest_energy.sensors.real import real

_PROC_STAT = "/proc/stat"


def busy_seconds() -> float | None:
    """CPU seconds that all processes of the machine have used; None where nothing tells.

    In ticks of 10 ms a core. Idle time, waiting for disks and time stolen by a hypervisor are left
    out; guests are part of user time (proc(5)).
    """
    try:
        file = real.open(_PROC_STAT, os.O_RDONLY)
        try:
            first = real.read(file, 256).partition(b"\n")[0].split()  # it holds the sums
        finally:
            real.close(file)
        user, nice, system, _, _, irq, softirq = (int(word) for word in first[1:8])
    except (OSError, ValueError):
        return None
    return (user + nice + system + irq + softirq) / real.sysconf("SC_CLK_TCK")
