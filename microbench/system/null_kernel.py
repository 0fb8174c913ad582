"""Cost of launching an empty kernel on a stream: what the call takes on the host, what the device takes for each.

Method: a holding kernel occupies the stream while the host queues the launches, so that the host is never the limit.
``api`` is the time inside cuLaunchKernel for each launch, from the fastest batch of 64 of each sample (the cost of a
foreign call, measured on a C function that does nothing, taken off); ``period`` is the device's time for each further
queued kernel, by globaltimer, from the end of the holding kernel to a stamp behind the last: launch, run and drain of
a kernel of one thread. Both are slopes over the number of launches. Pitfalls: one number for all of them (1.5 to 2.3
us published for one chip); beyond 1,024 queued launches the call waits.
"""

from gpuprobe.estimate import every, period
from gpuprobe.probe import Launch, Probe, Published

PROBE = Probe(
    name="null_kernel",
    unit="s",
    quantity="period",
    axes={"LAUNCHES": [128, 512]},
    launch=Launch(),
    method="stream",
    estimate=every(period("LAUNCHES", "period"), period("LAUNCHES", "api", "api_s")),
    entry="nothing",
    noise={"period": 0.04, "api": 0.02},
    published=[
        Published(
            "h200-sxm",
            2.5e-6,
            "RRZE-HPC/gpu-benches gpu-small-kernels",
            quantity="period",
            tolerance=0.05,
            method="derived: 64 kB kernel by stream, host-bound",
        ),
        Published(
            "gh200",
            2.7716e-6,
            "arXiv:2504.11750 Table V",
            quantity="api",
            tolerance=0.05,
            method="launch call begin to kernel start (CUPTI)",
        ),
    ],
)
