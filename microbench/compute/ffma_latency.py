"""Latency of a dependent FP32 multiply-add (FFMA), in cycles.

Method: one warp runs a chain of FFMA in which each reads the result of the one before; the slope of cycles over chain
length is the latency, so that clock reads and loop control cancel. Pitfalls: chains longer than the instruction cache
measure the cache; a chain whose result is not stored is removed. Expected: 4 cycles on Ampere, Ada and Hopper.
"""

from gpuprobe.estimate import latency
from gpuprobe.gate import Chain, Expect
from gpuprobe.operands import expect_all, words
from gpuprobe.probe import Launch, Probe, Published


def check(point, seed, out):
    """The chain counts its own instructions."""
    return expect_all(words(out)[: point.block], point.iters * int(point["CHAIN"]))


PROBE = Probe(
    name="ffma_latency",
    unit="cycle",
    defines={"CHAIN": [32, 64, 96]},
    launch=Launch(iters=1024),
    expect=lambda p: Expect(loop=True, counts={"FFMA": p["CHAIN"]}, chain=Chain("FFMA")),
    estimate=latency(),
    check=check,
    covers=(14,),
    published=[
        Published("h100-sxm", 4.07, "Johnsonms/NVIDIA-Hopper-Benchmark, summary.md", method="no overhead removed"),
    ],
)
