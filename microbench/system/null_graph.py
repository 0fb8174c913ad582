"""Cost of an empty kernel as a node of a CUDA graph: for each node, on the device and inside the launch call.

Method: a graph of empty kernels in a row is launched behind a holding kernel; ``period`` is the device's time for each
further node (slope over the number of nodes); ``api`` is the host's time in one cuGraphLaunch of a graph of 512
nodes, the fastest of eight.
Pitfalls: the first launch of a graph uploads it and is not counted; a graph's fixed cost cancels in the slope.
"""

from gpuprobe.estimate import at, every, period
from gpuprobe.probe import Launch, Probe, Published

PROBE = Probe(
    name="null_graph",
    unit="s",
    quantity="period",
    kernel="null_kernel",
    axes={"LAUNCHES": [128, 512]},
    launch=Launch(block=1),
    method="graph",
    estimate=every(period("LAUNCHES", "period"), at("LAUNCHES", 512, "api", "api_s")),
    entry="nothing",
    noise={"api": 0.25},
    published=[
        Published(
            "h200-sxm",
            1.3e-6,
            "RRZE-HPC/gpu-benches gpu-small-kernels",
            quantity="period",
            tolerance=0.05,
            method="derived: 64 kB kernel as graph node",
            reason="theirs is the period of a kernel that streams 64 kB, ours that of an empty one",
        ),
    ],
    covers=(44,),
)
