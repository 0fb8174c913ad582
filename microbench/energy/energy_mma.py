"""Energy of one multiply-add of mma.sync, on random and on zero operands, in joules, by type.

Method: as energy_alu, with 1 and 4 warps an SM of two accumulator chains each: more meet the power cap. F16, BF16 and
TF32 with FP32 accumulators and S8 everywhere; E4M3 where it is native (on Hopper FP8 is unpacked to FP16, and wgmma is
the instruction to use: see energy_wgmma). Pitfalls: as there.
"""

from gpuprobe.energy.per_operation import energy_per, unfit
from gpuprobe.families.mma_grid import OUT_WORDS, check, expect, fma_per_sm
from gpuprobe.probe import Launch, Probe, sm_count

ILP = 2
PASSES = 36_000


def types(device):
    """Types of every architecture, and FP8 where it is no emulation."""
    return [
        "F16",
        "BF16",
        "TF32_F32_M16N8K8",
        "S8_M16N8K32",
        *(["E4M3_F32_M16N8K32"] if device.architecture == "sm_89" else []),
    ]


PROBE = Probe(
    name="energy_mma",
    kernel="../tensor/mma_rate",
    unit="J/FMA",
    quantity="energy",
    method="energy",
    defines={"TYPE": types, "ILP": [ILP]},
    axes={"WARPS": [1, 4], "OPERANDS": ["random", "zero"]},
    quick={"TYPE": []},
    keep=lambda p: p["OPERANDS"] == "random" or p["WARPS"] == 4,
    launch=Launch(grid=sm_count, block=lambda p, d: 32 * p["WARPS"], iters=PASSES),
    expect=expect,
    estimate=energy_per(lambda p: fma_per_sm(p) * p.grid, "J/FMA"),
    check=check,
    refuse=unfit,
    rounds=2,
    width=0.1,
    out_words=OUT_WORDS,
    noise={"energy": 0.02, "static": 0.02},
    covers=(47, 48),
)
