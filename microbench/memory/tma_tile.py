"""Throughput of TMA: loads, stores and additions of boxes of 1D, 2D and 3D tensors, against the shape of the box.

Method: one thread a block keeps up to 64 KiB of boxes in flight (at most 32), two blocks an SM, over a tensor of
32-bit words in L2 (12 MiB) or in DRAM (256 MiB); the slope of globaltimer time over passes. RANK 1 is cp.async.bulk,
without a descriptor; RANK 2 and 3 use tensor maps. BOX has the innermost side first. ADD is the reducing store. First
and last word of each box are checked: after a load in shared memory, after a store in memory. Pitfalls: few bytes in
flight make a latency of it (boxes of 1 KiB at one a block: 640-830 GB/s published); an innermost side under 64 bytes
takes a request for each row; GiB printed as GB. Expected: DRAM's rate of dram_bandwidth from 4 KiB on; 1.9 TB/s for
4x4x256 on H100, additions a third of the stores' rate.
"""

from functools import cache

import numpy as np

from gpuprobe import bounds
from gpuprobe.estimate import TensorMap, rate
from gpuprobe.gate import Expect
from gpuprobe.operands import words
from gpuprobe.probe import Launch, Probe, Published

BOXES = {
    1: ["256", "1024", "4096"],
    2: ["16x16", "32x32", "64x64", "256x16", "16x256"],
    3: ["8x8x4", "16x8x8", "16x16x16", "64x64x1", "4x4x256"],
}
LARGE = ("4096", "64x64", "16x16x16")
SHAPES = {
    ("L2", 1): (3 << 20,),
    ("L2", 2): (1024, 3072),
    ("L2", 3): (64, 64, 768),
    ("DRAM", 1): (1 << 26,),
    ("DRAM", 2): (4096, 16384),
    ("DRAM", 3): (256, 256, 1024),
}
OPCODES = {
    ("LOAD", 1): "UBLKCP.S.G",
    ("LOAD", 2): "UTMALDG.2D",
    ("LOAD", 3): "UTMALDG.3D",
    ("STORE", 1): "UBLKCP.G.S",
    ("STORE", 2): "UTMASTG.2D",
    ("STORE", 3): "UTMASTG.3D",
    ("ADD", 1): "UBLKRED",
    ("ADD", 2): "UTMAREDG.2D",
    ("ADD", 3): "UTMAREDG.3D",
}
BLOCKS_AN_SM = 2
RING, SLACK = 65536, 128


def keep(params):
    """Boxes of the tensor's rank; the small ones as loads from DRAM alone."""
    from_dram, box = params["FROM"] == "DRAM", params["BOX"]
    if box not in BOXES[params["RANK"]]:
        return False
    if params["MODE"] == "LOAD":
        return from_dram or box in LARGE
    return box == "64x64" or (box in LARGE and not from_dram)


def tensor(params, device):
    """The tensor of a point, dense, of 32-bit words."""
    box = tuple(int(side) for side in params["BOX"].split("x"))
    dims = SHAPES[params["FROM"], params["RANK"]]
    if params["RANK"] == 1:  # without a descriptor of its own: TMA's boxes have sides of at most 256
        return TensorMap("u32", dims, (), box, described=False)
    return TensorMap.dense("u32", 4, dims, box)


def set_bytes(params, device):
    """The tensor behind its head."""
    return TensorMap.HEAD_BYTES + 4 * int(np.prod(SHAPES[params["FROM"], params["RANK"]]))


