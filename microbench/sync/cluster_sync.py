"""Cost of a cluster barrier (arrive and wait) in cycles, against cluster size and warps.

Method: all threads of one cluster run a chain of barriers; the slope of cycles over its length. ACQ_REL is what
cluster.sync() does: the arrival releases (a MEMBAR of GPU scope) and the wait acquires (L1 lines dropped); RELAXED
orders nothing at the arrival, and is the barrier alone. Each pass hands a word to the next block through distributed
shared memory, which is checked. Pitfalls: without an explicit cluster launch the compiler adds a branch and a
fallback to every barrier; stores outstanding at the release are waited for and belong to the code around it (the
published 851 cycles). Expected: on H100 relaxed 46-71 cycles with one warp and 131 with 32; ACQ_REL 700-900, of which
a fence of GPU scope is 640.
"""

from gpuprobe.estimate import latency
from gpuprobe.gate import Expect
from gpuprobe.operands import words
from gpuprobe.probe import Launch, Probe, Published


def check(point, seed, out):
    """Each word has moved one block on with every pass, and counted it."""
    size, passes = point.cluster, point.iters
    found = words(out)[: point.grid * point.block].reshape(point.grid, point.block)
    for block in range(point.grid):
        wanted = (block + passes) % size + passes
        if not (found[block] == wanted).all():
            return f"block {block} holds {int(found[block, 0])}, not {wanted}: a barrier did not hold"
    return None


PROBE = Probe(
    name="cluster_sync",
    unit="cycle",
    archs=">=sm_90",
    defines={"KIND": ["ACQ_REL", "RELAXED"], "CHAIN": [8, 24]},
    axes={"CLUSTER": [2, 4, 8, 16], "WARPS": [1, 32]},
    quick={"CLUSTER": [2, 8], "WARPS": [1]},
    launch=Launch(
        grid=lambda p, d: p["CLUSTER"],
        block=lambda p, d: 32 * p["WARPS"],
        cluster=lambda p, d: p["CLUSTER"],
        iters=64,
    ),
    # a further arrival and wait a pass order the exchange that is checked
    expect=lambda p: Expect(loop=True, counts={"UCGABAR_ARV": p["CHAIN"] + 1, "UCGABAR_WAIT": p["CHAIN"] + 1}),
    estimate=latency(),
    check=check,
    out_words=1 << 14,
    noise={"latency": 0.05},  # which GPC the cluster comes to lie in
    covers=(41,),
    published=[
        Published(
            "h100-sxm",
            851.0,
            "arXiv:2609.01864 Table II",
            {"KIND": "ACQ_REL", "CLUSTER": 2},
            method="two blocks on different SMs; one barrier, its code around it included",
        ),
    ],
)
