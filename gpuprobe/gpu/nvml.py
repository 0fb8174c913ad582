"""NVML, read only: what one GPU is, what it draws and why its clock is what it is, in SI units.

A query the GPU, the driver or the account does not allow gives None ("not known"), never a made-up number; a GPU
that is lost or a driver that is missing is a GpuprobeError with its remedy. Nothing here changes a setting.
Works with nvidia-ml-py from 12.535 on: names that came or went since are tried newest first.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

from gpuprobe.errors import Exit, GpuprobeError

# Return codes of nvml.h. By number, because the Python package renames and subclasses its errors.
_INVALID_ARGUMENT, _NOT_SUPPORTED, _NO_PERMISSION, _NOT_FOUND = 2, 3, 4, 6
_DRIVER_NOT_LOADED, _LIBRARY_NOT_FOUND, _FUNCTION_NOT_FOUND = 9, 12, 13
_GPU_IS_LOST, _RESET_REQUIRED, _VERSION_MISMATCH, _UNKNOWN = 15, 16, 18, 999
# UNKNOWN is what WSL and some vGPUs answer for a query they do not implement.
_NOT_KNOWN = frozenset({_INVALID_ARGUMENT, _NOT_SUPPORTED, _NO_PERMISSION, _NOT_FOUND, _FUNCTION_NOT_FOUND, _UNKNOWN})

_REMEDIES = {
    _LIBRARY_NOT_FOUND: (
        "no NVIDIA driver here: libnvidia-ml.so.1 is not found",
        "install the NVIDIA driver; in a container, start it with: docker run --gpus all",
    ),
    _DRIVER_NOT_LOADED: ("the NVIDIA driver is installed but not loaded", "load it with: sudo modprobe nvidia"),
    _VERSION_MISMATCH: (
        "the loaded NVIDIA kernel module is of another version than the driver libraries",
        "reboot after the driver upgrade, or reload the module",
    ),
    _NO_PERMISSION: ("no permission to talk to the NVIDIA driver", "check the access rights with: ls -l /dev/nvidia*"),
    _GPU_IS_LOST: ("the GPU is lost: it fell off the bus", "see: sudo dmesg | grep -i xid; then reboot"),
    _RESET_REQUIRED: (
        "the GPU needs a reset before it can be used",
        "as root, with nothing running: nvidia-smi --gpu-reset",
    ),
}

_FIELD_POWER_AVERAGE, _FIELD_POWER_INSTANT = 185, 186
_VALUE_MEMBERS = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")  # by nvmlValueType_t

# nvmlClocksEventReasons (throttle reasons before driver 535), nvml.h.
_REASONS = {
    0x001: "gpu_idle",
    0x002: "applications_clocks",
    0x004: "sw_power_cap",
    0x008: "hw_slowdown",
    0x010: "sync_boost",
    0x020: "sw_thermal_slowdown",
    0x040: "hw_thermal_slowdown",
    0x080: "hw_power_brake",
    0x100: "display_clock",
}
THROTTLED = 0x004 | 0x008 | 0x020 | 0x040 | 0x080
"""Bits that mean the clock was held down by power or heat. Idle and chosen clocks are not throttling."""


def throttle_names(bits: int) -> tuple[str, ...]:
    """Names of the clock reasons set in ``bits``, lowest bit first; an unknown bit is named by its hex value."""
    present = [1 << position for position in range(bits.bit_length()) if bits >> position & 1]
    return tuple(_REASONS.get(bit, f"{bit:#x}") for bit in present)


def is_throttled(bits: int) -> bool:
    """Whether ``bits`` hold a reason of power or heat (software power cap, hardware slowdown, thermal, power brake)."""
    return bool(bits & THROTTLED)


@dataclass(frozen=True)
class Device:
    """One physical GPU; ``index`` is NVML's (PCI order), which CUDA_VISIBLE_DEVICES does not change."""

    index: int
    name: str
    uuid: str
    architecture: str


@dataclass(frozen=True)
class Memory:
    """Device memory in bytes."""

    total: int
    used: int
    free: int


@dataclass(frozen=True)
class Reading:
    """One poll of the sensors, between ``begin_s`` and ``end_s`` of ``time.perf_counter``; None where not known.

    ``power_w`` is the instantaneous field where the driver has it, else the driver's default reading (a 1 s mean on
    most GPUs since Ampere). ``energy_j`` counts from the loading of the driver.
    """

    begin_s: float
    end_s: float
    power_w: float | None
    power_average_w: float | None
    energy_j: float | None
    sm_clock_hz: float | None
    mem_clock_hz: float | None
    temperature_c: float | None
    throttle: int | None


def _pynvml() -> Any:
    try:
        import pynvml
    except ImportError as error:
        raise GpuprobeError("nvidia-ml-py is not installed", "pip install nvidia-ml-py", Exit.MACHINE_LACKS) from error
    return pynvml


def _failure(error: Any) -> GpuprobeError:
    message, hint = _REMEDIES.get(error.value, (f"NVML failed: {error}", "see whether nvidia-smi works"))
    return GpuprobeError(message, hint, Exit.MACHINE_LACKS)


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _on(state: int | None) -> bool | None:
    return None if state is None else bool(state)


