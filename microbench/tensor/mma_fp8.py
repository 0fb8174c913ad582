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

from gpuprobe.families.mma_grid import grid_probe

HEADLINES = ["E4M3_F32_M16N8K32"]
OTHERS = ["E4M3_F32_M16N8K16", "E5M2_F32_M16N8K16", "E4M3_F16_M16N8K32", "E5M2_F32_M16N8K32"]
OTHERS += ["E4M3_E5M2_F32_M16N8K32", "E5M2_E4M3_F32_M16N8K32"]
PROBE = grid_probe(
    "mma_fp8",
    HEADLINES,
    HEADLINES + OTHERS,
    archs=">=sm_89",
    covers=(6, 9),
)
