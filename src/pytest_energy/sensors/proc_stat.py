"""How busy the whole machine is, to tell what others use beside a test (Linux)."""

from __future__ import annotations

import os
from pathlib import Path

_PROC_STAT = Path("/proc/stat")


def busy_seconds() -> float | None:
    """CPU seconds that all processes of the machine have used; None where nothing tells.

    In ticks of 10 ms a core. Idle time, waiting for disks and time stolen by a hypervisor are left
    out; guests are part of user time (proc(5)).
    """
    try:
        with _PROC_STAT.open("rb", buffering=0) as file:  # its first line is all that counts
            first = file.read(256).partition(b"\n")[0].split()
        user, nice, system, _, _, irq, softirq = (int(word) for word in first[1:8])
    except (OSError, ValueError):
        return None
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
