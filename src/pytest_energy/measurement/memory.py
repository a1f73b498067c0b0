"""Whether another process that is as large as this one has room beside it."""

from __future__ import annotations

import sys
from pathlib import Path

from pytest_energy.units import percent

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

#: More of what is available stays free.
SPARE = 0.25
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def no_room_for_another() -> str:
    """Why there is no room, in a sentence; "" where there is, or where nothing tells."""
    needed, available = _peak_bytes(), available_bytes()
    if needed is None or available is None or needed <= (1 - SPARE) * available:
        return ""
    return (
        f"one of them has used {needed / 2**30:.1f} GiB of memory, and {available / 2**30:.1f} GiB "
        f"are available, of which {percent(SPARE)} stay free"
    )


def available_bytes(meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> int | None:
    """What the machine and the container have left; None where neither tells."""
    found = []
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text("ascii").splitlines())
        found.append(int(lines["MemAvailable"].split()[0]) * 1024)
    except (OSError, ValueError, KeyError):
        pass
    try:
        most, used = ((cgroup / f"memory.{name}").read_text("ascii") for name in ("max", "current"))
        found.append(int(most) - int(used))
    except (OSError, ValueError):  # "max" for no limit
        pass
    return min(found, default=None)


def _peak_bytes() -> int | None:
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
