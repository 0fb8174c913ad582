"""The limits that kernels of a trace are held against: of the GPU it names, measured where recorded, else as stated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from gpuprobe import arch, device, recordings
from gpuprobe.errors import GpuprobeError
from gpuprobe.profile_of_run import profile_of
from gpuprobe.record import DeviceSpec
from gpuprobe.run_files import read_run
from gpuprobe.trace.model import Trace

_STATED = {
    "bf16": "tensor_bf16_flop_per_s",
    "fp16": "tensor_f16_flop_per_s",
    "tf32": "tensor_tf32_flop_per_s",
    "fp8": "tensor_e4m3_flop_per_s",
    "int8": "tensor_s8_op_per_s",
    "fp32": "fp32_flop_per_s",
}
_TYPES = {"bf16": "bf16", "f16": "fp16", "tf32": "tf32", "e4m3": "fp8", "s8": "int8"}
"""Kind of operand of a device profile → GEMM type."""


@dataclass(frozen=True)
class Limits:
    """FLOP/s by kind of arithmetic, bytes/s of device memory, and where each number came from."""

    device: str
    flop_per_s: Mapping[str, float]
    bytes_per_s: float
    origin: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """For the JSON document."""
        return {
            "device": self.device,
            "flop_per_s": dict(self.flop_per_s),
            "bytes_per_s": self.bytes_per_s,
            "origin": dict(self.origin),
        }


def limits_of(trace: Trace) -> Limits | None:
    """Limits of the trace's GPU; None where the file names none of the catalogue."""
    for properties in trace.meta.get("devices", []):
        spec = _match(properties) if isinstance(properties, dict) else None
        if spec is not None:
            return of_device(spec)
    return None


def of_device(spec: DeviceSpec) -> Limits:
    """Limits of a device of the catalogue; what the shipped recording of it measured replaces stated numbers."""
    flop = {rate: value for rate, key in _STATED.items() if (value := spec.get(key)) is not None}
    origin = {**dict.fromkeys(flop, "datasheet"), "memory": "datasheet"}
    bytes_per_s = spec["dram_bandwidth_bytes_per_s"]
    for rate, value in _measured(spec.name, spec.architecture).items():
        if rate == "memory":
            bytes_per_s = value
        elif rate in flop:
            flop[rate] = value
        origin[rate] = "measured"
    return Limits(spec.name, flop, bytes_per_s, origin)


def _match(properties: Mapping[str, Any]) -> DeviceSpec | None:
    name, memory = properties.get("name"), properties.get("totalGlobalMem")
    if not isinstance(name, str):
        return None
    found = device.match(name, memory_bytes=float(memory)) if isinstance(memory, int) else None
    return found or device.match(name)


@lru_cache(maxsize=8)
def _measured(name: str, architecture: str) -> Mapping[str, float]:
    """What the shipped recording of this product measured: dense peaks with random operands, and DRAM bandwidth.

    Kept: reading it takes as long as all analyses of a small trace, and a sweep asks for each of its files.
    """
    path = recordings.shipped(arch.parse(architecture))
    if path is None:
        return {}
    try:
        run = read_run(path)
    except GpuprobeError:
        return {}  # a recording of another schema: the catalogue's numbers stand
    if run.device.name != name:
        return {}
    profile = profile_of(run)
    found = {rate: profile.peak(kind) for kind, rate in _TYPES.items()}
    found["memory"] = max(
        (value for mode in ("read", "write") if (value := profile.bandwidth("DRAM", mode))),
        key=lambda value: value.value,
        default=None,
    )
    return {rate: value.value for rate, value in found.items() if value is not None}
