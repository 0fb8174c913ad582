"""Power and sustained time by an analytic balance: power at rest, of busy SMs, per operation and byte, and the cap.

Where the power at full clock is above the cap, the clock falls; the dynamic power falls with its 2.5th power (voltage
follows the clock), the time of what the matrix units bound grows with its inverse. On an H100 that gives the measured
16 % for an 8192³ GEMM (1386 µs in the first 100 ms, 1605 µs sustained at 695 W).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gpuprobe.predict.arithmetic import SCALAR, Arithmetic, Value
from gpuprobe.predict.core import Core, Problem
from gpuprobe.predict.machine import Machine

_CLOCK_POWER: Final = 2.5
_EDGE: Final = 64.0
_SPLIT: Final = 512.0
_LOWEST_CLOCK: Final = 0.4  # of the clock at rest: no cap was seen to push a GEMM further down


class Sustained(NamedTuple):
    """Time in s, power in W and SM clock in Hz once the power cap has settled.

    ``load`` is the dynamic power at full clock over what the cap allows: above 1 the clock falls.
    """

    time_s: Value
    power_w: Value
    sm_clock_hz: Value
    load: Value


def core_power_w(problem: Problem, parts: Core, machine: Machine, ops: Arithmetic) -> Value:
    """Power in W while the GEMM repeats in the core's time, at most the cap."""
    return ops.minimum(machine.static_w + _dynamic_w(problem, parts.time_s, machine), machine.tdp_w)


def _dynamic_w(problem: Problem, time_s: Value, machine: Machine) -> Value:
    m, n, k = problem.m, problem.n, problem.k
    moved = (m * k + n * k) * problem.input_bytes + m * n * problem.output_bytes
    return (machine.joule_per_flop * 2.0 * m * n * k + machine.joule_per_byte * moved) / time_s


def core_blocks(problem: Problem, machine: Machine, ops: Arithmetic) -> Value:
    """SMs with a thread block, as tiles of 64×64 with k split in parts of 512 would have it."""
    m, n, k = problem.m, problem.n, problem.k
    tiles = ops.ceil(m / _EDGE) * ops.ceil(n / _EDGE) * ops.maximum(1.0, k / _SPLIT)
    return ops.minimum(tiles, machine.sm_count)


def sustained(
    problem: Problem, parts: Core, cold_s: Value, blocks: Value, machine: Machine, ops: Arithmetic = SCALAR
) -> Sustained:
    """The sustained state of a GEMM whose time with cold operands is ``cold_s``, on so many SMs (``blocks``)."""
    busy = ops.minimum(blocks, machine.sm_count) / machine.sm_count * ops.maximum(1.0 - machine.launch_s / cold_s, 0.0)
    dynamic_w = _dynamic_w(problem, cold_s, machine) + machine.busy_w * busy
    allowed_w = ops.maximum(machine.tdp_w - machine.static_w, 1e-9)
    load = dynamic_w / allowed_w
    excess = ops.maximum(load, 1.0)
    clock = ops.maximum(excess ** (-1.0 / _CLOCK_POWER), _LOWEST_CLOCK)
    by_clock = ops.minimum(ops.maximum(parts.mma_s, parts.l2_s) / parts.time_s, 1.0)
    time_s = cold_s * (1.0 + by_clock * (1.0 / clock - 1.0))
    power_w = ops.minimum(machine.static_w + dynamic_w, machine.tdp_w)
    return Sustained(time_s, power_w, machine.clock_hz * clock, load)
