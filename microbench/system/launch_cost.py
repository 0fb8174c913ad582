"""Cost of launching empty kernels by way and size of grid: on the device for each further one, and inside the call.

Method: as null_kernel, with BLOCKS blocks of 128 threads, launched one by one on a stream, cooperatively (all blocks
at once), as clusters of two or eight blocks, or as nodes of a graph. ``period`` is the device's time for each further
kernel (launch, run and drain of all its blocks; slope over the number of launches); ``api`` the host's time inside
one call, for a graph over its nodes. Pitfalls: a period is no latency (see launch_marks): launches of a stream
overlap with the drain before; a grid beyond what fits at once is limited by how fast blocks are given out, not by the
launch. Expected: 1 to 2 us until the grid exceeds the GPU, less in a graph.
"""

from gpuprobe.estimate import at, every, period
from gpuprobe.probe import Launch, Probe, Published

CLUSTER = {"cluster": 2, "cluster 8": 8}
MOST = 192


def keep(params):
    """A cooperative grid must fit at once; clusters need blocks to form them from."""
    kind, blocks = params["KIND"], params["BLOCKS"]
    return blocks <= 264 if kind == "cooperative" else kind not in CLUSTER or blocks % CLUSTER[kind] == 0


def kinds(device):
    """Ways that the GPU knows."""
    clusters = list(CLUSTER) if int(device.architecture.removeprefix("sm_")) >= 90 else []
    return ["stream", "cooperative", *clusters, "graph"]


HAZY = "Hazy Research blog, 2025-05-27"
PROBE = Probe(
    name="launch_cost",
    unit="s",
    quantity="period",
    kernel="null_kernel",
    axes={"KIND": kinds, "BLOCKS": [8, 128, 264, 1056, 4224], "LAUNCHES": [64, MOST]},
    quick={"BLOCKS": []},
    keep=keep,
    launch=Launch(grid=lambda p, d: p["BLOCKS"], block=128, cluster=lambda p, d: CLUSTER.get(p["KIND"], 0)),
    method="stream",
    estimate=every(period("LAUNCHES", "period"), at("LAUNCHES", MOST, "api", "api_s", each=MOST)),
    entry="nothing",
    noise={"period": 0.04, "api": 0.08},
    covers=(41, 43, 44),
    rounds=31,
    width=0.1,
    published=[
        Published(
            "h100-sxm",
            2.1e-6,
            HAZY,
            {"KIND": "stream", "BLOCKS": 128},
            "period",
            tolerance=0.05,
            method="dummy kernel with a sleep",
            reason="theirs times a kernel that sleeps and a host that may be the limit; ours is empty, the host ahead",
        ),
        Published(
            "h100-sxm",
            1.3e-6,
            HAZY,
            {"KIND": "graph", "BLOCKS": 128},
            "period",
            tolerance=0.05,
            method="dummy kernel with a sleep as graph node",
            reason="theirs times a kernel that sleeps; ours is empty",
        ),
    ],
)
