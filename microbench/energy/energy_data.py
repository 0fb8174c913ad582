"""Energy of moving one bit from shared memory, L1, L2 or DRAM into registers, or to DRAM, in joules.

Method: as energy_alu, with streams of 16-byte accesses in 1 and 16 warps an SM; bits a second is the rate, the slope of
power over it the energy of a bit on its whole way between that level and a register. ``increment`` is what a level adds
to the one before it (L2 over L1, DRAM over L2). The contents are random. L2: a set of just under half of L2, so that
near and far slices are mixed as they come. DRAM: 2 GiB (an eighth of memory where that is less), read by 2 warps as
well: where 16 draw more than the power limit (H200: 700 W), 1 and 2 still make a line. Pitfalls: whether a
published value is that of the whole way or of the increment is rarely said; a sum of each vector (two LOP3 and an add a
thread and 16 bytes) is in the number.
"""

import numpy as np

from gpuprobe.energy.per_operation import increments, unfit
from gpuprobe.gate import Expect
from gpuprobe.operands import mix, mixed, words
from gpuprobe.probe import Launch, Probe, Published

UNROLL, BLOCK_BYTES, SHARED_STEP, L1_STEP = 8, 73728, 3072, 8192
PASSES = {"SHARED": {1: 160_000, 16: 40_000}, "L1": {1: 100_000, 16: 36_000}, "L2": {1: 27_000, 16: 13_000},
          "READ": {1: 12_000, 2: 12_000, 16: 3_400}, "WRITE": {1: 110_000, 16: 3_800}}  # fmt: skip
QUIET = 5  # one warp on every SM already writes as fast as DRAM takes it: the lower rate has fewer SMs
LOADS = {"SHARED": "LDS.128", "WRITE": "STG.E.128"}


def set_bytes(params, device):
    """What a level's set holds: one block's tile, one tile a block, half of L2, or 2 GiB."""
    level = params["LEVEL"]
    if level in ("SHARED", "L1"):
        return int(device["sm_count"]) * BLOCK_BYTES
    if level == "L2":
        return int(device["l2_bytes"] * 0.48) >> 20 << 20
    return min(2 << 30, int(device["memory_bytes"]) // 8 >> 24 << 24)


def bits(point):
    """Bits moved by one launch."""
    return 8.0 * point.iters * UNROLL * 16 * point.grid * point.block


def vectors(i):
    """The four words of vectors ``i``, folded."""
    i = i.astype(np.uint32)
    return mixed(i) ^ mixed(i * np.uint32(3)) ^ mixed(i * np.uint32(7)) ^ mixed(i * np.uint32(11))


def places(point, block):
    """First vector of the tile that ``block`` is at, pass by pass."""
    tile = point.block * UNROLL
    count = point.data_bytes // 16 // tile
    steps = block + np.arange(point.iters, dtype=np.int64) * point.grid
    return steps % count * tile


def in_turn(point, index, shift):
    """Sum over passes that read vectors ``index`` and those ``shift`` further in turn."""
    here, there = (int(vectors(index + by).astype(np.uint64).sum()) for by in (0, shift))
    return here * (point.iters + 1 >> 1) + there * (point.iters >> 1) & 0xFFFFFFFF


def wanted(point, seed, block, thread):
    """What ``thread`` of ``block`` stores, modulo 2**32."""
    level, j = str(point["LEVEL"]), np.arange(UNROLL, dtype=np.int64)
    if level == "SHARED":
        return in_turn(point, thread + j * (SHARED_STEP // 16), SHARED_STEP // 16)
    if level == "L1":
        return in_turn(point, block * (BLOCK_BYTES // 16) + thread + j * point.block, L1_STEP // 16)
    if level == "WRITE":
        i = block * point.block + thread + seed & 0xFFFFFFFF
        return mix(i) ^ mix(i * 3 & 0xFFFFFFFF) ^ mix(i * 7 & 0xFFFFFFFF) ^ (point.iters - 1 & 0xFFFFFFFF)
    index = places(point, block)[:, np.newaxis] + j * point.block + thread
    return int(vectors(index.ravel()).astype(np.uint64).sum()) & 0xFFFFFFFF


def check(point, seed, out):
    """A few threads of all blocks stored what the host computes."""
    found = words(out)
    for k in range(4):
        block, thread = mix(seed + k & 0xFFFFFFFF) % point.grid, mix(seed + 9 + k & 0xFFFFFFFF) % point.block
        host, got = wanted(point, seed, block, thread), int(found[block * point.block + thread])
        if got != host:
            return f"thread {thread} of block {block} computed {got:#x}, the host {host:#x}"
    return None


def published(device, values):
    """L1, L2 and DRAM of one table."""
    method = "fit of energy over the bytes of each level"
    source = "Antepara et al., SC'25, Table 3"
    places = (("L1", "energy"), ("L2", "energy"), ("READ", "increment"))
    return [
        Published(device, value * 1e-12, source, {"LEVEL": level}, quantity, method=method, tolerance=0.15)
        for (level, quantity), value in zip(places, values, strict=True)
    ]


PROBE = Probe(
    name="energy_data",
    kernel="data",
    unit="J/bit",
    quantity="energy",
    method="energy",
    defines={"LEVEL": ["SHARED", "L1", "L2", "READ", "WRITE"]},
    axes={"WARPS": [1, 2, 16]},
    keep=lambda p: p["WARPS"] != 2 or p["LEVEL"] == "READ",
    quick={"LEVEL": []},
    launch=Launch(
        grid=lambda p, d: max(1, int(d["sm_count"]) // (QUIET if p["LEVEL"] == "WRITE" and p["WARPS"] == 1 else 1)),
        block=lambda p, d: 32 * p["WARPS"],
        data_bytes=set_bytes,
        iters=lambda p, d: PASSES[p["LEVEL"]][p["WARPS"]],
    ),
    prepare="prepare",
    prologue=True,
    expect=lambda p: Expect(loop=True, counts={LOADS.get(p["LEVEL"], "LDG.E.128"): UNROLL}),
    estimate=increments(bits, "J/bit", "LEVEL", ("L1", "L2", "READ")),
    check=check,
    refuse=unfit,
    rounds=2,
    width=0.1,
    out_words=1 << 18,
    noise={"energy": 0.03, "static": 0.02, "increment": 0.04},
    published=[*published("a100-sxm-40gb", (1.59, 4.71, 13.11)), *published("gh200", (1.45, 4.87, 11.68))],
    covers=(47, 48),
)
