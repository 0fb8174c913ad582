"""Cost of launching an empty kernel on a stream: what the call takes on the host, what the device takes for each.

Method: a holding kernel occupies the stream while the host queues the launches, so that the host is never the limit.
``period`` is the device's time for each further queued kernel, by globaltimer, from the end of the holding kernel to a
stamp behind the last (slope over the number of launches): launch, run and drain of a kernel of one thread. ``api`` is
the time inside cuLaunchKernelEx for each of 512 launches, from the fastest of eight batches of 64, less the cost of a
foreign call with the same arguments to a C function that does nothing (labs; column call_s of the raw samples).
Pitfalls: one number for all of them (1.5 to 2.3 us published for one chip); beyond 1,024 queued launches the call
waits. See launch_cost for other ways to launch and larger grids, launch_marks for when a kernel starts.
"""

from gpuprobe.estimate import at, every, period
from gpuprobe.probe import Launch, Probe, Published

PROBE = Probe(
    name="null_kernel",
    unit="s",
    quantity="period",
    axes={"LAUNCHES": [128, 512]},
    launch=Launch(block=1),
    method="stream",
    estimate=every(period("LAUNCHES", "period"), at("LAUNCHES", 512, "api", "api_s", each=512)),
    entry="nothing",
    noise={"period": 0.02, "api": 0.06},
    published=[
        Published(
            "h200-sxm",
            2.5e-6,
            "RRZE-HPC/gpu-benches gpu-small-kernels",
            quantity="period",
            tolerance=0.05,
            method="derived: 64 kB kernel by stream, host-bound",
            reason="theirs is the period of a kernel that streams 64 kB, ours that of an empty one",
        ),
        Published(
            "gh200",
            2.7716e-6,
            "arXiv:2504.11750 Table V",
            quantity="api",
            tolerance=0.05,
            method="launch call begin to kernel start (CUPTI)",
            reason="theirs ends when the kernel starts on the device, ours when the call returns",
        ),
    ],
    covers=(43,),
)
