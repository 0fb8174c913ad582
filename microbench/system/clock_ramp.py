"""SM clock over time: resting, from the start of work, and after it, by cycles over nanoseconds.

Method: one kernel on all SMs rests for 8 ms (nanosleep), then works on FFMA for 48 ms, then rests again, while one
warp writes down both counters every millisecond; ``clock`` is their ratio over a window, MS after the start of the
work (-1: the rest before it, -2: that after it). It shows whether the clock ramps up or falls under load within tens
of milliseconds. Pitfalls: an idle GPU at rest keeps its highest clock as long as a context works on it (what clock a
GPU without work has, NVML shows); the power limit acts over longer times and harder work: the clock of every sample
of every probe is stored with it for that reason. Expected: the highest clock throughout for FP32 work on data-centre
parts.
"""

import numpy as np

from gpuprobe.estimate import Estimate
from gpuprobe.gate import Expect
from gpuprobe.operands import words
from gpuprobe.probe import Launch, Probe, sm_count

REST_MS = 8
WORK_MS = 48
WINDOWS = {
    -1: (2, 7),
    0: (8, 9),
    1: (9, 10),
    2: (10, 12),
    5: (13, 16),
    10: (18, 24),
    20: (28, 36),
    40: (44, 55),
    -2: (58, 63),
}


def stamps(out):
    """Cycles and nanoseconds of every stamp."""
    count = int(words(out)[0])
    return np.frombuffer(out, dtype=np.uint64)[2 : 2 + 2 * count].reshape(-1, 2).astype(np.int64)


def clocks(point, out):
    """Clock in each window, in Hz."""
    pairs = stamps(out)
    columns = {}
    for start, (first, last) in WINDOWS.items():
        cycles, ns = pairs[min(last, len(pairs) - 1)] - pairs[first]
        columns[f"ms{start}"] = float(cycles) / float(ns) * 1e9
    return columns


def check(point, seed, out):
    """As many stamps as milliseconds, in order, and every multiply-add right."""
    count, right = (int(word) for word in words(out)[:2])
    if right != 1:
        return "multiply-adds of the load gave a wrong sum"
    if not 2 * REST_MS + WORK_MS - 2 <= count <= 2 * REST_MS + WORK_MS + 1:
        return f"{count} stamps in {2 * REST_MS + WORK_MS} ms"
    return None if np.all(np.diff(stamps(out), axis=0) > 0) else "the counters do not advance"


def estimate(round_):
    """Clock by milliseconds since the start of the work."""
    return [
        Estimate("clock", {"MS": start}, "Hz", sample.values.get(f"ms{start}", 0.0), sample)
        for sample in round_.values()
        for start in WINDOWS
    ]


PROBE = Probe(
    name="clock_ramp",
    unit="Hz",
    quantity="clock",
    launch=Launch(grid=sm_count, block=512, data_bytes=WORK_MS),
    expect=lambda p: Expect(loop=True, counts={"FFMA": 512}, clock_reads=3, predicated=True, allow=("IMAD",)),
    estimate=estimate,
    check=check,
    reduce=clocks,
    out_words=1 << 10,
    bound=lambda estimate, device, architecture, clock_hz: device.get("max_sm_clock_hz"),
    covers=(49,),
    rounds=15,
    width=0.01,
)
