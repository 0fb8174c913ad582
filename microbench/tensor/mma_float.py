"""Latency and rate of mma.sync for FP16 (both accumulators), BF16, TF32 and FP64, in every shape but m16n8k16 to FP32.

Method: that of mma_rate, with which this shares the kernel: WARPS warps an SM, ILP accumulator chains each, slope
over two numbers of passes. ``latency`` is one warp with one chain, ``knee`` the fewest MMAs in flight with 97 % of
the best rate of the grid (a coarse one: 1, 4, 8, 16, 32, 64). FP16 accumulators get operands of few bits (0.5 to
1.5), so that no sum is rounded; the others standard normal numbers. Every lane is compared with the host's bit for
bit.
The shapes m16n8k4, k8 and k16 of FP64 exist from sm_90 on. m8n8k4 for FP16 is Volta's: from sm_80 on it is a
subroutine of shuffles and FFMA, and left out.
Pitfalls: small k reaches less of the peak (FP16 m16n8k8 1012 of 1365 on H100), and FP64 m8n8k4 half of it (64 of
128). On sm_90 the compiler spaces dependent MMAs with filler instructions; for m16n8k8 it asks for 16 cycles and 17
pass.
Expected on H100: FP16 m16n8k16 24 cycles, m16n8k8 17; TF32 m16n8k8 24 cycles and 683 FMA/cycle/SM, m16n8k4 17 and
506; FP64 26, 34, 50 and 82 cycles for m8n8k4 and m16n8k4, k8, k16.
"""

from gpuprobe.families.mma_grid import grid_probe
from gpuprobe.families.mma_grid import published_best as best
from gpuprobe.families.mma_grid import published_latency as latency

HEADLINES = ["F16_F16_M16N8K16", "TF32_F32_M16N8K8", "F64_M8N8K4"]
ANYWHERE = [*HEADLINES, "F16_F32_M16N8K8", "F16_F16_M16N8K8", "BF16_F32_M16N8K8", "TF32_F32_M16N8K4"]
HOPPER = ["F64_M16N8K4", "F64_M16N8K8", "F64_M16N8K16"]


def instructions(device):
    """Those that the device has."""
    return ANYWHERE + (HOPPER if device.architecture == "sm_90" else [])


SPACED = "CUDA 13 puts 16 stall cycles and a filler instruction between dependent MMAs: 17 pass; theirs is older code"
LOG, TABLE3 = "Johnsonms/NVIDIA-Hopper-Benchmark, raw/mma_m16n8k{}.log", "arXiv:2206.02874 Table 3"
TABLE7 = "arXiv:2402.13499 Table VII (accumulators not stated; FP32 ones run at half this rate on GeForce)"
PROBE = grid_probe(
    "mma_float",
    HEADLINES,
    instructions,
    covers=(1, 2, 9),
    published=[
        latency("h100-sxm", "F16_F16_M16N8K16", 24.06, LOG.format(16)),
        latency("h100-sxm", "F16_F16_M16N8K8", 16.0, LOG.format(8), SPACED),
        latency("h100-sxm", "F16_F32_M16N8K8", 16.0, LOG.format(8), SPACED),
        latency("h100-sxm", "TF32_F32_M16N8K8", 24.11, LOG.format(8)),
        latency("h100-sxm", "TF32_F32_M16N8K4", 16.06, LOG.format(4), SPACED),
        best("h100-sxm", "F16_F16_M16N8K16", 1341.1, LOG.format(16)),
        best("h100-sxm", "F16_F16_M16N8K8", 1010.5, LOG.format(8)),
        best("h100-sxm", "F16_F32_M16N8K8", 1004.6, LOG.format(8)),
        best("h100-sxm", "TF32_F32_M16N8K8", 669.4, LOG.format(8)),
        best("h100-sxm", "TF32_F32_M16N8K4", 505.0, LOG.format(4)),
        best("h100-sxm", "F16_F16_M16N8K16", 667.8e12, LOG.format(16), "throughput", "FLOP/s"),
        best("h100-sxm", "TF32_F32_M16N8K8", 331.8e12, LOG.format(8), "throughput", "FLOP/s"),
        best("rtx-4090", "F16_F16_M16N8K16", 357.6e12, TABLE7, "throughput", "FLOP/s"),
        latency("a100-pcie-40gb", "F16_F16_M16N8K16", 24.4, TABLE3),
        latency("a100-pcie-40gb", "F16_F16_M16N8K8", 17.7, TABLE3),
        latency("a100-pcie-40gb", "F16_F32_M16N8K8", 17.7, TABLE3),
        latency("a100-pcie-40gb", "TF32_F32_M16N8K8", 25.0, TABLE3),
        best("a100-pcie-40gb", "F16_F16_M16N8K16", 996.6, TABLE3),
        best("a100-pcie-40gb", "F16_F16_M16N8K8", 1002.6, TABLE3),
        best("a100-pcie-40gb", "F16_F32_M16N8K8", 974.1, TABLE3),
        best("a100-pcie-40gb", "TF32_F32_M16N8K8", 492.4, TABLE3),
    ],
)
