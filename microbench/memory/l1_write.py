"""Does L1 keep what is written? The rate of stores to 64 KiB, by one SM and by all, in bytes per cycle of an SM.

Method: a block of 1024 threads an SM stores 16 bytes a thread to four places, pass after pass; the slope over passes
cancels start and end; what the last pass wrote is read back from L2 and checked. A write-back cache of this size
would take 128 bytes a cycle, as shared memory does; a cache that writes through takes what the way to L2 does, and
less an SM when all write. Expected: write-through on every GPU since Volta: half of 128 or less by one SM, the L2's
rate of writes divided by the SMs by all.
"""

import numpy as np

from gpuprobe.estimate import rate_per_sm
from gpuprobe.gate import Expect
from gpuprobe.operands import words
from gpuprobe.probe import Launch, Probe

THREADS, UNROLL = 1024, 4


def check(point, seed, out):
    """Every thread reads back what its last pass wrote."""
    count = point.grid * THREADS
    thread, block = np.arange(count) % THREADS, np.arange(count) // THREADS
    tag = seed + point.iters - 1
    wanted = (UNROLL * (tag + 3 * thread + 5 * block) + 7 * sum(range(UNROLL))).astype(np.uint32)
    wrong = np.flatnonzero(words(out)[:count] != wanted)
    return f"thread {wrong[0]} read {words(out)[wrong[0]]:#x}, the host {wanted[wrong[0]]:#x}" if wrong.size else None


PROBE = Probe(
    name="l1_write",
    unit="B/cycle/SM",
    quantity="rate",
    axes={"SMS": ["one", "all"], "PASSES": [200, 600]},
    launch=Launch(
        grid=lambda p, d: 1 if p["SMS"] == "one" else int(d["sm_count"]),
        block=THREADS,
        data_bytes=lambda p, d: int(d["sm_count"]) * THREADS * UNROLL * 16,
        iters=lambda p, d: p["PASSES"],
    ),
    expect=lambda p: Expect(loop=True, counts={"STG.E.128": UNROLL}),
    estimate=rate_per_sm(lambda p: 16.0 * THREADS * UNROLL * p.iters, "B/cycle/SM"),
    bound=lambda estimate, device, architecture, clock_hz: float(architecture.l1_bytes_per_clock),
    check=check,
    out_words=1 << 18,
    covers=(30,),
)
