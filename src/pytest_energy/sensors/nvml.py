"""NVIDIA's management library, through the unmodified pynvml: boards, readings, processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import pynvml

from pytest_energy.sensors.base import DeviceState, SensorFault
from pytest_energy.sensors.gpu_choice import Board, MigDevice

#: NVMLLibraryMismatchError, which says that an old driver lacks a function, is no NVMLError.
_ERRORS = (
    pynvml.NVMLError,
    getattr(pynvml, "NVMLLibraryMismatchError", pynvml.NVMLError),
)
SHADOWED = "pynvml-shadowed"
UNINSTALL = "pip uninstall pynvml"
#: More than any board draws whose limit isn't known.
UNLIMITED_WATTS = 3000.0
_AMPERE = 7  # NVML_DEVICE_ARCH_AMPERE: from here on GetPowerUsage is an average over 1 s


#: Why clocks are lower than they could be (nvmlClocksThrottleReasons); idle clocks are no reason.
_THROTTLED = {
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x20: "temperature (software)",
    0x40: "temperature (hardware)",
    0x80: "power brake",
}


@dataclass(frozen=True, eq=False)  # a key by identity: hashing all fields takes time in a window
class Gpu:
    """One board that answered: NVML's handle and what does not change."""

    board: Board
    handle: Any
    name: str
    power_limit_watts: float | None

    @property
    def channel(self) -> str:
        return f"gpu:{self.board.index}"

    @property
    def ceiling_watts(self) -> float:
        """Twice its limit, since a limit holds on average only."""
        return 2 * self.power_limit_watts if self.power_limit_watts else UNLIMITED_WATTS


def shadowed_by() -> str:
    """What is imported instead of nvidia-ml-py's module `pynvml`, and what to do, or ""."""
    if not hasattr(pynvml, "__path__"):  # theirs is a package
        return ""
    try:
        name = f"pynvml {version('pynvml')}"
    except PackageNotFoundError:
        name = "pynvml"
    return f"the package {name} is imported instead of nvidia-ml-py: {UNINSTALL}"


