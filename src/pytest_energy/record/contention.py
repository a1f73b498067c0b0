"""Whether other processes made a figure larger."""

from __future__ import annotations

from pytest_energy.record.schema import TestRecord


def contention(test: TestRecord) -> str:
    """Why a figure may be larger than the work's own, or ""."""
    if test.other_processes:
        return f"{test.other_processes[0]} added its joules; measure without it"
    if test.contention:
        return "CPU contention made its CPU time grow; measure it on a quieter machine"
    return ""
