"""Instruction caches: cycles for an instruction of straight-line code against the size of the code, 1 to 192 KiB.

Method: generated code without a loop inside (60 FFMA in four chains for every KiB, and one branch out of it for each
block) is walked through again and again by one warp a scheduler; at run time a pass ends after SIZE bytes, so that
one cubin holds all sizes of its block. The slope over two numbers of passes leaves out the first, cold one. Where the
code outgrows a level of the instruction caches, the time for an instruction rises: the knees are their capacities.
Pitfalls: below 16 KiB the blocks are of 1 KiB and their branches in the number (up to 1.4 cycles); several kernels of
different sizes would lie differently in the cache. Expected on H100: 1.05 cycles up to 32 KiB, 2.3 up to 128 KiB, 5.8
beyond, where code comes from L2.
"""

from gpuprobe.estimate import slope
from gpuprobe.gate import Expect
from gpuprobe.operands import expect_all, words
from gpuprobe.probe import Launch, Probe

KIB = 1024
FMA = 60  # a KiB
BLOCKS = {1: 16, 8: 24}
SMALL = [1, 2, 3, 4, 6, 8, 10, 12, 14, 16]
LARGE = [16, 24, 32, 40, 48, 64, 80, 96, 112, 120, 128, 136, 144, 160, 176, 192]
SIZES = sorted({*SMALL, *LARGE})


def keep(params):
    """Small sizes in blocks of 1 KiB, large ones in blocks of 8 KiB."""
    kib = params["SIZE"] // KIB
    return kib in SMALL[:-1] if params["BLOCK"] == 1 else kib in LARGE


def passes(params, device):
    """About as many instructions for every size."""
    return int(params["PASSES"]) * 192 * KIB // int(params["SIZE"])


def check(point, seed, out):
    """The four sums count the multiply-adds."""
    return expect_all(words(out)[: point.block], point.iters * point.data_bytes // KIB * FMA)


PROBE = Probe(
    name="code_size",
    unit="cycle",
    quantity="interval",
    defines={"BLOCK": [1, 8]},
    axes={"SIZE": [size * KIB for size in SIZES], "PASSES": [2, 6]},
    quick={"BLOCK": []},
    keep=keep,
    launch=Launch(block=128, data_bytes=lambda p, d: p["SIZE"], iters=passes),
    expect=lambda p: Expect(
        loop=True, counts={"FFMA": FMA * p["BLOCK"] * BLOCKS[p["BLOCK"]]}, predicated=True, moves=1 << 10
    ),
    estimate=slope(
        "PASSES",
        quantity="interval",
        unit="cycle",
        x=lambda p: p.iters * p.data_bytes / KIB * FMA,
        y=lambda p, s: s.cycles,
    ),
    check=check,
    out_words=1 << 10,
    covers=(22,),
    rounds=61,
    width=0.05,
)
