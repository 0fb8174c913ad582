"""Roofline by intensity: FP32 FLOP/s and bytes/s where every element loaded from DRAM goes through FMAS multiply-adds.

Method: all SMs read an array of 1 GiB again and again, each element through a chain of FMAS FFMA and into a sum (2
FMAS + 1 operations for 4 bytes); the slope of wall time over two numbers of passes. From FMAS 1 (0.75 FLOP/B) to 128
(64) it crosses from the slope of the roof to its ridge. The elements are whole numbers, so that sums are exact and
compared with the host's for two warps. Pitfalls: one timed run of a fraction of a millisecond dips by 14 % in
published sweeps; the clock at high intensity is that under load (stored with each sample), not the name-plate's.
Expected on H100: 3 TB/s to FMAS 8, 60 TFLOP/s and more at 128.
"""

from functools import cache

import numpy as np

from gpuprobe import bounds
from gpuprobe.estimate import every, rate
from gpuprobe.gate import Expect
from gpuprobe.operands import mix, words
from gpuprobe.probe import Launch, Probe, Published

GIB = 1 << 30
BLOCK = 1024
SAMPLED = (0, 31, 32, 63)


def grid(params, device):
    """Two blocks an SM where they fit, as many threads as an SM holds elsewhere."""
    return int(device["sm_count"]) * (1 if device.architecture in {"sm_86", "sm_89"} else 2)


def size(params, device):
    """As much of 1 GiB as all threads take in whole turns."""
    turn = 32 * grid(params, device) * BLOCK
    return min(GIB, int(device["memory_bytes"]) // 4) // turn * turn


def elements(point):
    """Elements that go through in one sample."""
    return float(point.data_bytes // 4 * point.iters)


def flop(point):
    """Operations of one sample: two a multiply-add, and the sum."""
    return elements(point) * (2 * point.number("FMAS") + 1)


@cache
def start_sum(thread, threads, size_bytes):
    """Sum of the elements of a thread, and how many they are."""
    turns = size_bytes // 32 // threads
    vectors = thread + threads * np.arange(2 * turns, dtype=np.int64)
    indices = (4 * vectors[:, None] + np.arange(4)).ravel()
    return sum(mix(int(i) & 0xFFFFFFFF) & 7 for i in indices), indices.size


def check(point, seed, out):
    """The sums of some threads of the first block: every element, plus its multiply-adds, in every pass."""
    found = words(out)
    for thread in SAMPLED:
        total, count = start_sum(thread, point.grid * point.block, point.data_bytes)
        wanted = (total + count * int(point["FMAS"])) * point.iters % 2**32
        if int(found[thread]) != wanted:
            return f"thread {thread} sums to {int(found[thread])}, on the host to {wanted}"
    return None


def bound(estimate, device, architecture, clock_hz):
    """The memory interface, or two operations a lane and cycle."""
    if estimate.unit == "B/s":
        return bounds.dram(estimate, device, architecture, clock_hz)
    return 2.0 * architecture.fp32_fma * device["sm_count"] * clock_hz if clock_hz else None


BENCH = "RRZE-HPC/gpu-benches gpu-roofline"
FLAT = "theirs stays below 64 % of the FP32 peak at every intensity, at 1.98 GHz: not the clock"
SHORT = "theirs reaches 79 % of the stated memory bandwidth, at 1.98 GHz and 578 W: neither clock nor power limits it"
PROBE = Probe(
    name="roofline_sweep",
    unit="FLOP/s",
    quantity="flops",
    defines={"FMAS": [1, 2, 4, 8, 16, 32, 64, 128]},
    axes={"PASSES": [1, 3]},
    quick={"FMAS": []},
    launch=Launch(grid=grid, block=BLOCK, data_bytes=size, iters=lambda p, d: p["PASSES"]),
    prepare="prepare",
    expect=lambda p: Expect(loop=True, counts={"FFMA": 8 * p["FMAS"], "LDG": 2}, allow=("FADD", "IMAD")),
    estimate=every(
        rate(flop, "FLOP/s", quantity="flops"), rate(lambda p: 4 * elements(p), "B/s", quantity="bandwidth")
    ),
    bound=bound,
    check=check,
    out_words=1 << 20,
    noise={"flops": 0.004, "bandwidth": 0.004},
    covers=(46,),
    rounds=61,
    width=0.01,
    published=[
        Published(
            "h200-sxm", 3780e9, f"{BENCH}/h200.txt", {"FMAS": 1}, "bandwidth", "B/s", tolerance=0.05, reason=SHORT
        ),
        Published("h200-sxm", 26667e9, f"{BENCH}/h200.txt", {"FMAS": 16}, "flops", tolerance=0.05, reason=FLAT),
        Published("h200-sxm", 41232e9, f"{BENCH}/h200.txt", {"FMAS": 128}, "flops", tolerance=0.05, reason=FLAT),
        Published(
            "a100-pcie-40gb", 1368e9, f"{BENCH}/alex_a100_40.txt", {"FMAS": 1}, "bandwidth", "B/s", tolerance=0.05
        ),
        Published("a100-pcie-40gb", 18711e9, f"{BENCH}/alex_a100_40.txt", {"FMAS": 128}, "flops", tolerance=0.05),
    ],
)
