"""The quantities of SKIP (ISPASS 2025): TKLQT, AKD, IL, GPU and CPU idle; split into launch floor and queueing.

t_l of a kernel is its start minus the start of its launch call; TKLQT is their sum. Queueing adds up over kernels, so
TKLQT is no share of the wall clock. Three values are given, because a graph launch is one call with many kernels:
``all`` charges every kernel, ``no_graph`` leaves graph kernels out, ``graph_once`` charges each graph launch its first
kernel. SKIP's GPU idle, IL - sum of durations, counts overlaps twice and turns negative; ``gpu_idle_union_ns`` does
not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuprobe.trace.exact import first_parents
from gpuprobe.trace.intervals import covered, length_of_union, union
from gpuprobe.trace.launches import Launches
from gpuprobe.trace.model import I64, GpuKind, RangeKind, Trace
from gpuprobe.trace.queueing import Floor, found_idle


def skip(trace: Trace, launches: Launches, floor: Floor) -> dict[str, Any]:
    """All quantities, ns; those that need an operator are None without one."""
    kernels = trace.gpu.kind == GpuKind.KERNEL
    rows = kernels & launches.known
    idle = found_idle(trace, launches)
    document: dict[str, Any] = {
        "kernels": int(kernels.sum()),
        "launched_kernels": int(rows.sum()),
        "orphan_kernels": int((kernels & ~launches.known).sum()),
        "akd_ns": float(trace.gpu.dur[kernels].mean()) if kernels.any() else None,
        "floor": {"ns": floor.ns, "samples": floor.samples},
        "found_idle_share": float(idle[rows].mean()) if rows.any() else None,
        "tklqt": {
            "all": _waits(trace, launches, rows, floor),
            "no_graph": _waits(trace, launches, rows & ~launches.graph, floor),
            "graph_once": _waits(trace, launches, rows & first_of_graph(trace, launches, rows), floor),
        },
    }
    document.update(_latency(trace, launches, kernels))
    return document


def first_of_graph(trace: Trace, launches: Launches, rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """All events outside graphs, and of each graph launch the kernel that starts first."""
    keep = ~launches.graph
    graph = np.flatnonzero(launches.graph & rows)
    order = graph[np.lexsort((graph, trace.gpu.start[graph], launches.call[graph]))]
    _, first = np.unique(launches.call[order], return_index=True)
    keep[order[first]] = True
    return keep


def _waits(trace: Trace, launches: Launches, rows: NDArray[np.bool_], floor: Floor) -> dict[str, Any]:
    """TKLQT over some kernels; floor part and queueing sum to the clamped value exactly."""
    raw = (trace.gpu.start - launches.start)[rows]
    waits = np.maximum(raw, 0)
    floors = np.minimum(waits, floor.ns)
    return {
        "n": len(raw),
        "raw_ns": int(raw.sum()),
        "clamped_ns": int(waits.sum()),
        "negative": int((raw < 0).sum()),
        "floor_ns": int(floors.sum()),
        "queueing_ns": int((waits - floors).sum()),
        "median_ns": float(np.median(raw)) if len(raw) else None,
    }


def _latency(trace: Trace, launches: Launches, kernels: NDArray[np.bool_]) -> dict[str, Any]:
    """IL and the idle times inside it."""
    keys = ("il_ns", "gpu_idle_skip_ns", "gpu_idle_union_ns", "cpu_idle_ns", "launching_thread")
    parents = first_parents(trace)
    if not kernels.any() or len(parents) == 0:
        return dict.fromkeys(keys)
    gpu = trace.gpu
    begin, end = int(trace.ranges.start[parents].min()), int(gpu.end[kernels].max())
    window: tuple[I64, I64] = (np.array([begin]), np.array([end]))
    busy = union(gpu.start[kernels], gpu.end[kernels])
    lane = _launching_lane(trace, launches)
    latency = end - begin
    return {
        "il_ns": latency,
        "gpu_idle_skip_ns": latency - int(gpu.dur[kernels].sum()),
        "gpu_idle_union_ns": latency - int(covered(busy, *window)[0]),
        "cpu_idle_ns": None if lane is None else latency - _operator_time(trace, lane, begin, end),
        "launching_thread": None if lane is None else f"{trace.lanes[lane].pid}/{trace.lanes[lane].tid}",
    }


def _launching_lane(trace: Trace, launches: Launches) -> int | None:
    """The host lane with the most launches."""
    lanes = trace.calls.lane[launches.call[launches.known]]
    return int(np.bincount(lanes).argmax()) if len(lanes) else None


def _operator_time(trace: Trace, lane: int, begin: int, end: int) -> int:
    """Length of the union of a lane's operators inside [begin, end), ns."""
    ranges = trace.ranges
    rows = (ranges.kind == RangeKind.OPERATOR) & (ranges.lane == lane) & (ranges.start < end) & (ranges.end > begin)
    return length_of_union(np.maximum(ranges.start[rows], begin), np.minimum(ranges.end[rows], end))
