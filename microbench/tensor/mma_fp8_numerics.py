"""How mma.sync adds FP8 products (e4m3 and e5m2 to FP32): see mma_numerics.

Method and pitfalls: as there. sm_90 has no such instruction: the compiler unpacks to f16 and makes two HMMA, of the k
that leave 0 or 1 and of those that leave 2 or 3 over 4, and an addition, which the model finds: 25 fraction bits and
groups of 16; ``addend_bits`` is then the last shift tried, since nothing of C is lost. Those are not the 13 bits of
Hopper's own FP8 instruction (wgmma_numerics).
"""

from gpuprobe.gate import Expect
from gpuprobe.numerics import probing
from gpuprobe.probe import Launch, Probe


def expect(p):
    """One instruction of a warp for 16 rows; an emulation is accepted and labelled."""
    opcode = f"QMMA.16832.F32.{p['TYPE']}.{p['TYPE']}"
    return Expect(
        counts={opcode: 1}, native=(opcode,), forbid=("LDL", "STL"), predicated=True, loop=True, allow_emulated=True
    )


PROBE = Probe(
    name="mma_fp8_numerics",
    unit="bit",
    quantity="fraction_bits",
    archs=">=sm_89",
    kernel="mma_numerics",
    defines={"TYPE": ["E4M3", "E5M2"]},
    quick={"TYPE": []},
    launch=Launch(grid=56, block=128, iters=16),
    expect=expect,
    estimate=probing.estimate,
    check=probing.check,
    reduce=probing.reduce,
    prologue=True,
    rounds=4,
    out_words=1 << 16,
    covers=(6, 13),
)
