"""Latency and rate of mma.sync for INT8, INT4 and 1-bit operands with INT32 accumulators, in every shape.

Method: that of mma_rate, with which this shares the kernel: WARPS warps an SM, ILP accumulator chains each, slope
over two numbers of passes. ``throughput`` counts 2 op a multiply-add (of single bits for b1: AND or XOR, then popc).
Operands are random bits or zero, B is taken from two fragments in turns, sums wrap at 32 bits: every lane is compared
with the host's bit for bit, so a single step too many or too few in 10^5 is seen.
Pitfalls: INT4 and b1 with XOR are native on sm_80 to sm_89 and called subroutines on sm_90 (flagged ``emulated``;
INT4 is 27 times slower than INT8 there); a published b1 rate overflowed a 32-bit counter.
Expected on H100: INT8 m16n8k32 24 cycles and 2730 FMA/cycle/SM (two thirds of 4096), m16n8k16 17, m8n8k16 14; b1
m16n8k256 24 cycles and 21840; INT4 172 to 426 cycles, b1 with XOR 119.
"""

from gpuprobe.families.mma_grid import grid_probe
from gpuprobe.families.mma_grid import published_best as best
from gpuprobe.families.mma_grid import published_latency as latency

HEADLINES = ["S8_M16N8K32", "S4_M16N8K64", "B1_AND_M16N8K256"]
OTHERS = ["S8_M8N8K16", "S8_M16N8K16", "S4_M8N8K32", "S4_M16N8K32"]
OTHERS += ["B1_AND_M8N8K128", "B1_AND_M16N8K128", "B1_XOR_M8N8K128", "B1_XOR_M16N8K128", "B1_XOR_M16N8K256"]
SPACED = "CUDA 13 puts 16 stall cycles and a filler instruction between dependent MMAs: 17 pass; theirs is older code"
LOG, TABLE3 = "Johnsonms/NVIDIA-Hopper-Benchmark, raw/mma_{}.log", "arXiv:2206.02874 Table 3"
TABLE7 = "arXiv:2402.13499 Table VII"
PROBE = grid_probe(
    "mma_integer",
    HEADLINES,
    HEADLINES + OTHERS,
    covers=(1, 2, 7, 8),
    published=[
        latency("h100-sxm", "S8_M8N8K16", 14.06, LOG.format("m8n8k16")),
        latency("h100-sxm", "S8_M16N8K16", 16.0, LOG.format("m16n8k16"), SPACED),
        latency("h100-sxm", "S8_M16N8K32", 24.05, LOG.format("m16n8k32")),
        latency("h100-sxm", "B1_AND_M16N8K256", 24.07, LOG.format("m16n8k256")),
        latency("h800-pcie", "S8_M16N8K32", 24.0, TABLE7),
        best("h100-sxm", "S8_M8N8K16", 1020.1, LOG.format("m8n8k16")),
        best("h100-sxm", "S8_M16N8K16", 2030.5, LOG.format("m16n8k16")),
        best("h100-sxm", "S8_M16N8K32", 2680.9, LOG.format("m16n8k32")),
        best("h100-sxm", "S8_M16N8K32", 1329.1e12, LOG.format("m16n8k32"), "throughput", "op/s"),
        best("h100-sxm", "B1_AND_M16N8K256", 10662e12, LOG.format("m16n8k256"), "throughput", "op/s"),
        best("h800-pcie", "S8_M16N8K32", 977.9e12, TABLE7, "throughput", "op/s"),
        latency("a100-pcie-40gb", "S8_M16N8K32", 24.7, TABLE3),
        latency("a100-pcie-40gb", "S4_M16N8K64", 26.1, TABLE3),
        latency("a100-pcie-40gb", "B1_AND_M16N8K256", 26.0, TABLE3),
        best("a100-pcie-40gb", "S8_M16N8K32", 1986.5, TABLE3),
        best("a100-pcie-40gb", "S4_M16N8K64", 3660.8, TABLE3),
        best("a100-pcie-40gb", "B1_AND_M16N8K256", 14643.4, TABLE3),
        best("a100-pcie-40gb", "S8_M16N8K32", 607.6e12, TABLE7, "throughput", "op/s"),
        latency("rtx-4090", "S8_M16N8K32", 24.5, TABLE7),
        best("rtx-4090", "S8_M16N8K32", 711.7e12, TABLE7, "throughput", "op/s"),
    ],
)
