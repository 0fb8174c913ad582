"""Throughput of wgmma.m64n256 (f16 to FP32) with zero operands at the clock and power that a GPU settles at.

Method: the kernel of wgmma_rate in eight launches of 0.3 s, one after another and nothing else; a sample is one launch,
and the median leaves the first, in which clock and power settle, without weight. The clock beside it is that of the
kernel, the power NVML's. Bursts of a few milliseconds (wgmma_rate) run at a higher clock, until a limit of power or
current is felt. Pitfalls: a probe that shuffles operand kinds mixes their power; the settled clock depends on the card,
its cooling and its limits, and swings by some percent. Measured on H100 SXM
cards: 894 to 920 TFLOP/s at 1654 to 1701 MHz and 260 to 280 W, where 976 are published. NVML names the software power
cap as the reason, far below the limit: the clock follows the activity, not the power alone.
"""

from gpuprobe.families import wgmma
from gpuprobe.probe import Launch, Probe, Published, sm_count

PROBE = Probe(
    name="wgmma_sustained_f16_zero",
    unit="FLOP/s",
    quantity="throughput",
    archs="==sm_90",
    kernel="wgmma",
    defines={"TYPE": ["F16"], "CHAIN": [16], "FRESH": [1]},
    axes={"OPERANDS": ["zero"]},
    quick={"OPERANDS": []},
    launch=Launch(grid=sm_count, block=256, iters=128000),
    expect=wgmma.expect,
    estimate=wgmma.throughput,
    bound=wgmma.bound,
    check=wgmma.check,
    prologue=True,
    rounds=8,
    width=0.05,
    out_words=1 << 18,
    noise={"throughput": 0.01},
    covers=(4, 47, 49),
    published=[
        Published(
            "h100-sxm",
            976.4e12,
            "Johnsonms/NVIDIA-Hopper-Benchmark, reproduction/H100-dapperdingo/raw",
            {"OPERANDS": "zero"},
            "throughput",
            "FLOP/s",
            method="whole GPU, clock, power and length of the run not stated",
            tolerance=0.05,
        )
    ],
)
