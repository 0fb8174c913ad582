"""Timeline of one launch on an idle stream as the host sees it: call returns, kernel starts, ends, stream is drained.

Method: a kernel marks pinned host memory as its first act and again when its last block is through; the host, from
just before the call: ``api`` until the call returns, ``start`` until it sees the first mark, ``end`` until the
second, ``done`` until cuStreamSynchronize returns. Medians of 32 launches a sample, by way and grid. Pitfalls: each
mark's way over the bus (about a microsecond) and the poll (0.1 us) are in the number, the CUPTI figures of others
hold neither; on a busy stream a kernel starts earlier after its predecessor than here (see null_kernel, launch_cost).
Expected: 3 to 6 us to the start on PCIe machines.
"""

from gpuprobe.estimate import Estimate
from gpuprobe.probe import Launch, Probe, Published

COLUMNS = {"start": "start_s", "end": "end_s", "done": "done_s", "api": "api_s"}


def estimate(round_):
    """The four times of every point."""
    return [
        Estimate(quantity, point.without(), "s", sample.values.get(column, 0.0), sample)
        for quantity, column in COLUMNS.items()
        for point, sample in round_.items()
    ]


def kinds(device):
    """Ways that the GPU knows."""
    clusters = ["cluster"] if int(device.architecture.removeprefix("sm_")) >= 90 else []
    return ["stream", "cooperative", *clusters, "graph"]


CUPTI = "arXiv:2504.11750 Table V"
PROBE = Probe(
    name="launch_marks",
    unit="s",
    quantity="start",
    kernel="null_kernel",
    axes={"KIND": kinds, "BLOCKS": [2, 264]},
    quick={"KIND": ["stream"], "BLOCKS": [2]},
    launch=Launch(grid=lambda p, d: p["BLOCKS"], block=128, cluster=lambda p, d: 2 if p["KIND"] == "cluster" else 0),
    method="marks",
    estimate=estimate,
    entry="mark",
    noise={"api": 0.06, "start": 0.04, "end": 0.04, "done": 0.04},
    covers=(41, 43),
    rounds=61,
    width=0.1,
    published=[
        Published(
            device,
            value,
            CUPTI,
            {"KIND": "stream", "BLOCKS": 2},
            "start",
            tolerance=0.05,
            method="launch call begin to kernel start (CUPTI)",
            reason="ours holds the mark's way over the bus to the host and its poll",
        )
        for device, value in (("h100-pcie", 2.3746e-6), ("gh200", 2.7716e-6), ("a100-sxm-80gb", 2.2605e-6))
    ],
)
