"""Read bandwidth against the size of the set, from 1 MiB over L2 into DRAM, in bytes per second of wall time.

Method: every SM reads its own share of the set over and over, past L1 (cg), the same number of accesses at any size;
a lap before the clocks start brings in what fits, and the slope of globaltimer time over two numbers of accesses
cancels start and end. The host computes what some threads must have read. Pitfalls: below some 8 MiB a share is less
than the accesses in flight, and requests for one line are merged; sets that L1 serves; sets shared out in tiles that
leave SMs idle; one point called L2 bandwidth. Expected: flat to about half of a split L2 (each half keeps a copy),
down to DRAM bandwidth beyond all of it.
"""

import numpy as np

from gpuprobe.estimate import rate
from gpuprobe.gate import Expect
from gpuprobe.operands import mix, mixed, words
from gpuprobe.probe import Launch, Probe

BLOCK, THREADS, MIB = 1024, 8, 1 << 20
SIZES = (1, 2, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 48, 56, 64, 80, 96, 128, 160, 192, 256, 288, 384)


def sizes(device):
    """1 MiB to four times L2."""
    return [size for size in SIZES if size * MIB <= 4 * device["l2_bytes"]]


def check(point, seed, out):
    """What a few threads read, summed."""
    count, total = point.data_bytes // 16, point.grid * point.block
    for k in range(THREADS):
        thread = mix(seed + k & 0xFFFFFFFF) % total
        block, lane = divmod(thread, point.block)
        first, end = block * count // point.grid, (block + 1) * count // point.grid
        at = (first + (lane + np.arange(point.iters, dtype=np.int64) * point.block) % (end - first)) * 4
        read = np.bitwise_xor.reduce([mixed((at + word).astype(np.uint32)) for word in range(4)])
        wanted, found = int(read.astype(np.uint64).sum()) & 0xFFFFFFFF, int(words(out)[thread])
        if found != wanted:
            return f"thread {thread} computed {found:#x}, the host {wanted:#x}"
    return None


PROBE = Probe(
    name="l2_bandwidth_curve",
    unit="B/s",
    quantity="throughput",
    axes={"MIB": sizes, "ACCESSES": [400, 1200]},
    quick={"MIB": [8, 32, 128]},
    launch=Launch(
        grid=lambda p, d: int(d["sm_count"]),
        block=BLOCK,
        data_bytes=lambda p, d: p["MIB"] * MIB,
        iters=lambda p, d: p["ACCESSES"],
    ),
    prepare="prepare",
    prologue=True,
    rounds=31,
    width=0.02,
    expect=lambda p: Expect(loop=True, counts={"LDG.E.128": 4}),
    estimate=rate(lambda p: 16.0 * p.grid * p.block * p.iters, "B/s", axis="ACCESSES"),
    check=check,
    out_words=1 << 18,
    covers=(33,),
)
