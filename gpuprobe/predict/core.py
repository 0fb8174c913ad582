"""The analytic core: time of a GEMM from tiles, waves, k-steps, L2 and DRAM traffic and the launch.

For each of a few tiles: tiles over SMs give waves; an SM's wave costs the larger of its multiplications and its loads
from L2; where tiles do not fill the SMs, k is split. The fastest tile, but no faster than DRAM or L2 allow.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gpuprobe.ops.gemm import Dtype
from gpuprobe.predict.arithmetic import Arithmetic, Value
from gpuprobe.predict.machine import Machine

TILES: Final = (
    (128.0, 128.0),
    (128.0, 256.0),
    (256.0, 128.0),
    (64.0, 64.0),
    (192.0, 192.0),
    (64.0, 256.0),
    (256.0, 64.0),
)
"""Tiles (rows, columns of C) the core weighs: of the shapes that libraries take most often."""
SIZES: Final = tuple(sorted({size for tile in TILES for size in tile}))
PLACES: Final = tuple((SIZES.index(rows), SIZES.index(columns)) for rows, columns in TILES)
STEP: Final = 64.0  # k of a pipeline stage
REUSE: Final = 1 / 128 + 1 / 256  # loads from L2 per multiplication, in elements, of tiles of 128×256
WEIGHTS: Final = 6.0  # sets of weights that must fit in the L2 to be warm there: as published tables rotate
_WARM_BYTES_PER_CLOCK: Final = 5.0  # per SM: of L40S data; more than its DRAM gives, less than any HBM does
LEAST_STEPS: Final = 8.0  # fewer k-steps are not split: it would cost more than it gains
_NEVER: Final = 1e18  # steps that no k has: a type whose k is not split


class Problem(NamedTuple):
    """GEMM sizes as floats (or arrays of them), bytes of an input and of an output element, 1.0 for layout nn."""

    m: Value
    n: Value
    k: Value
    input_bytes: float
    output_bytes: float
    layout_nn: Value


class Core(NamedTuple):
    """Parts of a GEMM's time in s; per tile of TILES the tiles of C, the SMs' worth of them, waves, and time of SMs.

    ``mma_s``, ``l2_s`` and ``dram_s`` are what matrix units, L2 and DRAM take at the rates GEMMs reach, without tails.
    """

    time_s: Value
    mma_s: Value
    l2_s: Value
    dram_s: Value
    launch_s: float
    tiles: tuple[Value, ...]
    fills: tuple[Value, ...]
    waves: tuple[Value, ...]
    busy_s: tuple[Value, ...]


class Rates(NamedTuple):
    """A machine's numbers as ``core`` needs them: s per FLOP, byte of L2, byte of DRAM, and k-step of each tile."""

    launch_s: float
    mma_s: float
    l2_s: float
    dram_s: float
    per_sm: float
    steps_s: tuple[float, ...]
    warm_s: float = 0.0
    """s per byte of operands that stay in the L2; 0 where they are not thought to."""
    warm_bytes: float = 0.0
    least_steps: float = LEAST_STEPS


def rates(machine: Machine, dtype: Dtype, *, warm: bool = False) -> Rates:
    """The rates of a machine for a type; made once, used by every query.

    ``warm``: operands of a few layers that fit in the L2 come from there, at no more than small GEMMs draw on any GPU.
    """
    mma_s = 1.0 / (machine.flop_per_s * machine.mma_efficiency)
    l2_s = 1.0 / (machine.l2_bytes_per_clock * machine.clock_hz * machine.sm_count)
    sms = machine.sm_count
    steps = (
        max(
            2.0 * rows * columns * STEP * mma_s * sms,
            (rows + columns) * STEP * dtype.input_bytes * l2_s * sms,
            machine.step_s,
        )
        for rows, columns in TILES
    )
    dram_s = 1.0 / (machine.dram_bytes_per_s * machine.dram_efficiency)
    warm_s = 1.0 / (_WARM_BYTES_PER_CLOCK * machine.clock_hz * machine.sm_count) if warm else 0.0
    least_steps = LEAST_STEPS if dtype.splits_k else _NEVER
    return Rates(machine.launch_s, mma_s, l2_s, dram_s, 1.0 / sms, tuple(steps), warm_s, machine.l2_bytes, least_steps)


def core(problem: Problem, rate: Rates, ops: Arithmetic) -> Core:
    """The analytic time of a GEMM and its parts."""
    m, n, k, input_bytes, output_bytes, _ = problem
    ceil, minimum, maximum = ops.ceil, ops.minimum, ops.maximum
    dram_s = ((m * k + n * k) * input_bytes + m * n * output_bytes) * rate.dram_s
    volume = m * n * k
    steps = ceil(k / STEP)
    least_share = minimum(1.0, rate.least_steps / steps)
    along_m = [ceil(m / size) for size in SIZES]
    along_n = [ceil(n / size) for size in SIZES]
    best = None
    tiles, fills, waves, busy = [], [], [], []
    for (rows, columns), step_s in zip(PLACES, rate.steps_s, strict=True):
        count = along_m[rows] * along_n[columns]
        fill = count * rate.per_sm
        wave = ceil(fill)
        time = wave * maximum(least_share, minimum(1.0, fill)) * step_s
        tiles.append(count)
        fills.append(fill)
        waves.append(wave)
        busy.append(time * steps)
        best = time if best is None else minimum(best, time)
    moved_s = dram_s
    if rate.warm_s:
        moved = (m * k + n * k) * input_bytes + m * n * output_bytes
        fits = 1 * (moved + (WEIGHTS - 1.0) * n * k * input_bytes <= rate.warm_bytes)
        moved_s = (1 - fits) * dram_s + fits * minimum(dram_s, moved * rate.warm_s)
    total = rate.launch_s + maximum(best * steps, moved_s)
    mma_s, l2_s = 2.0 * volume * rate.mma_s, volume * input_bytes * REUSE * rate.l2_s
    of_tiles = tuple(tiles), tuple(fills), tuple(waves), tuple(busy)
    return Core(total, mma_s, l2_s, dram_s, rate.launch_s, *of_tiles)


BOUNDS: Final = ("compute", "l2", "dram", "launch", "power")


def bound(parts: Core, ops: Arithmetic) -> Value:
    """Index in BOUNDS of the largest part of the time; of equal parts the first."""
    largest = ops.maximum(ops.maximum(parts.mma_s, parts.l2_s), ops.maximum(parts.dram_s, parts.launch_s))
    is_compute, is_l2, is_dram = (1 * (part >= largest) for part in (parts.mma_s, parts.l2_s, parts.dram_s))
    return (1 - is_compute) * (is_l2 + (1 - is_l2) * (2 * is_dram + 3 * (1 - is_dram)))
