"""L2 bandwidth of reads, writes and copies of a set that stays in L2, in bytes per second of wall time.

Method: the kernel of dram_bandwidth on a set of just under half of L2 (each half of a split L2 keeps a copy of what
its SMs read), many passes, four 16-byte accesses a thread in flight, past L1 (cg); the slope over two numbers of
passes cancels the first, cold pass. READ, WRITE and COPY share the set out among the SMs; READ_ALL has every SM read
all of it, each from a place of its own: requests of several SMs for one line are then merged before the slices, and
the rate is higher. Pitfalls: that difference, unstated, is most of the spread of published figures (2.5 to 9.6 TB/s
on one chip); smaller sets that L1 serves; more accesses in flight than the slices' queues take (eight a thread: 25 %
less); B/clk of one tool against GB/s of another at an unstated clock: the clock measured in the kernel stands beside
each value.
"""

import numpy as np

from gpuprobe import bounds
from gpuprobe.estimate import rate
from gpuprobe.gate import Expect
from gpuprobe.operands import words
from gpuprobe.probe import Launch, Probe, Published

BLOCK = 512


def set_bytes(params, device):
    """Just under half of L2, in whole MiB."""
    return int(device["l2_bytes"] * 0.48) >> 20 << 20


def expect(p):
    """UNROLL loads, stores, or both, each of 16 bytes."""
    loads = {"LDG.E.128": p["UNROLL"]} if p["MODE"] != "WRITE" else {}
    stores = {"STG.E.128": p["UNROLL"]} if not p["MODE"].startswith("READ") else {}
    return Expect(loop=True, counts={**loads, **stores})


def check(point, seed, out):
    """Every thread stored its sum (the poison is gone)."""
    sums = words(out)[: min(point.grid * point.block, len(out) // 4)]
    return "a thread stored no result" if np.any(sums == 0xA5A5A5A5) else None


def moved(point):
    """Bytes read plus bytes written by one sample."""
    readers = point.grid if point["MODE"] == "READ_ALL" else 1
    return float(point.data_bytes * point.iters * readers)


GB_CACHE = "RRZE-HPC/gpu-benches gpu-cache"
GB, SHARED = "RRZE-HPC/gpu-benches gpu-l2-cache", "all blocks read one set"
PROBE = Probe(
    name="l2_bandwidth",
    kernel="bandwidth",
    unit="B/s",
    quantity="throughput",
    defines={"MODE": ["READ", "READ_ALL", "WRITE", "COPY"], "UNROLL": [4]},
    axes={"BLOCKS": [1, 2, 4], "PASSES": [1, 3]},
    quick={"BLOCKS": [1, 2]},
    launch=Launch(
        grid=lambda p, d: int(p["BLOCKS"] * d["sm_count"]),
        block=BLOCK,
        data_bytes=set_bytes,
        iters=lambda p, d: p["PASSES"] * (1 if p["MODE"] == "READ_ALL" else 60),
    ),
    prepare="prepare",
    expect=expect,
    estimate=rate(moved, "B/s"),
    bound=bounds.l1_port,
    bound_is_reachable=False,
    check=check,
    out_words=1 << 19,
    best_over=("BLOCKS",),
    noise={"throughput": 0.035},  # where the pages of the set lie in memory
    published=[
        Published("h100-pcie", 6.9e12, GB, {"MODE": "READ"}, "throughput", tolerance=0.05, method="at 1755 MHz"),
        Published("h200-sxm", 9.6e12, GB, {"MODE": "READ_ALL"}, "throughput", tolerance=0.05, method=SHARED),
        Published(
            "a100-sxm-80gb", 5.44e12, GB_CACHE, {"MODE": "READ_ALL"}, "throughput", method=SHARED, tolerance=0.05
        ),
        Published("l40", 5.2e12, GB, {"MODE": "READ_ALL"}, "throughput", tolerance=0.05, method=SHARED),
    ],
)
