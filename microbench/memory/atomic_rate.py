"""Atomics per cycle of the whole GPU against contention: from one word for all threads to a word for every four.

Method: every thread adds to its word of a set of BYTES, thread i to word i modulo the set, eight times a pass; the
slope of time over passes. BYTES 4 is one word, 128 one line of which each lane has a word; 256 threads an SM there,
1024 on larger sets. RED (REDG since sm_90) asks for no result (fire and forget), ATOM uses the old value, CAS never
matches. ``rate`` is per SM clock cycle of the slowest block, ``throughput`` per second of wall time. The words' final
values are compared with the host's. Pitfalls: adding a constant with atomicAdd lets the compiler add up a warp first,
and the published "same address" rate is then 32 times too high; a rate per thread hides the number of threads.
Expected: 0.77 an SM cycle on one word on A100; on H100 0.69 (floats 0.29), 6.7 on a line, 52 on 4 KiB, 300 on 128 KiB
(with result 185).
"""

from functools import cache

import numpy as np

from gpuprobe import arch
from gpuprobe.estimate import every, rate, slope
from gpuprobe.gate import Expect
from gpuprobe.operands import words
from gpuprobe.probe import Launch, Probe, Published

POISON = 0xA5A5A5A5
UNROLL, SUM, BLOCK = 8, 1 << 15, 256
MASK = 0xFFFFFFFF
OPCODES = {
    "RED_ADD_U32": "RED.E.ADD.STRONG",
    "RED_ADD_F32": "RED.E.ADD.F32",
    "RED_ADD_F16X2": "RED.E.ADD.F16x2",
    "REDG_ADD_U32": "REDG.E.ADD.STRONG",
    "REDG_ADD_F32": "REDG.E.ADD.F32",
    "REDG_ADD_F16X2": "REDG.E.ADD.F16x2",
    "ATOM_ADD_U32": "ATOMG.E.ADD.STRONG",
    "ATOM_CAS_U32": "ATOMG.E.CAS.STRONG",
}


def ops(device):
    """The operations under the names of their instructions: RED became REDG with sm_90."""
    absent = "RED_" if arch.parse(device.architecture).number >= 90 else "REDG_"
    return [op for op in OPCODES if not op.startswith(absent)]


def headline(device):
    """Additions of integers, without and with a result."""
    return [op for op in ops(device) if op.endswith("ADD_U32")]


def additions(point):
    """Stretches of words that were added to equally often: (words, additions to each), in order."""
    threads, count = point.grid * point.block, point.data_bytes // 4
    each, more = divmod(threads, count)
    return [(n, (each + extra) * point.iters * UNROLL) for n, extra in ((more, 1), (count - more, 0)) if n]


@cache
def final(op, count):
    """Bits of a poisoned word after ``count`` additions of one."""
    if op.endswith("U32"):
        return POISON + count & MASK
    kind = np.float32 if op.endswith("F32") else np.float16
    value = np.array([POISON], dtype=np.uint32).view(kind)
    for _ in range(min(count, 4 if kind is np.float32 else 4096)):  # from there on every sum is exact or sticks
        value = value + kind(1)
    if kind is np.float32 and count > 4:
        value = value + kind(count - 4)
    return int(value.view(np.uint32)[0])


def check(point, seed, out):
    """Every word holds the host's value, and the old values that were returned add up."""
    op, found, first, wanted = str(point["OP"]), words(out), 0, 0
    for stretch, count in additions(point):
        value = POISON if op == "ATOM_CAS_U32" else final(op, count)
        if not (found[first : first + stretch] == value).all():
            return f"a word holds something other than {value:#x} after {count} additions"
        first += stretch
        earlier = count * (count - 1) // 2 if op == "ATOM_ADD_U32" else 0
        wanted = wanted + stretch * (count * POISON + earlier) & MASK
    if op.startswith("RED"):
        return None
    returned = int(found[SUM]) - POISON & MASK
    return None if returned == wanted else f"the old values add up to {returned:#x}, the host's to {wanted:#x}"


def work(point):
    """Atomics of one sample, over all threads."""
    return float(point.grid * point.block * point.iters * UNROLL)


def passes(params, device):
    """More where words are many, so that a sample takes a good fraction of a millisecond."""
    return params["PASSES"] * {4: 1, 128: 4, 4096: 4}.get(params["BYTES"], 16)


SAME = "burtscher/SyncPerformance cuda_atomiccas_scalar, 108 blocks of 1024 threads"
PROBE = Probe(
    name="atomic_rate",
    unit="op/cycle",
    quantity="rate",
    defines={"OP": ops},
    axes={"BYTES": [4, 128, 4096, 1 << 17], "PASSES": [1, 2]},
    quick={"OP": headline, "BYTES": [4, 128, 1 << 17]},
    launch=Launch(
        grid=lambda p, d: int((1 if p["BYTES"] <= 128 else 4) * d["sm_count"]),
        block=BLOCK,
        data_bytes=lambda p, d: p["BYTES"],
        iters=passes,
    ),
    expect=lambda p: Expect(loop=True, counts={OPCODES[p["OP"]]: UNROLL}),
    estimate=every(
        slope("PASSES", quantity="rate", unit="op/cycle", x=work, y=lambda p, s: s.cycles_max, inverse=True),
        rate(work, "op/s"),
    ),
    check=check,
    out_words=SUM + 64,
    noise={"rate": 0.02, "throughput": 0.02},
    covers=(37,),
    published=[
        Published(
            "a100-pcie-40gb", 108 * 1024 / 139825.3, SAME, {"OP": "ATOM_CAS_U32", "BYTES": 4}, "rate", tolerance=0.05
        ),
    ],
)
