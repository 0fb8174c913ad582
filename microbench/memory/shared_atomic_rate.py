"""Atomics on shared memory per cycle of an SM against contention: one word for all, one for each lane, one a thread.

Method: 1024 threads of one block an SM add to words of shared memory, thread i to word i modulo WORDS, eight times a
pass; the slope of cycles over passes. With 32 words each lane of a warp has its own and the warps share them. ADD_F32
has no instruction: the compiler makes a loop of a load, the sum and a compare-and-swap, which is labelled emulated
and whose rate falls with contention. The words' final values are compared with the host's. Pitfalls: an addition of
the constant 1 becomes a count of the lanes (ATOMS.POPC.INC), another instruction. Expected: on H100 32 a cycle for
integers (1 on one word), half of it for compare-and-swap; emulated floats 9, and 0.02 on one word.
"""

import numpy as np

from gpuprobe.estimate import rate_per_sm
from gpuprobe.gate import Expect
from gpuprobe.operands import words
from gpuprobe.probe import Launch, Probe, sm_count

BLOCK, UNROLL, ROW = 1024, 8, 1024
OPCODES = {"ADD_U32": "ATOMS.ADD", "ADD_F32": "ATOMS.ADD.F32", "CAS_U32": "ATOMS.CAS"}


def check(point, seed, out):
    """Every word holds the host's sum."""
    count = point.data_bytes // 4
    additions = point.iters * UNROLL * BLOCK // count
    bits = np.array([additions], dtype=np.float32).view(np.uint32)
    wanted = {"ADD_U32": 3 * additions, "ADD_F32": int(bits[0]), "CAS_U32": 0}[str(point["OP"])]
    found = words(out)[: point.grid * ROW].reshape(point.grid, ROW)[:, :count]
    wrong = found != wanted
    return f"a word holds {int(found[wrong][0]):#x}, the host's {wanted:#x}" if wrong.any() else None


def expect(p):
    """The atomics, or the loop that stands for one."""
    return Expect(loop=True, counts={OPCODES[p["OP"]]: UNROLL}, allow_emulated=p["OP"] == "ADD_F32")


def passes(params, device):
    """Fewer where all threads wait for one word."""
    return params["PASSES"] * (1 if params["WORDS"] == 1 else 8)


PROBE = Probe(
    name="shared_atomic_rate",
    unit="op/cycle/SM",
    quantity="rate",
    defines={"OP": list(OPCODES)},
    axes={"WORDS": [1, 32, 1024], "PASSES": [1, 3]},
    quick={"OP": ["ADD_U32"]},
    launch=Launch(grid=sm_count, block=BLOCK, data_bytes=lambda p, d: 4 * p["WORDS"], iters=passes),
    expect=expect,
    estimate=rate_per_sm(lambda p: float(p.iters * UNROLL * BLOCK), "op/cycle/SM"),
    check=check,
    out_words=1 << 18,
    covers=(37,),
)
