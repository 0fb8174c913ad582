"""Rate of wgmma.sp.m64n256 (2:4 sparse A), by operand type, with A in shared memory (SS) or registers (RS).

Method: as wgmma_rate, two k slices. FMA are counted as if A were dense, so twice the dense rate is the limit. Of each
four elements of A along k the second and the fourth are stored (TF32: of two the second); the host multiplies the same.
Pitfalls: published rates seldom say which count they use; B is twice as long, so that SS waits for shared memory and
stays below the limit; the clock falls, so that FLOP/s are never twice those of dense operands.
"""

from gpuprobe.estimate import every, rate, rate_per_sm
from gpuprobe.families import wgmma
from gpuprobe.probe import Launch, Probe, sm_count

PROBE = Probe(
    name="wgmma_sparse_rate",
    unit="FMA/cycle/SM",
    quantity="rate",
    archs="==sm_90",
    kernel="wgmma",
    defines={"TYPE": ["F16", "BF16", "TF32", "E4M3", "E5M2", "S8"], "FORM": ["SS", "RS"], "SPARSE": [1], "CHAIN": [16]},
    axes={"OPERANDS": ["random", "zero"], "PASSES": [200, 600]},
    quick={"TYPE": []},
    launch=Launch(grid=sm_count, block=256, iters=lambda p, d: p["PASSES"]),
    expect=wgmma.expect,
    estimate=every(rate_per_sm(wgmma.per_sm, "FMA/cycle/SM"), rate(wgmma.flop, "FLOP/s")),
    bound=wgmma.bound,
    check=wgmma.check,
    prologue=True,
    rounds=21,
    width=0.02,
    out_words=1 << 18,
    noise={"throughput": 0.006},
    covers=(5, 9),
)
