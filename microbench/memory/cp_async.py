"""Bandwidth of cp.async (16 bytes a thread) from L2 and from DRAM against the number of copies in flight.

Method: two blocks of 256 threads an SM stream through a set, each thread with STAGES copies in flight (8 KiB an SM
for each stage), reading back a word of each; the slope of time over passes. The set is a third of L2, or 512 MiB.
What is in flight over the latency is the bandwidth until the memory is the limit (Little): the knee says how deep a
pipeline must be. Pitfalls: a depth stated in stages without the bytes of a stage. Expected: the rates of
dram_bandwidth and l2_bandwidth from 4 stages (32 KiB an SM) on.
"""

import numpy as np

from gpuprobe import bounds
from gpuprobe.estimate import rate
from gpuprobe.gate import Expect
from gpuprobe.operands import words
from gpuprobe.probe import Launch, Probe

BLOCK, BLOCKS_AN_SM = 256, 2


def set_bytes(params, device):
    """A third of L2, or 512 MiB (an eighth of memory where that is less), in whole rounds of all blocks."""
    step = int(device["sm_count"]) * BLOCKS_AN_SM * BLOCK * 16
    wanted = device["l2_bytes"] / 3 if params["FROM"] == "L2" else min(512 << 20, device["memory_bytes"] / 8)
    return int(wanted) // step * step


def check(point, seed, out):
    """Every thread's sum of the words it read back, which hold their vector's index."""
    steps, threads = point.data_bytes // (16 * point.grid * point.block), point.grid * point.block
    total = steps * np.arange(threads, dtype=np.uint64) + np.uint64(threads * (steps * (steps - 1) // 2))
    wanted = (total * np.uint64(point.iters)).astype(np.uint32)
    wrong = np.flatnonzero(words(out)[:threads] != wanted)
    return (
        f"thread {int(wrong[0])} read {int(words(out)[wrong[0]]):#x}, not {int(wanted[wrong[0]]):#x}"
        if wrong.size
        else None
    )


def passes(params, device):
    """L2 sets many times over."""
    return params["PASSES"] * (60 if params["FROM"] == "L2" else 1)


def bound(estimate, device, architecture, clock_hz):
    """The memory interface, or what the load/store units take in."""
    limit = bounds.dram if estimate.params["FROM"] == "DRAM" else bounds.l1_port
    return limit(estimate, device, architecture, clock_hz)


PROBE = Probe(
    name="cp_async",
    unit="B/s",
    quantity="throughput",
    defines={"STAGES": [1, 2, 3, 4, 6, 8]},
    axes={"FROM": ["L2", "DRAM"], "PASSES": [1, 3]},
    quick={"STAGES": [8]},
    launch=Launch(grid=lambda p, d: int(BLOCKS_AN_SM * d["sm_count"]), block=BLOCK, data_bytes=set_bytes, iters=passes),
    prepare="prepare",
    expect=lambda p: Expect(loop=True, counts={"LDGSTS.E.BYPASS.128": 1, "LDS": 1}),
    estimate=rate(lambda p: float(p.data_bytes * p.iters), "B/s"),
    bound=bound,
    bound_is_reachable=False,
    check=check,
    out_words=1 << 17,
    noise={"throughput": 0.02},
    covers=(12,),
)
