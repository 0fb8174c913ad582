"""Copy bandwidth between host and device: each direction and both at once, pinned and pageable memory.

Method: one copy of BYTES until the host knows that it is done, the better of two; ``bandwidth`` is the slope over two
sizes, so that the cost of a call cancels, and counts the bytes of both directions where both run (two streams).
``latency`` is the time of a copy of 64 bytes. What arrived is compared with what was sent. NUMA says whether the CPU
that ran (fresh host pages lie at its node) and the GPU are of one node: near, far, or mixed where the thread moved; it
is absent where the system does not say (as in most virtual machines). Bind the process with numactl to measure the
other node; the raw samples hold both numbers (cpu_node, gpu_node; -1: not known). Pitfalls: pageable copies go through
a pinned buffer of the driver and the CPU's cores; a node away costs a third. Expected: 24 to 26 GB/s on PCIe 4, 50 to
55 on PCIe 5 (16 lanes), pinned.
"""

from dataclasses import replace

from gpuprobe.estimate import Estimate, every, slope
from gpuprobe.probe import Launch, Probe

MIB = 1 << 20
TINY = 64
SIZES = [4 * MIB, 32 * MIB]


def moved(point):
    """Bytes that cross the bus."""
    return float(point.data_bytes * (2 if point["DIRECTION"] == "both" else 1))


def bandwidth(round_):
    """The slope over the large sizes."""
    return SLOPE({point: sample for point, sample in round_.items() if point.data_bytes > TINY})


def latency(round_):
    """The time of a tiny copy."""
    return [
        Estimate("latency", point.without("BYTES"), "s", sample.seconds, sample)
        for point, sample in round_.items()
        if point.data_bytes == TINY
    ]


def nodes(samples):
    """Setting of NUMA that the samples share; none where a node is not known. (Files leave columns of zeros out.)"""
    known = [(s.values.get("cpu_node", 0.0), s.values.get("gpu_node", 0.0)) for s in samples]
    if not known or min(min(pair) for pair in known) < 0:
        return {}
    near = {cpu == gpu for cpu, gpu in known}
    return {"NUMA": "mixed" if len(near) == 2 else "near" if True in near else "far"}


def estimate(round_):
    """Bandwidths and latencies, each with where the host's memory lies."""
    found = []
    for one in every(bandwidth, latency)(round_):
        alike = [s for point, s in round_.items() if one.params.items() <= dict(point.params).items()]
        found.append(replace(one, params={**one.params, **nodes(alike)}))
    return found


SLOPE = slope("BYTES", quantity="bandwidth", unit="B/s", x=moved, y=lambda p, s: s.seconds, inverse=True)
PROBE = Probe(
    name="host_copy",
    unit="B/s",
    quantity="bandwidth",
    axes={"DIRECTION": ["h2d", "d2h", "both"], "MEMORY": ["pinned", "pageable"], "BYTES": [TINY, *SIZES]},
    quick={"DIRECTION": ["h2d", "d2h"], "MEMORY": ["pinned"]},
    launch=Launch(data_bytes=lambda p, d: p["BYTES"]),
    method="copy",
    estimate=estimate,
    noise={"bandwidth": 0.02, "latency": 0.1},
    covers=(45,),
    rounds=21,
    width=0.1,
)