@cache
def corners(shape, grid):
    """Indices of the first and last word of every box of each block: arrays of blocks x boxes."""
    sides = [dim // side for dim, side in zip(shape.dims, shape.box, strict=True)]
    mine = int(np.prod(sides)) // grid
    box = np.arange(grid)[:, None] + grid * np.arange(mine)[None, :]
    first, last, step = np.zeros_like(box), np.zeros_like(box), 1
    for dim, side, count in zip(shape.dims, shape.box, sides, strict=True):
        place = box % count * side
        first, last = first + place * step, last + (place + side - 1) * step
        box, step = box // count, step * dim
    return first, last


def moved(point):
    """Bytes of one sample: every block's boxes, all passes."""
    boxes = corners(point.tensor_map, point.grid)[0].size
    return float(boxes * int(np.prod(point.tensor_map.box)) * 4 * point.iters)


def check(point, seed, out):
    """First and last words of all boxes, summed for each block."""
    first, last = corners(point.tensor_map, point.grid)
    box_words, mine = int(np.prod(point.tensor_map.box)), first.shape[1]
    if point["MODE"] == "LOAD":
        wanted = (first + last).sum(axis=1) * point.iters
    elif point["MODE"] == "STORE":
        wanted = np.full(point.grid, mine * (2 * seed + box_words - 1))
    else:
        wanted = np.full(point.grid, 2 * mine * point.iters)
    wrong = np.flatnonzero(words(out)[: point.grid] != (wanted & 0xFFFFFFFF).astype(np.uint32))
    if wrong.size == 0:
        return None
    block = int(wrong[0])
    return f"block {block} found {int(words(out)[block]):#x} where the host has {int(wanted[block]) & 0xFFFFFFFF:#x}"


def passes(params, device):
    """L2 tensors many times over."""
    return params["PASSES"] * (40 if params["FROM"] == "L2" else 1)


def bound(estimate, device, architecture, clock_hz):
    """The memory interface, or what the SMs take in."""
    limit = bounds.dram if estimate.params["FROM"] == "DRAM" else bounds.l1_port
    return limit(estimate, device, architecture, clock_hz)


HOP = "HPMLL/NVIDIA-Hopper-Benchmark tma_bw"
GIB = float(1 << 30)
METHOD = "one box in flight a block, four blocks an SM; GiB/s turned into B/s"
PUBLISHED = {
    (1, "256"): 830.3, (1, "1024"): 1748.1, (1, "4096"): 1826.1,
    (2, "16x16"): 642.9, (2, "32x32"): 1644.8, (2, "64x64"): 1816.5,
    (3, "8x8x4"): 616.6, (3, "16x8x8"): 1548.5, (3, "16x16x16"): 1380.5,
    (3, "64x64x1"): 1822.1, (3, "4x4x256"): 602.3,
}  # fmt: skip
PROBE = Probe(
    name="tma_tile",
    unit="B/s",
    quantity="throughput",
    archs=">=sm_90",
    defines={"MODE": ["LOAD", "STORE", "ADD"], "RANK": [1, 2, 3]},
    axes={"FROM": ["L2", "DRAM"], "BOX": [box for boxes in BOXES.values() for box in boxes], "PASSES": [1, 3]},
    quick={"RANK": [2], "BOX": ["64x64"]},
    keep=keep,
    launch=Launch(
        grid=lambda p, d: int(BLOCKS_AN_SM * d["sm_count"]),
        block=128,
        data_bytes=set_bytes,
        iters=passes,
        shared_bytes=RING + SLACK,
        tensor_map=tensor,
    ),
    prepare="prepare",
    prologue=True,
    expect=lambda p: Expect(
        loop=True, predicated=True, counts={OPCODES[p["MODE"], p["RANK"]]: 2 if p["MODE"] == "LOAD" else 1}
    ),
    estimate=rate(moved, "B/s"),
    bound=bound,
    bound_is_reachable=False,
    check=check,
    out_words=1 << 12,
    noise={"throughput": 0.02},
    covers=(40,),
    published=[
        Published(
            "h800-pcie",
            value * GIB,
            HOP,
            {"MODE": "LOAD", "RANK": rank, "FROM": "DRAM", "BOX": box},
            "throughput",
            method=METHOD,
            tolerance=0.05,
        )
        for (rank, box), value in PUBLISHED.items()
    ],
)
