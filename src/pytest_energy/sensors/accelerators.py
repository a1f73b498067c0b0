"""The devices that libraries of this process use, and waiting for the work on them.

No library is imported from here, the CUDA driver is not loaded, and no context is created. CUDA's
driver knows the devices of all libraries that use it (CuPy, JAX, ONNX Runtime, ...).
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

_CUDA_LIBRARY = "libcuda.so.1"
_CUDA_SUCCESS = 0
#: JAX's names of what a sensor reads.
_READ_FOR_JAX = frozenset({"cpu", "cuda", "gpu"})


@dataclass(frozen=True)
class DeviceUse:
    """Devices that libraries hold in this process.

    cuda_uuids: those with a context, without prefix, in lower case; "" where that is unknown.
    allocations: how often torch has allocated memory on each of its devices; an inference does.
    chip_gpu: the GPU of the chip in words, where torch holds memory of it; "" elsewhere.
    elsewhere: accelerators in use for which there is no sensor, in words.
    """

    cuda_uuids: frozenset[str] = frozenset()
    elsewhere: tuple[str, ...] = ()
    chip_gpu: str = ""
    allocations: Mapping[str, int] = field(default_factory=dict)


def devices_in_use() -> DeviceUse:
    """Ask the libraries; none is loaded and no context is created."""
    torch = sys.modules.get("torch")
    elsewhere = [f"a JAX device ({x})" for x in _jax_backends() if x not in _READ_FOR_JAX]
    if torch is None:
        return DeviceUse(cuda_uuids(), tuple(elsewhere))
    cuda, allocations = frozenset[str](), dict[str, int]()
    if _initialised(torch, "cuda"):
        if getattr(torch.version, "hip", None):
            elsewhere.append("an AMD GPU (ROCm)")
        else:
            allocations = _allocations(torch.cuda)
            cuda = frozenset(allocations)
    cuda |= cuda_uuids()
    if _initialised(torch, "xpu"):
        elsewhere.append("an Intel GPU (XPU)")
    return DeviceUse(
        cuda, tuple(elsewhere), "an Apple GPU (MPS)" if _mps_bytes(torch) else "", allocations
    )


def torch_threads() -> int:
    """How many threads torch computes with on the CPU; 0 where it is not loaded."""
    torch = sys.modules.get("torch")
    return int(torch.get_num_threads()) if torch is not None else 0


def synchronise() -> None:
    """Wait for work already given to devices that have a context, so that it is in the window."""
    synchronise_cuda()
    if _jax_backends():
        jax = sys.modules["jax"]
        jax.block_until_ready(jax.live_arrays())
    torch = sys.modules.get("torch")
    if torch is None:
        return
    for backend in ("cuda", "xpu"):
        if _initialised(torch, backend):
            module = getattr(torch, backend)
            for index in range(module.device_count()):
                if backend == "xpu" or _has_context(module, index):
                    module.synchronize(index)
    if _mps_bytes(torch):
        torch.mps.synchronize()


def wait_for(result: Any) -> None:
    """Wait for the arrays in a call's result: JAX returns them before they are computed."""
    jax = sys.modules.get("jax")
    if jax is not None:
        jax.block_until_ready(result)


def _jax_backends() -> list[str]:
    """The kinds of devices that JAX has made; asked for its devices, it makes them all."""
    return list(getattr(sys.modules.get("jax._src.xla_bridge"), "_backends", ()))


def _initialised(torch: Any, backend: str) -> bool:
    module = getattr(torch, backend, None)
    check = getattr(module, "is_initialized", None)
    return bool(check is not None and check())


def _has_context(cuda: Any, index: int) -> bool:
    return bool(cuda.memory_reserved(index) > 0 or cuda.current_device() == index)


def _allocations(cuda: Any) -> dict[str, int]:
    return {
        plain_uuid(str(getattr(cuda.get_device_properties(index), "uuid", ""))): int(
            cuda.memory_stats(index).get("allocation.all.allocated", 0)
        )
        for index in range(cuda.device_count())
        if _has_context(cuda, index)
    }


def plain_uuid(uuid: str) -> str:
    """A UUID without NVML's prefix, in lower case, as torch and NVML can be compared."""
    return uuid.lower().removeprefix("gpu-").removeprefix("mig-")


def _mps_bytes(torch: Any) -> int:
    mps = getattr(torch, "mps", None)
    backend = getattr(getattr(torch, "backends", None), "mps", None)
    if mps is None or backend is None or not backend.is_available():
        return 0
    return int(mps.driver_allocated_memory())


# CUDA's driver


def synchronise_cuda() -> None:
    """Wait until every CUDA device on which this process has a context has done its work."""
    driver = _loaded_driver()
    if driver is not None:
        for device in _devices_with_context(driver):
            _wait_for(driver, device)


def cuda_uuids() -> frozenset[str]:
    """UUIDs of the devices on which this process has a context: hex digits, no prefix.

    One is empty where the driver does not report it.
    """
    driver = _loaded_driver()
    if driver is None:
        return frozenset()
    return frozenset(_uuid(driver, device) for device in _devices_with_context(driver))


def _devices_with_context(driver: ctypes.CDLL) -> Iterator[ctypes.c_int]:
    count = ctypes.c_int(0)
    # It returns an error where the process has not initialised it: then there is no context.
    if driver.cuDeviceGetCount(ctypes.byref(count)) != _CUDA_SUCCESS:
        return
    for ordinal in range(count.value):
        device, flags, active = ctypes.c_int(), ctypes.c_uint(), ctypes.c_int()
        if driver.cuDeviceGet(ctypes.byref(device), ordinal) != _CUDA_SUCCESS:
            continue
        state = driver.cuDevicePrimaryCtxGetState(device, ctypes.byref(flags), ctypes.byref(active))
        if state == _CUDA_SUCCESS and active.value:
            yield device


def _uuid(driver: ctypes.CDLL, device: ctypes.c_int) -> str:
    found = (ctypes.c_ubyte * 16)()
    # From CUDA 11.4 on, the second version names a MIG slice and not its board.
    get = getattr(driver, "cuDeviceGetUuid_v2", None) or getattr(driver, "cuDeviceGetUuid", None)
    if get is None or get(found, device) != _CUDA_SUCCESS:
        return ""
    return str(UUID(bytes=bytes(found)))


def _loaded_driver() -> ctypes.CDLL | None:
    no_load = getattr(os, "RTLD_NOLOAD", None)  # elsewhere torch synchronises by itself
    if no_load is None:
        return None
    try:
        return ctypes.CDLL(_CUDA_LIBRARY, mode=no_load | os.RTLD_NOW)
    except OSError:
        return None


def _wait_for(driver: ctypes.CDLL, device: ctypes.c_int) -> None:
    context = ctypes.c_void_p()
    if driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device) != _CUDA_SUCCESS:
        return
    try:
        if driver.cuCtxPushCurrent_v2(context) == _CUDA_SUCCESS:
            try:
                driver.cuCtxSynchronize()
            finally:
                driver.cuCtxPopCurrent_v2(ctypes.byref(context))
    finally:
        driver.cuDevicePrimaryCtxRelease_v2(device)
