"""Unified memory: a triad over managed memory that lies on the GPU, and over memory that must come from the host first.

Method: a = b + s c (32-bit integers, exact on the host) over 192 MiB of managed memory. RESIDENT: where the last
launch left it, on the GPU; slope over passes. AWAY: the host touches every page before each launch, so that the
kernel's accesses fault and the driver moves the pages; ``migration`` is the set over what this takes longer than a
resident pass. Pitfalls: sets beyond free memory (the driver then evicts while it migrates, and hosts have been seen
to hang): this one is small; prefetch, which is another path. Expected: resident as in dram_bandwidth; migration a
fraction of the bus.
"""

from gpuprobe.estimate import Estimate, rate
from gpuprobe.families.streams import Stream, check
from gpuprobe.gate import Expect
from gpuprobe.probe import Launch, Probe

BLOCK, SET_BYTES = 512, 192 << 20


def moved(point):
    """Bytes read plus bytes written by one sample."""
    return Stream.of(point, 0).moved


RESIDENT = rate(moved, "B/s")


def estimate(round_):
    """Throughput of the resident set; bytes per second of migration."""
    resident = {point: sample for point, sample in round_.items() if point["STATE"] == "RESIDENT"}
    away = [(point, sample) for point, sample in round_.items() if point["STATE"] == "AWAY"]
    found = [replaced(one) for one in RESIDENT(resident)]
    once = [sample for point, sample in resident.items() if point.iters == 1]
    for point, sample in away if once else []:
        value = point.data_bytes / (sample.seconds - once[0].seconds)
        found.append(Estimate("migration", {}, "B/s", value, sample))
    return found


def replaced(one):
    """The estimate without the axes that have one value."""
    return Estimate(one.quantity, {}, one.unit, one.value, one.sample)


PROBE = Probe(
    name="unified_memory",
    unit="B/s",
    quantity="throughput",
    defines={"MODE": ["TRIAD"], "UNROLL": [8]},
    axes={"STATE": ["RESIDENT", "AWAY"], "PASSES": [1, 3]},
    keep=lambda p: p["STATE"] == "RESIDENT" or p["PASSES"] == 1,
    launch=Launch(
        grid=lambda p, d: int(2 * d["sm_count"]),
        block=BLOCK,
        data_bytes=SET_BYTES,
        iters=lambda p, d: p["PASSES"],
        place=lambda p, d: "managed" if p["STATE"] == "RESIDENT" else "managed away",
    ),
    prepare="prepare",
    expect=lambda p: Expect(loop=True, counts={"LDG.E.128": 2 * p["UNROLL"], "STG.E.128": p["UNROLL"]}),
    estimate=estimate,
    check=check,
    rounds=15,
    width=0.1,
    out_words=1 << 18,
    covers=(42,),
)
