"""Barrier between all blocks of a grid: that of cooperative groups (grid.sync) and one of counted arrivals, in seconds.

Method: a cooperative grid that fits at once passes barriers in a loop; the slope over their number. FLIP is the
algorithm of cooperative groups' grid.sync (an atomic add of each block whose result tells the phase, a poll of its
top bit, fences); COUNT adds with release and polls with acquire, as persistent kernels do it. ``barrier`` is wall
time for each, by globaltimer, ``cycles`` the same in SM cycles. Afterwards every block reads what its neighbour wrote
before one more barrier, and the arrivals are counted. Pitfalls: a grid that does not fit hangs (here the driver
refuses it); it is the round trip to L2 and the contention on one address that cost, so that the number of blocks
matters more than that of threads. Expected: 1 to 2 us on A100 and H100.
"""

import numpy as np

from gpuprobe.estimate import every, period, slope
from gpuprobe.gate import Expect
from gpuprobe.operands import words
from gpuprobe.probe import Launch, Probe, Published

OPCODE = {"FLIP": "ATOMG", "COUNT": "RED|REDG"}


def check(point, seed, out):
    """Every block saw its neighbour's token, and the arrivals of all barriers."""
    grid, barriers = point.grid, point.iters + 1
    found = words(out)[: 2 * grid].reshape(grid, 2)
    tokens = (seed + (np.arange(grid) + grid - 1) % grid) % 2**32
    added = (barriers * (1 << 31 if point["ALGORITHM"] == "FLIP" else grid)) % 2**32
    if not np.array_equal(found[:, 0], tokens):
        return "a block passed the barrier before its neighbour's token was there"
    if not np.all(found[:, 1] == added):
        return f"arrivals add up to {int(found[0, 1]):#x} instead of {added:#x}"
    return None


PROBE = Probe(
    name="grid_barrier",
    unit="s",
    quantity="barrier",
    defines={"ALGORITHM": ["FLIP", "COUNT"]},
    axes={"PER_SM": [1, 2, 8], "PASSES": [64, 191]},
    quick={"PER_SM": [1]},
    launch=Launch(
        grid=lambda p, d: int(d["sm_count"]) * p["PER_SM"],
        block=128,
        data_bytes=1 << 16,
        iters=lambda p, d: p["PASSES"],
        cooperative=True,
    ),
    prepare="prepare",
    prologue=True,
    expect=lambda p: Expect(loop=True, counts={OPCODE[p["ALGORITHM"]]: 1}, predicated=True, allow=("LDG",)),
    estimate=every(
        period("PASSES", "barrier"),
        slope("PASSES", quantity="cycles", unit="cycle", x=lambda p: p.number("PASSES"), y=lambda p, s: s.cycles),
    ),
    check=check,
    out_words=1 << 13,
    noise={"barrier": 0.01, "cycles": 0.01},
    covers=(44,),
    published=[
        Published(
            "a100-pcie-40gb",
            1.122e-6,
            "SC23 Doctoral Showcase poster Fig. 3 (Zhang et al.)",
            {"ALGORITHM": "FLIP", "PER_SM": 1},
            "barrier",
            tolerance=0.05,
            method="grid.sync, occupancy 12.5 %",
        ),
        Published(
            "a100-pcie-40gb",
            1.2e-6,
            "arXiv:2305.07390 sec. 5",
            {"ALGORITHM": "FLIP", "PER_SM": 1},
            "barrier",
            tolerance=0.05,
            method="grid.sync",
        ),
        Published(
            "h200-sxm",
            1.04e-6,
            "RRZE-HPC/gpu-benches gpu-small-kernels",
            {"ALGORITHM": "COUNT", "PER_SM": 1},
            "barrier",
            tolerance=0.05,
            method="derived: 64 kB a step of a persistent kernel, atomic barrier; the step is in it",
            reason="theirs holds the step that moves 64 kB",
        ),
        Published(
            "h200-sxm",
            1.23e-6,
            "RRZE-HPC/gpu-benches gpu-small-kernels",
            {"ALGORITHM": "FLIP", "PER_SM": 1},
            "barrier",
            tolerance=0.05,
            method="derived: 64 kB a step of a persistent kernel, grid.sync; the step is in it",
            reason="theirs holds the step that moves 64 kB",
        ),
    ],
)
