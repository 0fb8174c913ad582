# %% [markdown]
# # 5. Choose a GPU
#
# Which GPU for a job? Profiles put numbers side by side, and every number says where it comes from: *measured* by this
# project, *published* by others, or of the *data sheet*. They are not the same thing: data sheets state peaks that power
# limits may not let you reach. A GPU counts as measured as soon as its recording lies in `reports/`.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import gpuprobe

NAMES = ("h100-sxm", "h200-sxm", "a100-sxm-80gb", "l40s", "rtx-4090")
profiles = {name: gpuprobe.load_profile(name) for name in NAMES}


def cell(value, scale):
    """A number with its origin, or a dash."""
    return "–" if value is None else f"{value.value / scale:.4g} ({value.origin})"


pd.DataFrame(
    {
        name: {
            "bf16, TFLOP/s": cell(one.peak("bf16"), 1e12),
            "fp32, TFLOP/s": cell(one.peak("fp32"), 1e12),
            "DRAM read, GB/s": cell(one.bandwidth("DRAM"), 1e9),
            "L2 read, GB/s": cell(one.bandwidth("L2"), 1e9),
            "DRAM latency, cycles": cell(one.latency("DRAM"), 1),
        }
        for name, one in profiles.items()
    }
)

# %% [markdown]
# ## Peak against bandwidth
#
# The two numbers that bound most kernels. Lines of equal intensity: a GPU far to the left of a workload's line waits for
# memory, one far below it for arithmetic.

# %%
fig, axis = plt.subplots(figsize=(6, 4), dpi=80)
for name, one in profiles.items():
    peak, memory = one.peak("bf16"), one.bandwidth("DRAM")
    if peak and memory:
        axis.scatter(memory.value / 1e9, peak.value / 1e12, marker="o" if peak.origin == "measured" else "x")
        place = (memory.value / 1e9, peak.value / 1e12)
        fast = place[0] > 3000
        above = -14 if name == "h200-sxm" else 6
        where = {"xytext": (-4 if fast else 4, above), "ha": "right" if fast else "left", "fontsize": 8}
        axis.annotate(f"{name} ({peak.origin})", place, textcoords="offset points", **where)
reach = np.array([500, 6000])
for intensity in (100, 300):
    axis.plot(reach, reach * intensity / 1e3, "k:", lw=0.7)
    axis.annotate(f"{intensity} FLOP/B", (reach[0] * 1.1, reach[0] * intensity / 1e3), fontsize=7, va="top")
axis.set(xscale="log", yscale="log", xlabel="DRAM read, GB/s", ylabel="dense bf16, TFLOP/s", xlim=(500, 6500))
axis.set_xticks([500, 1000, 2000, 5000], ["500", "1000", "2000", "5000"])
axis.set_yticks([50, 100, 200, 500, 1000], ["50", "100", "200", "500", "1000"])
axis.minorticks_off()
axis.grid(alpha=0.3)
plt.show()

# %% [markdown]
# ## A workload: the linear layers of an 8-billion-parameter transformer
#
# Four GEMMs a layer, 32 layers, at two batches: decoding with 16 sequences, and a prompt of 4096 tokens. Times are
# predicted; the bars' whiskers sum the 90 % intervals (wide where no data of that GPU exist). Each GPU's model learned
# from its own source with its own protocol (printed below): compare GPUs of one protocol closely, others roughly.

# %%
SHAPES = ((6144, 4096), (4096, 4096), (28672, 4096), (4096, 14336))  # n, k: qkv, out, gate and up, down


def step(predictor, tokens):
    """Seconds (value, low, high) and joules of all 32 layers."""
    parts = [predictor.gemm(tokens, n, k, dtype="bf16") for n, k in SHAPES]
    times = np.array([part.cold for part in parts]).sum(axis=0) * 32
    return times, sum(part.energy_j.value for part in parts) * 32


fig, axes = plt.subplots(1, 2, figsize=(10, 3.4), dpi=80)
rows = {}
for axis, (title, tokens) in zip(axes, (("decode, 16 sequences", 16), ("prefill, 4096 tokens", 4096))):
    found = {name: step(gpuprobe.Predictor.load(name), tokens) for name in NAMES}
    times = np.array([one[0] for one in found.values()]) * 1e3
    axis.bar(NAMES, times[:, 0], color="tab:blue")
    spread = [times[:, 0] - times[:, 1], times[:, 2] - times[:, 0]]
    axis.errorbar(NAMES, times[:, 0], spread, fmt="none", color="k", capsize=3)
    axis.set(title=title, ylabel="ms a step")
    axis.tick_params(axis="x", rotation=25, labelsize=8)
    rows[title] = {
        name: f"{seconds[0] * 1e3:.2f} ms, {joules:.2f} J, {joules / tokens * 1e3:.1f} mJ/token"
        for name, (seconds, joules) in found.items()
    }
plt.tight_layout()
plt.show()
pd.DataFrame(rows)

# %% [markdown]
# ## How far to trust it
#
# `in_domain` says whether data of that very GPU stand behind a number. Where it is false, the interval is an honest guess
# by the analytic core; measuring a few dozen GEMMs there and passing them to `--calibrate` narrows it.

# %%
for name in NAMES:
    one = gpuprobe.predict.gemm(4096, 4096, 4096, gpu=name)
    print(f"{name:14} data of this GPU: {one.in_domain!s:5}  {one.protocol}")
