"""Rate of wgmma.m64n256k16 with both operands in shared memory, FP32 accumulators, per SM and for the whole GPU.

Method: GROUPS warpgroups an SM, each issuing batches of CHAIN wgmmas over four k slices into one set of accumulators;
the slope over two numbers of passes cancels the fill of shared memory and the start. ``rate`` is multiply-adds per
cycle of an SM, ``throughput`` FLOP/s of wall time at the clock of that moment. Samples last 2 to 7
milliseconds, shuffled, after half a second of the same work: shorter than a tick of the power sensor, so the power
beside them is the mean of the whole round, zeros and random together, and the clock that of a burst, not of a long
GEMM at the power limit. Zero operands clock higher. Pitfalls: name-plate clocks; event times that hold the fill;
results on zeros only. Expected on H100 SXM: 976 TFLOP/s zero, 902 random, at clocks that were not stated; this card
gives 2048 FMA/cycle/SM at 1845 and 1795 MHz.
"""

import numpy as np

from gpuprobe import bounds
from gpuprobe.estimate import every, rate, rate_per_sm
from gpuprobe.fragments import wgmma_m64, wgmma_products
from gpuprobe.gate import Expect
from gpuprobe.operands import expect_close, floats
from gpuprobe.probe import Launch, Probe, Published, sm_count

FMA, CHAIN, SLICES = 64 * 256 * 16, 16, 4


def per_sm(point):
    """Multiply-adds of one SM in one sample."""
    return float(point.iters * CHAIN * int(point["GROUPS"]) * FMA)


def flop(point):
    """Floating-point operations of the whole GPU in one sample."""
    return 2.0 * per_sm(point) * point.grid


def check(point, seed, out):
    """Registers 0, 1 and 126 of the first warpgroup against the sum over k slices."""
    product = wgmma_products(str(point["TYPE"]), seed, SLICES).sum(axis=0) * point.iters * (CHAIN // SLICES)
    wanted = np.stack([wgmma_m64(product, register) for register in (0, 1, 126)], axis=1)
    return expect_close(floats(out)[: 128 * 4].reshape(128, 4)[:, :3], wanted, relative=0.02)


def source(device, operands, tflops, where):
    """A published throughput."""
    params = {"TYPE": "F16", "OPERANDS": operands, "GROUPS": 2}
    return Published(
        device,
        tflops * 1e12,
        where,
        params,
        "throughput",
        "FLOP/s",
        method="whole GPU, clock not stated",
        tolerance=0.05,
    )


H100, H800 = "Johnsonms/NVIDIA-Hopper-Benchmark, summary.md", "arXiv:2501.12084 Table 8"
PROBE = Probe(
    name="wgmma_rate",
    unit="FMA/cycle/SM",
    quantity="rate",
    archs="==sm_90",
    defines={"TYPE": ["F16", "BF16"], "CHAIN": [CHAIN]},
    axes={"GROUPS": [1, 2], "OPERANDS": ["random", "zero"], "PASSES": [1000, 3000]},
    quick={"GROUPS": [2]},
    launch=Launch(grid=sm_count, block=lambda p, d: 128 * p["GROUPS"], iters=lambda p, d: p["PASSES"]),
    expect=lambda p: Expect(loop=True, counts={"HGMMA.64x256x16.F32": CHAIN}, native=("HGMMA",)),
    estimate=every(rate_per_sm(per_sm, "FMA/cycle/SM"), rate(flop, "FLOP/s")),
    bound=bounds.tensor(),
    check=check,
    prologue=True,
    warm_ms=500.0,
    out_words=1 << 18,
    best_over=("GROUPS",),
    noise={"throughput": 0.002},
    published=[
        source("h100-sxm", "zero", 976.0, H100),
        source("h100-sxm", "random", 902.0, H100),
        source("h800-pcie", "zero", 728.5, H800),
        source("h800-pcie", "random", 665.4, H800),
    ],
)
