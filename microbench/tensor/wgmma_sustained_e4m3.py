"""Throughput of wgmma.m64n256 (e4m3 to FP32) with random operands at the clock and power that a GPU settles at.

Method: the kernel of wgmma_rate in eight launches of 0.3 s, one after another and nothing else; a sample is one launch,
and the median leaves the first, in which clock and power settle, without weight. The clock beside it is that of the
kernel, the power NVML's. Bursts of a few milliseconds (wgmma_rate) run at a higher clock, until a limit of power or
current is felt. Pitfalls: a probe that shuffles operand kinds mixes their power; the settled clock depends on the card,
its cooling and its limits, and swings by some percent. Measured on H100 SXM
cards of 700 W: 1632 to 1702 TFLOP/s at 1512 to 1574 MHz and the power limit, where 1885 are published; the clock swings
between 1435 and 1610 MHz from launch to launch.
"""

from gpuprobe.families import wgmma
from gpuprobe.probe import Launch, Probe, Published, sm_count

PROBE = Probe(
    name="wgmma_sustained_e4m3",
    unit="FLOP/s",
    quantity="throughput",
    archs="==sm_90",
    kernel="wgmma",
    defines={"TYPE": ["E4M3"], "CHAIN": [16], "FRESH": [1]},
    axes={"OPERANDS": ["random"]},
    quick={"OPERANDS": []},
    launch=Launch(grid=sm_count, block=256, iters=128000),
    expect=wgmma.expect,
    estimate=wgmma.throughput,
    bound=wgmma.bound,
    check=wgmma.check,
    prologue=True,
    rounds=8,
    width=0.12,
    out_words=1 << 18,
    noise={"throughput": 0.03},
    covers=(4, 47, 49),
    published=[
        Published(
            "h100-sxm",
            1885.2e12,
            "Johnsonms/NVIDIA-Hopper-Benchmark, reproduction/H100-dapperdingo/raw",
            {"OPERANDS": "random"},
            "throughput",
            "FLOP/s",
            method="whole GPU, clock, power and length of the run not stated",
            tolerance=0.05,
        )
    ],
)
