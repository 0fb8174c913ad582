"""The analytic core of a tiled GEMM kernel: what an SM multiplies and loads, what a block waits for, L2, DRAM.

Four things go on at once, and the slowest of them sets the time: the SM's throughput over all its blocks, the way of
one block through its k-steps (a chain of load latencies that the pipeline's stages divide, and of steps that cannot
overlap), the L2 of the whole chip, and DRAM. The constants are fitted (``benchmarks/tile_costs.py``). All functions
take and give arrays, a row a configuration.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpuprobe.ops.tiling import FORMS, SHARED_BYTES
from gpuprobe.predict.machine import Machine

Array = NDArray[np.float64]

_WARPGROUP_ROWS: Final = 64  # rows of a wgmma; smaller tiles run on mma.sync
_RESERVED_SHARED: Final = 1024  # bytes of shared memory that the system takes of each block
_SM_SHARED: Final = 228 * 1024
_SM_REGISTERS: Final = 65536
_OTHER_REGISTERS: Final = 60  # of a thread, beside accumulators
_MOST_REGISTERS: Final = 255
_LINE: Final = 128  # bytes of a cache line, which a request for a row asks for at most
_WARP_LOAD: Final = 512  # bytes that a warp's load instruction fetches at most


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


class Costs(NamedTuple):
    """What a form's loops cost, in clocks where nothing else is said; fitted to sweeps on an H100 SXM.

    A load takes ``latency``, more where the operands outgrow the L2 (``spill_share`` of it, ``spill_width``) and a
    little a KiB. A k-step of mma.sync costs a time a 32-byte slice of k; eight warps wait for each other longer than
    four. ``rate`` and its like are shares of the peak (of wgmma above 1, since times are summed that overlap),
    ``narrow`` the power by which columns below 64 slow it. ``request`` is an SM's time a line asked for, ``path`` and
    ``sync_path`` what one block can load (B/clock), ``chip`` what the L2 gives all of them; of what blocks side by
    side load alike, a share ``alone`` is fetched for each. ``hot`` and ``chip_hot`` are the price of lines that
    everybody asks for: rows and columns of a tile wider than its matrix. ``edge`` and ``store`` (16 elements of C) are
    a tile's, ``spill`` the slow-down of a thread whose accumulators do not fit.
    """

    latency: Array | float
    dram_latency: Array | float
    per_kib: Array | float
    spill_share: Array | float
    spill_width: Array | float
    step: Array | float
    sync_step: Array | float
    slice_16: Array | float
    slice_8: Array | float
    eight: Array | float
    sync_eight: Array | float
    rate: Array | float
    narrow: Array | float
    sync_rate: Array | float
    sync_rate_8: Array | float
    path: Array | float
    sync_path: Array | float
    request: Array | float
    chip: Array | float
    hot: Array | float
    chip_hot: Array | float
    repeat: Array | float
    edge: Array | float
    store: Array | float
    launch_us: Array | float
    dram: Array | float
    spill: Array | float
    alone: Array | float


COSTS: Final[tuple[Costs, Costs]] = (
    Costs(
        latency=416, dram_latency=535.9, per_kib=21.42, spill_share=0.6188, spill_width=0.05517, step=12.66,
        sync_step=70.56, slice_16=62.98, slice_8=133.3, eight=40.54, sync_eight=266.4, rate=1.753, narrow=0.9373,
        sync_rate=0.3057, sync_rate_8=0.1885, path=124.9, sync_path=87.69, request=1.647, chip=2556, hot=3.385,
        chip_hot=0.4596, repeat=3.303, edge=2466, store=2.153, launch_us=0.8603, dram=1.003, spill=7.399, alone=0.4047,
    ),
    Costs(
        latency=471.6, dram_latency=547, per_kib=22.36, spill_share=0.5729, spill_width=0.09788, step=196.4,
        sync_step=254.1, slice_16=40, slice_8=86.24, eight=110.6, sync_eight=103.7, rate=2.353, narrow=1.206,
        sync_rate=0.3187, sync_rate_8=0.1632, path=118.7, sync_path=69.37, request=1.063, chip=2243, hot=1.127,
        chip_hot=0.06032, repeat=3, edge=409.1, store=1.205, launch_us=1.895, dram=0.9, spill=10.41, alone=0.2659,
    ),
)  # fmt: skip
"""By form, in the order of FORMS."""


def shared_bytes(work: Work) -> Array:
    """Shared memory of a block as Triton 3.6 takes it: the stages of A and B, and C where it leaves through it.

    Below 64 rows the tile runs on mma.sync, whose pipeline has one buffer less. TMA keeps a buffer of C beside them.
    """
    buffers = np.where(work.bm >= _WARPGROUP_ROWS, work.stages, np.maximum(work.stages - 1, 1))
    pipeline = buffers * work.bk * (work.bm + work.bn) * work.input_bytes
    c_tile = 2.0 * work.bm * work.bn
    return np.where(_is_persistent(work), pipeline + c_tile, np.maximum(pipeline, c_tile))


def accumulators(work: Work) -> Array:
    """FP32 accumulators of a thread."""
    return work.bm * work.bn / (32.0 * work.warps)


def is_valid(work: Work, most_shared: float = SHARED_BYTES) -> NDArray[np.bool_]:
    """Whether a configuration can be launched: shared memory, and accumulators that fit the registers."""
    fits: NDArray[np.bool_] = (shared_bytes(work) <= most_shared) & (accumulators(work) <= _MOST_REGISTERS + 1)
    return fits


def _is_persistent(work: Work) -> NDArray[np.bool_]:
    persistent: NDArray[np.bool_] = work.form == FORMS.index("triton-persistent")
    return persistent


class Parts(NamedTuple):
    """Time in s of each configuration, and what makes it up in clocks; ``each`` blocks' worth of tiles a SM."""

    time_s: Array
    clocks: Array
    multiply: Array
    requests: Array
    throughput: Array
    block: Array
    chip: Array
    work: Array
    waits: Array
    fills: Array
    outs: Array
    dram: Array
    latency: Array
    step: Array
    path: Array
    missed: Array
    crowd: Array
    busy: Array
    resident: Array
    each: Array
    tiles: Array
    steps: Array
    shared_bytes: Array


