"""Rate of wgmma.sp.m64nN (2:4 sparse A) for N below 256, by operand type, with A in shared memory or in registers.

Method: as wgmma_sparse_rate (N = 256), with random operands. FMA are counted as if A were dense. Pitfalls: as there,
and B is twice as long as a dense one: where N is small, reading A's rows from shared memory takes longer than
multiplying.
"""

from gpuprobe.estimate import every, rate, rate_per_sm
from gpuprobe.families import wgmma
from gpuprobe.probe import Launch, Probe, sm_count

PROBE = Probe(
    name="wgmma_sparse_rate_by_n",
    unit="FMA/cycle/SM",
    quantity="rate",
    archs="==sm_90",
    kernel="wgmma",
    defines={
        "TYPE": list(wgmma.KINDS),
        "N": [n for n in wgmma.WIDTHS if n < 256],
        "FORM": ["SS", "RS"],
        "SPARSE": [1],
        "CHAIN": [16],
    },
    axes={"OPERANDS": ["random"], "PASSES": [200, 600]},
    quick={"TYPE": []},
    launch=Launch(grid=sm_count, block=256, iters=lambda p, d: p["PASSES"] * 256 // max(p["N"], 32)),
    expect=wgmma.expect,
    estimate=every(rate_per_sm(wgmma.per_sm, "FMA/cycle/SM"), rate(wgmma.flop, "FLOP/s")),
    bound=wgmma.bound,
    check=wgmma.check,
    prologue=True,
    rounds=21,
    width=0.02,
    out_words=1 << 18,
    best_over=("N",),
    noise={"throughput": 0.006},
    covers=(5, 9),
)
