"""What CuPy does not offer of the CUDA driver, through ctypes: launches with clusters, tensor maps for TMA."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.estimate import TensorMap

MAX_DYNAMIC_SHARED = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
SHARED_CARVEOUT = 9  # CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT, in percent
NON_PORTABLE_CLUSTER = 14  # CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED
PORTABLE_CLUSTER_LIMIT = 8

_COOPERATIVE = 2  # CU_LAUNCH_ATTRIBUTE_COOPERATIVE
_CLUSTER_DIMENSION = 4  # CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION
_DTYPES = {"u8": 0, "u16": 1, "u32": 2, "s32": 3, "u64": 4, "s64": 5, "f16": 6, "f32": 7, "f64": 8, "bf16": 9}
_SWIZZLES = {"none": 0, "32B": 1, "64B": 2, "128B": 3}
_PROMOTE_L2_128B = 2
_MAX_RANK = 5
_DESCRIPTOR_BYTES = 128


class _Attribute(ctypes.Structure):
    """CUlaunchAttribute: an id and a union of 64 bytes, here as words."""

    _fields_ = (("id", ctypes.c_int), ("pad", ctypes.c_int), ("value", ctypes.c_uint * 16))


class _Config(ctypes.Structure):
    """CUlaunchConfig."""

    _fields_ = (
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared_bytes", ctypes.c_uint),
        ("stream", ctypes.c_void_p),
        ("attributes", ctypes.POINTER(_Attribute)),
        ("attribute_count", ctypes.c_uint),
    )


@cache
def _driver() -> Any:
    """libcuda; GpuprobeError (exit 3) where it is missing."""
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise GpuprobeError(
            f"the CUDA driver library cannot be loaded: {error}", "see: gpuprobe doctor", Exit.MACHINE_LACKS
        ) from error


def _call(name: str, *arguments: object) -> None:
    _check(name, getattr(_driver(), name)(*arguments))


def _check(name: str, status: int) -> None:
    if status:
        text = ctypes.c_char_p()
        _driver().cuGetErrorName(status, ctypes.byref(text))
        reason = text.value.decode() if text.value else str(status)
        raise GpuprobeError(f"{name} failed: {reason}", "report it with: gpuprobe doctor --json", Exit.CHECK_FAILED)


def start(launch: Prepared) -> None:
    """Start a prepared kernel; GpuprobeError where the driver refuses."""
    _check("cuLaunchKernelEx", launch())


class Prepared:
    """A launch whose arguments are made once, because making them costs more than the call; calling it gives CUDA's
    status."""

    def __init__(self, config: _Config, function: int, arguments: Sequence[Any]) -> None:
        self._kept = (config, list(arguments))
        places = (ctypes.c_void_p * len(arguments))(*(ctypes.addressof(argument) for argument in arguments))
        self.arguments = (ctypes.byref(config), ctypes.c_void_p(function), places, ctypes.c_void_p(None))
        self.function = _driver().cuLaunchKernelEx

    def __call__(self) -> int:
        """Start the kernel: CUDA's status."""
        return int(self.function(*self.arguments))


def prepared(
    function: int,
    stream: int,
    shape: tuple[int, int, int],
    arguments: Sequence[Any],
    *,
    cluster: int = 0,
    cooperative: bool = False,
) -> Prepared:
    """A launch of ``shape`` (blocks, threads, bytes of dynamic shared memory) with its attributes, to be started often.

    ``arguments`` are ctypes numbers; ``function`` and ``stream`` the driver's handles.
    """
    attributes = []
    if cluster:
        attributes.append(_attribute(_CLUSTER_DIMENSION, cluster, 1, 1))
    if cooperative:
        attributes.append(_attribute(_COOPERATIVE, 1))
    config = _Config(
        grid=(shape[0], 1, 1),
        block=(shape[1], 1, 1),
        shared_bytes=shape[2],
        stream=stream,
        attributes=(_Attribute * len(attributes))(*attributes),
        attribute_count=len(attributes),
    )
    return Prepared(config, function, arguments)


def _attribute(number: int, *values: int) -> _Attribute:
    return _Attribute(number, 0, (ctypes.c_uint * 16)(*values))


def encode(tensor: TensorMap, address: int) -> NDArray[np.uint8]:
    """The head of a working set at ``address``: the TMA descriptor of ``tensor``, then rank, dims and box as words."""
    head = np.zeros(TensorMap.HEAD_BYTES, dtype=np.uint8)
    if tensor.described:
        head[:_DESCRIPTOR_BYTES] = _descriptor(tensor, address)
    words = [len(tensor.dims), *_padded(tensor.dims), *_padded(tensor.box)]
    head[_DESCRIPTOR_BYTES : _DESCRIPTOR_BYTES + 4 * len(words)] = np.array(words, dtype=np.uint32).view(np.uint8)
    return head


def _descriptor(tensor: TensorMap, address: int) -> NDArray[np.uint8]:
    rank = len(tensor.dims)
    raw = (ctypes.c_uint8 * (2 * _DESCRIPTOR_BYTES))()
    aligned = -ctypes.addressof(raw) % 64
    _call(
        "cuTensorMapEncodeTiled",
        ctypes.byref(raw, aligned),
        ctypes.c_int(_DTYPES[tensor.dtype]),
        ctypes.c_uint32(rank),
        ctypes.c_void_p(address + TensorMap.HEAD_BYTES),
        (ctypes.c_uint64 * rank)(*tensor.dims),
        (ctypes.c_uint64 * max(rank - 1, 1))(*tensor.strides),
        (ctypes.c_uint32 * rank)(*tensor.box),
        (ctypes.c_uint32 * rank)(*[1] * rank),
        ctypes.c_int(0),
        ctypes.c_int(_SWIZZLES[tensor.swizzle]),
        ctypes.c_int(_PROMOTE_L2_128B),
        ctypes.c_int(0),
    )
    return np.frombuffer(bytes(raw), np.uint8)[aligned : aligned + _DESCRIPTOR_BYTES]


def _padded(sides: Sequence[int]) -> list[int]:
    return [*sides, *[1] * (_MAX_RANK - len(sides))]