class _Loads(NamedTuple):
    """Of a k-step of one block: bytes, lines asked for, and how much of it everybody else asks for too."""

    bytes: Array
    lines: Array
    crowd: Array


def _loads(work: Work, repeat: Array | float) -> _Loads:
    tma, size = _is_persistent(work), work.input_bytes
    row_bytes = work.bk * size
    lines = np.maximum(1.0, row_bytes / _LINE)
    rows = np.where(tma, np.minimum(work.bm, work.m), work.bm)  # TMA fetches nothing beyond the matrix
    columns = np.where(tma, np.minimum(work.bn, work.n), work.bn)
    by_k = tma | (size == 1)  # B lies by columns; by rows in the 16-bit kernel of pointers
    b_lines = np.where(by_k, columns * lines, work.bk * np.maximum(1.0, columns * size / _LINE))
    beyond = (np.maximum(work.bm - work.m, 0.0) + np.maximum(work.bn - work.n, 0.0)) * lines
    a_again = _again(work.bm, work.m, row_bytes, lines)
    by_rows = np.where(work.bn > work.n, work.bn / np.minimum(work.n, work.bn) * repeat, 0.0)
    b_again = np.where(by_k, _again(work.bn, work.n, row_bytes, lines), by_rows)
    crowd = np.where(tma, beyond, a_again + b_again)
    return _Loads((rows + columns) * row_bytes, rows * lines + b_lines, crowd)


def _alike(work: Work, busy: Array) -> Array:
    """Share of what the busy blocks load that a block beside them loads as well: rows of A, columns of B."""
    tiles_m, tiles_n = np.ceil(work.m / work.bm), np.ceil(work.n / work.bn)
    down = np.minimum(np.minimum(work.gm, tiles_m), busy)
    across = np.minimum(np.ceil(busy / down), tiles_n)
    down = np.minimum(np.ceil(busy / across), tiles_m)
    return 1.0 - (down * work.bm + across * work.bn) / (busy * (work.bm + work.bn))


