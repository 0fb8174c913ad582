"""Latency of a dependent global load in L1, L2 and DRAM, in cycles, against the footprint.

Method: one thread follows 64-bit pointers along a random lap over all lines of the footprint (built on the device),
from a random place; the slope over the length of the unrolled chain cancels the loop (23 cycles a pass on H100) and
the clock reads. The block first touches the footprint (its TLB entries above 256 MiB). CACHE says whether the loads
may hit L1 (CA) or go to L2 (CG). Pitfalls: a stride instead of a random lap opens DRAM rows and prefetches (484
instead of 657-689 cycles on Hopper); a footprint within L2 called DRAM; which SM ran decides near or far (see
l2_near_far); beyond the reach of the TLB its misses are in the number, and belong there. The address at the end is
checked against the host's lap. Expected: L1 32-33, L2 near plateau 258-295 on Hopper and 200-208 on A100, DRAM at 2
GiB 657-689 on Hopper.
"""

from gpuprobe.estimate import latency
from gpuprobe.gate import Chain, Expect
from gpuprobe.operands import Lap, words
from gpuprobe.probe import Launch, Probe, Published

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
LINE = 128
FULL = [n * KIB for n in (16, 32, 64, 96, 128, 160, 192, 224, 256, 384, 512)]
FULL += [n * MIB for n in (1, 2, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 64, 96, 128, 256, 512)]
FULL += [n * GIB for n in (1, 2, 4)]


def footprints(device):
    """Every footprint that fits half the memory."""
    return [size for size in FULL if size <= device["memory_bytes"] / 2]


def keep(params):
    """Loads that may hit L1 are of interest while the footprint is near its size."""
    small = params["BYTES"] < 1 * MIB
    return small == (params["CACHE"] == "CA")


def check(point, seed, out):
    """The chase ends where the host's walk of the same lap does."""
    lap = Lap(point.data_bytes // LINE)
    wanted = lap.place(seed + point.iters * int(point["CHAIN"])) * LINE
    low, high = (int(word) for word in words(out)[:2])
    found = high << 32 | low
    return None if found == wanted else f"the chase ends at offset {found:#x}, the host's at {wanted:#x}"


RANDOM = "random lap"
PROBE = Probe(
    name="global_latency",
    unit="cycle",
    defines={"CACHE": ["CA", "CG"], "CHAIN": [32, 96]},
    axes={"BYTES": footprints},
    quick={"BYTES": [64 * KIB, 128 * KIB, 4 * MIB, 16 * MIB, 2 * GIB]},
    keep=keep,
    launch=Launch(block=256, data_bytes=lambda p, d: p["BYTES"], iters=128),
    prepare="prepare",
    prologue=True,
    expect=lambda p: Expect(loop=True, counts={"LDG": p["CHAIN"]}, chain=Chain("LDG", via=("MOV", "IMAD.MOV"))),
    estimate=latency(),
    check=check,
    covers=(28, 34),
    published=[
        Published("h800-pcie", 32.0, "arXiv:2501.12084 Table 3", {"CACHE": "CA", "BYTES": 64 * KIB}, method=RANDOM),
        Published(
            "h100-sxm",
            41.1,
            "Johnsonms/NVIDIA-Hopper-Benchmark, raw/stats.txt",
            {"CACHE": "CA", "BYTES": 128 * KIB},
            reason="theirs walks a stride, its address arithmetic in the chain: others publish 32 to 33",
        ),
        Published(
            "h800-pcie",
            264.5,
            "HPMLL/NVIDIA-Hopper-Benchmark random_latency",
            {"CACHE": "CG", "BYTES": 16 * MIB},
            method="random lap, near plateau to 20 MB",
        ),
        Published(
            "gh200",
            280.4,
            "RRZE-HPC/gpu-benches gpu-latency",
            {"CACHE": "CG", "BYTES": 16 * MIB},
            method="random lap, near plateau to 24 MB",
        ),
        Published("h800-pcie", 656.0, "arXiv:2501.12084 Table 3", {"CACHE": "CG", "BYTES": 2 * GIB}, method=RANDOM),
        Published("gh200", 689.0, "RRZE-HPC/gpu-benches gpu-latency", {"CACHE": "CG", "BYTES": 2 * GIB}, method=RANDOM),
        Published(
            "a100-sxm-80gb", 33.4, "RRZE-HPC/gpu-benches gpu-latency", {"CACHE": "CA", "BYTES": 64 * KIB}, method=RANDOM
        ),
        Published(
            "a100-sxm-80gb",
            205.7,
            "RRZE-HPC/gpu-benches gpu-latency",
            {"CACHE": "CG", "BYTES": 16 * MIB},
            method="random lap, near plateau to 16 MB",
        ),
        Published(
            "a100-sxm-80gb", 552.0, "RRZE-HPC/gpu-benches gpu-latency", {"CACHE": "CG", "BYTES": 2 * GIB}, method=RANDOM
        ),
        Published("l40", 34.1, "RRZE-HPC/gpu-benches gpu-latency", {"CACHE": "CA", "BYTES": 64 * KIB}, method=RANDOM),
        Published("l40", 273.6, "RRZE-HPC/gpu-benches gpu-latency", {"CACHE": "CG", "BYTES": 16 * MIB}, method=RANDOM),
        Published("l40", 625.0, "RRZE-HPC/gpu-benches gpu-latency", {"CACHE": "CG", "BYTES": 2 * GIB}, method=RANDOM),
        Published(
            "rtx-4090",
            36.0,
            "HPMLL/NVIDIA-Hopper-Benchmark random_latency",
            {"CACHE": "CA", "BYTES": 64 * KIB},
            method=RANDOM,
        ),
        Published(
            "rtx-4090",
            284.8,
            "HPMLL/NVIDIA-Hopper-Benchmark random_latency",
            {"CACHE": "CG", "BYTES": 16 * MIB},
            method=RANDOM,
        ),
        Published(
            "rtx-4090",
            572.0,
            "HPMLL/NVIDIA-Hopper-Benchmark random_latency",
            {"CACHE": "CG", "BYTES": 2 * GIB},
            method=RANDOM,
        ),
    ],
)
