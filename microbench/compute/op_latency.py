"""Latency of one instruction in a dependent chain, in cycles: integer, FP16/32/64, special functions, conversions.

Method: as ffma_latency, for every opcode that a link of PTX can be (ops.cuh); the slope of cycles over chain length,
for one instruction (MNMX, FMNMX and HMNMX2 are a maximum and a minimum, half of both is stated). Chains that would
settle at a fixed point carry a sum beside them, of each operand and 1, in the shadow of the link; on the ALU, where
the sum would cost time, the gate's count of the links in the loop and the turns of the loop stand for their number.
The bits of one conversion are the operand of the next, whatever they mean. Pitfalls: ptxas knows that 1/(1/x) is x;
it issues HFMA2, HADD2 and HMUL2 on sm_80 and sm_90 in turn as HFMA2.MMA, so that the number is the mean of two waits
(see half_pipes); conversions of the special-function unit and MUFU wait on a scoreboard, not on a stall count.
Expected on Hopper: 4 for what the ALU and FMA pipes do, 8 for FP64 and for FP16 in turns, 17 for the special-function
unit.
"""

from gpuprobe.estimate import Estimate, latency
from gpuprobe.families.links import SINGLE, check_chain, expect_chain
from gpuprobe.probe import Launch, Probe, Published

SLOPE = latency()


def estimate(round_):
    """Cycles of one instruction: of a link, over the instructions in it."""
    return [
        Estimate(e.quantity, e.params, e.unit, e.value / SINGLE[e.params["OP"]].instructions, e.sample)
        for e in SLOPE(round_)
    ]


def check(point, seed, out):
    """The chain's end, and its sum where it settles."""
    return check_chain(str(point["OP"]), point, point.iters * int(point["CHAIN"]), out)


JOHNSONMS = "Johnsonms/NVIDIA-Hopper-Benchmark, summary.md"
PROBE = Probe(
    name="op_latency",
    unit="cycle",
    defines={"OP": list(SINGLE), "CHAIN": [32, 96]},
    quick={"OP": ["IMAD", "LOP3", "HFMA2", "FADD", "POPC", "LG2", "F2I", "F2FP_F16"]},
    launch=Launch(iters=128),
    expect=lambda p: expect_chain(p["OP"], p["CHAIN"]),
    estimate=estimate,
    check=check,
    out_words=1 << 10,
    covers=(14, 16, 17),
    published=[
        Published("h100-sxm", 4.07, JOHNSONMS, {"OP": "FFMA"}, method="no overhead removed"),
        Published("h100-sxm", 4.12, JOHNSONMS, {"OP": "IADD3"}, method="no overhead removed"),
        Published("h100-sxm", 8.04, JOHNSONMS, {"OP": "DFMA"}, method="no overhead removed"),
    ],
)
