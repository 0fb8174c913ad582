"""Latency and rate of mma.sp (2:4 sparse A) for FP16, BF16, TF32, INT8, INT4 and FP8, in every shape.

Counting: every rate is DENSE-EQUIVALENT. An instruction of shape m16n8k32 counts 16 x 8 x 32 multiply-adds, though
half of them meet a zero that is not even stored; the multiply-adds done are half of ``rate``, the operations half of
``throughput``. Published tables of mma.sp count the same way.

Method: that of mma_rate, with which this shares the kernel. A is stored at half its length; the metadata are random
valid selectors (which 2 of 4, for TF32 which 1 of 2, for INT4 which 2 pairs of 4), another set for each seed, so the
selectors of the hardware switch as in real work. Every lane is compared with the host's bit for bit.
Pitfalls: the small shape of a type reaches only two thirds of the large one's rate (63 % on A100); fixed metadata
(0x44444444) hide a wrong layout: 16-bit types and TF32 keep rows g and g + 8 in the halves of one lane's word, 8- and
4-bit types in the words of two lanes. FP8 and INT4 are emulated on sm_90 (flagged), native on Ada.
Expected on H100: 24 cycles for the large shapes, 17 for the small; FP16 m16n8k32 2048 FMA/cycle/SM, 1.5 times the
dense rate of mma.sync and half of the sparse peak (wgmma reaches that); INT8 m16n8k64 4096. On A100 1979 for FP16
m16n8k32.
"""

from gpuprobe import arch
from gpuprobe.families.mma_grid import grid_probe
from gpuprobe.families.mma_grid import published_best as best
from gpuprobe.families.mma_grid import published_latency as latency

HEADLINES = ["SP_F16_F32_M16N8K32", "SP_S8_M16N8K64"]
OTHERS = ["SP_F16_F32_M16N8K16", "SP_F16_F16_M16N8K16", "SP_F16_F16_M16N8K32"]
OTHERS += ["SP_BF16_F32_M16N8K16", "SP_BF16_F32_M16N8K32", "SP_TF32_F32_M16N8K8", "SP_TF32_F32_M16N8K16"]
OTHERS += ["SP_S8_M16N8K32", "SP_S4_M16N8K64", "SP_S4_M16N8K128"]
FP8 = ["SP_E4M3_F32_M16N8K64", "SP_E5M2_F32_M16N8K64", "SP_E4M3_E5M2_F32_M16N8K64", "SP_E5M2_E4M3_F32_M16N8K64"]


def instructions(device):
    """Those that the device has."""
    return HEADLINES + OTHERS + (FP8 if arch.parse(device.architecture).number >= 89 else [])


TABLE6, TABLE7 = "arXiv:2206.02874 Table 6", "arXiv:2402.13499 Table VII"
A100 = {
    "SP_F16_F32_M16N8K32": (24.7, 1979.1),
    "SP_F16_F32_M16N8K16": (17.8, 1290.5),
    "SP_F16_F16_M16N8K32": (24.3, 2019.8),
    "SP_F16_F16_M16N8K16": (17.6, 1318.2),
    "SP_TF32_F32_M16N8K16": (24.9, 981.2),
    "SP_TF32_F32_M16N8K8": (18.2, 643.6),
    "SP_S8_M16N8K64": (24.7, 3961.5),
    "SP_S8_M16N8K32": (17.9, 2665.2),
}
PROBE = grid_probe(
    "mma_sparse",
    HEADLINES,
    instructions,
    warps=(1, 8, 16),
    covers=(3,),
    published=[
        *(latency("a100-pcie-40gb", name, cycles, TABLE6) for name, (cycles, _) in A100.items()),
        *(best("a100-pcie-40gb", name, fma, TABLE6) for name, (_, fma) in A100.items()),
        best("a100-pcie-40gb", "SP_F16_F32_M16N8K32", 622.8e12, TABLE7, "throughput", "FLOP/s"),
        latency("h800-pcie", "SP_F16_F32_M16N8K32", 24.0, TABLE7),
        best("h800-pcie", "SP_F16_F32_M16N8K32", 722.8e12, TABLE7, "throughput", "FLOP/s"),
        latency("rtx-4090", "SP_F16_F16_M16N8K32", 24.5, TABLE7),
        best("rtx-4090", "SP_F16_F16_M16N8K32", 711.8e12, TABLE7, "throughput", "FLOP/s"),
    ],
)
