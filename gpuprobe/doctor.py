"""What this machine can do for gpuprobe, check by check, each with its remedy.

A check never fails the whole: what is missing is a row. A machine without a GPU is no fault (``warn``): building, SASS
checks and replay work there.
"""

from __future__ import annotations

import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from gpuprobe import arch, cache, device, sass
from gpuprobe.build import nvrtc
from gpuprobe.errors import GpuprobeError
from gpuprobe.gpu import nvml, software
from gpuprobe.gpu.nvml import Nvml

Status = Literal["ok", "warn", "missing"]

DRIVER_PARAMETERS = Path("/proc/driver/nvidia/params")
PROCESS_STATUS = Path("/proc/self/status")
FOLDERS: Mapping[str, Callable[[], Path]] = {"cache": cache.cache_dir}
CAP_SYS_ADMIN = 1 << 21  # linux/capability.h
TICK_POLL_S = 0.5
FREE_DISK_BYTES = 1 << 30
TARGET_WITHOUT_GPU = "sm_90a"
KERNEL = 'extern "C" __global__ void doctor(float *x) { x[threadIdx.x] *= 2.0f; }'


@dataclass(frozen=True)
class Check:
    """One row: what was looked at, how it stands, what was seen, and the command that helps (empty: nothing to mend).

    ``gpu`` is the NVML index of the GPU it is about, None for the machine. ``blocks_measuring`` says that this GPU, or
    any GPU, cannot be measured while it stands so.
    """

    check: str
    status: Status
    detail: str
    remedy: str = ""
    blocks_measuring: bool = False
    gpu: int | None = None

    @property
    def label(self) -> str:
        """The check's name with its GPU."""
        return self.check if self.gpu is None else f"GPU {self.gpu} {self.check}"


def examine() -> tuple[Check, ...]:
    """Every check of this machine, in the order to read and to mend them."""
    return tuple(_examine())


def blocker(checks: Iterable[Check]) -> Check | None:
    """The first check that keeps this machine from measuring any GPU, or None where at least one can be measured."""
    rows = tuple(checks)
    blocking = [row for row in rows if row.blocks_measuring]
    blocked, gpus = ({row.gpu for row in some} - {None} for some in (blocking, rows))
    return next((row for row in blocking if row.gpu is None or blocked == gpus), None)


def _examine() -> Iterator[Check]:
    yield _platform()
    gpus: tuple[nvml.Device, ...] = ()
    cuda = ""
    try:
        driver, cuda = nvml.driver_versions()
        gpus = nvml.devices()
    except GpuprobeError as error:
        yield Check("driver", "warn", f"{error.message}; builds and replays only", error.hint, blocks_measuring=True)
    else:
        yield Check("driver", "ok", f"{driver}, CUDA {cuda or 'unknown'}")
        if not gpus:
            yield Check("GPU", "warn", "the driver shows none; builds and replays only", "nvidia-smi -L", True)
    for gpu in gpus:
        yield from _gpu(gpu)
    yield from _compilers(gpus)
    yield _cupy(has_gpu=bool(gpus), cuda=cuda)
    yield _cupti()
    if gpus:
        yield counter_permission(DRIVER_PARAMETERS, PROCESS_STATUS)
    yield from _storage()


def _platform() -> Check:
    detail = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    if sys.platform == "linux":
        return Check("platform", "ok", detail)
    return Check("platform", "warn", f"{detail}: kernels are built and measured on Linux only", "use Linux or WSL 2")


# --- each GPU ---------------------------------------------------------------------------------------------------


def _gpu(gpu: nvml.Device) -> Iterator[Check]:
    try:
        with Nvml(gpu.index) as handle:
            yield replace(_identity(gpu, handle), gpu=gpu.index)
            for check in (_sensors, _energy, _mig, _others, _persistence, _ecc):
                yield replace(check(gpu.index, handle), gpu=gpu.index)
    except GpuprobeError as error:
        yield Check("driver", "missing", error.message, error.hint, blocks_measuring=True, gpu=gpu.index)


