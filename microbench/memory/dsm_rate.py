"""Throughput of distributed shared memory by cluster size and pattern: reads, writes and additions, per SM and in all.

Method: every block of every cluster moves 16 bytes a thread and access (additions: a word) to or from a peer's shared
memory: RING the next block's, PAIR that of the block whose rank differs in the last bit, BROADCAST all from or to the
first block's, OWN its own through the cluster's window. ``rate`` is bytes a cycle of the slowest block,
``throughput`` bytes per second of wall time over the blocks launched (85 % of the SMs, so that all clusters run at
once). Pitfalls: grids that do not fit at once; counting local traffic. Expected: on H100 15.7 B/cycle/SM at cluster
size 2, 14.2 beyond; with 1024 threads, and so 64 KiB in flight an SM, 10.7 at size 4. Published for an H800 of 114
SMs at 1755 MHz: 3.3 TB/s at size 2 and 2.8 at 4.
"""

import numpy as np

from gpuprobe.estimate import every, rate, rate_per_sm
from gpuprobe.gate import Expect
from gpuprobe.operands import words
from gpuprobe.probe import Launch, Probe, Published

BUFFER, BLOCK, UNROLL = 65536, 512, 4
MASK = 0xFFFFFFFF
PATTERNS = {"RING": 0, "PAIR": 1, "BROADCAST": 2, "OWN": 3}
OPCODES = {"READ": "LD.E.128", "WRITE": "ST.E.128", "ADD": "ATOM.E.ADD"}


def keep(params):
    """Reads by all patterns, writes by ring and broadcast, additions by ring; what size cannot change, once."""
    op, size, pattern = params["OP"], params["CLUSTER"], params["PATTERN"]
    if pattern == "RING":
        return True
    if pattern == "BROADCAST":
        return op == "READ" or (op == "WRITE" and size in (4, 16))
    return op == "READ" and size == (16 if pattern == "PAIR" else 2)


def passes(params, device):
    """Fewer where one block serves all."""
    return params["PASSES"] // (4 if params["PATTERN"] == "BROADCAST" else 1)


def grid(params, device):
    """85 % of the SMs, in whole clusters."""
    return int(0.85 * device["sm_count"]) // params["CLUSTER"] * params["CLUSTER"]


def peers(point):
    """The rank each rank of a cluster reads from or writes to."""
    size = point.cluster
    ranks = {
        "RING": [(rank + 1) % size for rank in range(size)],
        "PAIR": [rank ^ 1 for rank in range(size)],
        "BROADCAST": [0] * size,
        "OWN": list(range(size)),
    }
    return ranks[str(point["PATTERN"])]


def check(point, seed, out):
    """What every thread read; or the sum of what each block's memory holds in the end."""
    found = words(out)[: point.grid * point.block].reshape(-1, point.cluster, point.block)
    if point["OP"] == "READ":
        good = found == read(point)
    else:
        low, high = sums(point)
        held = found.sum(axis=2, dtype=np.uint64) & MASK
        good = (low <= held) & (held <= high)
    return None if good.all() else f"{int((~good).sum())} threads or blocks do not hold what their peers held or wrote"


def read(point):
    """Sum of what each thread reads, by rank and thread: words that hold the peer's rank and their index."""
    steps = BUFFER // 16 // point.block
    place = 4 * (np.arange(point.block)[:, None] + point.block * np.arange(steps))
    own = (4 * place + 6).sum(axis=1)
    peer = np.array(peers(point))
    return ((own[None, :] + 4 * steps * peer[:, None]) * point.iters & MASK).astype(np.uint32)


def sums(point):
    """Least and greatest sum of the words of each rank's memory: of several writers any may be the last."""
    writers = [[rank for rank, peer in enumerate(peers(point)) if peer == own] for own in range(point.cluster)]
    if point["OP"] == "ADD":
        total = np.array([len(found) * point.iters * (BUFFER // 4) & MASK for found in writers], dtype=np.uint64)
        return total, total
    vectors = BUFFER // 16
    offsets = sum(range(0, BUFFER, 16 * point.block)) * point.block
    threads = 3 * sum(range(point.block)) * (vectors // point.block)
    ends = [[(offsets + threads + end(found) * vectors) if found else 0 for found in writers] for end in (min, max)]
    return np.array(ends[0], dtype=np.uint64), np.array(ends[1], dtype=np.uint64)


def moved(point):
    """Bytes that one block moves in one sample."""
    return float(point.iters * BUFFER)


HOP = "arXiv:2501.12084 sec. 7.2"
PROBE = Probe(
    name="dsm_rate",
    unit="B/cycle/SM",
    quantity="rate",
    archs=">=sm_90",
    defines={"OP": ["READ", "WRITE", "ADD"]},
    axes={"CLUSTER": [2, 4, 8, 16], "PATTERN": list(PATTERNS), "PASSES": [32, 96]},
    quick={"OP": ["READ"], "CLUSTER": [2, 4], "PATTERN": ["RING"]},
    keep=keep,
    launch=Launch(
        grid=grid,
        block=BLOCK,
        data_bytes=lambda p, d: PATTERNS[p["PATTERN"]],
        iters=passes,
        shared_bytes=BUFFER,
        cluster=lambda p, d: p["CLUSTER"],
    ),
    prologue=True,
    expect=lambda p: Expect(loop=True, counts={OPCODES[p["OP"]]: UNROLL}),
    estimate=every(
        rate_per_sm(moved, "B/cycle/SM"),
        rate(lambda p: moved(p) * p.grid, "B/s"),
    ),
    check=check,
    out_words=1 << 16,
    noise={"rate": 0.01, "throughput": 0.02},
    covers=(38,),
    published=[
        Published(
            "h800-pcie",
            3.28e12 / (114 * 1.755e9),
            HOP,
            {"OP": "READ", "CLUSTER": 2, "PATTERN": "RING"},
            "rate",
            "B/cycle/SM",
            method="peak, 3.28 TB/s over 114 SMs at 1755 MHz",
            tolerance=0.05,
        ),
        Published(
            "h800-pcie",
            2.78e12 / (114 * 1.755e9),
            HOP,
            {"OP": "READ", "CLUSTER": 4, "PATTERN": "RING"},
            "rate",
            "B/cycle/SM",
            method="peak, 2.78 TB/s over 114 SMs at 1755 MHz",
            tolerance=0.05,
        ),
        Published(
            "h100-sxm",
            2.9e12,
            "arXiv:2508.18850 sec. 2.3",
            {"OP": "READ", "CLUSTER": 16, "PATTERN": "RING"},
            "throughput",
            "B/s",
            tolerance=0.05,
        ),
    ],
)
