"""The hardware and the versions, without a host's name or address."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pytest_energy import sensors
from pytest_energy.record.schema import GpuRecord, MachineRecord


def machine(gpus: Sequence[GpuRecord], notes: Sequence[str] = ()) -> MachineRecord:
    return MachineRecord(
        os=platform.system(),
        architecture=platform.machine(),
        cpu=_cpu_name(),
        cpu_count=os.cpu_count() or 0,
        gpus=tuple(gpus),
        notes=tuple(notes),
    )


def _cpu_name() -> str:
    if platform.system() == "Darwin":  # where platform.processor() is "arm" for all
        return _answer("sysctl", "-n", "machdep.cpu.brand_string") or "unknown"
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown")


#: Packages whose versions shape a figure.
_SHAPING = (
    "pytest-energy",
    "pytest",
    "torch",
    "transformers",
    *sensors.PACKAGES,
)


def versions(drivers: Mapping[str, str]) -> dict[str, str]:
    """Versions of what shapes a figure, `drivers` included, without packages that are missing."""
    found = {"python": platform.python_version()}
    for package in _SHAPING:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found | dict(drivers)


def commit(folder: Path) -> str | None:
    """The git commit of a folder, or None outside a repository."""
    return _answer("git", "-C", str(folder), "rev-parse", "HEAD")


def folder_in_repository(folder: Path) -> str:
    """A folder's path within its git repository, "" at the top of it and outside of any."""
    return (_answer("git", "-C", str(folder), "rev-parse", "--show-prefix") or "").rstrip("/")


def _answer(*command: str) -> str | None:
    """What a command prints, or None where it fails."""
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None
