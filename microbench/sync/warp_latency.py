"""Cost of warp primitives in cycles: shuffles, votes, match, redux; alone, and with many warps at once.

Method: every warp runs a chain in which each primitive reads the result of the one before; the slope of cycles over
its length. With one warp that is a latency, with 32 the time of 32 such instructions on one SM's units. VOTE_ALL and
VOTE_ANY hand a predicate on; BALLOT's chain holds the comparison that makes a predicate of its result; REDUX returns
through a uniform register and a move. MATCH costs by the number of DISTINCT values among the lanes. REDUX_ADD runs
with 31 lanes, so that its sum counts the steps. activemask (a VOTE.ANY of true) and elect have no operand: the
compiler merges a chain of them. Pitfalls: a chain of votes of a constant is removed; published match figures do not
say how many values differed. Expected: shuffles 23-26 cycles on all, votes 6 on Ampere and Ada and 13 on H100, redux
44, match 28 for one value and 369 for 32.
"""

from functools import cache

from gpuprobe.estimate import latency
from gpuprobe.gate import Chain, Expect
from gpuprobe.operands import words
from gpuprobe.probe import Launch, Probe, Published

MASK = 0xFFFFFFFF
OPCODES = {
    "SHFL_IDX": "SHFL.IDX",
    "SHFL_UP": "SHFL.UP",
    "SHFL_DOWN": "SHFL.DOWN",
    "SHFL_BFLY": "SHFL.BFLY",
    "VOTE_ALL": "VOTE.ALL",
    "VOTE_ANY": "VOTE.ANY",
    "BALLOT": "VOTE.ANY",
    "MATCH_ANY": "MATCH.ANY",
    "MATCH_ALL": "MATCH.ALL",
    "REDUX_ADD": "REDUX.SUM",
}
VIA = {
    "VOTE_ALL": ("SEL", "ISETP", "LOP3"),
    "VOTE_ANY": ("SEL", "ISETP", "LOP3"),
    "BALLOT": ("ISETP",),
    "REDUX_ADD": ("MOV", "IMAD.U32", "IMAD.MOV"),
}


def threads(params, device):
    """Full warps; 31 lanes where the sum is to count the steps."""
    return 31 if params["OP"] == "REDUX_ADD" else 32 * params["WARPS"]


def keep(params):
    """Different values matter to MATCH_ANY alone; the odd warp of REDUX_ADD runs alone."""
    alone = params["OP"] != "REDUX_ADD" or params["WARPS"] == 1
    return alone and (params["OP"] == "MATCH_ANY" or params["DISTINCT"] == 1)


SOURCE = {
    "SHFL_IDX": lambda lane, n: (lane + 1) % n,
    "SHFL_UP": lambda lane, n: max(lane - 1, 0),
    "SHFL_DOWN": lambda lane, n: min(lane + 1, n - 1),
    "SHFL_BFLY": lambda lane, n: lane ^ 1,
}


def step(op, values):
    """One primitive over the lanes of a warp."""
    n = len(values)
    if op in SOURCE:
        return [values[SOURCE[op](lane, n)] for lane in range(n)]
    if op == "BALLOT":
        return [sum(1 << lane for lane in range(n) if values[lane])] * n
    if op == "MATCH_ANY":
        return [sum(1 << other for other in range(n) if values[other] == values[lane]) for lane in range(n)]
    if op == "MATCH_ALL":
        return [MASK if len(set(values)) == 1 else 0] * n
    return [sum(values) & MASK] * n


@cache
def wanted(op, lanes, passes, chain, distinct):
    """What the lanes of a warp hold in the end: the sum of their values over the passes; the passes of a true vote."""
    if op.startswith("VOTE"):
        return [passes] * lanes
    start = 3 if op in ("BALLOT", "MATCH_ANY", "MATCH_ALL") else 0
    values = [1 if op == "REDUX_ADD" else start + lane % distinct if start else lane for lane in range(lanes)]
    sums = [0] * lanes
    for _ in range(passes):
        for _ in range(chain):
            values, before = step(op, values), values
            if values == before:
                break
        sums = [(total + value) & MASK for total, value in zip(sums, values, strict=True)]
    return sums


def check(point, seed, out):
    """Every warp holds what the host's lanes do."""
    chain, distinct = int(point["CHAIN"]), int(point["DISTINCT"])
    sums = wanted(str(point["OP"]), min(point.block, 32), point.iters, chain, distinct)
    found = words(out)[: point.block]
    for thread, value in enumerate(found):
        if int(value) != sums[thread % 32]:
            return f"thread {thread} holds {int(value):#x}, the host's {sums[thread % 32]:#x}"
    return None


A100, ADA = "a100-pcie-40gb", "rtx-4090"
VALUES = {
    "SHFL_IDX": ("shfl_sync", {A100: (25, 31), ADA: (26, 64)}),
    "SHFL_UP": ("shfl_up_sync", {A100: (23, 32), ADA: (24, 64)}),
    "SHFL_DOWN": ("shfl_down_sync", {A100: (23, 32), ADA: (24, 64)}),
    "SHFL_BFLY": ("shfl_xor_sync", {A100: (25, 31), ADA: (26, 64)}),
    "VOTE_ALL": ("vote_all_sync", {A100: (6, 16), ADA: (6, 16)}),
    "VOTE_ANY": ("vote_any_sync", {A100: (6, 16), ADA: (6, 16)}),
    "MATCH_ANY": ("match_any_sync", {A100: (199, 1023), ADA: (199, 1023)}),
}
PROBE = Probe(
    name="warp_latency",
    unit="cycle",
    defines={"OP": list(OPCODES), "CHAIN": [16, 32]},
    axes={"WARPS": [1, 32], "DISTINCT": [1, 32]},
    quick={"WARPS": [1]},
    keep=keep,
    launch=Launch(block=threads, data_bytes=lambda p, d: p["DISTINCT"], iters=64),
    expect=lambda p: Expect(
        loop=True,
        counts={OPCODES[p["OP"]]: p["CHAIN"]},
        chain=Chain(OPCODES[p["OP"]], via=VIA.get(p["OP"], ())),
        moves=48,
    ),
    estimate=latency(),
    check=check,
    out_words=1024,
    covers=(23,),
    published=[
        Published(
            device,
            float(value),
            f"burtscher/SyncPerformance cuda_{name}, twin kernels",
            {"OP": op, "WARPS": warps, "DISTINCT": 32 if op == "MATCH_ANY" else 1},
        )
        for op, (name, devices) in VALUES.items()
        for device, values in devices.items()
        for warps, value in zip((1, 32), values, strict=True)
    ],
)
