"""GEMMs that no data speak of: the analytic core alone with wide intervals, borrowed models, and what was not timed."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np

from gpuprobe.ops.gemm import LAYOUTS
from gpuprobe.predict import transfer
from gpuprobe.predict.arithmetic import ARRAY, SCALAR, Arithmetic, Value
from gpuprobe.predict.core import BOUNDS, Core
from gpuprobe.predict.domain import RANGED
from gpuprobe.predict.forest import LEVELS, Forest, with_constant
from gpuprobe.predict.head import Head
from gpuprobe.predict.lasting import Settled, Triple
from gpuprobe.predict.machine import POWERS, Machine, machine
from gpuprobe.predict.power import Sustained
from gpuprobe.record import DeviceSpec

ANALYTIC: Final = "analytic"
TWINS: Final = {"fp16": "bf16", "bf16": "fp16"}
"""Types that run on the same kernels at the same rate: the model of one answers for the other, out of domain."""
POWER_SPREAD: Final = 0.25
_ABOVE_CAP: Final = 1.02
_BORROWED: Final = 1.6  # a model of the twin type errs as much more
_ANALYTIC_SPREAD: Final = 0.25  # log error of the core by datasheet on GPUs whose data it has not seen
_LEARNED_SPREAD: Final = 0.19  # the same with what other chips teach: nine in ten over chips left out one at a time
_BAND: Final = (-1.7, 1.7)
# Of the project's H100 data: ragged sizes run on older kernels, at a sixth of the matrix units' rate, and slower loads.
_RAGGED_MMA: Final = 0.18
_RAGGED_DRAM: Final = 0.55
_RAGGED_L2: Final = 0.3
_ANALYTIC: Final = "analytic core by datasheet numbers; no data of this GPU and type"
_LEARNED: Final = f"{_ANALYTIC}; half of what the core misses on A100, H100, H200 and L40S"
_COLD_HIGH: Final = 1.4  # 95th percentile of cold / hot on an H100
_LASTING: Final = (0.93, 1.15)  # a sustained time against its analytic value


class ZeroShot:
    """Heads for one device by its datasheet numbers and what other chips' data teach, each made when first asked for.

    ``residual`` stands in for the shipped forest of ``transfer``.
    """

    def __init__(self, spec: DeviceSpec, residual: Forest | None = None) -> None:
        self._spec = spec
        self._residual = residual
        self._heads: dict[tuple[str, int], Head] = {}

    def head(self, dtype: str, ragged: int) -> Head:
        """The head of a type and class; GpuprobeError where the device states no rate of the type."""
        if (dtype, ragged) not in self._heads:
            self._heads[dtype, ragged] = self._made(dtype, ragged)
        return self._heads[dtype, ragged]

    def _made(self, dtype: str, ragged: int) -> Head:
        rates = machine(self._spec, dtype)
        if ragged:
            rates = replace(
                rates,
                mma_efficiency=rates.mma_efficiency * _RAGGED_MMA,
                dram_efficiency=rates.dram_efficiency * _RAGGED_DRAM,
                l2_bytes_per_clock=rates.l2_bytes_per_clock * _RAGGED_L2,
            )
        learned = dtype in transfer.DTYPES and not ragged
        spread = math.log(_LEARNED_SPREAD if learned else _ANALYTIC_SPREAD * (2.0 if ragged else 1.0))
        forest = with_constant(self._residual or transfer.shipped(), spread) if learned else _constant([0.0, spread])
        return Head(
            dtype=dtype,
            ragged=ragged,
            layouts=LAYOUTS,
            targets=("hot",),
            protocol=_LEARNED if learned else _ANALYTIC,
            machine=rates,
            forest=forest,
            bands=[[list(_BAND)] * len(BOUNDS)],
            ranges=((-np.inf, np.inf),) * len(RANGED),
            warm=True,
        )


def _constant(outputs: list[float]) -> Forest:
    """A forest without trees."""
    none = np.zeros((0, LEVELS))
    return Forest(none.astype(np.int16), none.astype(np.float32), np.zeros((0, 2, len(outputs)), np.float32),
                  np.array(outputs))  # fmt: skip


def borrowed(head: Head, dtype: str) -> Head:
    """A head of the twin type as the head of ``dtype``, with wider intervals."""
    bands = [[[_BORROWED * low, _BORROWED * high] for low, high in regimes] for regimes in head.bands]
    return replace(head, dtype=dtype, bands=bands, protocol=f"{head.protocol}; a model of {head.dtype}, not of {dtype}")


def lasting_of(head: Head, other: Head | None, gpu: str) -> Head:
    """The head with the sustained model of the same class on another GPU of its chip: wider, and out of domain.

    Its power's interval ends a little above the cap, as an analytic one does.
    """
    if other is None or other.lasting is None:
        return head
    bands = [[[_BORROWED * low, _BORROWED * high] for low, high in regimes] for regimes in other.lasting.bands]
    fitted = {name: getattr(other.machine, name) for name in POWERS}
    return replace(
        head, machine=replace(head.machine, **fitted),
        lasting=replace(other.lasting, bands=bands, layouts=(), most_w=_ABOVE_CAP * head.machine.tdp_w),
        protocol=f"{head.protocol.split(';')[0]}; sustained, power and clock by the model of {gpu}",
    )  # fmt: skip


def power(value_w: Value, cap_w: float, ops: Arithmetic) -> Triple:
    """An analytic power with its interval, which ends a little above the cap: the cap holds on average only."""
    high = ops.minimum(value_w * (1 + POWER_SPREAD), ops.maximum(value_w, cap_w * _ABOVE_CAP))
    return value_w, value_w * (1 - POWER_SPREAD), high


def cold(hot: Triple, parts: Core) -> Triple:
    """Time with operands from DRAM where only one time was measured: that time, or DRAM's where it is longer."""
    return _cold(hot, parts, SCALAR)


def cold_many(hot: Triple, parts: Core) -> Triple:
    """As ``cold``, for arrays."""
    return _cold(hot, parts, ARRAY)


def _cold(hot: Triple, parts: Core, ops: Arithmetic) -> Triple:
    value = ops.maximum(hot[0], parts.dram_s)
    return value, hot[1], ops.maximum(hot[2], value) * _COLD_HIGH


def settled(state: Sustained, cold_s: Triple, measured_w: Triple | None, machine: Machine, ops: Arithmetic) -> Settled:
    """The sustained state where none was measured: the power balance, about the cold time's interval.

    ``measured_w`` is a fitted power, where the source of the data gave one.
    """
    low, high = _LASTING
    time_s = state.time_s
    triple = (time_s, time_s * (cold_s[1] / cold_s[0]) * low, time_s * (cold_s[2] / cold_s[0]) * high)
    power_w = measured_w or power(state.power_w, machine.tdp_w, ops)
    return Settled(triple, power_w, state.sm_clock_hz, False)


def energy(power_w: Triple, time_s: Triple) -> Triple:
    """Energy in J of one GEMM; the ends combine those of power and time as independent errors."""
    value = power_w[0] * time_s[0]
    down = ((1 - power_w[1] / power_w[0]) ** 2 + (1 - time_s[1] / time_s[0]) ** 2) ** 0.5
    up = ((power_w[2] / power_w[0] - 1) ** 2 + (time_s[2] / time_s[0] - 1) ** 2) ** 0.5
    return value, value / (1 + down), value * (1 + up)
