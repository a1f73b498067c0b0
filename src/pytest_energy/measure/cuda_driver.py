"""Wait for CUDA, whichever library uses it (CuPy, JAX, ONNX Runtime, ...), through its driver.

Only where the process has loaded the driver, and only for devices that have a context already: the
driver is never loaded from here, and no context is made.
"""

from __future__ import annotations

import ctypes
import os

_LIBRARY = "libcuda.so.1"
_SUCCESS = 0


def synchronise_cuda() -> None:
    """Wait until every CUDA device on which this process has a context has done its work."""
    driver = _loaded_driver()
    count = ctypes.c_int(0)
    # It answers with an error where nobody has initialised it: then there is nothing to wait for.
    if driver is None or driver.cuDeviceGetCount(ctypes.byref(count)) != _SUCCESS:
        return
    for ordinal in range(count.value):
        device = ctypes.c_int()
        if driver.cuDeviceGet(ctypes.byref(device), ordinal) == _SUCCESS:
            _wait_for(driver, device)


def _loaded_driver() -> ctypes.CDLL | None:
    no_load = getattr(os, "RTLD_NOLOAD", None)  # where there is none, torch's own way is left
    if no_load is None:
        return None
    try:
        return ctypes.CDLL(_LIBRARY, mode=no_load | os.RTLD_NOW)
    except OSError:
        return None


def _wait_for(driver: ctypes.CDLL, device: ctypes.c_int) -> None:
    flags, active = ctypes.c_uint(), ctypes.c_int()
    state = driver.cuDevicePrimaryCtxGetState(device, ctypes.byref(flags), ctypes.byref(active))
    if state != _SUCCESS or not active.value:
        return
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
