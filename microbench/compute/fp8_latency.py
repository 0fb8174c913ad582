"""Latency of converting from and to FP8 (F2FP), in cycles, by direction and format.

Method: as op_latency. E4M3_F16 and E5M2_F16 unpack two FP8 numbers to FP16; F32_E4M3 and F32_E5M2 pack FP32 numbers,
four to a register with two instructions (half of both is stated); F16_E4M3 and F16_E5M2 narrow FP16 pairs and carry a
PRMT in the chain, which is in the number. Results are compared with the host's rounding (nearest even, saturating).
Expected: as other work of the ALU pipe.
"""

from gpuprobe.estimate import Estimate, latency
from gpuprobe.families.links import FP8, check_chain, expect_chain
from gpuprobe.probe import Launch, Probe

SLOPE = latency()


def estimate(round_):
    """Cycles of one instruction: of a link, over the instructions in it."""
    return [
        Estimate(e.quantity, e.params, e.unit, e.value / FP8[e.params["OP"]].instructions, e.sample)
        for e in SLOPE(round_)
    ]


def check(point, seed, out):
    """The chain's end, and its sum where it settles."""
    return check_chain(str(point["OP"]), point, point.iters * int(point["CHAIN"]), out)


PROBE = Probe(
    name="fp8_latency",
    unit="cycle",
    archs=">=sm_89",
    kernel="op_latency",
    defines={"OP": list(FP8), "CHAIN": [32, 96]},
    quick={"OP": ["E4M3_F16", "F32_E4M3"]},
    launch=Launch(iters=128),
    expect=lambda p: expect_chain(p["OP"], p["CHAIN"]),
    estimate=estimate,
    check=check,
    out_words=1 << 10,
    covers=(17,),
)
