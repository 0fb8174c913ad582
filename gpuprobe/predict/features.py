"""What the learned residual sees of a GEMM: logs of sizes; waves, padding and time per tile; alignment; no GPU."""

from __future__ import annotations

import math
from typing import Final

from gpuprobe.predict.arithmetic import Arithmetic, Value
from gpuprobe.predict.core import TILES, Core, Problem

EDGES: Final = (64.0, 128.0, 256.0)
LOG_AREAS: Final = tuple(math.log(rows * columns) for rows, columns in TILES)
POWERS: Final = 4096  # alignment beyond which nothing changes


def _names() -> tuple[str, ...]:
    tiles = [f"{kind}_{rows:.0f}x{columns:.0f}" for rows, columns in TILES for kind in ("tiles", "tail", "padding")]
    edges = [f"edge_{size}_{edge:.0f}" for size in "mn" for edge in EDGES]
    return (
        "log_m", "log_n", "log_k", "log_mn", "log_mk", "log_nk", "log_flop", "log_bytes", "log_operands",
        "log_intensity", "log_core", "log_dram_share", "log_mma_share", "layout_nn", "align_m", "align_n", "align_k",
        "steps", *tiles, *edges, *(f"slower_{rows:.0f}x{columns:.0f}" for rows, columns in TILES),
        "log_m_over_n", "log_n_over_k", "log_m_over_k",
    )  # fmt: skip


NAMES: Final = _names()
"""Name of each feature, in order; an artefact states them, so that one made for others is refused.

Those from ``slower`` on are for types and classes with few rows; models of published tables do not see them."""
OF_TABLES: Final = NAMES.index(f"slower_{TILES[0][0]:.0f}x{TILES[0][1]:.0f}")
"""Number of leading features that models of published tables see."""


def features(problem: Problem, parts: Core, ops: Arithmetic) -> list[Value]:
    """The features in the order of NAMES."""
    m, n, k, log = problem.m, problem.n, problem.k, ops.log
    log_m, log_n, log_k = log(m), log(n), log(k)
    log_mn, log_flop = log_m + log_n, log_m + log_n + log_k
    log_bytes, log_core = log(m * k + n * k + m * n), log(parts.time_s)
    row = [
        log_m, log_n, log_k, log_mn, log_m + log_k, log_n + log_k, log_flop, log_bytes, log(m * k + n * k),
        log_flop - log_bytes, log_core, log(parts.dram_s) - log_core, log(parts.mma_s) - log_core, problem.layout_nn,
        ops.gcd(m, POWERS), ops.gcd(n, POWERS), ops.gcd(k, POWERS), ops.ceil(k / 64.0),
    ]  # fmt: skip
    for log_area, tiles, fill, waves in zip(LOG_AREAS, parts.tiles, parts.fills, parts.waves, strict=True):
        log_tiles = log(tiles)
        row += (log_tiles, waves / fill, log_tiles + log_area - log_mn)
    ceil = ops.ceil
    for size in (m, n):
        for edge in EDGES:
            row.append(ceil(size / edge) * edge / size)
    row += [log(busy_s) - log_core for busy_s in parts.busy_s]
    row += (log_m - log_n, log_n - log_k, log_m - log_k)
    return row
