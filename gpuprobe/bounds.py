"""Physical limits of what probes measure: a value above one is an error, not a result."""

from __future__ import annotations

from collections.abc import Callable

from gpuprobe import device as catalogue
from gpuprobe.arch import Architecture
from gpuprobe.estimate import Estimate
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