class _Library:
    """pynvml between nvmlInit and nvmlShutdown, with every error mapped."""

    def __init__(self) -> None:
        self.pynvml = _pynvml()
        self.must("nvmlInit")

    def must(self, name: str, *args: Any) -> Any:
        """Result of an NVML call that has to work; GpuprobeError where it does not."""
        try:
            return getattr(self.pynvml, name)(*args)
        except self.pynvml.NVMLError as error:
            raise _failure(error) from error

    def ask(self, names: str, *args: Any) -> Any:
        """Result of the first of the space-separated calls that is known here, or None where none is."""
        for name in names.split():
            function = getattr(self.pynvml, name, None)
            if function is None:
                continue
            try:
                return function(*args)
            except self.pynvml.NVMLError as error:
                if error.value not in _NOT_KNOWN:
                    raise _failure(error) from error
        return None

    def close(self) -> None:
        """Let go of the library; a driver that went away in between has nothing left to let go of."""
        self.ask("nvmlShutdown")


@contextmanager
def _library() -> Iterator[_Library]:
    library = _Library()
    try:
        yield library
    finally:
        library.close()


def devices() -> tuple[Device, ...]:
    """Every physical GPU the driver shows; GpuprobeError (exit 3) where there is no driver."""
    with _library() as library:
        count = library.must("nvmlDeviceGetCount")
        return tuple(_device(library, index) for index in range(count))


def _device(library: _Library, index: int) -> Device:
    handle = library.must("nvmlDeviceGetHandleByIndex", index)
    capability = library.ask("nvmlDeviceGetCudaComputeCapability", handle)
    return Device(
        index=index,
        name=_text(library.must("nvmlDeviceGetName", handle)),
        uuid=_text(library.ask("nvmlDeviceGetUUID", handle) or ""),
        architecture=f"sm_{capability[0]}{capability[1]}" if capability else "",
    )


def driver_versions() -> tuple[str, str]:
    """Version of the driver and the newest CUDA it supports: ``("580.159.04", "13.0")``."""
    with _library() as library:
        cuda = library.ask("nvmlSystemGetCudaDriverVersion_v2 nvmlSystemGetCudaDriverVersion")
        driver = library.must("nvmlSystemGetDriverVersion")
        return _text(driver), f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else ""


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


