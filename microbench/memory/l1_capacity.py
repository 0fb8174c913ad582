"""L1: its size, its line, and how it replaces, from the misses of a chase through more and more lines.

Method: one thread chases in random order through places STRIDE bytes apart, two laps to warm up; one launch goes
through 32 numbers of places, from half of what L1 could hold to half as much again, under a stated carve-out:
CARVEOUT 0 asks for no shared memory, 100 for the most (28 KiB are then left). Slope over the chain's length; the end
is checked against the host's lap. ``size`` is where misses begin: between the last number of places without and the
first with them. ``line`` is the span at half-line strides over the number of places at 4 KiB: what one tag covers.
Pitfalls: the carve-out left to the driver, which moves the size by tens of KiB; a fit that takes one replacement
policy for granted. Expected: 128-byte lines; as many places at strides of 4 KiB as of 128 bytes, for the sets are
hashed, which hides the number of ways; on Hopper misses begin near 244 of 256 KiB and reach all loads 30 % beyond.
There the same lines, in blocks of 8 KiB, miss in every lap and the others never: LRU within sets of unequal load, not
random replacement.
"""

from gpuprobe import arch
from gpuprobe.estimate import Estimate
from gpuprobe.families import columns
from gpuprobe.gate import Chain, Expect
from gpuprobe.operands import Lap
from gpuprobe.probe import Launch, Probe, Published

LINE, SETTINGS, SMALL = 128, 32, 224
CLEAN = 1.02
"""A latency up to this times the lowest is taken as free of misses."""


def lines(device):
    """L1 and shared memory together, in lines."""
    return [arch.parse(device.architecture).l1_and_shared_bytes // LINE]


def places(params):
    """Numbers of places of one launch."""
    nominal = params["LINES"] if params["CARVEOUT"] == 0 else SMALL
    return [nominal * (16 + k) // 32 * max(1, LINE // params["STRIDE"]) for k in range(SETTINGS)]


def steps(point):
    """Timed loads of a chase."""
    return point.iters * int(point["CHAIN"])


def reduce(point, out):
    """Cycles for each number of places, by its rank."""
    return columns.cycles([f"setting_{k:02d}" for k in range(SETTINGS)])(point, out)


def estimate(round_):
    """The curves, where misses begin, and the line."""
    found, sizes = [], {}
    for (few, low), (many, high) in columns.pairs(round_, "CHAIN"):
        counts = places(dict(few.params))
        names = [f"setting_{k:02d}" for k in range(SETTINGS)]
        work = steps(many) - steps(few)
        cycles = [(high.values.get(name, 0.0) - low.values.get(name, 0.0)) / work for name in names]
        params = few.without("CHAIN", "LINES")
        found += [
            Estimate("latency", {**params, "PLACES": count}, "cycle", value, high)
            for count, value in zip(counts, cycles, strict=True)
        ]
        missing = [k for k, value in enumerate(cycles) if value > CLEAN * min(cycles)]
        if missing and missing[0] > 0:
            edge = (counts[missing[0] - 1] + counts[missing[0]]) / 2
            sizes[params["CARVEOUT"], params["STRIDE"]] = edge
            if params["STRIDE"] == LINE:
                found.append(Estimate("size", {"CARVEOUT": params["CARVEOUT"]}, "B", edge * LINE, high))
    if {(100, 64), (100, 4096)} <= sizes.keys():
        sample = next(iter(round_.values()))
        found.append(Estimate("line", {}, "B", sizes[100, 64] * 64 / sizes[100, 4096], sample))
    return found


def check(point, seed, out):
    """Every chase ends where the host's walk of the same lap does."""
    counts = places(dict(point.params))
    for count, found in zip(counts, columns.rows(out, SETTINGS)[:, 1], strict=True):
        wanted = Lap(count).place(seed + 2 * count + steps(point))
        if int(found) != wanted:
            return f"the chase over {count} places ends at {int(found)}, the host's at {wanted}"
    return None


MT = "caps-tum/mt4g, sample results"
PROBE = Probe(
    name="l1_capacity",
    unit="cycle",
    defines={"LINES": lines, "CARVEOUT": [0, 100], "STRIDE": [64, 128, 256, 4096], "CHAIN": [8, 24]},
    quick={"CARVEOUT": [0], "STRIDE": [128]},
    keep=lambda p: p["CARVEOUT"] == 100 or p["STRIDE"] == LINE,
    launch=Launch(
        block=256, data_bytes=lambda p, d: max(places(p)) * p["STRIDE"], iters=43, carveout=lambda p, d: p["CARVEOUT"]
    ),
    prologue=True,
    settings=("PLACES",),
    rounds=15,
    width=0.01,
    expect=lambda p: Expect(loop=True, counts={"LDG": p["CHAIN"]}, chain=Chain("LDG", via=("MOV", "IMAD.MOV"))),
    estimate=estimate,
    reduce=reduce,
    check=check,
    covers=(30,),
    published=[
        Published(
            "h100-sxm", 238848, MT, {"CARVEOUT": 0}, "size", "B", "carve-out not stated", 0.05, "another carve-out"
        ),
        Published(
            "h100-nvl", 255232, MT, {"CARVEOUT": 0}, "size", "B", "carve-out not stated", 0.05, "another carve-out"
        ),
        Published(
            "a100-pcie-40gb",
            176128,
            MT,
            {"CARVEOUT": 0},
            "size",
            "B",
            "carve-out not stated",
            0.05,
            "another carve-out",
        ),
        Published("h100-sxm", 128, MT, {}, "line", "B"),
        Published("a100-pcie-40gb", 128, MT, {}, "line", "B"),
    ],
)
