"""Latency of a dependent shared-memory load under bank conflicts of 1 to 32 ways, by width, in cycles.

Method: one warp, each lane along a ring of its own with direct addresses; of the lanes that are served together (a
warp at 4 bytes a lane, a half at 8, a quarter at 16) WAYS share a column of the banks in different rows. One launch
goes through all numbers of ways; slope over the chain's length. The end of a lane proves the number of steps.
Pitfalls: two lanes at one word are no conflict. Expected: 23, 25, 29 and 37 cycles for 1, 2, 4 and 8 ways at 4 bytes
(A100, published): two further cycles a way.
"""

from gpuprobe.families import columns
from gpuprobe.families.conflicts import SUFFIX, most_ways, offset_of, reduce, slopes
from gpuprobe.gate import Chain, Expect
from gpuprobe.probe import Launch, Probe, Published

HOPS, HOP_BYTES = 7, 4096


def loads(point, setting):
    """Loads of a lane in one sample."""
    return point.iters * point.number("CHAIN")


def check(point, seed, out):
    """A lane ends where that many hops lead."""
    width = int(point["WIDTH"])
    for ways, found in enumerate(columns.rows(out, most_ways(width))[:, 1], start=1):
        wanted = int(loads(point, {})) % HOPS * HOP_BYTES + offset_of(ways % 32, ways, width)
        if int(found) != wanted:
            return f"at {ways} ways a lane ends at {int(found):#x}, the host's at {wanted:#x}"
    return None


DEPENDENT = "dependent ld.shared"
TABLE = "arXiv:2206.02874 Table 10"
PROBE = Probe(
    name="shared_conflict_latency",
    kernel="shared_conflicts",
    unit="cycle",
    defines={"OP": ["LATENCY"], "WIDTH": [4, 8, 16], "CHAIN": [16, 48]},
    quick={"WIDTH": [4]},
    launch=Launch(iters=16),
    prologue=True,
    settings=("WAYS",),
    expect=lambda p: Expect(
        loop=True, counts={"LDS" + SUFFIX[p["WIDTH"]]: p["CHAIN"]}, chain=Chain("LDS" + SUFFIX[p["WIDTH"]])
    ),
    estimate=slopes("CHAIN", loads, quantity="latency"),
    reduce=reduce,
    check=check,
    covers=(27,),
    published=[
        Published("a100-pcie-40gb", cycles, TABLE, {"WIDTH": 4, "WAYS": ways}, method=DEPENDENT)
        for ways, cycles in ((1, 23.0), (2, 25.0), (4, 29.0), (8, 37.0))
    ],
)
