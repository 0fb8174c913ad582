"""Latency of L2 hits in the near and in the far half of a split L2, in cycles, from single timed loads.

Method: an SM half a grid away writes the lines, which leaves them in their home slices and with the writer's half;
another SM then follows a pointer chain through them, each load between clock reads (lap 0), and once more (lap 1).
Eight pairs of SMs do so at once, each on lines of its own, and other pairs from round to round (the same in every
run). Twin kernels time one load and two dependent loads at a time: the difference of the means of lap 1 is a latency
without the clock reads, and the rest is their cost, which is taken off all values. The histogram of lap 0 has two
peaks where L2 is split: lines homed on the timing SM's side (or written from it) and on the other; two-means gives
``near`` and ``far``. ``again`` is lap 1: what a warm chase sees, because after a first read the SM's own half keeps a
copy. Pitfalls: a random chase over a warm set shows near copies only; lines that were read before have copies
already; the distance from SM to slice spreads each peak over some 60 cycles (l2_map has it SM by SM). Expected: near
258-295, far 414-470 on Hopper; 208 and 357 on A100; one peak on Ada.
"""

import numpy as np

from gpuprobe.estimate import Estimate
from gpuprobe.gate import Chain, Expect
from gpuprobe.operands import Lap, words
from gpuprobe.probe import Launch, Probe, Published, sm_count
from gpuprobe.stats import two_clusters

BIN, BINS, LAPS, PAIRS, HEAD, LINE = 4, 256, 2, 8, 4, 128
PAIR_WORDS = HEAD + LAPS * BINS
MOST = 1_000_000


def reduce(point, out):
    """The histograms of both laps over all pairs, as columns lap0_<cycles> and lap1_<cycles>."""
    counts = _results(out)[:, HEAD:].sum(axis=0).reshape(LAPS, BINS)
    return {
        f"lap{lap}_{index * BIN:04d}": float(counts[lap, index])
        for lap in range(LAPS)
        for index in range(BINS)
        if counts[lap, index]
    }


def _results(out):
    return words(out)[: PAIRS * PAIR_WORDS].reshape(PAIRS, PAIR_WORDS).astype(int)


def estimate(round_):
    """Cluster centres of lap 0 and the mean of lap 1, less the cost of the clock reads found by the twin."""
    by_loads = {int(point["LOADS"]): sample for point, sample in round_.items()}
    if set(by_loads) != {1, 2}:
        return []
    one, two = by_loads[1], by_loads[2]
    warm = float(_latencies(one.values, 1).mean())
    cost = 2 * warm - float(_latencies(two.values, 1).mean())
    found = [Estimate("again", {}, "cycle", warm - cost, one)]
    clusters = two_clusters(_latencies(one.values, 0))
    if clusters.distinct:
        found.append(Estimate("near", {}, "cycle", clusters.low_center - cost, one))
        found.append(Estimate("far", {}, "cycle", clusters.high_center - cost, one))
    return found


def _latencies(columns, lap):
    """Cycles of every load of a lap, at the middle of its bin; counts of zero belong to other samples."""
    prefix = f"lap{lap}_"
    bins = {
        int(name[len(prefix) :]) + BIN / 2: int(count) for name, count in columns.items() if name.startswith(prefix)
    }
    if not 0 < sum(bins.values()) <= MOST:
        raise ValueError(f"{sum(bins.values())} loads in lap {lap}")
    return np.repeat(list(bins), list(bins.values()))


def check(point, seed, out):
    """Each pair met its lines once a lap, but for the last load of the second, and the chains end where that says."""
    loads, lines = int(point["LOADS"]), point.data_bytes // PAIRS // LINE
    results = _results(out)
    counted = results[:, HEAD:].sum(axis=1) * loads
    if any(counted != LAPS * lines - loads):
        return f"{counted.tolist()} loads were timed by the pairs, not {LAPS * lines - loads} by each"
    wanted = Lap(lines).place(LAPS * lines - loads) * LINE
    found = results[:, 3]
    return None if all(found == wanted) else f"the chains end at {found.tolist()}, the host's at {wanted}"


CLUSTERS = "single loads, clustered"
PROBE = Probe(
    name="l2_near_far",
    unit="cycle",
    quantity="near",
    defines={"LOADS": [1, 2]},
    launch=Launch(grid=sm_count, block=128, data_bytes=8 << 20, iters=1),
    prologue=True,
    paired=True,
    expect=lambda p: Expect(counts={"LDG": p["LOADS"]}, chain=Chain("LDG"), allow=("STS",)),
    estimate=estimate,
    check=check,
    reduce=reduce,
    covers=(31,),
    noise={"near": 0.004, "far": 0.005, "again": 0.006},
    published=[
        Published("h800-pcie", 258.0, "arXiv:2501.12084 Table 4", quantity="near", method=CLUSTERS),
        Published("h800-pcie", 414.1, "arXiv:2501.12084 Table 4", quantity="far", method=CLUSTERS),
        Published("h100-sxm", 295.0, "arXiv:2607.19922 sec. 5.2", quantity="near", method=CLUSTERS),
        Published("h100-sxm", 470.0, "arXiv:2607.19922 sec. 5.2", quantity="far", method=CLUSTERS),
        Published("a100-pcie-40gb", 208.0, "arXiv:2501.12084 Table 4", quantity="near", method=CLUSTERS),
        Published("a100-pcie-40gb", 356.6, "arXiv:2501.12084 Table 4", quantity="far", method=CLUSTERS),
    ],
)
