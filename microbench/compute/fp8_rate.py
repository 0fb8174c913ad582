"""Rate of converting from and to FP8 (F2FP), in instructions of a thread per cycle of an SM.

Method: as op_rate; each instruction converts two numbers, so that numbers per cycle are twice the rate. F16_E4M3 and
F16_E5M2 carry a PRMT each, on the same pipe. This decides what dequantisation costs beside a tensor core.
"""

from gpuprobe.estimate import rate_per_sm
from gpuprobe.families.links import FP8, check_chains, expect_chains
from gpuprobe.probe import Launch, Probe, sm_count

CHUNK = 256
ILP = 4


def work(point):
    """Operations of one SM in one sample."""
    return float(point.iters * CHUNK * 32 * int(point["WARPS"]) * FP8[str(point["OP"])].instructions)


def check(point, seed, out):
    """The end of every chain of the first block, and the turns of the loop."""
    return check_chains(str(point["OP"]), point, point.iters * CHUNK // ILP, ILP, out)


PROBE = Probe(
    name="fp8_rate",
    unit="op/cycle/SM",
    quantity="rate",
    archs=">=sm_89",
    kernel="op_rate",
    defines={"OP": list(FP8), "ILP": [ILP]},
    axes={"WARPS": [16], "PASSES": [8, 24]},
    quick={"OP": ["E4M3_F16", "F32_E4M3"]},
    launch=Launch(grid=sm_count, block=lambda p, d: 32 * p["WARPS"], iters=lambda p, d: p["PASSES"]),
    expect=lambda p: expect_chains(p["OP"], CHUNK, p["ILP"]),
    estimate=rate_per_sm(work, "op/cycle/SM"),
    bound=lambda estimate, device, architecture, clock_hz: architecture.schedulers * 32.0,
    check=check,
    out_words=1 << 14,
    covers=(17,),
)
