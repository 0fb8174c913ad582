"""The exact block of an analysis: counts and integer nanoseconds by fixed definitions, the same for every reader.

GPU event: kernel, copy or set. Span: first start to last end. Busy: length of the union. Idle: span - busy. Launch of
an event: the call with its correlation that starts last. Orphan: no launch in the file. TKLQT: sum over launched
kernels of start - launch start, as it is (raw) and with negatives as 0 (clamped). Launch delay: start - end of the
launch call. IL: end of the last kernel - start of the first operator without a parent operator (SKIP).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuprobe.trace.classes import COMMUNICATION, COMPUTE, WORK, by_device, by_stream, work_of
from gpuprobe.trace.intervals import intersection, length_of_union, union
from gpuprobe.trace.launches import Launches
from gpuprobe.trace.model import I64, GpuKind, RangeKind, Trace, take

SHORT_GAP_NS = 30_000
LONG_DELAY_NS = 100_000


def exact(trace: Trace, launches: Launches, top: int = 20) -> dict[str, Any]:
    """All exact quantities; ``top`` bounds the list of names. Keys of a quantity that does not exist are absent."""
    kernels = trace.gpu.kind == GpuKind.KERNEL
    document: dict[str, Any] = {"trace": _source(trace), "steps": steps(trace), "gpu": _totals(trace, kernels)}
    document["devices"] = _devices(trace)
    document["names"] = _names(trace, top)
    document["launch"] = _launch(trace, launches)
    document["tklqt"] = _tklqt(trace, launches, kernels)
    document["launch_delay"] = _launch_delay(trace, launches)
    if kernels.any():
        document.update(_inference_latency(trace, kernels))
    document["streams"] = _streams(trace, launches)
    return document


def _source(trace: Trace) -> dict[str, Any]:
    source = trace.meta.get("source", {})
    keys = ("file", "json_bytes", "json_sha256", "events", "events_by_ph_cat")
    return {key: source[key] for key in keys if key in source}


def steps(trace: Trace) -> list[dict[str, Any]]:
    """Profiler steps in time order: name and duration, ns."""
    rows = step_rows(trace)
    return [
        {"name": trace.texts[name], "dur_ns": dur}
        for name, dur in zip(trace.ranges.name[rows].tolist(), trace.ranges.dur[rows].tolist(), strict=True)
    ]


def step_rows(trace: Trace) -> NDArray[np.intp]:
    """Rows of Trace.ranges that are profiler steps on the host, in time order."""
    ranges = trace.ranges
    named = trace.text_mask(lambda text: text.startswith("ProfilerStep"))[ranges.name]
    rows = np.flatnonzero(named & (ranges.kind != RangeKind.GPU_ANNOTATION))
    start = ranges.start[rows]
    texts = [trace.texts[name] for name in ranges.name[rows].tolist()]
    keys = zip(start.tolist(), (start + ranges.dur[rows]).tolist(), texts, rows.tolist(), strict=True)
    return np.array([row for *_, row in sorted(keys)], np.intp)


def _totals(trace: Trace, kernels: NDArray[np.bool_]) -> dict[str, int]:
    gpu = trace.gpu
    totals = {"events": len(gpu.start), "kernels": int(kernels.sum())}
    if len(gpu.start):
        totals["span_ns"] = int(gpu.end.max() - gpu.start.min())
        totals["dur_sum_ns"] = int(gpu.dur.sum())
    return totals


def _devices(trace: Trace) -> dict[str, Any]:
    gpu, work = trace.gpu, work_of(trace)
    devices = {}
    for label, rows in by_device(trace):
        start, end = gpu.start[rows], gpu.end[rows]
        sets = [union(start[work[rows] == kind], end[work[rows] == kind]) for kind in range(len(WORK))]
        span, busy = int(end.max() - start.min()), length_of_union(start, end)
        communication = sets[COMMUNICATION].length
        overlap = intersection(sets[COMPUTE], sets[COMMUNICATION]).length
        devices[label] = {
            "span_ns": span,
            "busy_ns": busy,
            "idle_ns": span - busy,
            "union_ns": {name: part.length for name, part in zip(WORK, sets, strict=True)},
            "count": {name: int((work[rows] == kind).sum()) for kind, name in enumerate(WORK)},
            "comp_comm_overlap_ns": overlap,
            "comp_comm_overlap_pct_of_comm": round(100 * overlap / communication, 4) if communication else None,
        }
    return devices


def _names(trace: Trace, top: int) -> dict[str, Any]:
    names, which = np.unique(trace.gpu.name, return_inverse=True)
    if len(names) == 0:
        return {"distinct": 0, "top_by_sum": []}
    order = np.argsort(which, kind="stable")
    durations = trace.gpu.dur[order]
    counts = np.bincount(which)
    first = np.append(0, np.cumsum(counts)[:-1])
    columns = (counts, *(reduce.reduceat(durations, first) for reduce in (np.add, np.minimum, np.maximum)))
    rows = [
        {"name": trace.texts[name], "count": count, "sum_ns": total, "min_ns": low, "max_ns": high}
        for name, count, total, low, high in zip(names.tolist(), *(column.tolist() for column in columns), strict=True)
    ]
    rows.sort(key=lambda row: (-row["sum_ns"], row["name"]))
    return {"distinct": len(rows), "top_by_sum": rows[:top]}


def _launch(trace: Trace, launches: Launches) -> dict[str, Any]:
    known = launches.known
    names, counts = np.unique(trace.calls.name[launches.call[known]], return_counts=True)
    return {
        "launched": int(known.sum()),
        "orphans": int((~known).sum()),
        "graph_launched": int(launches.graph.sum()),
        "by_api": {trace.texts[name]: count for name, count in zip(names.tolist(), counts.tolist(), strict=True)},
        "graph_launch_calls_with_gpu_events": len(np.unique(trace.gpu.correlation[launches.graph])),
    }


def _tklqt(trace: Trace, launches: Launches, kernels: NDArray[np.bool_]) -> dict[str, int]:
    rows = kernels & launches.known
    waits = (trace.gpu.start - launches.start)[rows]
    no_graph = ~launches.graph[rows]
    return {
        "n": len(waits),
        "raw_ns": int(waits.sum()),
        "clamped_ns": int(np.maximum(waits, 0).sum()),
        "negative": int((waits < 0).sum()),
        "n_no_graph": int(no_graph.sum()),
        "raw_ns_no_graph": int(waits[no_graph].sum()),
    }


def _launch_delay(trace: Trace, launches: Launches) -> dict[str, int]:
    delay = (trace.gpu.start - launches.end)[launches.known]
    return {
        "n": len(delay),
        "clamped_sum_ns": int(np.maximum(delay, 0).sum()),
        "over_100us": int((delay > LONG_DELAY_NS).sum()),
    }


def _inference_latency(trace: Trace, kernels: NDArray[np.bool_]) -> dict[str, Any]:
    gpu = trace.gpu
    total = int(gpu.dur[kernels].sum())
    found: dict[str, Any] = {"akd_ns": total / int(kernels.sum())}
    end = int(gpu.end[kernels].max())
    top = first_parents(trace)
    aten = top[trace.text_mask(lambda text: text.startswith("aten::"))[trace.ranges.name[top]]]
    for key, rows in (("il", top), ("il_aten_first", aten)):
        if len(rows):
            latency = end - int(trace.ranges.start[rows].min())
            found[f"{key}_ns"] = latency
            found[f"gpu_idle_skip_{key}_ns"] = latency - total
    return found


def first_parents(trace: Trace) -> NDArray[np.intp]:
    """Rows of Trace.ranges that are operators with no parent operator on their thread."""
    ranges = trace.ranges
    rows = np.flatnonzero(ranges.kind == RangeKind.OPERATOR)
    if len(rows) == 0:
        return rows
    threads = {lane[:2]: index for index, lane in enumerate(trace.lanes)}
    thread = np.array([threads[lane[:2]] for lane in trace.lanes])[ranges.lane[rows]]
    rows = rows[np.lexsort((rows, -ranges.end[rows], ranges.start[rows], thread))]
    thread = np.sort(thread)
    borders = [*np.flatnonzero(np.append(True, thread[1:] != thread[:-1])).tolist(), len(rows)]
    parts = [rows[a:b] for a, b in pairwise(borders)]
    return np.concatenate([part[_outermost(ranges.start[part], ranges.end[part])] for part in parts])


def _outermost(start: I64, end: I64) -> NDArray[np.bool_]:
    """Which of the ranges (sorted by start, longest first) begin at or after the end of the last outermost one."""
    reach = np.append(-1, np.maximum(np.maximum.accumulate(end)[:-1], -1))
    outer = start >= reach
    outer_reach = np.append(-1, np.maximum.accumulate(np.where(outer, end, -1))[:-1])
    if np.array_equal(reach, outer_reach):
        return outer
    outer[:] = False  # ranges that overlap without nesting: one outermost range after the other
    row, last = int(np.searchsorted(start, -1)), -1
    while row < len(start):
        outer[row] = True
        last = int(end[row])
        row = max(row + 1, int(np.searchsorted(start, last)))
    return outer


def _streams(trace: Trace, launches: Launches) -> dict[str, Any]:
    streams = {}
    for label, rows in by_stream(trace):
        order = rows[np.lexsort((launches.start[rows], trace.gpu.end[rows], trace.gpu.start[rows]))]
        gpu = take(trace.gpu, order)
        streams[label] = {
            "events": len(order),
            "busy_ns": length_of_union(gpu.start, gpu.end),
            "gap_ns": _gap_causes(gpu.start, gpu.end, launches.start[order], launches.known[order]),
            "queue_depth_max": _deepest_queue(gpu.start, launches.start[order], launches.known[order]),
        }
    return streams


def _gap_causes(start: I64, end: I64, launched: I64, known: NDArray[np.bool_]) -> dict[str, int]:
    """Idle between the events of a stream (sorted), by what is known of the next event's launch."""
    before = np.maximum.accumulate(end)[:-1]
    gap = start[1:] - before
    free = gap > 0
    host = known[1:] & (launched[1:] > before)
    short = gap < SHORT_GAP_NS
    causes = {
        "host_wait": host,
        "short": known[1:] & ~host & short,
        "other": known[1:] & ~host & ~short,
        "unlaunched": ~known[1:],
    }
    return {cause: int(gap[free & mask].sum()) for cause, mask in causes.items()}


def _deepest_queue(start: I64, launched: I64, known: NDArray[np.bool_]) -> int:
    """Most events launched and not yet started at any moment; a launch counts before a start at the same time."""
    return int(queue_depths(start[known], launched[known])[1].max(initial=0))


def queue_depths(start: I64, launched: I64) -> tuple[I64, I64]:
    """Times at which a queue changes and its depth from then on."""
    times = np.concatenate([launched, start])
    change = np.repeat(np.array([1, -1]), len(start))
    order = np.lexsort((-change, times))
    return times[order], np.cumsum(change[order])
