"""Strided and gathered reads of 4 bytes from DRAM: useful bytes per second, and so the efficiency of sectors.

Method: every thread has eight loads in flight, through L1 as any kernel would; lanes read words STRIDE elements apart
(1: neighbours, 8: a sector of 32 bytes each, 32: a line each), or words at random places of the set (STRIDE 0). The
slope of globaltimer time over passes cancels start and drain; only the bytes used are counted. The host computes some
threads' sums. Pitfalls: counting the bytes moved. Expected: DRAM bandwidth / STRIDE up to a stride of 8, then less
again, as DRAM and L2 fetch more than a sector.
"""

from functools import cache

import numpy as np

from gpuprobe.estimate import rate
from gpuprobe.gate import Expect
from gpuprobe.operands import mix, mixed, words
from gpuprobe.probe import Launch, Probe

BLOCK, UNROLL, THREADS = 512, 8, 4


def set_bytes(params, device):
    """1 GiB, or the power of two below 1/16 of memory where that is less."""
    return min(1 << 30, 1 << (int(device["memory_bytes"] / 16).bit_length() - 1))


def check(point, seed, out):
    """The sums of a few threads over all passes."""
    stride, total = int(point["STRIDE"]), point.grid * point.block
    whole = point.data_bytes // 4 // (stride or 32)
    for k in range(THREADS):
        thread = mix(seed + k & 0xFFFFFFFF) % total
        turns = (whole - 1 - thread + total) // (UNROLL * total)
        at = (thread + np.arange(turns * UNROLL, dtype=np.int64) * total).astype(np.uint32)
        place = at * np.uint32(stride) if stride else mixed(at + np.uint32(1)) & np.uint32(point.data_bytes // 4 - 1)
        wanted = int(mixed(place).astype(np.uint64).sum()) * point.iters & 0xFFFFFFFF
        found = int(words(out)[thread])
        if found != wanted:
            return f"thread {thread} computed {found:#x}, the host {wanted:#x}"
    return None


def used(point):
    """Bytes used in one sample: whole turns of all threads, and those of the last turn that fit."""
    whole, total = point.data_bytes // 4 // (int(point["STRIDE"]) or 32), point.grid * point.block
    return 4.0 * UNROLL * turns_of_all(whole, total) * point.iters


@cache
def turns_of_all(whole, total):
    """Turns that ``total`` threads take together through ``whole`` elements."""
    return float(((whole - 1 - np.arange(total, dtype=np.int64) + total) // (UNROLL * total)).sum())


PROBE = Probe(
    name="strided_read",
    unit="B/s",
    quantity="throughput",
    defines={"STRIDE": [1, 2, 4, 8, 16, 32, 0]},
    axes={"PASSES": [1, 3]},
    quick={"STRIDE": [1, 8, 0]},
    launch=Launch(
        grid=lambda p, d: int(4 * d["sm_count"]), block=BLOCK, data_bytes=set_bytes, iters=lambda p, d: p["PASSES"]
    ),
    prepare="prepare",
    expect=lambda p: Expect(loop=True, counts={"LDG.E": UNROLL}),
    estimate=rate(used, "B/s"),
    check=check,
    out_words=1 << 19,
    covers=(29,),
)
