"""`--energy-gpus per-worker`: each worker of pytest-xdist sees one GPU, before torch is loaded."""

from __future__ import annotations

import os
import re
from collections.abc import MutableMapping, Sequence
from itertools import takewhile

PER_WORKER = "per-worker"
VISIBLE = "CUDA_VISIBLE_DEVICES"
WORKER = "PYTEST_XDIST_WORKER"


def pin(environment: MutableMapping[str, str] = os.environ) -> None:
    """Leave a worker one of the GPUs that it may use, going by its number.

    Nothing changes where there is no GPU (measuring then says why), nor in a process that is no
    worker.
    """
    worker = re.fullmatch(r"gw(\d+)", environment.get(WORKER, ""))
    if worker and (devices := _devices(environment.get(VISIBLE))):
        environment[VISIBLE] = devices[int(worker[1]) % len(devices)]


def _devices(visible: str | None) -> Sequence[str]:
    """What CUDA_VISIBLE_DEVICES lists, or all boards by UUID: CUDA numbers them its own way."""
    if visible is not None:
        words = (word.strip() for word in visible.split(","))
        return list(takewhile(lambda word: word not in ("", "-1"), words))  # as CUDA reads it
    from pytest_energy.sensors.base import SensorFault
    from pytest_energy.sensors.nvml import Nvml

    try:
        nvml = Nvml()
    except SensorFault:
        return []
    uuids = [gpu.board.uuid for gpu in nvml.gpus]
    nvml.close()
    return uuids