def _identity(gpu: nvml.Device, handle: Nvml) -> Check:
    known = f"{gpu.name}, {gpu.architecture or 'architecture unknown'}"
    if gpu.architecture not in arch.ARCHITECTURES:
        return Check(
            "product", "warn", f"{known}: no probe is built for it", "supported: " + ", ".join(arch.ARCHITECTURES), True
        )
    memory = handle.memory
    spec = device.match(gpu.name, memory_bytes=memory.total if memory else None)
    if spec is None:
        remedy = "add a file for it to gpuprobe/devices/, after one of the same architecture: " + ", ".join(
            device.for_architecture(gpu.architecture)
        )
        return Check("product", "warn", f"{known}: no device file, so no datasheet limits beside the results", remedy)
    return Check("product", "ok", f"{known}, device file {spec.name}.toml")


def _sensors(_index: int, handle: Nvml) -> Check:
    now = handle.read()
    parts = [
        _shown(now.power_w, 1, "W") + f" of {_shown(handle.enforced_power_limit_w, 1, 'W')}",
        f"SM {_shown(now.sm_clock_hz, 1e6, 'MHz')} of {_shown(handle.max_sm_clock_hz, 1e6, 'MHz')}",
        _shown(now.temperature_c, 1, "°C"),
        "clock reasons unknown" if now.throttle is None else ", ".join(nvml.throttle_names(now.throttle)) or "no limit",
    ]
    detail = ", ".join(parts)
    if now.throttle is not None and nvml.is_throttled(now.throttle):
        return Check(
            "sensors", "warn", detail, "wait until it has cooled down or is idle; see: nvidia-smi -q -d PERFORMANCE"
        )
    if None in (now.power_w, now.sm_clock_hz, now.throttle):
        return Check(
            "sensors", "warn", f"{detail}: results stand without what is unknown", "use a newer driver or bare metal"
        )
    return Check("sensors", "ok", detail)


def _shown(value: float | None, unit_si: float, unit: str) -> str:
    return f"unknown {unit}" if value is None else f"{value / unit_si:.0f} {unit}"


def _energy(_index: int, handle: Nvml) -> Check:
    if handle.energy_j is None:
        return Check("energy counter", "warn", "not supported: energy is summed from power", "needs Volta or newer")
    tick_s = nvml.update_tick_s(lambda: handle.energy_j, TICK_POLL_S, time.perf_counter)
    if tick_s is None:
        detail = f"supported, but fewer than three updates in {TICK_POLL_S} s"
        return Check("energy counter", "warn", detail, "measure energy over seconds, not milliseconds")
    return Check("energy counter", "ok", f"updated every {tick_s * 1e3:.0f} ms")


def _mig(index: int, handle: Nvml) -> Check:
    state = handle.mig
    if state:
        remedy = f"as root, with the GPU idle: nvidia-smi -i {index} -mig 0"
        return Check(
            "MIG", "warn", "on: a slice is not the whole GPU, so it is not measured", remedy, blocks_measuring=True
        )
    return Check("MIG", "ok", "not supported by this GPU" if state is None else "off")


def _others(index: int, handle: Nvml) -> Check:
    count = handle.other_processes()
    if count is None:
        return Check("other processes", "warn", "not visible here", "look on the host: nvidia-smi")
    if count:
        remedy = f"see them: nvidia-smi -i {index} --query-compute-apps=pid,name --format=csv"
        return Check("other processes", "warn", f"{count} on this GPU: results would be flagged shared_gpu", remedy)
    return Check("other processes", "ok", "none")


def _persistence(index: int, handle: Nvml) -> Check:
    state = handle.persistence
    if state is False:
        remedy = f"sudo nvidia-smi -i {index} -pm 1"
        return Check("persistence", "warn", "off: the driver unloads between runs, first launches are slow", remedy)
    return Check("persistence", "ok", "unknown" if state is None else "on")


def _ecc(_index: int, handle: Nvml) -> Check:
    return Check("ECC", "ok", {True: "on", False: "off", None: "not supported"}[handle.ecc])


# --- software ---------------------------------------------------------------------------------------------------


