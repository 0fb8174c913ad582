"""Latency of a dependent special-function instruction (MUFU), in cycles, by operation.

Method: as ffma_latency, on the approximate PTX forms that are one MUFU each. Pitfalls: the full-precision forms of
sqrt, sin or exp are sequences; what earlier suites call the latency of fsqrt is that of several instructions. A chain
of reciprocals is no probe: ptxas knows that 1/(1/x) is x and removes it, asm volatile or not. Operations: reciprocal
square root, 2**x and tanh.
"""

import numpy as np

from gpuprobe.estimate import latency
from gpuprobe.gate import Chain, Expect
from gpuprobe.operands import floats
from gpuprobe.probe import Launch, Probe

STEP = {
    "RSQRT": lambda x: 1.0 / np.sqrt(x),
    "EX2": np.exp2,
    "TANH": np.tanh,
}
OPCODE = {"RSQRT": "MUFU.RSQ", "EX2": "MUFU.EX2", "TANH": "MUFU.TANH"}


def check(point, seed, out):
    """The chain ends where the host's does, or at its fixed point, to the accuracy of the approximation."""
    x = np.float32(4.0)
    with np.errstate(over="ignore"):
        for _ in range(min(point.iters * int(point["CHAIN"]), 4096)):
            x = STEP[point["OP"]](x)
    found = floats(out)[: point.block]
    near = np.abs(found - x) <= 0.02 * abs(x) + 0.02 if np.isfinite(x) else found == x  # 2**x ends at infinity
    if np.all(near):
        return None
    return f"the chain ends at {found[0]:.6g}, the host's at {x:.6g}"


PROBE = Probe(
    name="mufu_latency",
    unit="cycle",
    defines={"OP": ["RSQRT", "EX2", "TANH"], "CHAIN": [32, 64, 96]},
    quick={"OP": ["RSQRT", "EX2"]},
    launch=Launch(iters=512),
    expect=lambda p: Expect(loop=True, counts={OPCODE[p["OP"]]: p["CHAIN"]}, chain=Chain(OPCODE[p["OP"]])),
    estimate=latency(),
    check=check,
)
