"""Copies between host and device: pinned or pageable, one way or both at once, with the NUMA node they ran from."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuprobe.errors import Exit, GpuprobeError

REPEATS = 2
PROOF_BYTES = 1 << 14


class HostCopies:
    """Copies between host and device; the buffers are made once for each kind and size."""

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy
        self._streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(2)]
        self._buffers: dict[tuple[str, int], _Buffers] = {}

    def seconds(self, direction: str, memory: str, size: int, seed: int) -> float:
        """Seconds of one copy of ``size`` bytes until the host knows it is done, the best of REPEATS.

        ``direction`` is h2d, d2h or both (two copies of ``size`` at once, on two streams), ``memory`` pinned or
        pageable. GpuprobeError where the bytes that arrive are not those that were sent.
        """
        if (memory, size) not in self._buffers:
            self._buffers[memory, size] = _Buffers.of(self._cupy, memory, size)
        buffers = self._buffers[memory, size]
        there, back = self._streams
        places = proof_places(size)
        pattern = np.random.default_rng(seed).integers(0, 256, places.size, dtype=np.uint8)
        buffers.sent[places], buffers.got[places] = pattern, ~pattern
        if direction != "h2d":
            buffers.second.copy_from_host_async(buffers.sent.ctypes.data, size, there)

        def copy() -> None:
            if direction != "d2h":
                buffers.first.copy_from_host_async(buffers.sent.ctypes.data, size, there)
            if direction != "h2d":
                buffers.second.copy_to_host_async(buffers.got.ctypes.data, size, back)
            there.synchronize()
            back.synchronize()

        there.synchronize()
        seconds = min(_timed(copy) for _ in range(REPEATS))
        if direction == "h2d":
            buffers.first.copy_to_host_async(buffers.got.ctypes.data, size, back)
            back.synchronize()
        if not np.array_equal(buffers.got[places], pattern):
            raise GpuprobeError(
                f"a {direction} copy of {size} bytes of {memory} memory brought other bytes than were sent",
                "check the machine with: gpuprobe doctor",
                Exit.CHECK_FAILED,
            )
        return seconds


def proof_places(size: int) -> NDArray[np.int64]:
    """Where bytes are compared: PROOF_BYTES of them over the whole copy, the first and the last among them."""
    return np.unique(np.linspace(0, size - 1, min(size, PROOF_BYTES)).astype(np.int64))


def nodes(bus_id: str) -> dict[str, float]:
    """NUMA nodes: that of this thread's CPU (where fresh host pages lie) and that of the GPU; -1 where not known."""
    cpu, node = ctypes.c_uint(0), ctypes.c_uint(0)
    known = ctypes.CDLL(None).getcpu(ctypes.byref(cpu), ctypes.byref(node)) == 0
    return {"cpu_node": float(node.value) if known else -1.0, "gpu_node": _gpu_node(bus_id)}


def _gpu_node(bus_id: str) -> float:
    domain, _, rest = bus_id.lower().partition(":")
    path = Path("/sys/bus/pci/devices") / f"{domain[-4:]}:{rest}" / "numa_node"
    try:
        return float(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return -1.0


@dataclass(frozen=True)
class _Buffers:
    """Host memory to send from and to receive in, and two pieces of device memory."""

    sent: NDArray[np.uint8]
    got: NDArray[np.uint8]
    first: Any
    second: Any

    @classmethod
    def of(cls, cupy: Any, memory: str, size: int) -> _Buffers:
        """Buffers of ``size`` bytes, every page touched."""
        sent, got = (_host(cupy, memory, size) for _ in range(2))
        sent[:] = got[:] = 0
        return cls(sent, got, cupy.cuda.alloc(size), cupy.cuda.alloc(size))


def _host(cupy: Any, memory: str, size: int) -> NDArray[np.uint8]:
    if memory == "pinned":
        return np.frombuffer(cupy.cuda.alloc_pinned_memory(size), dtype=np.uint8, count=size)
    return np.empty(size, dtype=np.uint8)


def _timed(call: Callable[[], None]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin
