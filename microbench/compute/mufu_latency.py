"""Latency of a dependent special-function instruction (MUFU), in cycles, by operation.

Method: as ffma_latency, on the approximate PTX forms that are one MUFU each. These chains settle (at 1, at infinity,
at 0), so that their end alone proves nothing: beside the chain, in the shadow of the MUFU, every operand and 1 are
added up, and the sum is compared with the host's. Pitfalls: the full-precision forms of sqrt, sin or exp are
sequences (see sequence_latency); what earlier suites call the latency of fsqrt is that of several instructions. A
chain of reciprocals is no probe: ptxas knows that 1/(1/x) is x and removes it, asm volatile or not. Operations:
reciprocal square root, 2**x and tanh; op_latency has the others.
"""

from gpuprobe.estimate import latency
from gpuprobe.families.links import check_chain, expect_chain
from gpuprobe.probe import Launch, Probe

LINK = {"RSQRT": "RSQ", "EX2": "EX2", "TANH": "TANH"}


def check(point, seed, out):
    """The chain's end and the sum of its operands."""
    return check_chain(LINK[str(point["OP"])], point, point.iters * int(point["CHAIN"]), out)


PROBE = Probe(
    name="mufu_latency",
    unit="cycle",
    kernel="op_latency",
    defines={"OP": list(LINK), "CHAIN": [32, 64, 96]},
    quick={"OP": ["RSQRT", "EX2"]},
    launch=Launch(iters=512),
    expect=lambda p: expect_chain(LINK[p["OP"]], p["CHAIN"]),
    estimate=latency(),
    check=check,
    covers=(16,),
)
