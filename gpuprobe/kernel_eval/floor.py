"""The physical floor of a task on a device (bytes over bandwidth, operations over peak) and the distance to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gpuprobe.record import DeviceSpec

PEAKS: Final[Mapping[str, str]] = {
    "float16": "tensor_f16_flop_per_s",
    "bfloat16": "tensor_bf16_flop_per_s",
    "float32": "fp32_flop_per_s",
    "float64": "tensor_f64_flop_per_s",
    "float8_e4m3fn": "tensor_e4m3_flop_per_s",
    "int8": "tensor_s8_op_per_s",
}
"""Peak that the matrix products of a task are held against, by dtype of its first floating input. fp32 is not TF32."""


@dataclass(frozen=True)
class Floor:
    """Least time of a call in s: of its traffic with memory and of its matrix products; None where not known."""

    bytes: int
    flop: int
    memory_s: float | None
    compute_s: float | None

    @property
    def seconds(self) -> float | None:
        """The larger of the two."""
        known = [value for value in (self.memory_s, self.compute_s) if value is not None]
        return max(known) if known else None

    @property
    def bound(self) -> str:
        """Which of the two it is: ``memory``, ``compute``, or empty where nothing is known."""
        if self.seconds is None:
            return ""
        return "compute" if self.compute_s is not None and self.compute_s == self.seconds else "memory"


def floor_of(size: int, flop: int, dtypes: Sequence[str], device: DeviceSpec | None) -> Floor:
    """The floor of a task that must move ``size`` bytes and do ``flop`` operations in matrix products."""
    if device is None:
        return Floor(size, flop, None, None)
    bandwidth = device.get("dram_bandwidth_bytes_per_s")
    peak_key = next((PEAKS[dtype] for dtype in dtypes if dtype in PEAKS), None)
    peak = device.get(peak_key) if peak_key else None
    return Floor(size, flop, size / bandwidth if bandwidth else None, flop / peak if peak else None)


def distance(floor: Floor, seconds: float) -> dict[str, Any]:
    """How far above the floor a time is: ``share`` of the limit that is reached, and of which limit."""
    reached = None if floor.seconds is None else floor.seconds / seconds
    return {
        "bytes": floor.bytes,
        "flop": floor.flop,
        "floor_s": floor.seconds,
        "bound": floor.bound,
        "share": reached,
        "bytes_per_s": floor.bytes / seconds,
        "flop_per_s": floor.flop / seconds,
    }
