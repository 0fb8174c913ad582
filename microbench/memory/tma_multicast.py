"""Bytes that TMA delivers to each SM from L2, with multicast in clusters of 1 to 16 blocks, in bytes a cycle and SM.

Method: each block of a cluster loads its share of every box of 16 KiB and TMA delivers it to all blocks of the
cluster, so that each receives whole boxes while L2 is read once a cluster; seven to twelve boxes in flight, buffers
freed by arrivals at each peer's mbarrier. ``delivered`` is the slope of bytes received over the cycles of the slowest
block. Sums of the words received are checked. Pitfalls: shares shrink with the cluster (1 KiB each at 16); a block's
buffer may be overwritten while a peer still reads it. Published (informal): 38 B/cycle/SM without, 70 with four-fold
multicast.
"""

import numpy as np

from gpuprobe.estimate import every, rate, rate_per_sm
from gpuprobe.gate import Expect
from gpuprobe.operands import words
from gpuprobe.probe import Launch, Probe, Published

BOX, DEPTH, SPILL = 16384, 12, 128


def grid(params, device):
    """85 % of the SMs, in whole clusters, so that all run at once wherever GPCs leave SMs idle."""
    return int(0.85 * device["sm_count"]) // params["CLUSTER"] * params["CLUSTER"]


def check(point, seed, out):
    """First and last words of the boxes each cluster received."""
    size, boxes = point.cluster, point.data_bytes // BOX
    clusters = point.grid // size
    first = np.arange(clusters) * (boxes // clusters)
    box = (first[:, None] + np.arange(point.iters)[None, :]) % boxes
    sums = (box * 2 * (BOX // 4) + BOX // 4 - 1).sum(axis=1)
    wanted = np.repeat((sums & 0xFFFFFFFF).astype(np.uint32), size)
    wrong = np.flatnonzero(words(out)[: point.grid] != wanted)
    if wrong.size == 0:
        return None
    block = int(wrong[0])
    return f"block {block} found {int(words(out)[block]):#x} where the host has {int(wanted[block]):#x}"


FORUM = "NVIDIA developer forum thread 355253, informal"
PROBE = Probe(
    name="tma_multicast",
    unit="B/cycle/SM",
    quantity="delivered",
    archs=">=sm_90",
    axes={"CLUSTER": [1, 2, 4, 8, 16], "BOXES": [512, 1536]},
    quick={"CLUSTER": [1, 4]},
    launch=Launch(
        grid=grid,
        block=32,
        data_bytes=12 << 20,
        iters=lambda p, d: p["BOXES"],
        shared_bytes=DEPTH * BOX + SPILL,
        cluster=lambda p, d: p["CLUSTER"],
    ),
    prepare="prepare",
    expect=lambda p: Expect(loop=True, predicated=True, counts={"UBLKCP.S.G.MULTICAST": 2}),
    estimate=every(
        rate_per_sm(lambda p: float(p.iters * BOX), "B/cycle/SM", axis="BOXES", quantity="delivered"),
        rate(lambda p: float(p.iters * BOX * p.grid), "B/s", axis="BOXES"),
    ),
    check=check,
    out_words=1024,
    noise={"delivered": 0.02, "throughput": 0.02},
    covers=(40, 41),
    published=[
        Published("h100-sxm", 38.0, FORUM, {"CLUSTER": 1}, "delivered", tolerance=0.2),
        Published("h100-sxm", 70.0, FORUM, {"CLUSTER": 4}, "delivered", tolerance=0.2),
    ],
)