def _again(block: Array, size: Array, row_bytes: Array, lines: Array) -> Array:
    """Loads of a row that a tile wider than its matrix repeats: a warp asks once for equal addresses."""
    rows_of_load = np.maximum(1.0, _WARP_LOAD / row_bytes)
    distinct = np.minimum(size, block)
    loads = block * np.maximum(row_bytes / _WARP_LOAD, 1.0 / rows_of_load)
    return np.where(block > size, loads * np.minimum(rows_of_load, distinct) / (distinct * lines), 0.0)


def _costs(form: Array, costs: tuple[Costs, Costs]) -> Costs:
    first = int(form[0]) if len(form) else 0
    if (form == first).all():
        return costs[first]
    return Costs(*(np.where(form == 1, two, one) for one, two in zip(*costs, strict=True)))


def _sum(*times: Array) -> Array:
    """What overlapping times come to: hardly more than the longest, unless another is nearly as long."""
    total: Array = np.cbrt(sum(time * time * time for time in times))
    return total


def core(work: Work, machine: Machine, costs: tuple[Costs, Costs] = COSTS) -> Parts:
    """The analytic time of each configuration on ``machine`` (of the type of ``work``)."""
    cost, sms, persistent = _costs(work.form, costs), machine.sm_count, _is_persistent(work)
    wide, eight, size = work.bm >= _WARPGROUP_ROWS, work.warps >= 8, work.input_bytes
    shared, held = shared_bytes(work), accumulators(work)
    registers = np.minimum(held + _OTHER_REGISTERS, _MOST_REGISTERS)
    by_shared = np.floor(_SM_SHARED / (shared + _RESERVED_SHARED))
    resident = np.clip(np.minimum(by_shared, np.floor(_SM_REGISTERS / (registers * 32 * work.warps))), 1, 32)
    resident = np.where(persistent, 1.0, resident)
    tiles = np.ceil(work.m / work.bm) * np.ceil(work.n / work.bn)
    steps, each = np.ceil(work.k / work.bk), np.ceil(tiles / sms)
    waves, busy = np.ceil(tiles / (sms * resident)), np.minimum(tiles, sms * resident)
    spills = np.where(held >= _MOST_REGISTERS, 1.0 + cost.spill, 1.0)

    narrow = np.where(wide, np.maximum(1.0, 64.0 / np.where(eight & (work.bm == 64), work.bn / 2, work.bn)), 1.0)
    rate = np.where(wide, cost.rate, np.where(size == 1, cost.sync_rate_8, cost.sync_rate))
    multiply = (
        2.0 * work.bm * work.bn * work.bk * narrow**cost.narrow / (machine.flop_per_s / (sms * machine.clock_hz) * rate)
    )
    slices = work.bk * size / 32.0 * np.where(size == 1, cost.slice_8, cost.slice_16)
    chain = np.where(wide, multiply + cost.step + eight * cost.eight, slices + cost.sync_step + eight * cost.sync_eight)
    loads = _loads(work, cost.repeat)
    path = loads.bytes / np.where(wide, cost.path, cost.sync_path)
    step = np.maximum(chain, path) * spills
    requests = loads.lines * cost.request + loads.crowd * cost.hot

    operands = (work.m * work.k + work.n * work.k) * size
    missed = 1.0 / (1.0 + np.exp((cost.spill_share - operands / machine.l2_bytes) / cost.spill_width))
    latency = cost.latency + missed * cost.dram_latency + cost.per_kib * loads.bytes / 1024.0
    out = cost.store * work.bm * work.bn / 16.0
    # blocks fill their pipelines one after the other; the persistent one goes through its tiles as one loop
    loops, tiles_of_loop = np.where(persistent, 1.0, waves), np.where(persistent, waves, 1.0)
    ahead = np.maximum(work.stages - 1, 1)
    walked = tiles_of_loop * (steps * step + cost.edge + out)
    waited = np.maximum(tiles_of_loop * steps - ahead, 0.0) * latency / ahead
    block = loops * (latency + _sum(walked, waited))
    throughput = each * (steps * _sum(multiply, requests) * spills + out)
    fetched = loads.bytes * (1.0 - (1.0 - cost.alone) * _alike(work, busy))
    chip = tiles * steps * (fetched / cost.chip + loads.crowd * cost.chip_hot) * (132.0 / sms)
    dram = (operands * missed + 2.0 * work.m * work.n) / (machine.dram_bytes_per_s * cost.dram) * machine.clock_hz
    least = 2.0 * work.m * work.n * work.k / machine.flop_per_s * machine.clock_hz
    clocks = np.maximum(_sum(throughput, block, chip, dram), least)
    time_s = 1e-6 * cost.launch_us + clocks / machine.clock_hz
    return Parts(
        time_s, clocks, each * steps * multiply, each * steps * requests, throughput, block, chip, loops * walked,
        loops * waited, loops * latency, loops * tiles_of_loop * (cost.edge + out), dram, latency, step, path, missed,
        loads.crowd, busy, resident, each, tiles, steps, shared,
    )  # fmt: skip


