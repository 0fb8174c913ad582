"""DRAM bandwidth of streaming reads, writes and copies, in bytes per second of wall time.

Method: every block walks the working set in tiles with eight 16-byte accesses a thread in flight, past L1 (cg); the
slope of globaltimer time over one and two passes cancels start and drain. A copy counts bytes read plus bytes
written. The set is 2 GiB (1/8 of memory on small cards), far beyond L2. BLOCKS is resident blocks of 512 threads an
SM: the best is not at full occupancy. Pitfalls: counting in GiB; one hand-set grid; caches that hold the set.
Expected: above 90 % of bus width x data rate for reads.
"""

import numpy as np

from gpuprobe import bounds
from gpuprobe.estimate import rate
from gpuprobe.gate import Expect
from gpuprobe.operands import words
from gpuprobe.probe import Launch, Probe, Published

BLOCK = 512


def set_bytes(params, device):
    """2 GiB, or an eighth of memory where that is less."""
    return int(min(2 << 30, device["memory_bytes"] // 8 // (1 << 24) * (1 << 24)))


def expect(p):
    """UNROLL loads, stores, or both, each of 16 bytes."""
    loads = {"LDG.E.128": p["UNROLL"]} if p["MODE"] != "WRITE" else {}
    stores = {"STG.E.128": p["UNROLL"]} if p["MODE"] != "READ" else {}
    return Expect(loop=True, counts={**loads, **stores})


def check(point, seed, out):
    """Every thread stored its sum (the poison is gone)."""
    sums = words(out)[: min(point.grid * point.block, len(out) // 4)]
    return "a thread stored no result" if np.any(sums == 0xA5A5A5A5) else None


def moved(point):
    """Bytes read plus bytes written by one sample."""
    return float(point.data_bytes * point.iters)


BEYOND = "RRZE-HPC/gpu-benches gpu-l2-cache, sets beyond L2"
GB = "RRZE-HPC/gpu-benches gpu-stream, best of occupancies"
PROBE = Probe(
    name="dram_bandwidth",
    kernel="bandwidth",
    unit="B/s",
    quantity="throughput",
    defines={"MODE": ["READ", "WRITE", "COPY"], "UNROLL": [8]},
    axes={"BLOCKS": [1, 2, 3, 4], "PASSES": [1, 2]},
    quick={"BLOCKS": [2, 4]},
    launch=Launch(
        grid=lambda p, d: int(p["BLOCKS"] * d["sm_count"]),
        block=BLOCK,
        data_bytes=set_bytes,
        iters=lambda p, d: p["PASSES"],
    ),
    prepare="prepare",
    expect=expect,
    estimate=rate(moved, "B/s"),
    bound=bounds.dram,
    check=check,
    out_words=1 << 19,
    best_over=("BLOCKS",),
    noise={"throughput": 0.002},
    published=[
        Published(
            "h100-sxm",
            3.0099e12,
            "Johnsonms/NVIDIA-Hopper-Benchmark, raw/stats.txt",
            {"MODE": "READ"},
            "throughput",
            tolerance=0.05,
        ),
        Published("gh200", 2.775e12, GB, {"MODE": "READ"}, "throughput", tolerance=0.05),
        Published("gh200", 3.944e12, GB, {"MODE": "WRITE"}, "throughput", tolerance=0.05),
        Published("h200-sxm", 3.888e12, BEYOND, {"MODE": "READ"}, "throughput", tolerance=0.05),
        Published("a100-sxm-80gb", 1.776e12, GB, {"MODE": "READ"}, "throughput", tolerance=0.05),
        Published("a100-sxm-80gb", 1.908e12, GB, {"MODE": "WRITE"}, "throughput", tolerance=0.05),
        Published("l40", 8.45e11, GB, {"MODE": "READ"}, "throughput", tolerance=0.05),
    ],
)
