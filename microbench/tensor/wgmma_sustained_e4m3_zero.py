"""Throughput of wgmma.m64n256 (e4m3 to FP32) with zero operands at the clock and power that a GPU settles at.

Method: the kernel of wgmma_rate in eight launches of 0.3 s, one after another and nothing else; a sample is one launch,
and the median leaves the first, in which clock and power settle, without weight. The clock beside it is that of the
kernel, the power NVML's. Bursts of a few milliseconds (wgmma_rate) run at a higher clock, until a limit of power or
current is felt. Pitfalls: a probe that shuffles operand kinds mixes their power; the settled clock depends on the card,
its cooling and its limits, and swings by some percent. Measured on H100 SXM
cards: 1833 to 1864 TFLOP/s at 1695 to 1723 MHz and 300 W, where 1950 are published.
"""

from gpuprobe.families import wgmma

PROBE = wgmma.sustained("wgmma_sustained_e4m3_zero", "E4M3", "zero", 1950.2e12, width=0.05, noise=0.01)
