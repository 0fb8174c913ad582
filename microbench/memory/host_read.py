"""Zero-copy reads of pinned host memory by a kernel, in bytes per second, by segment size and alignment.

Method: 16 MiB of pinned memory are read once a pass in segments of SEGMENT bytes scattered over it, 16 bytes a lane,
four accesses in flight a thread, past L1; all segments are shifted by SHIFT bytes. The slope of globaltimer time over
passes. Bytes asked for are counted, not those the bus moves: a segment that straddles a boundary of 32 or 128 bytes
costs more requests. Every word that was read is checked in sum. Pitfalls: PCIe headers take their share (32-byte
requests reach half the rate); the NUMA node of the memory; unpinned memory migrates instead. Expected: 51 GB/s of
PCIe 5 x16 for aligned segments of 128 bytes, 43 for 64, 24 for 32; 36, 27 and 18 shifted by 16.
"""

from gpuprobe.estimate import rate
from gpuprobe.gate import Expect
from gpuprobe.operands import words
from gpuprobe.probe import Launch, Probe

BYTES, UNROLL = 1 << 24, 4


def check(point, seed, out):
    """The sum of all words that were read, each of which holds its index."""
    first, count = int(point["SHIFT"]) // 4, BYTES // 4
    wanted = (first * count + count * (count - 1) // 2) * point.iters & 0xFFFFFFFF
    found = int(words(out)[: point.grid * point.block].astype("uint64").sum()) & 0xFFFFFFFF
    return None if found == wanted else f"the words read add up to {found:#x}, the host's to {wanted:#x}"


PROBE = Probe(
    name="host_read",
    unit="B/s",
    quantity="throughput",
    defines={"SEGMENT": [32, 64, 128]},
    axes={"SHIFT": [0, 16, 64], "PASSES": [1, 3]},
    quick={"SEGMENT": [128], "SHIFT": [0]},
    launch=Launch(
        grid=128,
        block=512,
        data_bytes=lambda p, d: BYTES + p["SHIFT"],
        iters=lambda p, d: p["PASSES"],
        place="host",
    ),
    prepare="prepare",
    expect=lambda p: Expect(loop=True, counts={"LDG.E.128": UNROLL}),
    estimate=rate(lambda p: float(BYTES * p.iters), "B/s"),
    check=check,
    out_words=1 << 16,
    noise={"throughput": 0.02},
    covers=(42, 45),
)
