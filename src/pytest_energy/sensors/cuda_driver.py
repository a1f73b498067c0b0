"""CUDA by its driver, whichever library uses it (CuPy, JAX, ONNX Runtime, ...): who, and waiting.

Only where the process has loaded the driver, and only for devices that have a context already: the
driver is never loaded from here, and no context is made.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from uuid import UUID

_LIBRARY = "libcuda.so.1"
_SUCCESS = 0


def synchronise_cuda() -> None:
    """Wait until every CUDA device on which this process has a context has done its work."""
    driver = _loaded_driver()
    if driver is not None:
        for device in _devices_with_context(driver):
            _wait_for(driver, device)


def cuda_uuids() -> frozenset[str]:
    """UUIDs of the devices on which this process has a context: hex digits, no prefix.

    One is empty where the driver doesn't tell it.
    """
    driver = _loaded_driver()
    if driver is None:
        return frozenset()
    return frozenset(_uuid(driver, device) for device in _devices_with_context(driver))


def _devices_with_context(driver: ctypes.CDLL) -> Iterator[ctypes.c_int]:
    count = ctypes.c_int(0)
    # It answers with an error where nobody has initialised it: then there is no context.
    if driver.cuDeviceGetCount(ctypes.byref(count)) != _SUCCESS:
        return
    for ordinal in range(count.value):
        device, flags, active = ctypes.c_int(), ctypes.c_uint(), ctypes.c_int()
        if driver.cuDeviceGet(ctypes.byref(device), ordinal) != _SUCCESS:
            continue
        state = driver.cuDevicePrimaryCtxGetState(device, ctypes.byref(flags), ctypes.byref(active))
        if state == _SUCCESS and active.value:
            yield device


def _uuid(driver: ctypes.CDLL, device: ctypes.c_int) -> str:
    found = (ctypes.c_ubyte * 16)()
    # From CUDA 11.4 on, the second version names a MIG slice and not its board.
    get = getattr(driver, "cuDeviceGetUuid_v2", None) or getattr(driver, "cuDeviceGetUuid", None)
    if get is None or get(found, device) != _SUCCESS:
        return ""
    return str(UUID(bytes=bytes(found)))


def _loaded_driver() -> ctypes.CDLL | None:
    no_load = getattr(os, "RTLD_NOLOAD", None)  # where there is none, torch's own way is left
    if no_load is None:
        return None
    try:
        return ctypes.CDLL(_LIBRARY, mode=no_load | os.RTLD_NOW)
    except OSError:
        return None


def _wait_for(driver: ctypes.CDLL, device: ctypes.c_int) -> None:
    context = ctypes.c_void_p()
    if driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device) != _SUCCESS:
        return
    try:
        if driver.cuCtxPushCurrent_v2(context) == _SUCCESS:
            try:
                driver.cuCtxSynchronize()
            finally:
                driver.cuCtxPopCurrent_v2(ctypes.byref(context))
    finally:
        driver.cuDevicePrimaryCtxRelease_v2(device)
