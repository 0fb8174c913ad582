"""How many SMs clusters of each size can use at once: the largest size that launches, and what placement leaves idle.

Method: more clusters are launched than fit, each block with so much shared memory that it has an SM to itself and
holds it for 60 us; the blocks that run together in the first wave are counted from their start times. A cluster lies
within one GPC, so that GPCs whose number of SMs is no multiple of the size leave some idle. Sizes above 8 need the
non-portable attribute; 16 is the most that launches on Hopper. Pitfalls: the occupancy query speaks of clusters, not
of which SMs are lost. Expected: 132 SMs of an H100 at sizes 1 and 2, 120 at 4 and 8, 112 at 16; 70 at 10.
"""

import numpy as np

from gpuprobe.estimate import Estimate
from gpuprobe.operands import words
from gpuprobe.probe import Launch, Probe

HOLD_NS = 60_000
WAVES = 2


def blocks_of(point, out):
    """Start (ns, 32 bits), SM, rank and cluster size of every block."""
    return words(out)[: 4 * point.grid].reshape(point.grid, 4)


def together(point, out):
    """Which blocks ran in the first wave."""
    start = blocks_of(point, out)[:, 0]
    return (start - start[int(np.argmin(start.astype(np.int64)))]).astype(np.uint32) < HOLD_NS // 2


def reduce(point, out):
    """SMs in use at once."""
    return {"resident": float(together(point, out).sum())}


def check(point, seed, out):
    """Every block saw the cluster asked for and its own rank, and no two of the first wave shared an SM."""
    blocks, size = blocks_of(point, out), int(point["CLUSTER"])
    if not (blocks[:, 3] == size).all() or not (blocks[:, 2] == np.arange(point.grid) % size).all():
        return f"a block saw a cluster of {int(blocks[0, 3])}, not {size}"
    used = blocks[together(point, out), 1]
    return None if len(set(used.tolist())) == len(used) else "two blocks of a wave ran on one SM"


def estimate(round_):
    """SMs that clusters of a size use at once."""
    return [
        Estimate("resident", point.without(), "SM", sample.values.get("resident", 0.0), sample)
        for point, sample in round_.items()
    ]


def most_shared(params, device):
    """More than half of an SM's shared memory, so that blocks do not share one."""
    return 120 << 10


PROBE = Probe(
    name="cluster_size",
    unit="SM",
    quantity="resident",
    archs=">=sm_90",
    axes={"CLUSTER": [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16]},
    quick={"CLUSTER": [1, 16]},
    launch=Launch(
        grid=lambda p, d: int(WAVES * d["sm_count"]) // p["CLUSTER"] * p["CLUSTER"],
        cluster=lambda p, d: p["CLUSTER"],
        shared_bytes=most_shared,
    ),
    estimate=estimate,
    check=check,
    out_words=1 << 12,
    reduce=reduce,
    covers=(41,),
)