NAMES: Final = (
    "log_m", "log_n", "log_k", "log_bm", "log_bn", "log_bk", "log_area", "log_shape", "gm", "warps", "stages",
    "log_shared", "log_accumulators", "input_bytes", "form", "log_core", "multiply_share", "requests_share",
    "throughput_share", "block_share", "chip_share", "work_share", "waits_share", "fills_share", "outs_share",
    "dram_share", "log_latency", "log_step", "log_path", "missed", "log_crowd", "log_busy", "resident", "log_each",
    "log_tiles", "tail", "sm_tail", "log_steps", "log_padding", "tiles_m", "tiles_n", "group_edge", "steps_over_stages",
    "k_remainder", "k_alignment", "n_alignment", "rows_of_warp", "row_bytes", "operands_over_l2", "log_group_bytes",
    "log_wave_bytes", "a_tile", "b_tile", "alike",
)  # fmt: skip
"""Features of the residual, in order; an artefact states them."""
_LEAST_SHARE: Final = 1e-6


def features(work: Work, parts: Parts, machine: Machine) -> list[Array]:
    """The features in the order of NAMES; dimensionless but for sizes and clocks, no name of a GPU."""
    log, (m, n, k) = np.log, work[:3]
    tiles_m, tiles_n = np.ceil(m / work.bm), np.ceil(n / work.bn)
    group = np.minimum(work.gm, tiles_m)
    whole = parts.time_s * machine.clock_hz
    shares = (
        parts.multiply, parts.requests, parts.throughput, parts.block, parts.chip, parts.work, parts.waits, parts.fills,
        parts.outs, parts.dram,
    )  # fmt: skip
    places = machine.sm_count * parts.resident
    across = np.ceil(np.minimum(parts.tiles, places) / group)
    return [
        log(m), log(n), log(k), log(work.bm), log(work.bn), log(work.bk), log(work.bm * work.bn),
        log(work.bm / work.bn), work.gm, work.warps, work.stages, log(parts.shared_bytes), log(accumulators(work)),
        work.input_bytes, work.form, log(parts.time_s),
        *(log(np.maximum(part / whole, _LEAST_SHARE)) for part in shares), log(parts.latency), log(parts.step),
        log(parts.path), parts.missed, log(1 + parts.crowd), log(parts.busy), parts.resident, log(parts.each),
        log(parts.tiles), np.ceil(parts.tiles / places) / (parts.tiles / places),
        parts.each / (parts.tiles / machine.sm_count), log(parts.steps),
        log(tiles_m * work.bm * tiles_n * work.bn / (m * n)), tiles_m, tiles_n, tiles_m / work.gm,
        parts.steps / work.stages, (k % work.bk > 0).astype(float), _alignment(k * work.input_bytes),
        _alignment(n * work.input_bytes), work.bm / work.warps, work.bk * work.input_bytes,
        (m * k + n * k) * work.input_bytes / machine.l2_bytes, log(group * work.bm * k * work.input_bytes),
        log((group * work.bm + across * work.bn) * k * work.input_bytes), work.bm * work.bk, work.bn * work.bk,
        _alike(work, parts.busy),
    ]  # fmt: skip


def _alignment(row_bytes: Array) -> Array:
    """Log2 of the power of two that divides the bytes of a row, up to 512."""
    whole = row_bytes.astype(np.int64)
    alignment: Array = np.log2(np.minimum(whole & -whole, 512))
    return alignment
