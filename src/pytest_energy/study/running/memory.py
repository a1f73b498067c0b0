"""Whether a model fits into the memory that is free."""

from __future__ import annotations

import os
from pathlib import Path

from pytest_energy.study.running.twins import Twin

GIB = 1024**3
#: What a query needs beside the model's numbers: torch itself, and what passes between layers.
BESIDE_BYTES = 2 * GIB
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_CGROUP = Path("/sys/fs/cgroup")


def why_too_big(twin: Twin, dtype: str, free_bytes: int | None) -> str:
    """Why it should not be tried, in a sentence, or ""; free_bytes None where nothing tells."""
    needed = twin.parameters * BYTES[dtype] + BESIDE_BYTES
    if free_bytes is None or needed <= free_bytes:
        return ""
    return (
        f"{twin.name} in {dtype} needs about {needed / GIB:.1f} GiB of memory, and "
        f"{free_bytes / GIB:.1f} GiB are free"
    )


def free_bytes() -> int | None:
    """Memory of this machine, or of this container, that can be taken; None where nothing tells."""
    known = [each for each in (_available(), _left_in_container()) if each is not None]
    return min(known) if known else None


def free_bytes_for(device: str) -> int | None:
    """For a model on this device: it is built in the machine's memory, and put into the GPU's."""
    known = [free_bytes()]
    if device.startswith("cuda"):
        import torch

        known.append(torch.cuda.mem_get_info(device)[0])
    return min((each for each in known if each is not None), default=None)


def _available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return _total()
    kibibytes = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(kibibytes[0]) * 1024 if kibibytes else None


def _total() -> int | None:
    """All memory, where the free part is unknown (macOS)."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _left_in_container() -> int | None:
    try:
        limit = (_CGROUP / "memory.max").read_text(encoding="ascii").strip()
        used = (_CGROUP / "memory.current").read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(limit) - int(used) if limit.isdecimal() else None
