"""Map of L2: the latency from every SM to its near and its far half, which half it belongs to, and clusters of slices.

Method: in turns, a block elsewhere writes 256 lines, and one lane of an SM follows a pointer chain through them with
each load between clock reads; the least of four repeats. A write leaves the lines in their home slices and with the
writer's side, so each SM meets three writers and the one with the slowest lap counts: it sits on the other side. A
twin kernel with two loads at a time gives the cost of the clock reads, which is taken off. Two-means splits each SM's
lines in near and far; SMs that call the same lines far are one half (``agreement``: the share of all pairs of SM and
line that fit). ``clusters`` counts groups of lines whose latencies rise and fall together over all SMs, to 6 cycles:
neighbouring slices look alike, so these are clusters of slices, and the 256 lines need not meet all. ``half`` is 1 or
2, counted from SM 0. Pitfalls: warm lines, of which every half has a copy; an SM's number is no place: see the map.
Expected: two halves on A100 and H100, one on Ada; near 280-312 and far 470 on average published for H100; 222 to 339
cycles over the SMs of an L40.
"""

import numpy as np

from gpuprobe.estimate import Estimate
from gpuprobe.families.l2map import analyse
from gpuprobe.gate import Chain, Expect
from gpuprobe.operands import Lap, mix, words
from gpuprobe.probe import Launch, Probe, Published, sm_count

LINES, WRITERS, HEAD, LINE = 256, 3, 16, 128
ROW = 4 + WRITERS * LINES // 2
WITHIN = 6.0
"""Cycles (RMS over SMs) that lines of one cluster may lie apart: four times the noise of a value."""


def rows(point, out):
    """The row of every block: end of lap, end of the chain, SM, 1; then the cycles, two a word."""
    return words(out)[HEAD : HEAD + point.grid * ROW].reshape(point.grid, ROW)


def latencies(point, out):
    """Cycles of SMs (in order of their numbers) by lines, after the writer that made them slowest."""
    table = rows(point, out)
    table = table[np.argsort(table[:, 2])]
    pairs = table[:, 4:]
    cycles = np.stack([pairs & 0xFFFF, pairs >> 16], axis=2).reshape(point.grid, WRITERS, LINES).astype(float)
    slowest = cycles.mean(axis=2).argmax(axis=1)
    return cycles[np.arange(point.grid), slowest]


def reduce(point, out):
    """Cycles of a warm load with its clock reads; for single loads the map, an SM a column."""
    loads = int(point["LOADS"])
    warm = {"warm": float(rows(point, out)[:, 0].astype(float).mean()) / (LINES // loads - 1)}
    if loads != 1:
        return warm
    found = analyse(latencies(point, out), WITHIN)
    columns = {"near": found.near, "far": found.far, "half": found.sm_half}
    table = {f"{name}_{sm:03d}": float(value) for name, column in columns.items() for sm, value in enumerate(column)}
    summary = {"halves": found.halves, "clusters": found.clusters, "agreement": found.agreement}
    return {**warm, **table, **{name: float(value) for name, value in summary.items()}}


def estimate(round_):
    """Near and far latency and half of every SM; halves, clusters and agreement."""
    by_loads = {int(point["LOADS"]): (point, sample) for point, sample in round_.items()}
    if set(by_loads) != {1, 2}:
        return []
    point, one = by_loads[1]
    cost = 2 * one.values["warm"] - by_loads[2][1].values["warm"]
    found = [
        Estimate("halves", {}, "half", one.values["halves"], one),
        Estimate("clusters", {}, "cluster", one.values["clusters"], one),
        Estimate("agreement", {}, "share", one.values["agreement"], one),
    ]
    for sm in range(point.grid):
        for name in ("near", "far"):
            found.append(Estimate(name, {"SM": sm}, "cycle", one.values[f"{name}_{sm:03d}"] - cost, one))
        found.append(Estimate("half", {"SM": sm}, "number", one.values[f"half_{sm:03d}"], one))
    return found


def check(point, seed, out):
    """Every SM had its turn, met every line after each writer, and its last lap ends where the host's does."""
    loads, step = int(point["LOADS"]), point.data_bytes // LINES
    table = rows(point, out)
    if not np.all(table[:, 3] == 1) or len(set(table[:, 2].tolist())) != point.grid:
        return f"{int((table[:, 3] == 1).sum())} of {point.grid} SMs had a turn"
    line = Lap(LINES).place(LINES - loads)
    wanted = line * step + mix(line) % (step // LINE) * LINE
    if not np.all(table[:, 1] == wanted):
        return f"the chains end at {sorted(set(table[:, 1].tolist()))[:3]}, the host's at {wanted}"
    cycles = latencies(point, out)
    return None if loads != 1 or cycles.min() > 0 else "a line was not timed"


PROBE = Probe(
    name="l2_map",
    unit="cycle",
    quantity="near",
    defines={"LOADS": [1, 2]},
    launch=Launch(grid=sm_count, block=128, data_bytes=16 << 20, iters=lambda p, d: 4 if p["LOADS"] == 1 else 1),
    prologue=True,
    settings=("SM",),
    rounds=9,
    width=0.01,
    expect=lambda p: Expect(counts={"LDG": p["LOADS"]}, chain=Chain("LDG"), allow=("STS",)),
    estimate=estimate,
    reduce=reduce,
    check=check,
    best_over=("SM",),
    noise={"near": 0.006, "far": 0.005},  # where the 256 lines come to lie
    covers=(32,),
    published=[
        Published("l40", 222.0, "arXiv:2606.22588, abstract: least over 142 SMs", quantity="near", tolerance=0.05),
    ],
)
