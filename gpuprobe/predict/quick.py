"""Core and features of one GEMM in plain numbers: what ``core`` and ``features`` give, to the bit, in half their time.

A single query is asked in the inner loop of a tuner. A test holds these formulas and those for arrays together. Where
there is the native walk, it plays ``core`` and ``features`` themselves from a tape.
"""

from __future__ import annotations

import math
from typing import Final

from gpuprobe.predict.core import PLACES, REUSE, SIZES, STEP, WEIGHTS, Core, Rates
from gpuprobe.predict.features import EDGES, LOG_AREAS, POWERS

_TILES: Final = tuple(zip(PLACES, LOG_AREAS, strict=True))
_EDGES: Final = tuple((int(edge), int(edge) - 1) for edge in EDGES)
_SIZES: Final = tuple(int(size) for size in SIZES)
_STEP: Final = int(STEP)


def quick(m: int, n: int, k: int, nn: float, rate: Rates, element_bytes: tuple[int, int]) -> tuple[Core, list[float]]:
    """The core's times (of its tiles none are named) and the features of NAMES."""
    log, ceil = math.log, math.ceil
    rows_of, columns_of, depth = float(m), float(n), float(k)
    per_sm, c_elements = rate.per_sm, rows_of * columns_of
    operands = rows_of * depth + columns_of * depth
    moved = operands * element_bytes[0] + c_elements * element_bytes[1]
    dram_s = moved * rate.dram_s
    volume = c_elements * depth
    steps = -(-k // _STEP)
    least_share = rate.least_steps / steps if steps > rate.least_steps else 1.0
    along_m = [-(-m // size) for size in _SIZES]
    along_n = [-(-n // size) for size in _SIZES]
    log_m, log_n, log_k = log(rows_of), log(columns_of), log(depth)
    log_mn = log_m + log_n
    tiles: list[float] = []
    times: list[float] = []
    for ((rows, columns), log_area), step_s in zip(_TILES, rate.steps_s):  # noqa: B905 -- both are of TILES; strict costs time
        count = along_m[rows] * along_n[columns]
        fill = count * per_sm
        wave = ceil(fill)
        share = fill if fill < 1.0 else 1.0
        time = wave * (share if share > least_share else least_share) * step_s
        times.append(time)
        log_tiles = log(count)
        tiles += (log_tiles, wave / fill, log_tiles + log_area - log_mn)
    busy_s, moved_s = min(times) * steps, dram_s
    if rate.warm_s and moved + (WEIGHTS - 1.0) * n * k * element_bytes[0] <= rate.warm_bytes:
        moved_s = min(dram_s, moved * rate.warm_s)
    total_s = rate.launch_s + (busy_s if busy_s > moved_s else moved_s)
    mma_s, l2_s = 2.0 * volume * rate.mma_s, volume * element_bytes[0] * REUSE * rate.l2_s
    log_bytes, log_core, log_flop = log(operands + c_elements), log(total_s), log_mn + log_k
    row = [
        log_m, log_n, log_k, log_mn, log_m + log_k, log_n + log_k, log_flop, log_bytes, log(operands),
        log_flop - log_bytes, log_core, log(dram_s) - log_core, log(mma_s) - log_core, nn,
        math.gcd(m, POWERS), math.gcd(n, POWERS), math.gcd(k, POWERS), steps, *tiles,
    ]  # fmt: skip
    for size in (m, n):
        row += [(size + rest) // edge * edge / size for edge, rest in _EDGES]
    row += [log(time * steps) - log_core for time in times]
    row += (log_m - log_n, log_n - log_k, log_m - log_k)
    return Core(total_s, mma_s, l2_s, dram_s, rate.launch_s, (), (), (), ()), row


def bound_of(parts: Core) -> int:
    """As ``core.bound``, of one GEMM."""
    mma_s, l2_s, dram_s, launch_s = parts.mma_s, parts.l2_s, parts.dram_s, parts.launch_s
    if mma_s >= l2_s and mma_s >= dram_s and mma_s >= launch_s:
        return 0
    if l2_s >= dram_s and l2_s >= launch_s:
        return 1
    return 2 if dram_s >= launch_s else 3
