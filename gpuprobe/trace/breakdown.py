"""Where GPU time goes: computing, exposed communication, exposed memory work, idle; per device, stream, step and phase.

The four parts of a window sum to the window: communication counts only where nothing computes, memory work only where
nothing computes or communicates, idle is what remains. ``*_union_ns`` are the classes' full times, overlaps included.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpuprobe.trace.classes import COMMUNICATION, COMPUTE, MEMORY, WORK, by_device, by_stream, work_of
from gpuprobe.trace.exact import step_rows
from gpuprobe.trace.intervals import Intervals, covered, union
from gpuprobe.trace.launches import Launches
from gpuprobe.trace.model import I64, RangeKind, Trace

MOST_PHASES = 50


class Layers(NamedTuple):
    """Unions of GPU work, each with one class more: computing, and communicating, and moving memory."""

    compute: Intervals
    with_communication: Intervals
    busy: Intervals


def layers(start: I64, end: I64, work: NDArray[np.uint8]) -> Layers:
    """Layers of the GPU events given."""
    computing = work == COMPUTE
    moving = work == MEMORY
    return Layers(union(start[computing], end[computing]), union(start[~moving], end[~moving]), union(start, end))


def split(parts: Layers, low: I64, high: I64) -> dict[str, I64]:
    """Each window [low, high) split into its four parts, ns; the parts sum to the window."""
    compute, both, busy = (covered(part, low, high) for part in parts)
    return {
        "compute_ns": compute,
        "exposed_communication_ns": both - compute,
        "exposed_memory_ns": busy - both,
        "idle_ns": (high - low) - busy,
    }


def breakdown(trace: Trace, launches: Launches) -> dict[str, Any]:
    """Breakdown per device and stream over its span, per step and phase over the host's windows."""
    gpu, work = trace.gpu, work_of(trace)
    everything = layers(gpu.start, gpu.end, work)
    return {
        "devices": {label: _over_span(trace, work, rows) for label, rows in by_device(trace)},
        "streams": {label: _over_span(trace, work, rows) for label, rows in by_stream(trace)},
        "steps": _steps(trace, launches, everything),
        "phases": _phases(trace, launches, everything),
    }


def _over_span(trace: Trace, work: NDArray[np.uint8], rows: NDArray[np.intp]) -> dict[str, int]:
    start, end, kinds = trace.gpu.start[rows], trace.gpu.end[rows], work[rows]
    low, high = start.min(keepdims=True), end.max(keepdims=True)
    parts = split(layers(start, end, kinds), low, high)
    found = {"span_ns": int((high - low)[0]), **{name: int(values[0]) for name, values in parts.items()}}
    for kind in (COMMUNICATION, MEMORY):
        found[f"{WORK[kind]}_union_ns"] = union(start[kinds == kind], end[kinds == kind]).length
    return found


def _steps(trace: Trace, launches: Launches, everything: Layers) -> list[dict[str, Any]]:
    rows = step_rows(trace)
    low, high = trace.ranges.start[rows], trace.ranges.end[rows]
    columns = {"window_ns": high - low, **split(everything, low, high), **_launched_inside(trace, launches, low, high)}
    return [
        {"name": trace.texts[name], **{key: int(values[index]) for key, values in columns.items()}}
        for index, name in enumerate(trace.ranges.name[rows].tolist())
    ]


def _phases(trace: Trace, launches: Launches, everything: Layers) -> list[dict[str, Any]]:
    """Annotations by name, steps left out: sums over their instances, longest first."""
    ranges = trace.ranges
    rows = np.setdiff1d(np.flatnonzero(ranges.kind == RangeKind.ANNOTATION), step_rows(trace))
    low, high = ranges.start[rows], ranges.end[rows]
    columns = {"window_ns": high - low, **split(everything, low, high), **_launched_inside(trace, launches, low, high)}
    names, which = np.unique(ranges.name[rows], return_inverse=True)
    order = np.argsort(which, kind="stable")
    counts = np.bincount(which, minlength=len(names))
    first = np.append(0, np.cumsum(counts)[:-1]).astype(np.intp)
    sums = {key: np.add.reduceat(values[order], first) if len(rows) else values for key, values in columns.items()}
    found = [
        {"name": trace.texts[name], "count": int(counts[index]), **{key: int(sums[key][index]) for key in sums}}
        for index, name in enumerate(names.tolist())
    ]
    return sorted(found, key=lambda row: (-row["window_ns"], row["name"]))[:MOST_PHASES]


def _launched_inside(trace: Trace, launches: Launches, low: I64, high: I64) -> dict[str, I64]:
    """GPU events launched inside each window, on any thread, and the sum of their durations wherever they ran."""
    known = np.flatnonzero(launches.known)
    order = known[np.argsort(launches.start[known], kind="stable")]
    starts = launches.start[order]
    total = np.append(0, np.cumsum(trace.gpu.dur[order]))
    begin, stop = np.searchsorted(starts, low), np.searchsorted(starts, high)
    return {"launched_events": stop - begin, "launched_gpu_ns": total[stop] - total[begin]}
