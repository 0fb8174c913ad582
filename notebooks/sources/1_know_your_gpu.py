# %% [markdown]
# # 1. Know your GPU
#
# How long does an instruction take? Where do the caches end? How much arithmetic does a byte have to feed before the
# GPU stops waiting for memory? This notebook asks the GPU itself: it measures the one in this machine, or, where there
# is none, analyses again the raw samples of a recorded H100. `run.source` says which.

# %%
import matplotlib.pyplot as plt

import gpuprobe

run = gpuprobe.microbench("ffma_latency", "dfma_latency", "shared_latency", "l2_near_far", "dram_bandwidth")
print(f"{run.device.product}: {run.source}, {run.started_at[:10]}, driver {run.environment.driver}")

# %% [markdown]
# ## Numbers with intervals
#
# Every row is a median of many samples with its 95 % interval, the clock that was read *inside the kernel*, and the power
# beside it. A dependent multiply-add takes 4 cycles; if it showed 2, the compiler would have changed the test, and the
# machine code check would have refused it.

# %%
frame = run.to_frame()
shown = frame[["name", "quantity", "unit", "value", "low", "high", "n", "sm_clock_hz"]].head(8)
shown.map(lambda value: f"{value:.5g}" if isinstance(value, float) else value)

# %% [markdown]
# ## The staircase of memory
#
# A chain of loads walks a random lap over a footprint. While the lap fits into a level, each load costs that level's
# latency; each step of the staircase is the end of a cache. Near and far L2 hits differ because the H100's L2 is two halves.
# The profile collects what a whole run says of a GPU.

# %%
profile = gpuprobe.load_profile(gpuprobe.recording() if run.source == "replay" else run)
curves = [(what, profile.curve(what)) for what in ("latency through L1", "latency past L1")]
fig, axis = plt.subplots(figsize=(7, 3.4), dpi=80)
for what, curve in curves:
    if curve is not None:
        axis.step(*zip(*[(size, value.value) for size, value in curve.points]), where="mid", marker=".", label=what)
axis.set_xscale("log", base=2)
axis.set_yscale("log")
axis.set_xticks([2**14, 2**18, 2**22, 2**26, 2**30], ["16 KiB", "256 KiB", "4 MiB", "64 MiB", "1 GiB"])
axis.set_yticks([30, 100, 300, 600], ["30", "100", "300", "600"])
axis.minorticks_off()
axis.set_xlabel("footprint")
axis.set_ylabel("cycles per dependent load")
axis.set_title(profile.product)
axis.grid(alpha=0.3)
axis.legend()
plt.show()

# %% [markdown]
# ## From microbenchmarks to a roofline
#
# Peaks of arithmetic and bandwidths of the levels make the *roofline*: left of a ridge a kernel is limited by that
# memory, right of it by that arithmetic. Three GEMMs are placed where the predictor expects them: a single token (m = 1)
# lies on the slope of DRAM, far below the ceiling; a large batch reaches the tensor cores.

# %%
picture = gpuprobe.draw_roofline(profile, gemms=[(1, 4096, 4096), (128, 4096, 4096), (8192, 8192, 8192)])
picture

# %%
for one in picture.placed:
    size = f"{one.gemm.m}×{one.gemm.n}×{one.gemm.k}"
    print(f"{size:>16}: {one.time_s * 1e6:8.1f} µs, bound by {one.bound}, {one.share:.0%} of what it allows")

# %% [markdown]
# **What to take away.** The ridge over DRAM says how many operations each byte must feed: several hundred for bf16 on an
# H100. A decoding step with few sequences never comes near it, so its speed is a question of bytes, not of FLOPs.
# `gpuprobe report RUN -o page.html` puts all of this, and the rest, on one page.
