"""L2 bandwidth of reads, writes and copies of a set that stays in L2, in bytes per second of wall time.

Method: the kernel of dram_bandwidth on a set of just under half of L2 (each half of a split L2 keeps a copy of what
its SMs read), many passes, four 16-byte accesses a thread in flight, past L1 (cg); the slope over two numbers of
passes cancels the first, cold pass. READ, WRITE and COPY share the set out among the SMs; READ_ALL has every SM read
all of it, each from a place of its own: requests of several SMs for one line are then merged before the slices, and
the rate is higher. A sample goes over eight sets (READ_ALL: one) at places in memory that differ from round to round:
which slices the pages of a set meet moves the value by 4 %, and this is the mean over places. Pitfalls: READ against
READ_ALL, unstated, is most of the spread of published figures (2.5 to 9.6 TB/s on one chip); smaller sets that L1
serves; more accesses in flight than the slices' queues take (eight a thread: 25 % less); B/clk of one tool against
GB/s of another at an unstated clock: the clock measured in the kernel stands beside each value.
"""

from gpuprobe import bounds
from gpuprobe.estimate import every, rate, rate_per_sm
from gpuprobe.families import streams
from gpuprobe.families.grid import where
from gpuprobe.families.streams import Stream, Windows
from gpuprobe.gate import Expect
from gpuprobe.probe import Launch, Probe, Published

BLOCK, PLACES = 512, 128


def windows(mode):
    """Eight sets a sample; one where every SM reads all of it."""
    count = 1 if mode == "READ_ALL" else 8
    return Windows(count, PLACES // count)


def region_bytes(params, device):
    """Room for all places of sets of just under half of L2, in whole MiB each."""
    return PLACES * (int(device["l2_bytes"] * 0.48) >> 20 << 20)


def expect(p):
    """UNROLL loads, stores, or both, each of 16 bytes."""
    loads = {"LDG.E.128": p["UNROLL"]} if p["MODE"] != "WRITE" else {}
    stores = {"STG.E.128": p["UNROLL"]} if not p["MODE"].startswith("READ") else {}
    return Expect(loop=True, counts={**loads, **stores})


def check(point, seed, out):
    """What a few threads read, or wrote and read back, is what the host computes."""
    return streams.check(point, seed, out, windows(point["MODE"]))


def moved(point):
    """Bytes read plus bytes written by one sample."""
    return Stream.of(point, 0, windows(point["MODE"])).moved


def is_merged(point):
    """Whether every SM reads the whole set: what publications give in B/cycle."""
    return point["MODE"] == "READ_ALL"


HOP = "Johnsonms/NVIDIA-Hopper-Benchmark, raw/stats.txt"
MERGED = "the more SMs read in step, the more of their requests merge before L2; READ has the rate without"
GB_CACHE = "RRZE-HPC/gpu-benches gpu-cache"
GB, SHARED = "RRZE-HPC/gpu-benches gpu-l2-cache", "all blocks read one set"
PROBE = Probe(
    name="l2_bandwidth",
    unit="B/s",
    quantity="throughput",
    defines={"MODE": ["READ", "READ_ALL", "WRITE", "COPY"], "UNROLL": [4]},
    axes={"BLOCKS": [1, 2, 4], "PASSES": [1, 3]},
    quick={"MODE": ["READ", "WRITE", "COPY"], "BLOCKS": [1, 2]},
    launch=Launch(
        grid=lambda p, d: int(p["BLOCKS"] * d["sm_count"]),
        block=BLOCK,
        data_bytes=region_bytes,
        iters=lambda p, d: p["PASSES"] * (1 if p["MODE"] == "READ_ALL" else 10),
    ),
    prepare="prepare",
    expect=expect,
    estimate=every(rate(moved, "B/s"), where(is_merged, rate_per_sm(moved, "B/cycle"))),
    bound=bounds.l1_port,
    bound_is_reachable=False,
    check=check,
    out_words=1 << 19,
    paired=True,
    prologue=True,
    covers=(33,),
    best_over=("BLOCKS",),
    noise={"throughput": 0.008, "throughput READ_ALL": 0.035, "rate": 0.035},
    published=[
        Published("h100-sxm", 4807.7, HOP, {"MODE": "READ_ALL"}, "rate", "B/cycle", "l2_bw_64f", 0.05, MERGED),
        Published(
            "h800-pcie",
            4472.3,
            "arXiv:2501.12084 Table 5",
            {"MODE": "READ_ALL"},
            "rate",
            "B/cycle",
            SHARED,
            0.05,
            MERGED,
        ),
        Published(
            "rtx-4090",
            1708.0,
            "arXiv:2402.13499 Table V",
            {"MODE": "READ_ALL"},
            "rate",
            "B/cycle",
            SHARED,
            0.05,
            MERGED,
        ),
        Published("h100-pcie", 6.9e12, GB, {"MODE": "READ"}, "throughput", tolerance=0.05, method="at 1755 MHz"),
        Published("h200-sxm", 9.6e12, GB, {"MODE": "READ_ALL"}, "throughput", "", SHARED, 0.05, MERGED),
        Published(
            "a100-sxm-80gb", 5.44e12, GB_CACHE, {"MODE": "READ_ALL"}, "throughput", method=SHARED, tolerance=0.05
        ),
        Published("l40", 5.2e12, GB, {"MODE": "READ_ALL"}, "throughput", tolerance=0.05, method=SHARED),
    ],
)
