"""Cycles for each further wgmma.m64n256 of one warpgroup in one set of accumulators, by operand type, SS and RS.

Method: one warpgroup on one SM issues batches of CHAIN wgmmas into the same accumulators and waits; the slope over two
batch lengths leaves out fence, commit and wait. The accumulators stay in the tensor core between instructions of a
batch, so this is the time an instruction occupies it, which is what publications call latency: one warpgroup reaches
the peak rate. Pitfalls: a slope that holds the wait is 60 cycles a batch too long. Expected on H100: 128 cycles for
every type, with A from shared memory or registers.
"""

from gpuprobe.estimate import latency
from gpuprobe.families import wgmma
from gpuprobe.probe import Launch, Probe, Published

TABLE8 = "arXiv:2501.12084 Table 8"
PROBE = Probe(
    name="wgmma_latency",
    unit="cycle",
    archs="==sm_90",
    kernel="wgmma",
    defines={"TYPE": list(wgmma.TYPES), "FORM": ["SS", "RS"], "CHAIN": [8, 24]},
    axes={"OPERANDS": ["random"]},
    quick={"TYPE": ["F16"], "FORM": ["SS"]},
    launch=Launch(block=128, iters=128),
    expect=wgmma.expect,
    estimate=latency(),
    check=wgmma.check,
    prologue=True,
    covers=(4, 9),
    published=[
        Published("h800-pcie", 128.0, TABLE8, {"TYPE": kind, "FORM": form})
        for kind in ("F16", "F16_F16", "TF32", "E4M3", "E4M3_F16", "S8")
        for form in ("SS", "RS")
    ],
)
