"""Constant caches: latency of a dependent indexed constant load (LDC) against the footprint, and the caches' sizes.

Method: one lane chases through 64-byte lines of a __constant__ array that the compiler filled, 13 lines at a step,
one launch through footprints of 512 B to 64 KiB; slope over the chain's length. The end of every chase proves the
number of steps. The plateaus of the curve are the caches, their edges the sizes: between the last footprint that fits
and the next one measured. Pitfalls: timer cost left in (75 cycles published for A100); constant memory ends at 64
KiB, so that a larger second level only gets a lower bound. Expected: 2 KiB for the first level on every chip since
Volta.
"""

from gpuprobe.estimate import Estimate
from gpuprobe.families import columns
from gpuprobe.gate import Chain, Expect
from gpuprobe.probe import Launch, Probe, Published
from gpuprobe.stats import plateaus

LINE, STEP = 64, 13
LINES = (8, 16, 24, 28, 32, 33, 36, 40, 48, 64, 128, 256, 384, 512, 768, 1024)
SETTINGS = {f"lines_{lines:04d}": {"BYTES": lines * LINE} for lines in LINES}
CURVE = columns.slopes(SETTINGS, "CHAIN", lambda p, s: p.iters * p.number("CHAIN"), quantity="latency", unit="cycle")


def estimate(round_):
    """The curve; the size of each level where a plateau ends within the footprints measured."""
    curve = CURVE(round_)
    if not curve:
        return []
    stairs = plateaus([one.params["BYTES"] for one in curve], [one.value for one in curve], min_points=2)
    sizes = [plateau.last_x for plateau in stairs.plateaus[:-1]]
    return [*curve, *(Estimate(f"size_{n}", {}, "B", size, curve[0].sample) for n, size in enumerate(sizes, start=1))]


def check(point, seed, out):
    """Every chase ends where its number of steps leads."""
    steps = point.iters * int(point["CHAIN"])
    for k, (lines, found) in enumerate(zip(LINES, columns.rows(out, len(LINES))[:, 1], strict=True)):
        wanted = steps * STEP % lines * LINE + 4 * k
        if int(found) != wanted:
            return f"the chase over {lines} lines ends at {int(found):#x}, the host's at {wanted:#x}"
    return None


MT = "caps-tum/mt4g, sample results"
TIMER = "per-load clock"
COST = "mt4g leaves in or takes off a timer cost (75 cycles on A100, 21 on H100 for one kind of cache); this is a slope"
PROBE = Probe(
    name="constant_latency",
    unit="cycle",
    defines={"CHAIN": [16, 48]},
    launch=Launch(iters=31),
    prologue=True,
    settings=("BYTES",),
    expect=lambda p: Expect(loop=True, counts={"LDC": p["CHAIN"]}, chain=Chain("LDC")),
    estimate=estimate,
    reduce=columns.cycles(list(SETTINGS)),
    check=check,
    covers=(24,),
    published=[
        Published("h100-sxm", 20.7, MT, {"BYTES": 1024}, method=TIMER, reason=COST),
        Published("h100-sxm", 104.9, MT, {"BYTES": 16384}, method=TIMER, reason=COST),
        Published("h100-sxm", 2112, MT, quantity="size_1", unit="B", tolerance=0.05),
        Published("a100-pcie-40gb", 74.9, MT, {"BYTES": 1024}, method=TIMER, reason=COST),
        Published("a100-pcie-40gb", 120.7, MT, {"BYTES": 16384}, method=TIMER, reason=COST),
        Published("a100-pcie-40gb", 2112, MT, quantity="size_1", unit="B", tolerance=0.05),
    ],
)
