"""Reach of the TLBs: latency of a random chase from page to page against the memory it spans, to 90 % of it.

Method: one lane follows pointers through pages 2 MiB apart in random order, each time to a random line of the page;
all lines together stay in L2, so that what grows is address translation alone. One launch goes through footprints of
16 MiB to 90 % of memory, in one allocation; each chain is built and touched on the device, then timed from a random
page; slope over the chain's length. The end is checked against the host's lap. The plateaus of the curve are levels
of TLBs, their edges the reach. Pitfalls: sweeps that end at 2 GiB; chains built on the host, which take minutes above
it; footprints called DRAM latency.
"""

from gpuprobe.estimate import Estimate
from gpuprobe.families import columns
from gpuprobe.gate import Chain, Expect
from gpuprobe.operands import Lap, mix
from gpuprobe.probe import Launch, Probe
from gpuprobe.stats import plateaus

STEP, LINE = 2 << 20, 128
LEAST_SPOTS, SETTINGS = 1024, 100
RISE = 0.005
COUNTS = (1, *((2 if k % 2 else 3) << (k - 1) // 2 for k in range(1, 30)))
COUNTS += tuple((1 << 15) + 1024 * k for k in range(1, SETTINGS - 29))


def set_bytes(params, device):
    """90 % of memory, in whole pages."""
    return int(device["memory_bytes"] * 0.9) // STEP * STEP


def pages(point):
    """Numbers of pages that the working set allows; the last is all of it."""
    most = point.data_bytes // STEP
    return [count for count in COUNTS if count < most] + [most]


def steps(point):
    """Loads of a chase in one sample."""
    return point.iters * int(point["CHAIN"])


def reduce(point, out):
    """Cycles for each number of pages."""
    return columns.cycles([f"pages_{count:05d}" for count in pages(point)])(point, out)


def estimate(round_):
    """The curve, and where its plateaus end."""
    found = []
    for (few, low), (many, high) in columns.pairs(round_, "CHAIN"):
        counts, work = pages(few), steps(many) - steps(few)
        names = [f"pages_{count:05d}" for count in counts]
        cycles = [(high.values.get(name, 0.0) - low.values.get(name, 0.0)) / work for name in names]
        sizes = [count * STEP for count in counts]
        found += [
            Estimate("latency", {"MIB": size >> 20}, "cycle", value, high)
            for size, value in zip(sizes, cycles, strict=True)
        ]
        stairs = plateaus(sizes, cycles, tolerance=0.006, min_points=6)
        ends = [_end(plateau, sizes, cycles) for plateau in stairs.plateaus if plateau.last_x < sizes[-1]]
        found += [Estimate(f"reach_{level}", {}, "B", end, high) for level, end in enumerate(ends, start=1)]
    return found


def _end(plateau, sizes, cycles):
    """The largest footprint on a plateau that is not yet above its level."""
    on = zip(sizes, cycles, strict=True)
    return max(size for size, value in on if size <= plateau.last_x and value <= plateau.level * (1 + RISE))


def check(point, seed, out):
    """Every chase ends where the host's walk of the same lap does."""
    counts = pages(point)
    for count, found in zip(counts, columns.rows(out, len(counts))[:, 1], strict=True):
        rows = -(-LEAST_SPOTS // count) if count < LEAST_SPOTS else 1
        spot, part = Lap(rows * count).place(seed + steps(point)), STEP // LINE // rows
        wanted = spot % count * (STEP // LINE) + spot // count * part + mix(spot) % part
        if int(found) != wanted:
            return f"the chase over {count} pages ends at line {int(found)}, the host's at {wanted}"
    return None


PROBE = Probe(
    name="tlb_reach",
    unit="cycle",
    defines={"STEP": [STEP], "CHAIN": [8, 24]},
    launch=Launch(block=256, data_bytes=set_bytes, iters=100),
    prologue=True,
    settings=("MIB",),
    rounds=25,
    width=0.01,
    expect=lambda p: Expect(loop=True, counts={"LDG": p["CHAIN"]}, chain=Chain("LDG", via=("MOV", "IMAD.MOV"))),
    estimate=estimate,
    reduce=reduce,
    check=check,
    covers=(35,),
)
