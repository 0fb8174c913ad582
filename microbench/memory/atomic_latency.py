"""Round trip of an atomic whose result is used, in cycles, by operation and width: GLOBAL (in L2) and SHARED.

Method: one thread runs a chain of atomics on one word, each with the value returned by the one before as its operand;
slope of cycles over its length. ADD walks the Fibonacci numbers from ones, so that the last value counts the steps
(in f16x2: subnormals, exact). CAS is a compare-and-swap that passes. Adding in 64 bits, f32 or f16x2 has no
instruction in shared memory: the compiler makes a loop of a load, the sum and a compare-and-swap of it, and the
value, which is without contention, is labelled emulated. Pitfalls: without a use of the result the compiler makes a
RED of it, and the pipeline cost (36-76 cycles published for V100 and T4, 6-8 in shared memory) is taken for a round
trip; near or far
L2 slice: GLOBAL takes another line in every round (the same lines in every run), on the SM of the first block, so that
the interval is that of the median over lines. Expected: 260-277 cycles in L2 on H100; shared 24, compare-and-swap
30-35, emulated 90-104.
"""

import numpy as np

from gpuprobe.estimate import latency
from gpuprobe.gate import Chain, Expect
from gpuprobe.operands import expect_all, words
from gpuprobe.probe import Launch, Probe

ONE = {"ADD_F32": 0x3F800000, "ADD_F16X2": 0x00200010}
SWAP = 12345
SHARED = {
    "ADD_U32": "ATOMS.ADD",
    "MIN_U32": "ATOMS.MIN",
    "EXCH_U32": "ATOMS.EXCH",
    "CAS_U32": "ATOMS.CAS",
    "CAS_U64": "ATOMS.CAS.64",
    "ADD_U64": "ATOMS.ADD.64",
    "ADD_F32": "ATOMS.ADD.F32",
    "ADD_F16X2": "ATOMS.ADD.F16x2",
}
VIA = ("MOV", "IMAD.MOV", "IMAD.U32", "LOP3", "VIADD", "IADD3", "IMAD.X", "IMAD.IADD", "UMOV", "R2UR")
EMULATED = ("ADD_U64", "ADD_F32", "ADD_F16X2")
GLOBAL = {
    "ADD_U32": "ATOMG.E.ADD.STRONG",
    "MIN_U32": "ATOMG.E.MIN.STRONG",
    "EXCH_U32": "ATOMG.E.EXCH.STRONG",
    "CAS_U32": "ATOMG.E.CAS.STRONG",
    "ADD_U64": "ATOMG.E.ADD.64",
    "CAS_U64": "ATOMG.E.CAS.64",
    "ADD_F32": "ATOMG.E.ADD.F32",
    "ADD_F16X2": "ATOMG.E.ADD.F16x2",
}


def added(op, a, b):
    """Bits of the sum of two words."""
    kinds = {"ADD_F32": np.float32, "ADD_F16X2": np.float16}
    if op in kinds:
        with np.errstate(over="ignore"):
            total = np.array([a, b], dtype=np.uint32).view(kinds[op]).reshape(2, -1).sum(axis=0, dtype=kinds[op])
        return int(total.view(np.uint32)[0])
    return a + b & (0xFFFFFFFFFFFFFFFF if op.endswith("U64") else 0xFFFFFFFF)


def last(op, chain):
    """What the last atomic of a pass returns."""
    word = ONE.get(op, 1)
    x = word + 4 if op in ("MIN_U32", "EXCH_U32") else word
    for _ in range(chain):
        old = word
        if op.startswith("ADD"):
            word = added(op, word, x)
        elif op.startswith("MIN"):
            word = min(word, x)
        elif op.startswith("EXCH"):
            word = x
        elif word == x:
            word = SWAP
        x = old
    return x


def check(point, seed, out):
    """Every pass returned what the host's does."""
    each = last(str(point["OP"]), int(point["CHAIN"])) & 0xFFFFFFFF
    return expect_all(words(out)[:1], each * point.iters & 0xFFFFFFFF)


def expect(p):
    """A chain through the returned value (a compare value may be copied beside the swap value), or its emulation."""
    opcode = (GLOBAL if p["SPACE"] == "GLOBAL" else SHARED)[p["OP"]]
    if p["SPACE"] == "SHARED" and p["OP"] in EMULATED:
        return Expect(loop=True, counts={opcode: p["CHAIN"]}, allow_emulated=True)
    store = "STG" if p["SPACE"] == "GLOBAL" else "STS"  # each pass begins with one
    return Expect(loop=True, counts={opcode: p["CHAIN"]}, chain=Chain(opcode, via=VIA), allow=(store,), moves=64)


PROBE = Probe(
    name="atomic_latency",
    unit="cycle",
    defines={"SPACE": ["GLOBAL", "SHARED"], "OP": list(GLOBAL), "CHAIN": [7, 21]},
    quick={"OP": ["ADD_U32", "CAS_U32", "ADD_F32"]},
    launch=Launch(block=32, data_bytes=1 << 20, iters=32),
    expect=expect,
    paired=True,
    estimate=latency(),
    check=check,
    out_words=64,
    noise={"latency": 0.01},
    covers=(37,),
)
