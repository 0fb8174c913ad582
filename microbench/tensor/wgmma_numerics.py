"""How wgmma adds: fraction bits kept, bits and rounding of the result, products added at once; a bit-exact model.

Method and pitfalls: as mma_numerics, with wgmma.m64n8 and operands in shared memory. Expected on H100: 25 fraction bits
for f16, bf16 and tf32; 13 for e4m3 and e5m2, whose FP32 results hold no more than 13 bits of fraction either: sums over
long k are to be promoted to FP32 registers.
"""

from gpuprobe.families import wgmma
from gpuprobe.gate import Expect
from gpuprobe.numerics import probing
from gpuprobe.probe import Launch, Probe, Published


def expect(p):
    """One instruction for each tile."""
    opcode = wgmma.Instruction(p["TYPE"], 8).opcode
    return Expect(counts={opcode: 1}, native=(opcode,), forbid=("LDL", "STL"), predicated=True, loop=True)


PROBE = Probe(
    name="wgmma_numerics",
    unit="bit",
    quantity="fraction_bits",
    archs="==sm_90",
    kernel="mma_numerics",
    defines={"TYPE": ["F16", "F16_F16", "BF16", "TF32", "E4M3", "E4M3_F16", "E5M2"], "FORM": ["SS"]},
    quick={"TYPE": ["F16", "E4M3"]},
    launch=Launch(grid=56, block=128, iters=16),
    expect=expect,
    estimate=probing.estimate,
    check=probing.check,
    reduce=probing.reduce,
    prologue=True,
    rounds=4,
    out_words=1 << 16,
    covers=(9, 13),
    published=[
        Published("h100-sxm", bits, "arXiv:2511.10909 (MMA-Sim)", {"TYPE": kind}, "fraction_bits")
        for kind, bits in (("F16", 25.0), ("BF16", 25.0), ("TF32", 25.0), ("E4M3", 13.0), ("E5M2", 13.0))
    ],
)
