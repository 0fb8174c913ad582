"""Latency of asynchronous copies of 16 bytes into shared memory with their wait, in cycles, from L2 and DRAM.

Method: one thread follows pointers along a random lap and copies each into shared memory before it reads it: VIA
CP_ASYNC with cp.async and the wait for its group, BULK with a bulk copy of TMA and the wait for its mbarrier (which
it arms); slope over the chain's length. LOAD is a plain load (cg) of the same lap, and ``extra`` the difference: what
the detour costs. Two figures are published for TMA: 105 cycles in a log, 170 in the text of the paper that goes with
it. Pitfalls: the load from shared memory (23-29 cycles) is in the number, as in any use; comparing with loads that
hit L1; a wait that reads a timer at every try (this one only after the first, which waits in hardware). Expected: on
H100 CP_ASYNC 34 cycles more than a load and BULK 55; published chases by bulk copy: 365-369 cycles within L2, 760 in
DRAM.
"""

from gpuprobe import arch
from gpuprobe.estimate import Estimate, every, latency
from gpuprobe.gate import Chain, Expect
from gpuprobe.operands import Lap, words
from gpuprobe.probe import Launch, Probe, Published

LINE = 128
COUNTS = {"LOAD": {"LDG": 1}, "CP_ASYNC": {"LDGSTS.E.BYPASS.128": 1, "LDS": 1}, "BULK": {"UBLKCP": 1}}


def ways(device):
    """What the architecture has: TMA came with sm_90; on sm_120 the compiler calls a check of each bulk copy."""
    return list(COUNTS) if 90 <= arch.parse(device.architecture).number < 120 else list(COUNTS)[:2]


def check(point, seed, out):
    """The chase ends where the host's walk of the same lap does."""
    wanted = Lap(point.data_bytes // LINE).place(seed + point.iters * int(point["CHAIN"])) * LINE
    low, high = (int(word) for word in words(out)[:2])
    found = high << 32 | low
    return None if found == wanted else f"the chase ends at offset {found:#x}, the host's at {wanted:#x}"


def expect(p):
    """Loads that feed each other, or as many copies."""
    counts = {opcode: each * p["CHAIN"] for opcode, each in COUNTS[p["VIA"]].items()}
    return Expect(loop=True, counts=counts, chain=Chain("LDG", via=("MOV", "IMAD.MOV")) if p["VIA"] == "LOAD" else None)


def extra(round_):
    """Latency by a copy less that of the plain load of the same footprint."""
    found = {(e.params["VIA"], e.params["BYTES"]): e for e in latency()(round_)}
    return [
        Estimate("extra", {"VIA": via, "BYTES": size}, "cycle", e.value - found["LOAD", size].value, e.sample)
        for (via, size), e in found.items()
        if via != "LOAD" and ("LOAD", size) in found
    ]


HOP = "HPMLL/NVIDIA-Hopper-Benchmark tma_lat_random"
THEIRS = "the code around the copy and its wait is in the number"
SMALL, L2, DRAM = 64 << 10, 4 << 20, 1 << 30
PROBE = Probe(
    name="async_latency",
    unit="cycle",
    defines={"VIA": ways, "CHAIN": [8, 24]},
    axes={"BYTES": [SMALL, L2, 16 << 20, DRAM]},
    quick={"BYTES": [L2, DRAM]},
    launch=Launch(block=256, data_bytes=lambda p, d: p["BYTES"], iters=64),
    prepare="prepare",
    prologue=True,
    expect=expect,
    estimate=every(latency(), extra),
    check=check,
    out_words=1024,
    noise={"latency": 0.01, "extra": 0.03},
    covers=(12, 39),
    published=[
        Published("h800-pcie", 364.8, HOP, {"VIA": "BULK", "BYTES": SMALL}, method=THEIRS),
        Published("h800-pcie", 369.1, HOP, {"VIA": "BULK", "BYTES": L2}, method=THEIRS),
        Published("h800-pcie", 369.1, HOP, {"VIA": "BULK", "BYTES": 16 << 20}, method=THEIRS),
        Published("h800-pcie", 760.1, HOP, {"VIA": "BULK", "BYTES": DRAM}, method=THEIRS),
        Published(
            "h800-pcie", 104.6, f"{HOP}, difference of its logs", {"VIA": "BULK", "BYTES": L2}, "extra", tolerance=0.05
        ),
        Published(
            "h800-pcie",
            170.0,
            "arXiv:2501.12084, text",
            {"VIA": "BULK", "BYTES": L2},
            "extra",
            tolerance=0.05,
            method=THEIRS,
        ),
    ],
)
