"""Physical limits of what probes measure: a value above one is an error, not a result."""

from __future__ import annotations

from collections.abc import Callable

from gpuprobe import device as catalogue
from gpuprobe.arch import Architecture
from gpuprobe.estimate import Estimate
from gpuprobe.mma import parse
from gpuprobe.record import DeviceSpec

Bound = Callable[[Estimate, DeviceSpec, Architecture, float | None], float | None]


def tensor(axis: str = "TYPE") -> Bound:
    """Dense tensor rate of the type named by ``axis``: FMA per cycle of an SM, or FLOP/s at the measured clock."""

    def bound(
        estimate: Estimate, device: DeviceSpec, architecture: Architecture, clock_hz: float | None
    ) -> float | None:
        kind = str(estimate.params[axis]).lower()
        per_sm = catalogue.tensor_fma(device, kind)
        if per_sm is None or estimate.unit == "FMA/cycle/SM":
            return per_sm
        return 2 * per_sm * device["sm_count"] * clock_hz if clock_hz else None

    return bound


def dram(estimate: Estimate, device: DeviceSpec, architecture: Architecture, clock_hz: float | None) -> float | None:
    """The memory interface: bus width times data rate, in bytes per second."""
    return device.get("dram_bandwidth_bytes_per_s")


def l1_port(estimate: Estimate, device: DeviceSpec, architecture: Architecture, clock_hz: float | None) -> float | None:
    """What the load/store units of all SMs can take in, in bytes per second at the measured clock."""
    return architecture.l1_bytes_per_clock * device["sm_count"] * clock_hz if clock_hz else None


def matrix(axis: str) -> Bound:
    """Tensor rate of the instruction (``gpuprobe.mma``) named by ``axis``: FMA per cycle of an SM, FLOP/s or op/s.

    2:4 sparsity doubles it (multiply-adds are those of the dense product); FP16 accumulators are spared the cut that
    some products make for FP32 ones (tensor_KIND_rate_ratio). None for other quantities and types of no known rate.
    """

    def bound(
        estimate: Estimate, device: DeviceSpec, architecture: Architecture, clock_hz: float | None
    ) -> float | None:
        mma = parse(str(estimate.params[axis]))
        kind = mma.a.lower()
        dense = architecture.tensor_fma.get(kind) if mma.c == "F16" else catalogue.tensor_fma(device, kind)
        if dense is None or estimate.unit not in ("FMA/cycle/SM", "FLOP/s", "op/s"):
            return None
        per_sm = dense * (2.0 if mma.sparse else 1.0)
        if estimate.unit == "FMA/cycle/SM":
            return per_sm
        return 2 * per_sm * device["sm_count"] * clock_hz if clock_hz else None

    return bound


def shared_port(
    estimate: Estimate, device: DeviceSpec, architecture: Architecture, clock_hz: float | None
) -> float | None:
    """What shared memory of one SM moves in a cycle, for quantities in B/cycle/SM."""
    return float(architecture.shared_bytes_per_clock) if estimate.unit == "B/cycle/SM" else None
