"""L1 bandwidth of reads by width, stride and block shape, in bytes per cycle of an SM: bytes used, not bytes moved.

Method: 32 warps of one SM read data that L1 holds, 4, 8 or 16 bytes a lane: lanes STRIDE elements apart, or a warp as a
rectangle WIDE elements wide with rows 4098 elements apart. One launch goes through all patterns; the slope over passes
cancels start and end. The host computes what a thread must have read in all passes. Pitfalls: a set that L1 does not
hold; bytes moved counted as used. Expected: 128 at stride 1 (126 published for 4 bytes), halved with each doubling of
the stride until a lane has a line of its own.
"""

import numpy as np

from gpuprobe.families import columns
from gpuprobe.gate import Expect
from gpuprobe.operands import mix
from gpuprobe.probe import Launch, Probe, Published

THREADS, UNROLL, PITCH = 1024, 8, 4098
STRIDES, SHAPES = (0, 1, 2, 3, 4, 8, 16, 32), (1, 2, 4, 8, 16, 32)
SETTINGS = {f"stride_{s:02d}": {"PATTERN": "stride", "STEP": s} for s in STRIDES}
SETTINGS |= {f"block_{w:02d}": {"PATTERN": "block", "STEP": w} for w in SHAPES}
SUFFIX = {4: "", 8: ".64", 16: ".128"}


def element(pattern, step, thread):
    """Element that a thread reads."""
    warp, lane = divmod(thread, 32)
    if pattern == "stride":
        return warp * 32 + lane * step
    return warp * step + lane % step + lane // step * PITCH


def check(point, seed, out):
    """One thread of each pattern read what the host computes, in every pass."""
    words = int(point["WIDTH"]) // 4
    found = columns.rows(out, len(SETTINGS))[:, 1]
    for place, setting in enumerate(SETTINGS.values()):
        thread = (place * 37 + seed) % 2**32 % THREADS
        first = element(setting["PATTERN"], setting["STEP"], thread) * words
        read = [np.bitwise_xor.reduce([mix(first + 32 * j + k) for k in range(words)]) for j in range(UNROLL)]
        wanted = sum(int(value) for value in read) * point.iters & 0xFFFFFFFF
        if int(found[place]) != wanted:
            return f"{setting}: thread {thread} computed {int(found[place]):#x}, the host {wanted:#x}"
    return None


def used(point, setting):
    """Bytes used by all threads in one sample."""
    return THREADS * UNROLL * point.number("WIDTH") * point.iters


ROWS = "their warps start at different rows, ours at different columns, and so elsewhere in a line"
GB, STRIDE, BLOCK = "RRZE-HPC/gpu-benches gpu-strides, h200.txt", {"PATTERN": "stride"}, {"PATTERN": "block"}
PROBE = Probe(
    name="l1_bandwidth",
    unit="B/cycle/SM",
    quantity="rate",
    defines={"WIDTH": [4, 8, 16]},
    axes={"PASSES": [50, 150]},
    quick={"WIDTH": [16]},
    launch=Launch(block=THREADS, data_bytes=4 << 20, iters=lambda p, d: p["PASSES"]),
    prepare="prepare",
    prologue=True,
    settings=("PATTERN", "STEP"),
    expect=lambda p: Expect(loop=True, counts={"LDG.E" + SUFFIX[p["WIDTH"]]: UNROLL}),
    estimate=columns.slopes(SETTINGS, "PASSES", used, quantity="rate", unit="B/cycle/SM", inverse=True),
    bound=lambda estimate, device, architecture, clock_hz: float(architecture.l1_bytes_per_clock),
    reduce=columns.cycles(list(SETTINGS)),
    check=check,
    covers=(29,),
    published=[
        Published("h100-sxm", 125.7, "Johnsonms/NVIDIA-Hopper-Benchmark", {**STRIDE, "WIDTH": 16, "STEP": 1}, "rate"),
        Published("h800-pcie", 125.8, "arXiv:2501.12084 Table 5", {**STRIDE, "WIDTH": 16, "STEP": 1}, "rate"),
        Published("a100-pcie-40gb", 106.8, "arXiv:2402.13499 Table V", {**STRIDE, "WIDTH": 16, "STEP": 1}, "rate"),
        Published("rtx-4090", 121.2, "arXiv:2402.13499 Table V", {**STRIDE, "WIDTH": 16, "STEP": 1}, "rate"),
        *(
            Published("h200-sxm", value, GB, {**STRIDE, "WIDTH": width, "STEP": step}, "rate", tolerance=0.05)
            for width, step, value in (
                (4, 1, 126.0),
                (4, 2, 64.0),
                (4, 4, 32.0),
                (4, 8, 16.0),
                (8, 1, 128.0),
                (8, 2, 64.0),
                (8, 4, 32.0),
                (8, 8, 16.0),
            )
        ),
        *(
            Published(
                "h200-sxm", value, GB, {**BLOCK, "WIDTH": width, "STEP": wide}, "rate", tolerance=0.05, reason=ROWS
            )
            for width, wide, value in (
                (4, 1, 13.8),
                (4, 2, 26.6),
                (4, 4, 42.6),
                (4, 8, 32.0),
                (4, 16, 64.0),
                (4, 32, 125.0),
                (8, 1, 28.4),
                (8, 2, 48.7),
                (8, 4, 64.0),
                (8, 8, 64.0),
                (8, 16, 128.0),
                (8, 32, 128.0),
            )
        ),
    ],
)
