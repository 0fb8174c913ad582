"""Rate of mma.sync.m16n8k16 against warps and independent chains, per SM and for the whole GPU.

Method: one block an SM of WARPS warps, each with ILP accumulator chains; the slope over two numbers of passes cancels
start and end. ``rate`` is multiply-adds per cycle of an SM (slowest block), ``throughput`` is FLOP/s of wall time, 2
a multiply-add, at the clock of that moment, of the fullest point only: its samples take 0.5 and 3 ms. ``latency`` is
that of one warp with one chain, ``knee`` the fewest MMAs in flight an SM (WARPS x ILP) with 97 % of the best rate of
the grid. Operands are random (standard normal) or zero: zeros draw less power and may run faster. B is taken in turns
with both signs, so that sums stay exact: all lanes of all warps are compared with the host's bit for bit.
Pitfalls: name-plate clocks (7 % off in published logs); mma.sync reaches two thirds of the tensor peak on Hopper, the
rest needs wgmma. PASSES counts stretches of time: the passes themselves are chosen to fill them.
Expected: 1004 FMA/cycle/SM on A100, 1365 (two thirds of 2048) on H100 from 16 MMAs in flight on, published 1340.
Other shapes and types: mma_float, mma_integer, mma_fp8, mma_sparse.
"""

from gpuprobe import bounds
from gpuprobe.families.mma_grid import NOISE, OUT_WORDS, PASSES, Grid, check, expect
from gpuprobe.probe import Launch, Probe, Published, sm_count

H100 = "Johnsonms/NVIDIA-Hopper-Benchmark, raw/mma_m16n8k16.log"
BEST = {"TYPE": "F16", "WARPS": 16, "ILP": 4, "OPERANDS": "random"}
TYPES = ["F16", "BF16"]
GRID = Grid(tuple(TYPES))
PROBE = Probe(
    name="mma_rate",
    unit="FMA/cycle/SM",
    quantity="rate",
    defines={"TYPE": TYPES, "ILP": [1, 2, 4]},
    axes={"WARPS": [1, 2, 4, 8, 16], "OPERANDS": ["random", "zero"], "PASSES": list(PASSES)},
    quick={"ILP": [1, 4], "WARPS": [1, 4, 16]},
    keep=GRID.keeps,
    launch=Launch(grid=sm_count, block=lambda p, d: 32 * p["WARPS"], iters=GRID.passes),
    expect=expect,
    estimate=GRID.estimates(),
    bound=bounds.matrix("TYPE"),
    check=check,
    out_words=OUT_WORDS,
    best_over=("WARPS", "ILP"),
    covers=(2,),
    noise=NOISE,
    published=[
        Published("h100-sxm", 1339.5, H100, BEST, "rate", tolerance=0.05, method="best of warps x ILP"),
        Published(
            "h100-sxm",
            668.2e12,
            H100,
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
        Published(
            "a100-pcie-40gb", 310.6e12, "arXiv:2402.13499 Table VII", BEST, "throughput", "FLOP/s", tolerance=0.05
        ),
    ],
)
