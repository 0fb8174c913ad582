"""L1: sector, writes and hints: after which events the first word of a line is found in L1.

Method: something happens to each of 64 fresh lines that L2 holds (a load some bytes further on, a store, a reduction, a
load with a hint and 1024 other lines after it); then its first word is loaded between two clock reads, whose cost (4
cycles on H100) stays in. ``cycles`` is the mean of the 64: a hit's where L1 kept the word, a miss's where not, between
them where it kept some. ``sector`` is the least distance at which a load does not bring the first word. What is loaded
is checked. Pitfalls: a fence between event and load empties L1. Expected: sectors of 32 bytes; a store leaves the bytes
it wrote in L1 and they alone, even of a sector that had been loaded; a reduction takes the line out;
evict_last outlives other lines, no_allocate and cg leave nothing. How many of a plain load outlive the 1024 others
is the luck of their addresses (38 to 138 cycles in six runs). That every store also goes to L2 is l1_write's part.
"""

from gpuprobe.estimate import Estimate
from gpuprobe.families import columns
from gpuprobe.gate import Expect
from gpuprobe.probe import Launch, Probe, Published

LINES = 64
DISTANCES = (0, 4, 16, 28, 32, 64, 96, 128)
HINTS = ("plain", "evict_last", "evict_first", "no_allocate", "cg", "cs")
EVENTS = (
    "nothing",
    *(f"load +{distance}" for distance in DISTANCES),
    "store +0",
    "load +0 and store +0",
    "store +4",
    "load +0 and store +4",
    "load +0 and reduction",
    *(f"load {hint} and 1024 lines" for hint in HINTS),
)
STORED = ("store +0", "load +0 and store +0")


def reduce(point, out):
    """Mean cycles, and hits among the 64 lines, for each event."""
    table = columns.rows(out, len(EVENTS))[:, 0]
    found = {f"cycles_{k:02d}": float(row >> 8) / LINES for k, row in enumerate(table)}
    return found | {f"hits_{k:02d}": float(row & 255) for k, row in enumerate(table)}


def estimate(round_):
    """Cycles after each event, and the sector."""
    found = []
    for sample in round_.values():
        cycles = {event: sample.values[f"cycles_{k:02d}"] for k, event in enumerate(EVENTS)}
        found += [Estimate("cycles", {"EVENT": event}, "cycle", value, sample) for event, value in cycles.items()]
        threshold = (cycles["nothing"] + cycles["load +0"]) / 2
        apart = [distance for distance in DISTANCES if cycles[f"load +{distance}"] > threshold]
        if apart:
            found.append(Estimate("sector", {}, "B", float(apart[0]), sample))
    return found


def check(point, seed, out):
    """The timed loads found what the set held, or what the event had stored."""
    for event, found in zip(EVENTS, columns.rows(out, len(EVENTS))[:, 1], strict=True):
        wanted = LINES * (seed if event in STORED else 7) & 0xFFFFFFFF
        if int(found) != wanted:
            return f"after '{event}' the loads sum to {int(found):#x}, the host's to {wanted:#x}"
    return None


NOISE = {"plain": 0.6, "evict_first": 0.01, "no_allocate": 0.01, "cg": 0.01, "cs": 0.01}
MT = "caps-tum/mt4g, sample results"
PROBE = Probe(
    name="l1_policy",
    unit="cycle",
    quantity="cycles",
    launch=Launch(block=32, data_bytes=16 << 20, carveout=0),
    prepare="prepare",
    prologue=True,
    settings=("EVENT",),
    expect=lambda p: Expect(counts={"LDG": 1}, allow=("STS",)),
    estimate=estimate,
    reduce=reduce,
    check=check,
    covers=(30,),
    noise={f"cycles load {hint} and 1024 lines": noise for hint, noise in NOISE.items()},
    published=[
        Published("h100-sxm", 32, MT, {}, "sector", "B"),
        Published("a100-pcie-40gb", 32, MT, {}, "sector", "B"),
    ],
)
