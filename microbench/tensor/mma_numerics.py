"""How mma.sync adds: fraction bits kept, bits and rounding of the result, products added at once; a bit-exact model.

Method: dot products in which one thing is isolated. A large product X and -X leave what alignment kept of a third one
(``fraction_bits`` below the largest exponent; ``addend_bits`` of C); X + X and a small one show ``result_bits`` and
whether the result is rounded or cut; X at one place, -X in C and a number that is lost beside X at another place show
which places along k are added at once (``group``) and in which order. The model with these properties (groups of
products aligned to the largest exponent, cut, added exactly, rounded once; FP64 by fused multiply-adds) must then give
every bit of 8192 random vectors a sample and of the designed ones: any finite bits, near and wide exponents,
cancellation, subnormal numbers, infinities and NaN, zeros, large addends. ``exact`` counts the vectors it gives; a
single other bit is a rejection. ``gpuprobe.numerics`` holds the model for use on any machine.

Pitfalls: an error against a CPU's sum says little; magnitudes that are lost anyway hide the order. Expected on Hopper:
25 fraction bits for f16, bf16 and tf32, results cut to 24 bits (rounded to the nearest for f16 ones), all products of
k = 16 (tf32: 8) at once; A100 24 bits and groups of 8 (4). Subnormal operands and results count in full, a sum of zero
is positive, NaN is 0x7fffffff (0x7fff). FP64 is four multiply-adds rounded to the nearest, and NaN keep their payload.
"""

from gpuprobe.gate import Expect
from gpuprobe.numerics import probing
from gpuprobe.probe import Launch, Probe, Published

OPCODE = {
    "F16": ("HMMA.16816.F32", 1),
    "F16_F16": ("HMMA.16816.F16", 1),
    "BF16": ("HMMA.16816.F32.BF16", 1),
    "TF32": ("HMMA.1688.F32.TF32", 1),
    "F64": ("DMMA", 2),
}


def expect(p):
    """One instruction of a warp for 16 rows, of FP64 two."""
    opcode, count = OPCODE[p["TYPE"]]
    return Expect(counts={opcode: count}, native=(opcode,), forbid=("LDL", "STL"), predicated=True, loop=True)


PROBE = Probe(
    name="mma_numerics",
    unit="bit",
    quantity="fraction_bits",
    defines={"TYPE": list(OPCODE)},
    quick={"TYPE": ["F16"]},
    launch=Launch(grid=56, block=128, iters=16),
    expect=expect,
    estimate=probing.estimate,
    check=probing.check,
    reduce=probing.reduce,
    prologue=True,
    rounds=4,
    out_words=1 << 16,
    covers=(13,),
    published=[
        Published("h100-sxm", 25.0, "arXiv:2511.10909 (MMA-Sim)", {"TYPE": kind}, "fraction_bits")
        for kind in ("F16", "BF16", "TF32")
    ],
)
