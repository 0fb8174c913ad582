# %% [markdown]
# # 2. How long does a GEMM take?
#
# A model of GEMM times: an analytic core that knows tiles, waves and bytes, and a small forest that learned from
# measurements what the core gets wrong. This notebook shows what the model says, how sure it is, and where it errs.

# %%
import json

import matplotlib.pyplot as plt
import numpy as np

import gpuprobe

h100 = gpuprobe.Predictor.load("h100-sxm")
one = h100.gemm(4096, 4096, 4096, dtype="bf16")
print(
    f"hot {one.hot.value * 1e6:.1f} µs ({one.hot.low * 1e6:.1f} to {one.hot.high * 1e6:.1f}), bound by {one.bound}, "
    f"data behind it: {one.in_domain}"
)
print(
    f"sustained: {one.power_w.value:.0f} W, {one.energy_j.value * 1e3:.1f} mJ a GEMM, "
    f"data behind it: {one.sustained_in_domain} ({one.protocol})"
)

# %% [markdown]
# ## The curve of a batch
#
# A linear layer of a language model, 4096 by 4096, over the number of tokens. Up to about a hundred tokens time hardly
# moves: the weights have to be read once, whatever m is. Then arithmetic takes over. The steps are waves: a tile more than
# the SMs can hold at a time costs a whole further round.

# %%
m = np.unique(np.round(np.geomspace(1, 16384, 120)).astype(int))
columns = h100.gemm_many([[size, 4096, 4096] for size in m], dtype="bf16")
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), dpi=80)
left.fill_between(m, columns["cold_us_low"], columns["cold_us_high"], alpha=0.25, label="90 % interval")
left.plot(m, columns["cold_us"], label="weights from DRAM")
left.plot(m, columns["hot_us"], "--", label="operands in L2")
left.set(xscale="log", yscale="log", xlabel="tokens (m)", ylabel="µs")
left.legend()
tflops = 2 * m * 4096 * 4096 / columns["cold_us"] / 1e6
right.plot(m, tflops, color="tab:green")
right.set(xscale="log", xlabel="tokens (m)", ylabel="TFLOP/s")
for axis in (left, right):
    axis.grid(alpha=0.3)
plt.show()

# %% [markdown]
# ## Energy
#
# Under a lasting load the power cap decides on the clock. Energy per token falls while weights are shared by more
# tokens and is flat once arithmetic dominates. (Power and sustained times are analytic where no sustained data are
# fitted: `sustained_in_domain` says so.)

# %%
fig, axis = plt.subplots(figsize=(6, 3.2), dpi=80)
axis.plot(m, columns["energy_mj"] / m, color="tab:red")
axis.set(xscale="log", yscale="log", xlabel="tokens (m)", ylabel="mJ per token and layer")
axis.grid(alpha=0.3)
plt.show()

# %% [markdown]
# ## How wrong is it?
#
# The model's card states errors on GEMMs whose (n, k) pair it had never seen: whole layers are held out, not single rows,
# for neighbours of a known row are no test. *Ragged* sizes (rows that do not begin at 16 bytes) run on other kernels and are harder.

# %%
card = json.loads(gpuprobe.model_card("h100-sxm").read_text(encoding="utf-8"))
parts = card["models"]["gpuprobe"]["classes"]
kinds = ("aligned", "ragged", "n ragged")  # by 16 bytes; n ragged: only the output's rows begin anywhere
labels = [f"{part['dtype']} {kinds[part['ragged']]}" for part in parts]
errors = {
    name: [part["errors"]["hot"]["ape_percent"][at] for part in parts] for name, at in (("median", 0), ("90th", 2))
}
fig, axis = plt.subplots(figsize=(7, 0.3 * len(labels) + 1), dpi=80)
axis.barh(labels, errors["90th"], color="lightgray", label="90th percentile")
axis.barh(labels, errors["median"], color="tab:blue", label="median")
axis.invert_yaxis()
axis.set_xlabel("absolute error of the hot time on unseen (n, k), %")
axis.legend()
plt.tight_layout()
plt.show()

# %% [markdown]
# ## Where is it wrong?
#
# The evaluation keeps measured and predicted times of a sample of those unseen GEMMs. Errors are small where a GEMM is
# large, and larger below some 30 µs: there a launch, a wave more or less and the bytes weigh alike, and the library's
# choice of a kernel decides.

# %%
evaluation = json.loads(gpuprobe.recording("h100-sxm").with_name("evaluation.json").read_text(encoding="utf-8"))
points = [one for one in evaluation["points"] if one["target"] == "hot" and one["source"] == "gpuprobe"]
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 4), dpi=80)
for bound, colour in (("launch", "tab:green"), ("dram", "tab:orange"), ("compute", "tab:blue")):
    part = [one for one in points if one["bound"] == bound]
    times, guesses = (np.array([one[key] for one in part]) * 1e6 for key in ("measured", "predicted"))
    left.scatter(times, guesses, s=4, color=colour, alpha=0.5, label=f"bound by {bound}")
    right.scatter(times, 100 * (guesses / times - 1), s=4, color=colour, alpha=0.5)
left.plot([1, 5e4], [1, 5e4], "k--", lw=0.8)
left.set(xscale="log", yscale="log", xlabel="measured, µs", ylabel="predicted, µs")
left.legend()
right.axhspan(-10, 10, color="lightgray", alpha=0.5, label="within 10 %")
right.set(xscale="log", xlabel="measured, µs", ylabel="predicted over measured - 1, %", ylim=(-50, 50))
right.legend()
for axis in (left, right):
    axis.grid(alpha=0.3)
plt.tight_layout()
plt.show()
within = np.mean([abs(one["predicted"] / one["measured"] - 1) < 0.1 for one in points])
print(f"{within:.0%} of {len(points)} GEMMs never seen lie within 10 %")

# %% [markdown]
# ## What it does not know
#
# Outside the measured sizes the interval widens and `in_domain` is false; a GPU without any data is predicted by the
# analytic core and the data sheet alone. The number is there, and so is the warning.

# %%
for name in ("h100-sxm", "a100-sxm-80gb", "l40s", "rtx-4090"):
    guess = gpuprobe.predict.gemm(4096, 4096, 4096, gpu=name)
    spread = guess.hot.high / guess.hot.low
    print(f"{name:14} {guess.hot.value * 1e6:8.1f} µs, high/low {spread:4.2f}, data behind it: {guess.in_domain}")
