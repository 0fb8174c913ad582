"""Rate of mma.sync.m16n8k16 against warps and independent chains, per SM and for the whole GPU.

Method: one block an SM of WARPS warps, each with ILP accumulator chains; the slope over two numbers of passes cancels
start and end. ``rate`` is multiply-adds per cycle of an SM (slowest block), ``throughput`` is FLOP/s of wall time, 2
a multiply-add, at the clock of that moment. Operands are random (standard normal) or zero: zeros draw less power and
may run faster. Pitfalls: name-plate clocks (7 % off in published logs); mma.sync reaches 62-65 % of the tensor peak
on Hopper, the rest needs wgmma. Expected: 1004 FMA/cycle/SM on A100, 1340 on H100.
"""

from gpuprobe import bounds
from gpuprobe.estimate import every, rate, rate_per_sm
from gpuprobe.fragments import mma_m16n8, mma_product
from gpuprobe.gate import Chain, Expect
from gpuprobe.operands import expect_close, floats
from gpuprobe.probe import Launch, Probe, Published, sm_count

OPCODE = {"F16": "HMMA.16816.F32", "BF16": "HMMA.16816.F32.BF16"}
FMA = 16 * 8 * 16
CHUNK = 64  # MMAs of one warp in one pass


def per_sm(point):
    """Multiply-adds of one SM in one sample."""
    return float(point.iters * CHUNK * int(point["WARPS"]) * FMA)


def flop(point):
    """Floating-point operations of the whole GPU in one sample."""
    return 2.0 * per_sm(point) * point.grid


def check(point, seed, out):
    """Each chain adds steps x (A x B) to its start value; their sums, to the error of truncating FP32 additions."""
    ilp = int(point["ILP"])
    steps = point.iters * (CHUNK // ilp)
    wanted = mma_m16n8(mma_product(str(point["TYPE"]), seed)) * steps * ilp + sum(range(ilp))
    return expect_close(floats(out)[:128].reshape(32, 4), wanted, relative=0.02)


def expect(p):
    """ILP independent chains of 64 / ILP MMAs."""
    opcode = OPCODE[p["TYPE"]]
    return Expect(loop=True, counts={opcode: CHUNK}, chain=Chain(opcode, width=p["ILP"]), native=(opcode,))


BEST = {"TYPE": "F16", "WARPS": 16, "ILP": 4, "OPERANDS": "random"}
PROBE = Probe(
    name="mma_rate",
    unit="FMA/cycle/SM",
    quantity="rate",
    defines={"TYPE": ["F16", "BF16"], "ILP": [1, 2, 4, 8]},
    axes={"WARPS": [1, 2, 4, 8, 16, 32], "OPERANDS": ["random", "zero"], "PASSES": [384, 1152]},
    quick={"ILP": [1, 4], "WARPS": [4, 16]},
    launch=Launch(grid=sm_count, block=lambda p, d: 32 * p["WARPS"], iters=lambda p, d: p["PASSES"]),
    expect=expect,
    estimate=every(rate_per_sm(per_sm, "FMA/cycle/SM"), rate(flop, "FLOP/s")),
    bound=bounds.tensor(),
    check=check,
    out_words=1 << 20,
    best_over=("WARPS", "ILP"),
    noise={"throughput": 0.0042, "throughput@cycle": 0.0015, "rate@time": 0.0042},
    published=[
        Published(
            "h100-sxm",
            1339.5,
            "Johnsonms/NVIDIA-Hopper-Benchmark, raw/mma_m16n8k16.log",
            BEST,
            "rate",
            tolerance=0.05,
            method="best of warps x ILP",
        ),
        Published(
            "h100-sxm",
            668.2e12,
            "Johnsonms/NVIDIA-Hopper-Benchmark, raw/mma_m16n8k16.log",
            BEST,
            "throughput",
            "FLOP/s",
            tolerance=0.05,
            method="ILP 4, 32 warps, whole-kernel wall time",
        ),
        Published("h800-pcie", 494.4e12, "arXiv:2402.13499 Table VII", BEST, "throughput", "FLOP/s", tolerance=0.05),
        Published(
            "a100-pcie-40gb", 1004.0, "arXiv:2206.02874", BEST, "rate", tolerance=0.05, method="best of warps x ILP"
        ),
        Published("rtx-4090", 357.6e12, "arXiv:2402.13499 Table VII", BEST, "throughput", "FLOP/s", tolerance=0.05),
    ],
)
