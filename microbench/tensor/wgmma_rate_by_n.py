"""Rate of wgmma.m64nN against N, by operand type, with A in shared memory (SS) or registers (RS).

Method: as wgmma_rate; for f16 the best of two and four warpgroups an SM, for the other types two, and N below 256
(wgmma_rate and wgmma_rate_rs have 256). Where N is small, reading A's 64 rows from shared memory takes longer than the
multiplication: SS then falls behind RS. Pitfalls: accumulators of N = 256 leave registers for two warpgroups only.
Expected on H100 for f16: the full 2048 FMA/cycle/SM from N = 64 on; below, SS takes 24, 20 and 18 cycles an
instruction (N = 32, 16, 8) and RS 16, 13 and 13.
"""

from gpuprobe.estimate import every, rate, rate_per_sm
from gpuprobe.families import wgmma
from gpuprobe.probe import Launch, Probe, Published, sm_count

VALUES = {  # N: TFLOP/s on H800 PCIe with random operands, SS and RS
    256: (665.4, 667.5),
    128: (659.8, 661.7),
    64: (648.3, 649.9),
    32: (471.5, 634.4),
    16: (283.5, 426.2),
    8: (157.6, 215.2),
}


def keep(params):
    """f16 whole; of the other types what wgmma_rate and wgmma_rate_rs leave out, with two warpgroups."""
    if params["TYPE"] == "F16":
        return params["N"] < 256 or params["GROUPS"] == 2
    return params["N"] < 256 and params["GROUPS"] == 2


PROBE = Probe(
    name="wgmma_rate_by_n",
    unit="FMA/cycle/SM",
    quantity="rate",
    archs="==sm_90",
    kernel="wgmma",
    defines={"TYPE": list(wgmma.KINDS), "N": list(wgmma.WIDTHS), "FORM": ["SS", "RS"], "CHAIN": [16]},
    axes={"GROUPS": [2, 4], "OPERANDS": ["random"], "PASSES": [200, 600]},
    quick={"N": []},
    keep=keep,
    launch=Launch(
        grid=sm_count,
        block=lambda p, d: 128 * p["GROUPS"],
        iters=lambda p, d: p["PASSES"] * 256 // max(p["N"], 32),
    ),
    expect=wgmma.expect,
    estimate=every(rate_per_sm(wgmma.per_sm, "FMA/cycle/SM"), rate(wgmma.flop, "FLOP/s")),
    bound=wgmma.bound,
    check=wgmma.check,
    prologue=True,
    rounds=21,
    width=0.02,
    out_words=1 << 19,
    best_over=("GROUPS",),
    noise={"throughput": 0.006},
    covers=(4,),
    published=[
        Published(
            "h800-pcie",
            tera * 1e12,
            "arXiv:2501.12084 Table 9",
            {"TYPE": "F16", "N": n, "FORM": form},
            "throughput",
            "FLOP/s",
            method="114 SMs at up to 1755 MHz, power limit 350 W",
            tolerance=0.05,
        )
        for n, pair in VALUES.items()
        for form, tera in zip(("SS", "RS"), pair, strict=True)
    ],
)
