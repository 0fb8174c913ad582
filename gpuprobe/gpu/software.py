"""Whether the GPU libraries that gpuprobe can use are here and work: CuPy and CUPTI."""

from __future__ import annotations

import ctypes
import warnings
from dataclasses import dataclass

from gpuprobe.errors import Exit, GpuprobeError


@dataclass(frozen=True)
class Library:
    """A library that loads: its version and the file it came from."""

    version: str
    path: str


def cupy_library() -> Library:
    """The installed CuPy; GpuprobeError where it is missing or does not import."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # CuPy warns of a missing toolkit, which gpuprobe does not use
            import cupy
    except ModuleNotFoundError as error:
        raise GpuprobeError("CuPy is not installed", exit_code=Exit.MACHINE_LACKS) from error
    except (ImportError, OSError) as error:
        raise GpuprobeError(f"CuPy does not import: {error}", exit_code=Exit.MACHINE_LACKS) from error
    return Library(version=str(cupy.__version__), path=str(cupy.__file__))


def cupy_devices() -> int:
    """Number of GPUs that CuPy can use; GpuprobeError where CUDA refuses (driver too old, no device, no permission)."""
    import cupy

    try:
        return int(cupy.cuda.runtime.getDeviceCount())
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise GpuprobeError(f"CuPy cannot use a GPU: {error}", exit_code=Exit.MACHINE_LACKS) from error


def cupti_library() -> Library:
    """The CUPTI that a trace would load (wheel, conda, system or toolkit); GpuprobeError where none loads."""
    try:
        from cuda import pathfinder

        loaded = pathfinder.load_nvidia_dynamic_lib("cupti")
    except (ImportError, RuntimeError, OSError) as error:  # DynamicLibNotFoundError is a RuntimeError
        raise GpuprobeError("libcupti is not found", exit_code=Exit.MACHINE_LACKS) from error
    version = ctypes.c_uint32(0)
    if ctypes.CDLL(loaded.abs_path).cuptiGetVersion(ctypes.byref(version)) != 0:
        raise GpuprobeError(f"{loaded.abs_path} does not tell its version", exit_code=Exit.MACHINE_LACKS)
    return Library(version=str(version.value), path=str(loaded.abs_path))
