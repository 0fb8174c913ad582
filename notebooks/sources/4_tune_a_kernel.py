# %% [markdown]
# # 4. Tune a kernel with the predictor
#
# A tiled GEMM kernel has hundreds of configurations: tile sizes, warps, pipeline stages. An autotuner compiles and times
# them all; most are hopeless. A model that ranks them beforehand lets the tuner measure only the first few. Here the
# ranking is held against sweeps in which *every* configuration was measured on an H100.

# %%
import itertools
import json

import matplotlib.pyplot as plt
import numpy as np

import gpuprobe

sweeps = gpuprobe.tune.read_sweeps(gpuprobe.kernel_sweeps("h100-sxm"))
predictors = {form: gpuprobe.KernelPredictor.load("h100-sxm", form) for form in gpuprobe.tune.FORMS}
print(f"{len(sweeps)} configurations of {sweeps.gemm.max() + 1} sweeps; kernels: {', '.join(gpuprobe.tune.FORMS)}")

# %% [markdown]
# ## One GEMM, all its configurations
#
# Predicted against measured. The order matters more than the values: what counts is whether the fastest configurations
# are near the front. (These rows are among those that the shipped model was fitted to; the errors on GEMMs it had *not*
# seen stand in the card and below.)


# %%
def sweep(number):
    """Predicted and measured times of one sweep in µs, and its name."""
    rows = sweeps.gemm == number
    work = sweeps.work.rows(rows)
    form, dtype = gpuprobe.tune.FORMS[int(work.form[0])], str(sweeps.dtype[rows][0])
    predicted = predictors[form].work_times(work, dtype).time_s
    name = f"{form} {work.m[0]:.0f}×{work.n[0]:.0f}×{work.k[0]:.0f} {dtype}"
    return predicted * 1e6, sweeps.time_s[rows] * 1e6, name


largest = max(range(sweeps.gemm.max() + 1), key=lambda number: (sweeps.gemm == number).sum())
predicted, measured, name = sweep(largest)
fig, axis = plt.subplots(figsize=(5, 4.2), dpi=80)
axis.scatter(measured, predicted, s=8)
ends = [measured.min(), measured.max()]
axis.plot(ends, ends, "k--", lw=0.8)
axis.set(xscale="log", yscale="log", xlabel="measured, µs", ylabel="predicted, µs", title=name)
for one in (axis.xaxis, axis.yaxis):
    one.set_major_formatter("{x:g}")
    one.set_minor_formatter("{x:g}")
axis.grid(alpha=0.3)
plt.show()
first = measured[np.argmin(predicted)] / measured.min()
print(f"slowest over fastest: {measured.max() / measured.min():.1f}x; predicted best over fastest: {first:.3f}x")

# %% [markdown]
# ## What measuring fewer costs
#
# If a tuner measures only the first k of the ranking and keeps the best: how far is it from the best of all? The grey
# line is a tuner that picks k at random.

# %%
counts = [1, 2, 4, 8, 16, 32]
ranked, random = {k: [] for k in counts}, {k: [] for k in counts}
generator = np.random.default_rng(1)
for number in range(0, sweeps.gemm.max() + 1, 3):
    predicted, measured, _ = sweep(number)
    order, best = np.argsort(predicted), measured.min()
    for k in counts:
        ranked[k].append(measured[order[:k]].min() / best)
        random[k].append(measured[generator.permutation(len(measured))[:k]].min() / best)
fig, axis = plt.subplots(figsize=(6, 3.4), dpi=80)
for values, label, colour in ((random, "at random", "gray"), (ranked, "ranked by the model", "tab:blue")):
    slower = [max(0.01, 100 * (np.exp(np.mean(np.log(values[k]))) - 1)) for k in counts]
    axis.plot(counts, slower, "o-", color=colour, label=label)
axis.set(xscale="log", yscale="log", xlabel="configurations measured", ylabel="slower than the best, %")
axis.set_yticks([0.01, 0.1, 1, 10, 100], ["0.01 or less", "0.1", "1", "10", "100"])
axis.set_xticks(counts, [str(k) for k in counts])
axis.grid(alpha=0.3)
axis.legend()
plt.show()

# %% [markdown]
# ## On GEMMs never seen
#
# The same question, asked of models fitted without the GEMMs in question (five folds), as the card states it.

# %%
card = json.loads(gpuprobe.model_card("h100-sxm").read_text(encoding="utf-8"))["kernels"]
print(f"timing one configuration twice: {card['noise_percent']} % apart")
card["classes"][0]

# %% [markdown]
# ## In your own tuner
#
# `gpuprobe.rank` gives indices, best first, of configurations that can be launched at all. Feed the first few to
# `triton.autotune` (`gpuprobe/tune/triton_hook.py` does it as a pruning hook).

# %%
grid = itertools.product((64, 128, 256), (64, 128, 256), (64,), (8,), (4, 8), (3, 4))
configurations = list(grid)
first = gpuprobe.rank("h100-sxm", 4096, 4096, 4096, configurations)[:4]
[dict(zip(("BM", "BN", "BK", "GM", "warps", "stages"), configurations[index])) for index in first]
