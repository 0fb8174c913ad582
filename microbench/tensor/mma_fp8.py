"""Latency and rate of mma.sync for FP8 (e4m3, e5m2 and both mixed): native on Ada, emulated on Hopper.

Method: that of mma_rate, with which this shares the kernel: WARPS warps an SM, ILP accumulator chains each, slope
over two numbers of passes. Operands have few bits (0.5 to 1.5 of either sign) so that no sum is rounded and every
lane can be compared with the host's bit for bit; the numerics of FP8 are the subject of another probe.
Pitfalls: sm_90 has no FP8 mma.sync (wgmma has). The compiler unpacks both operands to FP16 (F2FP), multiplies with
two HMMA and adds the accumulators with FADD: values there are flagged ``emulated``. Products then do not hang on the
accumulators, so a loop with constant operands is left with its FADD alone (a published "8.82 cycles"); here B changes
from step to step as far as the compiler can know, while A is unpacked once, as in a kernel that uses it for several
columns. The latency is that of one warp's work, not of a chain.
Expected on H100: 44 cycles and 680 to 706 FMA/cycle/SM for m16n8k32, half of FP16's rate; QMMA on RTX 4090 at twice
the rate of FP16.
"""

from gpuprobe import bounds
from gpuprobe.families.mma_grid import OUT_WORDS, PASSES, Grid, check, expect
from gpuprobe.probe import Launch, Probe, sm_count

HEADLINES = ["E4M3_F32_M16N8K32"]
OTHERS = ["E4M3_F32_M16N8K16", "E4M3_F16_M16N8K32", "E5M2_F32_M16N8K32"]
OTHERS += ["E4M3_E5M2_F32_M16N8K32", "E5M2_E4M3_F32_M16N8K32"]
GRID = Grid(tuple(HEADLINES))
PROBE = Probe(
    name="mma_fp8",
    unit="FMA/cycle/SM",
    quantity="rate",
    kernel="mma_rate",
    archs=">=sm_89",
    defines={"MMA": HEADLINES + OTHERS, "ILP": [1, 4]},
    axes={"WARPS": [1, 4, 8, 16], "OPERANDS": ["random", "zero"], "PASSES": list(PASSES)},
    quick={"MMA": HEADLINES, "WARPS": [1, 16]},
    keep=GRID.keeps,
    launch=Launch(grid=sm_count, block=lambda p, d: 32 * p["WARPS"], iters=GRID.passes),
    expect=expect,
    estimate=GRID.estimates(),
    bound=bounds.matrix("MMA"),
    check=check,
    out_words=OUT_WORDS,
    best_over=("WARPS", "ILP"),
    covers=(6, 9),
    noise={"throughput": 0.0042, "throughput@cycle": 0.0015, "rate@time": 0.0042},
)
