"""Cost of a condition: predication, a branch taken by all lanes, by none or by half, and both sides of a divergent one.

Method: a chain of conditions, each around 24 dependent FFMA; the slope over their number is ``cost``, cycles for one
condition with its body. LANES of the warp take it. PLAIN has no condition: what the others cost more is the
condition's own. PREDICATED guards every instruction; BRANCH jumps over the body (ISETP, BSSY, BRA, BSYNC); BOTH has a
body on either side, which a divergent warp runs one after the other. Pitfalls: ptxas turns short branches into
predicates, so that an 'if' of few instructions is no branch at all; each condition is computed again just before it
is used (about 13 cycles before a branch may read it). Expected: a body is 24 x 4 cycles; divergence costs the other
body and a few tens of cycles, not a multiple.
"""

import numpy as np

from gpuprobe.estimate import latency
from gpuprobe.gate import Expect
from gpuprobe.operands import words
from gpuprobe.probe import Launch, Probe

BODY = 24


def keep(params):
    """Without a condition all lanes run."""
    return params["KIND"] != "PLAIN" or params["LANES"] == 32


def check(point, seed, out):
    """Every lane counts the multiply-adds of its side."""
    full = point.iters * int(point["CHAIN"]) * BODY
    first = np.arange(32) < point["LANES"]
    other = ~first if point["KIND"] == "BOTH" else np.zeros(32, dtype=bool)
    wanted = np.stack([np.where(first, full, 0), np.where(other, full, 0)], axis=1)
    found = words(out)[:64].reshape(32, 2)
    wrong = np.argwhere(found != wanted)
    if not wrong.size:
        return None
    lane, side = (int(n) for n in wrong[0])
    return f"lane {lane} ran {found[lane, side]} multiply-adds on side {side} instead of {wanted[lane, side]}"


def expect(p):
    """Bodies, and for branches the instructions that diverge and converge again."""
    chain, kind = p["CHAIN"], p["KIND"]
    sides = 2 if kind == "BOTH" else 1
    counts = {"FFMA": BODY * chain * sides}
    if kind in {"BRANCH", "BOTH"}:
        counts |= {"BSSY": chain, "BSYNC": chain}
    return Expect(loop=True, counts=counts, predicated=kind != "PLAIN", native=("FFMA",))


PROBE = Probe(
    name="branches",
    unit="cycle",
    quantity="cost",
    defines={"KIND": ["PLAIN", "PREDICATED", "BRANCH", "BOTH"], "CHAIN": [1, 3]},
    axes={"LANES": [0, 16, 32]},
    quick={"KIND": []},
    keep=keep,
    launch=Launch(data_bytes=lambda p, d: p["LANES"], iters=1024),
    expect=expect,
    estimate=latency(quantity="cost"),
    check=check,
    out_words=1 << 10,
    covers=(21,),
)
