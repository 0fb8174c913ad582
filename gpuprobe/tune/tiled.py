"""The analytic core of a tiled GEMM kernel: occupancy, waves, k-steps that multiply or wait, DRAM; and its features.

A wave of blocks walks its k-steps together; a step costs the largest of the SM's multiplications, its loads from L2 and
what of a load's latency the pipeline's stages do not hide. All functions take and give arrays, a row a configuration.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpuprobe.ops.tiling import FORMS, SHARED_BYTES
from gpuprobe.predict.machine import Machine

Array = NDArray[np.float64]

_WARPGROUP_ROWS: Final = 64  # rows of a wgmma; smaller tiles run on mma.sync, at 5/8 of the rate
_MMA_SYNC_SHARE: Final = 0.6
_L2_BYTES_PER_CLOCK: Final = 40.0  # per SM, under GEMM loads
_LOAD_CLOCKS: Final = 900.0  # an L2 load of a loaded machine, from issue to use
_EDGE_CLOCKS: Final = 1500.0  # filling the pipeline and storing the tile, a wave
_LAUNCH_S: Final = 3.0e-6
_RESERVED_SHARED: Final = 1024  # bytes of shared memory that the system takes of each block
_SM_SHARED: Final = 228 * 1024
_SM_REGISTERS: Final = 65536
_OTHER_REGISTERS: Final = 60  # of a thread, beside accumulators
_MOST_REGISTERS: Final = 255


class Work(NamedTuple):
    """GEMMs and configurations, a row each: sizes, bytes of an input element, index of the form in FORMS, tiling."""

    m: Array
    n: Array
    k: Array
    input_bytes: Array
    form: Array
    bm: Array
    bn: Array
    bk: Array
    gm: Array
    warps: Array
    stages: Array

    def rows(self, mask: NDArray[np.bool_]) -> Work:
        """The rows of a mask."""
        return Work(*(column[mask] for column in self))


def shared_bytes(work: Work) -> Array:
    """Shared memory of a block as Triton 3.6 takes it: the stages of A and B, and C where it leaves through it.

    Below 64 rows the tile runs on mma.sync, whose pipeline has one buffer less. TMA keeps a buffer of C beside them.
    """
    buffers = np.where(work.bm >= _WARPGROUP_ROWS, work.stages, np.maximum(work.stages - 1, 1))
    pipeline = buffers * work.bk * (work.bm + work.bn) * work.input_bytes
    c_tile = 2.0 * work.bm * work.bn
    return np.where(work.form == FORMS.index("triton-persistent"), pipeline + c_tile, np.maximum(pipeline, c_tile))


def accumulators(work: Work) -> Array:
    """FP32 accumulators of a thread."""
    return work.bm * work.bn / (32.0 * work.warps)


def is_valid(work: Work, most_shared: float = SHARED_BYTES) -> NDArray[np.bool_]:
    """Whether a configuration can be launched: shared memory, and accumulators that fit the registers."""
    fits: NDArray[np.bool_] = (shared_bytes(work) <= most_shared) & (accumulators(work) <= _MOST_REGISTERS + 1)
    return fits


class Parts(NamedTuple):
    """Time in s of each configuration, and what makes it up."""

    time_s: Array
    compute_s: Array
    dram_s: Array
    mma_clocks: Array
    l2_clocks: Array
    wait_clocks: Array
    step_clocks: Array
    occupancy: Array
    tiles: Array
    waves: Array
    fill: Array
    steps: Array
    shared_bytes: Array


def core(work: Work, machine: Machine) -> Parts:
    """The analytic time of each configuration on ``machine`` (of the type of ``work``)."""
    sms, clock = machine.sm_count, machine.clock_hz
    shared = shared_bytes(work)
    registers = np.minimum(accumulators(work) + _OTHER_REGISTERS, _MOST_REGISTERS)
    by_shared = np.floor(_SM_SHARED / (shared + _RESERVED_SHARED))
    resident = np.clip(np.minimum(by_shared, np.floor(_SM_REGISTERS / (registers * 32 * work.warps))), 1, 32)
    tiles = np.ceil(work.m / work.bm) * np.ceil(work.n / work.bn)
    steps = np.ceil(work.k / work.bk)
    persistent = work.form == FORMS.index("triton-persistent")
    resident = np.where(persistent, 1.0, resident)
    fill = tiles / (sms * resident)
    waves = np.ceil(fill)
    sharing = np.minimum(resident, np.ceil(tiles / sms))
    rate = machine.flop_per_s / (sms * clock) * np.where(work.bm < _WARPGROUP_ROWS, _MMA_SYNC_SHARE, 1.0)
    mma = 2.0 * work.bm * work.bn * work.bk / rate
    l2 = (work.bm + work.bn) * work.bk * work.input_bytes / _L2_BYTES_PER_CLOCK
    wait = _LOAD_CLOCKS / np.maximum(work.stages - 1, 1)
    step = np.maximum(np.maximum(mma, l2) * sharing, np.maximum(wait, mma))
    compute_s = waves * (steps * step + _EDGE_CLOCKS) / clock
    operands = (work.m * work.k + work.n * work.k) * work.input_bytes
    dram_s = (operands + 2.0 * work.m * work.n) / (machine.dram_bytes_per_s * 0.9)
    time_s = _LAUNCH_S + np.maximum(compute_s, dram_s)
    return Parts(time_s, compute_s, dram_s, mma, l2, wait, step, resident, tiles, waves, fill, steps, shared)


NAMES: Final = (
    "log_m", "log_n", "log_k", "log_mn", "log_flop", "log_core", "log_dram_share", "log_compute_share", "log_mma",
    "log_l2", "log_wait", "log_step", "log_bm", "log_bn", "log_bk", "log_area", "log_shape", "gm", "warps", "stages",
    "log_shared", "log_accumulators", "occupancy", "log_tiles", "tail", "log_waves", "log_steps", "log_padding",
    "tiles_m", "tiles_n", "log_fill", "input_bytes", "form", "a_tile", "b_tile", "log_mma_over_l2", "busy_sms",
    "k_remainder", "log_group_bytes", "operands_over_l2", "steps_over_stages", "group_edge", "rows_of_warp",
    "log_wait_path", "log_mma_path", "log_l2_path", "wait_share", "mma_share", "l2_share", "k_alignment", "n_alignment",
    "log_wave_bytes", "row_bytes",
)  # fmt: skip
"""Features of the residual, in order; an artefact states them."""


def features(work: Work, parts: Parts, machine: Machine) -> list[Array]:
    """The features in the order of NAMES; dimensionless but for sizes, no name of a GPU."""
    log, (m, n, k) = np.log, work[:3]
    tiles_m, tiles_n = np.ceil(m / work.bm), np.ceil(n / work.bn)
    group = np.minimum(work.gm, tiles_m)
    return [
        log(m), log(n), log(k), log(m * n), log(m * n * k), log(parts.time_s), log(parts.dram_s / parts.time_s),
        log(parts.compute_s / parts.time_s), log(parts.mma_clocks), log(parts.l2_clocks), log(parts.wait_clocks),
        log(parts.step_clocks), log(work.bm), log(work.bn), log(work.bk), log(work.bm * work.bn),
        log(work.bm / work.bn), work.gm, work.warps, work.stages, log(parts.shared_bytes), log(accumulators(work)),
        parts.occupancy, log(parts.tiles), parts.waves / parts.fill, log(parts.waves), log(parts.steps),
        log(tiles_m * work.bm * tiles_n * work.bn / (m * n)), tiles_m, tiles_n, log(parts.fill), work.input_bytes,
        work.form, work.bm * work.bk, work.bn * work.bk, log(parts.mma_clocks / parts.l2_clocks),
        np.minimum(parts.tiles, machine.sm_count) / machine.sm_count, (k % work.bk > 0).astype(float),
        log(group * work.bm * k * work.input_bytes), (m * k + n * k) * work.input_bytes / machine.l2_bytes,
        parts.steps / work.stages, tiles_m / work.gm, work.bm / work.warps, *_paths(work, parts, machine, group),
    ]  # fmt: skip


def _paths(work: Work, parts: Parts, machine: Machine, group: Array) -> list[Array]:
    """Time were waiting, multiplying or loading all there is, and its share; alignment of rows; bytes of a wave."""
    sharing = np.minimum(parts.occupancy, np.ceil(parts.tiles / machine.sm_count))
    walked_s = parts.waves * parts.steps / machine.clock_hz
    clocks = (parts.wait_clocks, parts.mma_clocks * sharing, parts.l2_clocks * sharing)
    paths = [np.log(walked_s * each) for each in clocks]
    across = np.ceil(np.minimum(parts.tiles, machine.sm_count * parts.occupancy) / group)
    return [
        *paths, *(path - np.log(parts.time_s) for path in paths), _alignment(work.k * work.input_bytes),
        _alignment(work.n * work.input_bytes),
        np.log((group * work.bm + across * work.bn) * work.k * work.input_bytes), work.bk * work.input_bytes,
    ]  # fmt: skip


def _alignment(row_bytes: Array) -> Array:
    """Log2 of the power of two that divides the bytes of a row, up to 512."""
    whole = row_bytes.astype(np.int64)
    alignment: Array = np.log2(np.minimum(whole & -whole, 512))
    return alignment