def _compilers(gpus: tuple[nvml.Device, ...]) -> Iterator[Check]:
    known = [arch.ARCHITECTURES[gpu.architecture].target for gpu in gpus if gpu.architecture in arch.ARCHITECTURES]
    target = known[0] if known else TARGET_WITHOUT_GPU
    # Not through the cache of builds: the point is whether the compiler works now.
    unit = nvrtc.Unit("doctor.cu", KERNEL, (f"--gpu-architecture={target}",))
    try:
        cubin = nvrtc.compile_unit(unit)
    except GpuprobeError as error:
        yield Check("NVRTC", "missing", error.message, "pip install nvidia-cuda-nvrtc cuda-bindings", True)
        yield Check("nvdisasm", "warn", "not tried: there is no kernel to disassemble")
        return
    yield Check("NVRTC", "ok", f"built a kernel for {target}: {nvrtc.compiler_version()}")
    yield _nvdisasm(cubin)


def _nvdisasm(cubin: bytes) -> Check:
    try:
        functions = sass.disassemble(cubin)
    except GpuprobeError as error:
        return Check("nvdisasm", "missing", error.message, error.hint or "pip install nvidia-cuda-nvdisasm", True)
    return Check(
        "nvdisasm", "ok", f"read {sum(len(function.instructions) for function in functions)} instructions of it"
    )


def _cupy(*, has_gpu: bool, cuda: str) -> Check:
    extra = "cuda12" if cuda.startswith("12.") else "cuda13"
    remedy = f"pip install 'gpuprobe[{extra}]'"
    try:
        library = software.cupy_library()
        if has_gpu:
            software.cupy_devices()
    except GpuprobeError as error:
        if has_gpu:
            return Check("CuPy", "missing", error.message, remedy, blocks_measuring=True)
        return Check("CuPy", "warn", f"{error.message}; needed on a machine with a GPU only", remedy)
    return Check("CuPy", "ok", library.version)


def _cupti() -> Check:
    try:
        library = software.cupti_library()
    except GpuprobeError as error:
        return Check("CUPTI", "warn", f"{error.message}; needed to record traces only", "pip install nvidia-cuda-cupti")
    return Check("CUPTI", "ok", f"API version {library.version}, {library.path}")


def counter_permission(parameters: Path, status: Path) -> Check:
    """Whether this process may read hardware counters, by the driver's parameter and the process's capabilities."""
    restricted = _entry(parameters, "RmProfilingAdminOnly")
    if restricted is None:
        return Check("counters", "warn", f"unknown: {parameters} does not say", "try it with: sudo")
    if restricted == "0":
        return Check("counters", "ok", "open to every user")
    capabilities = _entry(status, "CapEff")
    if capabilities and int(capabilities, 16) & CAP_SYS_ADMIN:
        return Check("counters", "ok", "restricted to administrators, which this process is")
    remedy = (
        "echo options nvidia NVreg_RestrictProfilingToAdminUsers=0 | sudo tee /etc/modprobe.d/nvidia-counters.conf, "
        "then reboot; in a container: docker run --cap-add SYS_ADMIN"
    )
    return Check("counters", "warn", "restricted to administrators: no hardware counters in traces", remedy)


def _entry(path: Path, name: str) -> str | None:
    """Value of a ``Name: value`` line; None where the file or the line is missing."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(f"{name}:")), None)


# --- storage ----------------------------------------------------------------------------------------------------


def _storage() -> Iterator[Check]:
    for name, find in FOLDERS.items():
        try:
            yield folder_check(name, find())
        except GpuprobeError as error:
            yield Check(name, "warn", error.message, error.hint)


def folder_check(name: str, folder: Path, enough_bytes: int = FREE_DISK_BYTES) -> Check:
    """Whether a folder, or the nearest one above it that exists, can be written and has space."""
    existing = next(above for above in (folder.absolute(), *folder.absolute().parents) if above.exists())
    try:
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(b"gpuprobe")
    except OSError as error:
        detail = f"{folder} cannot be written: {error.strerror or error}"
        return Check(name, "warn", detail, f"export GPUPROBE_{name.upper()}=FOLDER")
    free_bytes = shutil.disk_usage(existing).free
    detail = f"{folder}, {free_bytes / 2**30:.1f} GiB free"
    if free_bytes < enough_bytes:
        return Check(name, "warn", detail, f"free space there, or: export GPUPROBE_{name.upper()}=FOLDER")
    return Check(name, "ok", detail)