class Nvml:
    """One GPU's sensors and settings. Select by NVML index, UUID (``GPU-…``, ``MIG-…``) or PCI bus id.

    A context manager; safe to poll from another thread than the one that launches work. Select by UUID or bus id
    when the GPU was chosen through CUDA, whose indices need not be NVML's.
    """

    def __init__(self, selector: int | str = 0) -> None:
        self._library = _Library()
        try:
            self._handle = self._find(selector)
        except GpuprobeError:
            self._library.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of NVML; the handle is of no use afterwards."""
        self._library.close()

    def _find(self, selector: int | str) -> Any:
        if isinstance(selector, int):
            name = "nvmlDeviceGetHandleByIndex"
        else:
            name = "nvmlDeviceGetHandleBy" + ("UUID" if selector.startswith(("GPU-", "MIG-")) else "PciBusId")
        handle = self._library.ask(name, selector)
        if handle is None:
            raise GpuprobeError(f"NVML shows no GPU '{selector}'", "list them with: nvidia-smi -L", Exit.MACHINE_LACKS)
        return handle

    def _ask(self, names: str, *args: Any) -> Any:
        return self._library.ask(names, self._handle, *args)

    def _constant(self, name: str) -> int:
        return int(getattr(self._library.pynvml, name))

    def _fields(self, *ids: int) -> dict[int, float]:
        """Values of NVML fields in NVML's own units; a field this GPU does not have is left out."""
        answers = self._ask("nvmlDeviceGetFieldValues", list(ids)) or ()
        return {
            int(answer.fieldId): float(getattr(answer.value, _VALUE_MEMBERS[answer.valueType]))
            for answer in answers
            if answer.nvmlReturn == 0 and answer.valueType < len(_VALUE_MEMBERS)
        }

    @property
    def name(self) -> str:
        """Product name as the driver gives it (``NVIDIA H100 80GB HBM3``)."""
        return _text(self._library.must("nvmlDeviceGetName", self._handle))

    @property
    def uuid(self) -> str:
        """UUID (``GPU-…``), empty where hidden."""
        return _text(self._ask("nvmlDeviceGetUUID") or "")

    @property
    def memory(self) -> Memory | None:
        """Device memory in bytes."""
        info = self._ask("nvmlDeviceGetMemoryInfo")
        return None if info is None else Memory(total=int(info.total), used=int(info.used), free=int(info.free))

    @property
    def power_limit_w(self) -> float | None:
        """Power limit that was asked for, in W."""
        return _scaled(self._ask("nvmlDeviceGetPowerManagementLimit"), 1e-3)

    @property
    def enforced_power_limit_w(self) -> float | None:
        """Power limit in force after every limiter (board, slot, user), in W."""
        return _scaled(self._ask("nvmlDeviceGetEnforcedPowerLimit"), 1e-3)

    @property
    def power_w(self) -> float | None:
        """Power now in W: the instantaneous field where the driver has it, else its default reading."""
        return self.read().power_w

    @property
    def energy_j(self) -> float | None:
        """Energy since the driver was loaded, in J; moves in ticks of 20 to 100 ms."""
        return _scaled(self._ask("nvmlDeviceGetTotalEnergyConsumption"), 1e-3)

    @property
    def powers_w(self) -> tuple[float | None, float | None]:
        """Instantaneous and average power fields (186, 185) in W; None for a field that the driver lacks."""
        fields = self._fields(_FIELD_POWER_INSTANT, _FIELD_POWER_AVERAGE)
        return _scaled(fields.get(_FIELD_POWER_INSTANT), 1e-3), _scaled(fields.get(_FIELD_POWER_AVERAGE), 1e-3)

    @property
    def sm_clock_hz(self) -> float | None:
        """SM clock now, in Hz."""
        return _scaled(self._ask("nvmlDeviceGetClockInfo", self._constant("NVML_CLOCK_SM")), 1e6)

    @property
    def mem_clock_hz(self) -> float | None:
        """Memory clock now, in Hz."""
        return _scaled(self._ask("nvmlDeviceGetClockInfo", self._constant("NVML_CLOCK_MEM")), 1e6)

    @property
    def max_sm_clock_hz(self) -> float | None:
        """Highest SM clock the GPU may take, in Hz."""
        return _scaled(self._ask("nvmlDeviceGetMaxClockInfo", self._constant("NVML_CLOCK_SM")), 1e6)

    @property
    def max_mem_clock_hz(self) -> float | None:
        """Highest memory clock, in Hz."""
        return _scaled(self._ask("nvmlDeviceGetMaxClockInfo", self._constant("NVML_CLOCK_MEM")), 1e6)

    @property
    def temperature_c(self) -> float | None:
        """Temperature of the GPU die in degrees Celsius."""
        names = "nvmlDeviceGetTemperatureV nvmlDeviceGetTemperature"
        return _scaled(self._ask(names, self._constant("NVML_TEMPERATURE_GPU")), 1.0)

    @property
    def throttle(self) -> int | None:
        """Clock event (throttle) reasons now, as NVML bits; see throttle_names and is_throttled."""
        names = "nvmlDeviceGetCurrentClocksEventReasons nvmlDeviceGetCurrentClocksThrottleReasons"
        bits = self._ask(names)
        return None if bits is None else int(bits)

    @property
    def ecc(self) -> bool | None:
        """Whether ECC is on; None for memory without it."""
        return _on(self._ask("nvmlDeviceGetCurrentEccMode"))

    @property
    def mig(self) -> bool | None:
        """Whether the GPU is split by MIG; None for GPUs that cannot be."""
        modes = self._ask("nvmlDeviceGetMigMode")
        return None if modes is None else bool(modes[0])

    @property
    def persistence(self) -> bool | None:
        """Whether the driver stays loaded with no client."""
        return _on(self._ask("nvmlDeviceGetPersistenceMode"))

    def other_processes(self) -> int | None:
        """Number of other processes with a CUDA context here.

        In a container NVML may number processes as the host does, and then this process counts as another once it
        has a context: ask before making one.
        """
        # The unversioned name raises an unrelated exception class where the driver is older than the package.
        names = "nvmlDeviceGetComputeRunningProcesses_v3 nvmlDeviceGetComputeRunningProcesses_v2"
        processes = self._ask(names)
        return None if processes is None else sum(process.pid != os.getpid() for process in processes)

    def read(self, clock: Callable[[], float] = time.perf_counter) -> Reading:
        """One poll of every sensor."""
        begin_s = clock()
        fields = self._fields(_FIELD_POWER_INSTANT, _FIELD_POWER_AVERAGE)
        power_mw = fields.get(_FIELD_POWER_INSTANT)
        reading = {
            "power_w": _scaled(self._ask("nvmlDeviceGetPowerUsage") if power_mw is None else power_mw, 1e-3),
            "power_average_w": _scaled(fields.get(_FIELD_POWER_AVERAGE), 1e-3),
            "energy_j": self.energy_j,
            "sm_clock_hz": self.sm_clock_hz,
            "mem_clock_hz": self.mem_clock_hz,
            "temperature_c": self.temperature_c,
        }
        throttle = self.throttle
        return Reading(begin_s=begin_s, end_s=clock(), throttle=throttle, **reading)


def update_tick_s(read: Callable[[], float | None], seconds: float, clock: Callable[[], float]) -> float | None:
    """Median time between two changes of a counter, in s, polled for ``seconds``; None below three changes."""
    begin = clock()
    last, moments = read(), []
    while (now := clock()) - begin < seconds:
        value = read()
        if value != last:
            moments.append(now)
            last = value
    gaps = sorted(later - earlier for earlier, later in pairwise(moments))
    return gaps[len(gaps) // 2] if len(gaps) >= 2 else None
