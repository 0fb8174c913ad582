"""Rate of wgmma.m64n256 with both operands in shared memory, by operand type, per SM and for the whole GPU.

Method: GROUPS warpgroups an SM, each issuing batches of CHAIN wgmmas over four k slices into one set of accumulators;
the slope over two numbers of passes cancels the fill of shared memory and the start. ``rate`` is multiply-adds per
cycle of an SM, ``throughput`` FLOP/s of wall time at the clock of that moment. TYPE names the operands (E4M3_E5M2: A of
the one, B of the other), and the accumulator where it is not FP32 (S32 for S8). Samples last 2 to 7 milliseconds,
shuffled: shorter than a tick of the power sensor, so the power beside them is the mean of the whole round, zeros and
random together, and the clock that of a burst, not of a long GEMM at the power limit (see the wgmma_sustained probes).
Zero operands clock higher. Every warpgroup of the GPU must compute the same bits, and the first what the host does.
Pitfalls: name-plate clocks; event times that hold the fill; results on zeros only. Expected on H100 SXM: 2048
FMA/cycle/SM for f16 and bf16, 1024 for tf32, 4096 for 8 bits.
"""

from gpuprobe.estimate import every, rate, rate_per_sm
from gpuprobe.families import wgmma
from gpuprobe.probe import Launch, Probe, Published, sm_count


def source(device, kind, operands, tera, where):
    """A published throughput."""
    params = {"TYPE": kind, "OPERANDS": operands, "GROUPS": 2}
    method = "whole GPU, clock not stated"
    return Published(device, tera * 1e12, where, params, "throughput", "FLOP/s", method=method, tolerance=0.05)


H100 = "Johnsonms/NVIDIA-Hopper-Benchmark, reproduction/H100-dapperdingo/raw"
H800 = "arXiv:2501.12084 Table 8"
VALUES = [  # TFLOP/s or Top/s: type, H100 SXM zero and random, H800 PCIe zero and random
    ("F16", 976.4, 901.8, 728.5, 665.4),
    ("F16_F16", 977.0, 965.5, 729.3, 704.5),
    ("TF32", 488.1, 487.6, 364.4, 357.1),
    ("E4M3", 1950.2, 1885.2, 1447.5, 1417.2),
    ("E4M3_F16", 1950.0, 1939.8, 1448.4, 1439.2),
    ("S8", 1950.6, 1942.8, 1448.7, 1442.3),
]
PROBE = Probe(
    name="wgmma_rate",
    unit="FMA/cycle/SM",
    quantity="rate",
    archs="==sm_90",
    kernel="wgmma",
    defines={"TYPE": [*wgmma.TYPES, wgmma.MIXED], "CHAIN": [16]},
    axes={"GROUPS": [1, 2], "OPERANDS": ["random", "zero"], "PASSES": [1000, 3000]},
    quick={"TYPE": ["F16", "BF16", "E4M3"], "GROUPS": [2]},
    keep=lambda p: p["GROUPS"] == 2 or p["TYPE"] in ("F16", "BF16"),
    launch=Launch(grid=sm_count, block=lambda p, d: 128 * p["GROUPS"], iters=lambda p, d: p["PASSES"]),
    expect=wgmma.expect,
    estimate=every(rate_per_sm(wgmma.per_sm, "FMA/cycle/SM"), rate(wgmma.flop, "FLOP/s")),
    bound=wgmma.bound,
    check=wgmma.check,
    prologue=True,
    rounds=25,
    width=0.02,
    out_words=1 << 18,
    best_over=("GROUPS",),
    noise={"throughput": 0.002},
    covers=(4, 9),
    published=[
        source(device, kind, operands, value, where)
        for kind, *values in VALUES
        for value, (device, operands, where) in zip(
            values,
            [
                ("h100-sxm", "zero", H100),
                ("h100-sxm", "random", H100),
                ("h800-pcie", "zero", H800),
                ("h800-pcie", "random", H800),
            ],
            strict=True,
        )
    ],
)
