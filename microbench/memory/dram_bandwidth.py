"""DRAM bandwidth of streaming reads, writes, copies and triads, in bytes per second of wall time.

Method: every block walks the working set in tiles with eight 16-byte accesses a thread in flight, past L1 (cg); the
slope of globaltimer time over one and two passes cancels start and drain. A copy counts bytes read plus bytes
written, a triad (a = b + s c on 32-bit integers, exact on the host) two read and one written. The set is 2 GiB (1/8 of
memory on small cards), far beyond L2. BLOCKS is resident blocks of 512 threads an SM: the best is not at full
occupancy. Readers' sums, and what writers find when they read back, are checked on the host. Pitfalls: counting in
GiB; one hand-set grid; caches that hold the set. Expected: above 90 % of bus width x data rate for reads.
"""

from gpuprobe import bounds
from gpuprobe.estimate import rate
from gpuprobe.families.streams import Stream, check
from gpuprobe.gate import Expect
from gpuprobe.probe import Launch, Probe, Published

BLOCK = 512


def set_bytes(params, device):
    """2 GiB, or an eighth of memory where that is less."""
    return int(min(2 << 30, device["memory_bytes"] // 8 // (1 << 24) * (1 << 24)))


def expect(p):
    """UNROLL loads (twice as many in a triad), stores, or both, each of 16 bytes."""
    loads = {"READ": 1, "COPY": 1, "TRIAD": 2}.get(p["MODE"], 0) * p["UNROLL"]
    stores = p["UNROLL"] if p["MODE"] != "READ" else 0
    wanted = {"LDG.E.128": loads, "STG.E.128": stores}
    return Expect(loop=True, counts={opcode: count for opcode, count in wanted.items() if count})


def moved(point):
    """Bytes read plus bytes written by one sample."""
    return Stream.of(point, 0).moved


BEYOND = "RRZE-HPC/gpu-benches gpu-l2-cache, sets beyond L2"
GB = "RRZE-HPC/gpu-benches gpu-stream, best of occupancies"
PROBE = Probe(
    name="dram_bandwidth",
    unit="B/s",
    quantity="throughput",
    defines={"MODE": ["READ", "WRITE", "COPY", "TRIAD"], "UNROLL": [8]},
    axes={"BLOCKS": [1, 2, 4], "PASSES": [1, 2]},
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
    prologue=True,  # writers read back after the clocks have stopped
    best_over=("BLOCKS",),
    noise={"throughput": 0.002},
    covers=(36,),
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
        Published("gh200", 3.174e12, GB, {"MODE": "COPY"}, "throughput", tolerance=0.05, method="scale, FP64"),
        Published("gh200", 3.783e12, GB, {"MODE": "TRIAD"}, "throughput", tolerance=0.05, method="FP64"),
        Published("h100-pcie", 1.942e12, GB, {"MODE": "READ"}, "throughput", tolerance=0.05),
        Published("h100-pcie", 2.018e12, GB, {"MODE": "WRITE"}, "throughput", tolerance=0.05),
        Published("h100-pcie", 1.704e12, GB, {"MODE": "COPY"}, "throughput", tolerance=0.05, method="scale, FP64"),
        Published("h100-pcie", 1.832e12, GB, {"MODE": "TRIAD"}, "throughput", tolerance=0.05, method="FP64"),
        Published("h800-pcie", 1.8615e12, "arXiv:2501.12084 Table 5", {"MODE": "READ"}, "throughput", tolerance=0.05),
        Published(
            "h200-sxm",
            3.888e12,
            BEYOND,
            {"MODE": "READ"},
            "throughput",
            tolerance=0.05,
            reason="theirs is what a sweep for the L2 cache leaves beyond it, 81 % of the stated bandwidth",
        ),
        Published("a100-sxm-80gb", 1.776e12, GB, {"MODE": "READ"}, "throughput", tolerance=0.05),
        Published("a100-sxm-80gb", 1.908e12, GB, {"MODE": "WRITE"}, "throughput", tolerance=0.05),
        Published("a100-sxm-80gb", 1.737e12, GB, {"MODE": "COPY"}, "throughput", tolerance=0.05, method="scale, FP64"),
        Published("a100-sxm-80gb", 1.794e12, GB, {"MODE": "TRIAD"}, "throughput", tolerance=0.05, method="FP64"),
        Published("l40", 8.47e11, GB, {"MODE": "WRITE"}, "throughput", tolerance=0.05),
        Published("l40", 8.00e11, GB, {"MODE": "COPY"}, "throughput", tolerance=0.05, method="scale, FP64"),
        Published("l40", 8.31e11, GB, {"MODE": "TRIAD"}, "throughput", tolerance=0.05, method="FP64"),
        Published("l40", 8.45e11, GB, {"MODE": "READ"}, "throughput", tolerance=0.05),
    ],
)
