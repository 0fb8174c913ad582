"""Cycles for each further wgmma.sp.m64n256 (2:4 sparse A) of one warpgroup, by operand type, SS and RS.

Method: as wgmma_latency, with the metadata in a register. B is twice as long along k as that of a dense instruction,
which takes as many cycles. Expected on H100: 144 to 146 cycles with A in shared memory, 128 to 130 with A in registers
(two warpgroups together reach 144 and 128: wgmma_sparse_rate).
"""

from gpuprobe.estimate import latency
from gpuprobe.families import wgmma
from gpuprobe.probe import Launch, Probe, Published

PROBE = Probe(
    name="wgmma_sparse_latency",
    unit="cycle",
    archs="==sm_90",
    kernel="wgmma",
    defines={
        "TYPE": ["F16", "BF16", "TF32", "E4M3", "E5M2", "S8"],
        "FORM": ["SS", "RS"],
        "SPARSE": [1],
        "CHAIN": [8, 24],
    },
    axes={"OPERANDS": ["random"]},
    quick={"TYPE": []},
    launch=Launch(block=128, iters=128),
    expect=wgmma.expect,
    estimate=latency(),
    check=wgmma.check,
    prologue=True,
    covers=(5, 9),
    published=[
        Published("h800-pcie", 144.0, "arXiv:2501.12084", {"FORM": "SS"}),
        Published("h800-pcie", 128.0, "arXiv:2501.12084", {"FORM": "RS"}),
    ],
)
