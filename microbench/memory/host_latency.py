"""Latency of a dependent load from pinned host memory, in cycles: the bus there and back.

Method: the pointer chase of global_latency along a random lap of 16 MiB of pinned host memory, past L1; slope over the
chain's length. The address at the end is checked against the host's lap. Pitfalls: memory of another NUMA node; a cache
of the host that holds the lap. Expected: 1.1-1.2 us on PCIe 5.
"""

from gpuprobe.estimate import every, latency, slope
from gpuprobe.gate import Chain, Expect
from gpuprobe.operands import Lap, words
from gpuprobe.probe import Launch, Probe

LINE = 128


def check(point, seed, out):
    """The chase ends where the host's walk of the same lap does."""
    wanted = Lap(point.data_bytes // LINE).place(seed + point.iters * int(point["CHAIN"])) * LINE
    low, high = (int(word) for word in words(out)[:2])
    found = high << 32 | low
    return None if found == wanted else f"the chase ends at offset {found:#x}, the host's at {wanted:#x}"


PROBE = Probe(
    name="host_latency",
    kernel="global_latency",
    unit="cycle",
    defines={"CACHE": ["CG"], "CHAIN": [32, 96]},
    launch=Launch(block=256, data_bytes=16 << 20, iters=16, place="host"),
    prepare="prepare",
    prologue=True,
    expect=lambda p: Expect(loop=True, counts={"LDG": p["CHAIN"]}, chain=Chain("LDG", via=("MOV", "IMAD.MOV"))),
    estimate=every(
        latency(),
        slope(
            "CHAIN",
            quantity="round_trip",
            unit="s",
            x=lambda p: p.number("CHAIN") * p.iters,
            y=lambda p, s: s.seconds,
        ),
    ),
    check=check,
    out_words=1024,
    noise={"latency": 0.05, "round_trip": 0.05},
    covers=(42, 45),
)
