"""Cost of bank conflicts in shared memory: cycles an access of a warp keeps the SM's shared memory busy, 1 to 32 ways.

Method: 32 warps whose lanes take columns of 4, 8 or 16 bytes; of the lanes that are served together (a warp, a half,
a quarter) WAYS share a column in different rows. One launch goes through all numbers of ways; the slope over passes
cancels start and end. The host computes what was read, or what the last pass wrote. Pitfalls: two lanes at one word
are no conflict; at 8 and 16 bytes a warp takes two and four turns without any. Expected: WIDTH / 4 x WAYS cycles.
"""

import numpy as np

from gpuprobe.families import columns
from gpuprobe.families.conflicts import SUFFIX, most_ways, offset_of, reduce, slopes
from gpuprobe.gate import Expect
from gpuprobe.operands import mix
from gpuprobe.probe import Launch, Probe

UNROLL, WARPS = 7, 32


def accesses(point, setting):
    """Accesses of all warps in one sample."""
    return UNROLL * WARPS * point.iters


def check(point, seed, out):
    """The sum of one lane for each number of ways."""
    width = int(point["WIDTH"])
    for ways, found in enumerate(columns.rows(out, most_ways(width))[:, 1], start=1):
        lane = ways % 32
        wanted = wanted_sum(point, seed, lane, offset_of(lane, ways, width) // 4, width)
        if int(found) != wanted:
            return f"at {ways} ways the kernel computed {int(found):#x}, the host {wanted:#x}"
    return None


def wanted_sum(point, seed, lane, word, width):
    """What lane ``lane`` at word ``word`` has read in all passes, or finds after the last."""
    if point["OP"] == "ST":
        tag = seed + point.iters - 1 & 0xFFFFFFFF
        return UNROLL * (tag if width == 4 else tag ^ lane) & 0xFFFFFFFF
    hops = [[mix(word + 1024 * j + k) for k in range(width // 4)] for j in range(UNROLL)]
    return int(sum(int(np.bitwise_xor.reduce(hop)) for hop in hops)) * point.iters & 0xFFFFFFFF


def expect(p):
    """UNROLL accesses of the width asked for."""
    opcode = ("LDS" if p["OP"] == "LD" else "STS") + SUFFIX[p["WIDTH"]]
    return Expect(loop=True, counts={opcode: UNROLL})


PROBE = Probe(
    name="shared_conflicts",
    unit="cycle",
    quantity="cycles",
    defines={"OP": ["LD", "ST"], "WIDTH": [4, 8, 16]},
    axes={"PASSES": [8, 24]},
    quick={"OP": ["LD"], "WIDTH": [4]},
    launch=Launch(block=32 * WARPS, iters=lambda p, d: p["PASSES"]),
    prologue=True,
    settings=("WAYS",),
    expect=expect,
    estimate=slopes("PASSES", accesses, quantity="cycles"),
    reduce=reduce,
    check=check,
    covers=(27,),
)
