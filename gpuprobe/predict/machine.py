"""What the analytic core knows of a GPU: rates of one type's matrix units, L2 and DRAM, sizes, launch and power."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from gpuprobe import device
from gpuprobe.errors import GpuprobeError
from gpuprobe.profile import DeviceProfile
from gpuprobe.record import DeviceSpec

# Names of a type's dense rate in a device file, in the order they are asked for; fp32 runs on the ordinary cores.
_RATES: Final[Mapping[str, tuple[str, ...]]] = {
    "bf16": ("tensor_bf16_flop_per_s", "tensor_f16_flop_per_s"),
    "fp16": ("tensor_f16_flop_per_s", "tensor_bf16_flop_per_s"),
    "tf32": ("tensor_tf32_flop_per_s",),
    "fp32": ("fp32_flop_per_s",),
    "fp8": ("tensor_e4m3_flop_per_s",),
    "int8": ("tensor_s8_op_per_s",),
}
# Median of what core times fitted to A100, H100, H200 and L40S data need; in clocks they differ least.
_LAUNCH_CLOCKS: Final = 5000.0
# Power cap over dense f16 rate where a device states no cap: 0.71 pJ on H100, 0.97 on L40S, 1.28 on A100.
_JOULE_PER_PEAK_FLOP: Final = 0.9e-12
_TENSOR_KINDS: Final = {"bf16": "bf16", "fp16": "f16", "tf32": "tf32", "fp8": "e4m3", "int8": "s8"}


POWERS: Final = ("static_w", "busy_w", "joule_per_flop", "joule_per_byte", "tdp_w")
"""Numbers of a Machine that make up its power."""


@dataclass(frozen=True)
class Machine:
    """A GPU as the core sees it, for one GEMM type; SI units, times in s.

    ``mma_efficiency``, ``dram_efficiency`` and ``l2_bytes_per_clock`` (per SM) are what GEMMs reach; ``launch_s`` is
    the time of an empty GEMM inside a graph, ``step_s`` the least time of a k-step of 64; ``static_w``,
    ``busy_w`` (of all SMs with a thread block), ``joule_per_flop`` and ``joule_per_byte`` make up the power at
    ``clock_hz``, of which ``tdp_w`` is the cap.
    """

    sm_count: float
    clock_hz: float
    flop_per_s: float
    dram_bytes_per_s: float
    l2_bytes: float
    tdp_w: float
    mma_efficiency: float = 0.7
    dram_efficiency: float = 0.8
    l2_bytes_per_clock: float = 50.0
    launch_s: float = 2.6e-6
    step_s: float = 5.0e-8
    static_w: float = 0.0
    joule_per_flop: float = 0.0
    joule_per_byte: float = 0.0
    busy_w: float = 0.0

    def document(self) -> dict[str, float]:
        """The numbers as a JSON object; ``busy_w`` where it was fitted."""
        return {name: value for name, value in asdict(self).items() if name != "busy_w" or value}


def from_document(document: Mapping[str, Any]) -> Machine:
    """A Machine from its JSON object; KeyError, TypeError or ValueError where it is none."""
    numbers = {item.name: float({"busy_w": 0.0, **document}[item.name]) for item in fields(Machine)}
    if not all(math.isfinite(number) and number >= 0 for number in numbers.values()):
        raise ValueError("a number of the machine is negative or not finite")
    return Machine(**numbers)


def machine(spec: DeviceSpec, dtype: str) -> Machine:
    """The Machine of a catalogue's device by its datasheet and typical efficiencies, for a GEMM type."""
    clock_hz = spec.get("tensor_boost_clock_hz") or spec["boost_clock_hz"]
    flop_per_s = _peak(spec, dtype, clock_hz)
    tdp_w = spec.get("tdp_w") or _JOULE_PER_PEAK_FLOP * (spec.get("tensor_f16_flop_per_s") or flop_per_s)
    # A third of the power at rest in clocked silicon, the rest by the matrix units or the DRAM at full rate: the split
    # that 1.2 s runs on an H100 show; the interval of a power without own data allows for ±25 %.
    dynamic_w = 0.75 * tdp_w
    return Machine(
        sm_count=spec["sm_count"],
        clock_hz=clock_hz,
        flop_per_s=flop_per_s,
        dram_bytes_per_s=spec["dram_bandwidth_bytes_per_s"],
        l2_bytes=spec["l2_bytes"],
        tdp_w=tdp_w,
        launch_s=_LAUNCH_CLOCKS / spec["boost_clock_hz"],
        static_w=0.25 * tdp_w,
        joule_per_flop=1.2 * dynamic_w / (0.75 * flop_per_s),
        joule_per_byte=0.6 * dynamic_w / (0.9 * spec["dram_bandwidth_bytes_per_s"]),
    )


def with_profile(made: Machine, profile: DeviceProfile, dtype: str) -> Machine:
    """``made`` with what a profile knows of power and no data sheet states: at rest, per operation, per byte of DRAM.

    What the profile lacks stays as it is. Energies are those of random operands; power at rest is that of awake SMs.
    """
    kind = _TENSOR_KINDS.get(dtype, "")
    multiply_add = profile.energy(f"wgmma {kind}") or profile.energy(f"mma.sync {kind}")
    if dtype == "fp32":
        multiply_add = profile.energy("FFMA")
    bit, rest = profile.energy("DRAM read"), profile.power("awake")
    return replace(
        made,
        static_w=rest.value if rest else made.static_w,
        joule_per_flop=multiply_add.value / 2 if multiply_add else made.joule_per_flop,
        joule_per_byte=bit.value * 8 if bit else made.joule_per_byte,
    )


def _peak(spec: DeviceSpec, dtype: str, clock_hz: float) -> float:
    """Dense peak of a type in FLOP/s: as stated, else from the product's rate per SM and clock."""
    for key in _RATES[dtype]:
        stated = spec.get(key)
        if stated is not None:
            return stated
    rate = device.tensor_fma(spec, _TENSOR_KINDS.get(dtype, ""))
    if rate is None:
        raise GpuprobeError(
            f"no rate of {dtype} is known for {spec.name}", f"add {_RATES[dtype][0]} to its device file"
        )
    return 2.0 * rate * spec["sm_count"] * clock_hz
