"""Energy of one multiply-add of wgmma.m64n256 from shared memory, on random and on zero operands, in joules.

Method: as energy_alu, with two warpgroups an SM on a tenth and on a third of the SMs: at full rate on half of them an
H100 can meet its power cap, and the clock, so the voltage, would fall. The slope over both is the energy of one
multiply-add with the reading of its operands from shared memory. Pitfalls: zeros take a quarter of the energy, so rates
and powers on zeros say little of real work; counting a multiply-add as two operations.
"""

from gpuprobe.energy.per_operation import energy_per, unfit
from gpuprobe.families import wgmma
from gpuprobe.probe import Launch, Probe

GROUPS = 2

PROBE = Probe(
    name="energy_wgmma",
    kernel="../tensor/wgmma",
    archs="==sm_90",
    unit="J/FMA",
    quantity="energy",
    method="energy",
    defines={"TYPE": list(wgmma.KINDS), "CHAIN": [16], "FRESH": [1]},
    axes={"SHARE": [10, 3], "OPERANDS": ["random", "zero"]},
    quick={"TYPE": []},
    keep=lambda p: p["OPERANDS"] == "random" or p["SHARE"] == 3,
    launch=Launch(
        grid=lambda p, d: max(1, int(d["sm_count"]) // p["SHARE"]), block=128 * GROUPS, iters=lambda p, d: 4500
    ),
    prologue=True,
    expect=wgmma.expect,
    estimate=energy_per(lambda p: wgmma.flop(p) / 2, "J/FMA", axis="SHARE"),
    check=wgmma.check,
    refuse=unfit,
    rounds=2,
    width=0.1,
    out_words=1 << 18,
    noise={"energy": 0.02, "static": 0.03},
    covers=(47, 48),
)
