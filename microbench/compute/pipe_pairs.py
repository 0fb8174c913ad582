"""Which two instructions share a pipe: time of both together over the longer of the two alone.

Method: in one kernel, half of the warps of every scheduler run A, the other half B, each with independent chains;
passes are weighted so that on Hopper each instruction alone takes about the same time. ``combined`` is the time of
the pair over the longer of the two single times: 1 where they overlap, 2 where they take turns. The time alone is
that of half of the warps, the others waiting at the barrier. Pitfalls: a scheduler issues one instruction a cycle, so
that two instructions which each issue every cycle (FFMA, FMUL) show up to 2 whatever their pipes; three source
registers an instruction can fill the register ports before the pipes (IMAD beside LOP3); values a few percent below 1
say that warps of two kinds hinder each other less than those of one; weights made for Hopper give values between 1
and 2 elsewhere, whose upper end is the sum of both over the longer. Expected on Hopper: IADD3, LOP3 and F2FP share
the ALU, MUFU and POPC the special-function unit, IMAD overlaps with FFMA, HFMA2 nearly takes turns with DFMA.
"""

from gpuprobe.estimate import Estimate
from gpuprobe.families.links import LINKS, check_chains
from gpuprobe.gate import Expect
from gpuprobe.operands import words
from gpuprobe.probe import Launch, Probe

EVERY = {"FFMA": 8, "FMUL": 8, "IMAD": 4, "IADD3": 4, "LOP3": 4, "HFMA2": 8, "DFMA": 4, "EX2": 1, "POPC": 1}
EVERY |= {"F2FP_F16": 4}
NAMES = list(EVERY)
NONE = "none"
STEPS, CHAINS = 8, 4
THREADS = 1024
SIDE = 128  # threads that run the same instruction in a row


def code(params, device):
    """Both numbers of a pair, as pipe_pairs.cu takes them."""
    b = str(params["B"])
    return NAMES.index(str(params["A"])) | (15 if b == NONE else NAMES.index(b)) << 4


def keep(params):
    """A pair once, A before B; each alone."""
    return params["B"] == NONE or NAMES.index(params["A"]) <= NAMES.index(params["B"])


def check(point, seed, out):
    """The chains' ends and the turns of the loops, of A and of B."""
    found = words(out)[: 4 * THREADS].reshape(-1, SIDE, 4)
    for rows, name in ((found[0::2], str(point["A"])), (found[1::2], str(point["B"]))):
        if name == NONE:
            continue
        turns = point.iters * EVERY[name]
        part = rows.reshape(-1, 4)
        reason = check_chains(name, _Half(len(part), turns), turns * STEPS, CHAINS, part.tobytes())
        if reason:
            return f"{name}: {reason}"
    return None


class _Half:
    """As much of a point as check_chains asks for."""

    grid = 1

    def __init__(self, block, iters):
        self.block, self.iters = block, iters


def estimate(round_):
    """Combined time over the longer single time, for each pair of which all three times are there."""
    alone = {point["A"]: sample for point, sample in round_.items() if point["B"] == NONE}
    return [
        Estimate(
            "combined",
            {"A": point["A"], "B": point["B"]},
            "ratio",
            sample.cycles / max(alone[point["A"]].cycles, alone[point["B"]].cycles),
            sample,
        )
        for point, sample in round_.items()
        if point["B"] != NONE and point["A"] in alone and point["B"] in alone
    ]


PROBE = Probe(
    name="pipe_pairs",
    unit="ratio",
    quantity="combined",
    axes={"A": NAMES, "B": [*NAMES, NONE]},
    quick={"A": []},
    keep=keep,
    launch=Launch(block=THREADS, data_bytes=code, iters=48),
    expect=lambda p: Expect(
        loop=True,
        counts={op: STEPS * CHAINS * n for name, n in ((n, 1) for n in NAMES) for op in LINKS[name].opcodes},
        predicated=True,
        moves=1 << 10,
    ),
    estimate=estimate,
    check=check,
    out_words=1 << 14,
    covers=(15, 21),
    rounds=41,
    width=0.05,
)
