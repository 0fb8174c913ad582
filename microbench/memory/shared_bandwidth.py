"""Shared-memory bandwidth of loads, stores and both in turn, by width, in bytes per cycle of an SM.

Method: a block of 1024 threads with conflict-free accesses of 4, 8 or 16 bytes a lane; the slope over two numbers of
passes cancels start and end. The host computes what every thread must have read, and what it finds where it wrote.
Pitfalls: loads alone (most suites) say nothing of stores. Expected: 128 (32 banks of 4 bytes); 127.5 published.
"""

import numpy as np

from gpuprobe.estimate import rate_per_sm
from gpuprobe.gate import Expect
from gpuprobe.operands import mixed, words
from gpuprobe.probe import Launch, Probe, Published

THREADS, UNROLL, BYTES = 1024, 8, 32768
SUFFIX = {4: "", 8: ".64", 16: ".128"}


def stores(op, j):
    """Whether the j-th access of a pass is a store."""
    return op == "ST" or (op == "MIX" and j % 2 == 1)


def check(point, seed, out):
    """Loads: the sum over all passes; stores: what the last pass wrote, read back."""
    op, width = point["OP"], int(point["WIDTH"])
    threads = np.arange(THREADS, dtype=np.uint32)
    tag, passes = np.uint32(seed + point.iters - 1 & 0xFFFFFFFF), np.uint32(point.iters)
    span = BYTES // 2 if op == "MIX" else BYTES
    wanted = np.zeros(THREADS, dtype=np.uint32)
    for j in range(UNROLL):
        if stores(op, j):
            wanted += tag if width == 4 else tag ^ threads
        else:
            first = (threads * width + j * THREADS * width % span) // 4
            data = [mixed(first.astype(np.uint32) + np.uint32(k)) for k in range(width // 4)]
            wanted += np.bitwise_xor.reduce(data) * passes
    wrong = np.flatnonzero(words(out)[:THREADS] != wanted)
    return (
        f"thread {wrong[0]} computed {words(out)[wrong[0]]:#x}, the host {wanted[wrong[0]]:#x}" if wrong.size else None
    )


def expect(p):
    """UNROLL accesses of the width asked for."""
    written = sum(stores(p["OP"], j) for j in range(UNROLL))
    wanted = {"LDS" + SUFFIX[p["WIDTH"]]: UNROLL - written, "STS" + SUFFIX[p["WIDTH"]]: written}
    return Expect(loop=True, counts={opcode: count for opcode, count in wanted.items() if count})


PROBE = Probe(
    name="shared_bandwidth",
    unit="B/cycle/SM",
    quantity="rate",
    defines={"OP": ["LD", "ST", "MIX"], "WIDTH": [4, 8, 16]},
    axes={"PASSES": [100, 300]},
    quick={"WIDTH": [4, 16]},
    launch=Launch(block=THREADS, iters=lambda p, d: p["PASSES"]),
    expect=expect,
    estimate=rate_per_sm(lambda p: THREADS * UNROLL * p.number("WIDTH") * p.iters, "B/cycle/SM"),
    bound=lambda estimate, device, architecture, clock_hz: float(architecture.shared_bytes_per_clock),
    check=check,
    covers=(26,),
    published=[
        Published("h100-sxm", 127.53, "Johnsonms/NVIDIA-Hopper-Benchmark, raw/stats.txt", {"OP": "LD"}, "rate"),
        Published("h800-pcie", 127.4, "arXiv:2501.12084 Table 5", {"OP": "LD"}, "rate"),
    ],
)
