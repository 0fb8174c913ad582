# %% [markdown]
# # 3. Where does the time of a language model go?
#
# A Llama-like model of a billion parameters on an H100 (random weights, plain PyTorch, no graphs), recorded by
# `gpuprobe trace record`: a prompt of 512 tokens for 4 sequences, then decoding. From the launch of a kernel on the host
# to the reason why the GPU was idle before it.

# %%
import matplotlib.pyplot as plt
import numpy as np

import gpuprobe

trace = gpuprobe.trace.load(gpuprobe.recorded_trace())
analysis = gpuprobe.analyze(trace)
verdict = analysis["verdict"]
print(f"{analysis['file']}: {len(trace.gpu.start)} GPU events")
print(f"bound by the {verdict['bound'].upper()}: the GPU is busy {verdict['gpu_busy_share']:.0%} of the time")

# %% [markdown]
# ## A few milliseconds of it
#
# Above, the calls that launch kernels; below, the kernels. In decoding each kernel follows its own call at once and is
# finished before the next one is launched: nothing waits in the queue, so the host is the slower of the two. A prompt's
# large kernels now and then let the host run ahead. Between two calls the host runs Python and PyTorch's dispatcher (and,
# in this recording, the markers that name every operator).


# %%
def spans(part, begin, end):
    """(start, length) in ms of the events of a part that start in a window."""
    inside = (part.start >= begin) & (part.start < end)
    return np.column_stack([(part.start[inside] - begin) / 1e6, part.dur[inside] / 1e6])


steps = [
    row for row in range(len(trace.ranges.start)) if trace.texts[trace.ranges.name[row]].startswith("ProfilerStep")
]
fig, axes = plt.subplots(2, 1, figsize=(9, 3.6), dpi=80)
for axis, row, title in ((axes[0], steps[0], "prefill, 4 × 512 tokens"), (axes[1], steps[-1], "decode, 4 sequences")):
    middle = int(trace.ranges.start[row] + trace.ranges.dur[row] // 2)
    begin = int(trace.gpu.start[trace.gpu.start >= middle].min()) - 100_000
    for part, y, colour in ((trace.calls, 1, "tab:orange"), (trace.gpu, 0, "tab:blue")):
        axis.broken_barh(spans(part, begin, begin + 2_000_000), (y, 0.8), color=colour)
    axis.set_yticks([0.4, 1.4], ["kernels", "launch calls"])
    axis.set_title(f"{title}: two milliseconds from the middle of a step", fontsize=9)
axes[1].set_xlabel("ms")
plt.tight_layout()
plt.show()

# %% [markdown]
# ## Why was the GPU idle?
#
# Every gap between GPU events has a cause: the host had not launched anything (`host`), the launch was on its way
# (`launch`), a stream waited for another (`dependency`), or the GPU took its time to begin (`scheduling`).

# %%
causes = {name: ns / 1e6 for name, ns in analysis["idle"]["0"]["causes_ns"].items() if ns}
fig, axis = plt.subplots(figsize=(6, 2.6), dpi=80)
axis.barh(list(causes), list(causes.values()), color="tab:gray")
axis.set(xscale="log", xlabel="idle, ms (logarithmic)")
plt.tight_layout()
plt.show()
print(f"launches that found the stream idle: {verdict['launches_that_found_the_stream_idle']:.0%}")

# %% [markdown]
# ## Which kernels, and are they good ones?
#
# Most GPU time lies in a handful of kernels. The operators around them have shapes, shapes have FLOPs and bytes, and the
# H100's measured limits say how long each should take. `share_of_limit` near 1 means a good kernel;
# small elementwise kernels fall short of it because they are too short to fill the memory's pipes.

# %%
kernels = analysis.to_frame("kernels")[["name", "count", "sum_ns", "share", "median_ns"]].head(8)
kernels.assign(name=kernels["name"].str.slice(0, 60))

# %%
operators = analysis.to_frame("roofline")
operators[["name", "kind", "calls", "sum_ns", "bound", "share_of_limit"]].head(8)

# %% [markdown]
# ## What would help?
#
# Chains of kernels that always follow each other can be fused or put into a CUDA graph: each launch saved is host time saved,
# and host time is what this program is made of.

# %%
fusion = analysis["fusion"]
saved = f"{fusion['saved_ns'] / 1e6:.0f} ms"
print(f"{fusion['launches_saved']} launches could go, at {fusion['launch_cost_ns'] / 1e3:.1f} µs each: {saved}")
print(f"ideal speed-up of launching: {fusion['ideal_speedup_of_launching']:.1f}x")

# %% [markdown]
# **What to take away.** A faster GPU would not make this program faster. `gpuprobe workload … --mode graph` records the
# same model with CUDA graphs; `gpuprobe trace diff` shows what changed.
