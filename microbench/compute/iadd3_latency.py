"""Latency of a dependent three-input integer add (IADD3), in cycles.

Method: as ffma_latency. Pitfalls: ptxas turns some two-input adds into IMAD.IADD, which runs on another pipe, and
merges chains of adds of one operand; three distinct inputs leave it no choice, and the gate counts them. Expected:
about 4.
"""

from gpuprobe.estimate import latency
from gpuprobe.gate import Chain, Expect
from gpuprobe.operands import expect_all, words
from gpuprobe.probe import Launch, Probe, Published


def check(point, seed, out):
    """x = seed + steps * (a + b), modulo 2**32, with a = bytes + 3 and b = iters + 5."""
    step = point.data_bytes + 3 + point.iters + 5
    return expect_all(words(out)[: point.block], (seed + point.iters * int(point["CHAIN"]) * step) % 2**32)


PROBE = Probe(
    name="iadd3_latency",
    unit="cycle",
    defines={"CHAIN": [32, 64, 96]},
    launch=Launch(iters=1024),
    expect=lambda p: Expect(loop=True, counts={"IADD3": p["CHAIN"]}, chain=Chain("IADD3")),
    estimate=latency(),
    check=check,
    covers=(14,),
    published=[
        Published("h100-sxm", 4.12, "Johnsonms/NVIDIA-Hopper-Benchmark, summary.md", method="no overhead removed"),
    ],
)
