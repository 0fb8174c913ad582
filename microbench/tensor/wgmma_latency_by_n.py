"""Cycles for each further wgmma.m64nN of one warpgroup, against N, by operand type, SS and RS.

Method: as wgmma_latency. N / 2 cycles are the multiplication; below N = 64 the operands take longer: A's 64 rows from
shared memory, or registers. N = 256 of the types other than f16 is wgmma_latency's. Expected on H100 for f16, SS: 128,
64, 32, 24, 20, 18 cycles for N = 256 down to 8; RS: 128, 64, 32, 16, 13, 13.
"""

from gpuprobe.estimate import latency
from gpuprobe.families import wgmma
from gpuprobe.probe import Launch, Probe, Published

VALUES = {256: (128, 128), 128: (64, 64), 64: (32, 32), 32: (24, 16), 16: (20, 13), 8: (18, 13)}
PROBE = Probe(
    name="wgmma_latency_by_n",
    unit="cycle",
    archs="==sm_90",
    kernel="wgmma",
    defines={"TYPE": list(wgmma.KINDS), "N": list(wgmma.WIDTHS), "FORM": ["SS", "RS"], "CHAIN": [8, 24]},
    axes={"OPERANDS": ["random"]},
    quick={"N": []},
    keep=lambda p: p["TYPE"] == "F16" or p["N"] < 256,
    launch=Launch(block=128, iters=128),
    expect=wgmma.expect,
    estimate=latency(),
    check=wgmma.check,
    prologue=True,
    covers=(4,),
    published=[
        Published(
            "h800-pcie",
            float(cycles),
            "arXiv:2501.12084 Table 9",
            {"TYPE": "F16", "N": n, "FORM": form},
            tolerance=0.05,
        )
        for n, pair in VALUES.items()
        for form, cycles in zip(("SS", "RS"), pair, strict=True)
    ],
)
