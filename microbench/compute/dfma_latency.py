"""Latency of a dependent FP64 multiply-add (DFMA), in cycles.

Method and pitfalls as for ffma_latency. GPUs with two FP64 lanes an SM (GA10x, AD10x) take an order of magnitude
longer: there the issue rate, not the pipeline's depth, is what a dependent chain sees. Expected: 8 on A100 and H100.
"""

from gpuprobe.estimate import latency
from gpuprobe.gate import Chain, Expect
from gpuprobe.operands import expect_all, words
from gpuprobe.probe import Launch, Probe, Published


def check(point, seed, out):
    """The chain counts its own instructions."""
    return expect_all(words(out)[: point.block], point.iters * int(point["CHAIN"]))


PROBE = Probe(
    name="dfma_latency",
    unit="cycle",
    defines={"CHAIN": [32, 64, 96]},
    launch=Launch(iters=1024),
    expect=lambda p: Expect(loop=True, counts={"DFMA": p["CHAIN"]}, chain=Chain("DFMA")),
    estimate=latency(),
    check=check,
    covers=(14,),
    published=[
        Published("h100-sxm", 8.04, "Johnsonms/NVIDIA-Hopper-Benchmark, summary.md", method="no overhead removed"),
    ],
)