class Nvml:
    """The loaded library. Every method turns NVML's errors into SensorFault."""

    def __init__(self) -> None:
        """Load and initialise. Raises SensorFault without a driver, or with another pynvml."""
        if shadow := shadowed_by():
            raise SensorFault(shadow, SHADOWED)
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise SensorFault(f"no NVIDIA driver answers (NVML: {error})") from None
        self.driver: str = _optional(pynvml.nvmlSystemGetDriverVersion) or "unknown"
        self.faults: dict[int, str] = {}
        """Why boards that NVML counts cannot be opened, by index."""
        self.gpus: tuple[Gpu, ...] = tuple(self._gpus())

    @property
    def boards(self) -> tuple[Board, ...]:
        """All boards in NVML's order, those that cannot be opened included."""
        lost = [Board(index, "") for index in self.faults]
        return tuple(
            sorted([*(gpu.board for gpu in self.gpus), *lost], key=lambda each: each.index)
        )

    def close(self) -> None:
        _optional(pynvml.nvmlShutdown)

    def _gpus(self) -> list[Gpu]:
        found = []
        for index in range(_checked(pynvml.nvmlDeviceGetCount)):
            try:
                handle = _checked(pynvml.nvmlDeviceGetHandleByIndex, index)
            except SensorFault as fault:
                self.faults[index] = str(fault)
                continue
            uuid = _optional(pynvml.nvmlDeviceGetUUID, handle) or ""
            milliwatts = _optional(pynvml.nvmlDeviceGetEnforcedPowerLimit, handle)
            found.append(
                Gpu(
                    board=Board(index, uuid, _mig_devices(handle), _is_divided(handle)),
                    handle=handle,
                    name=_optional(pynvml.nvmlDeviceGetName, handle) or "unknown",
                    power_limit_watts=milliwatts / 1000 if milliwatts else None,
                )
            )
        return found

    def joules(self, gpu: Gpu) -> float:
        """The energy counter: joules since the driver was loaded."""
        return float(_checked(pynvml.nvmlDeviceGetTotalEnergyConsumption, gpu.handle)) / 1000

    def power_reader(self, gpu: Gpu) -> tuple[Callable[[], float], bool]:
        """A function that reads watts, and whether it reads them as they are at that instant.

        Raises SensorFault where the board has no power reading.
        """

        def instant() -> float:
            (field,) = _checked(
                pynvml.nvmlDeviceGetFieldValues, gpu.handle, [pynvml.NVML_FI_DEV_POWER_INSTANT]
            )
            if field.nvmlReturn != pynvml.NVML_SUCCESS:
                raise SensorFault(str(pynvml.NVMLError(field.nvmlReturn)))
            return float(field.value.uiVal) / 1000

        def usual() -> float:
            return float(_checked(pynvml.nvmlDeviceGetPowerUsage, gpu.handle)) / 1000

        try:
            instant()
        except SensorFault:
            usual()
            architecture = _optional(pynvml.nvmlDeviceGetArchitecture, gpu.handle)
            return usual, architecture is not None and architecture < _AMPERE
        return instant, True

    def state(self, gpu: Gpu) -> DeviceState:
        """How the board is at this moment."""
        milliwatts = _optional(pynvml.nvmlDeviceGetEnforcedPowerLimit, gpu.handle)
        reasons = _optional(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, gpu.handle) or 0
        return DeviceState(
            celsius=_optional(
                pynvml.nvmlDeviceGetTemperature, gpu.handle, pynvml.NVML_TEMPERATURE_GPU
            ),
            megahertz=_optional(pynvml.nvmlDeviceGetClockInfo, gpu.handle, pynvml.NVML_CLOCK_SM),
            power_limit_watts=milliwatts / 1000 if milliwatts else None,
            throttled=tuple(words for bit, words in _THROTTLED.items() if reasons & bit),
        )

    def compute_process_ids(self, gpu: Gpu) -> frozenset[int]:
        """Process ids that compute on this board, as the driver sees them; empty if it has no list.

        Those that draw (a desktop) are left out: they use next to nothing.
        """
        found = _optional(pynvml.nvmlDeviceGetComputeRunningProcesses, gpu.handle)
        return frozenset(process.pid for process in found or ())

    def process_ids(self, gpu: Gpu) -> frozenset[int] | None:
        """Process ids with work on this board, as the driver sees them; None if it has no list."""
        lists = [
            _optional(pynvml.nvmlDeviceGetComputeRunningProcesses, gpu.handle),
            _optional(pynvml.nvmlDeviceGetGraphicsRunningProcesses, gpu.handle),
        ]
        if lists[0] is None:
            return None
        return frozenset(process.pid for each in lists for process in each or ())


def _is_divided(handle: Any) -> bool:
    mode = _optional(pynvml.nvmlDeviceGetMigMode, handle)
    return bool(mode) and mode[0] == pynvml.NVML_DEVICE_MIG_ENABLE


def _mig_devices(handle: Any) -> tuple[MigDevice, ...]:
    if not _is_divided(handle):
        return ()
    slices = _optional(pynvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0
    found = []
    for index in range(slices):
        mig = _optional(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, index)
        uuid = mig and _optional(pynvml.nvmlDeviceGetUUID, mig)
        if uuid:
            attributes = _optional(pynvml.nvmlDeviceGetAttributes, mig)
            whole = attributes is not None and attributes.gpuInstanceSliceCount >= slices
            name = _optional(pynvml.nvmlDeviceGetName, mig) or ""
            profile = name.partition(" MIG ")[2] or "unknown"
            found.append(MigDevice(uuid, whole, profile))
    return tuple(found)


def _checked(function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except _ERRORS as error:
        raise SensorFault(f"{function.__name__}: {error}") from None


def _optional(function: Callable[..., Any], *arguments: Any) -> Any:
    """The answer, or None where this driver or board has none."""
    try:
        return function(*arguments)
    except _ERRORS:
        return None
    except UnicodeDecodeError as error:  # pynvml takes all texts for UTF-8
        return error.object.decode(errors="backslashreplace")
