"""The critical path: which work, one piece after the other, the end of the run waited for.

Walked backwards from the end of the last GPU event. A kernel that was launched while its stream was busy waited for the
event before it; one launched on an idle stream waited for its launch call; one that still started late waited for the
last event of another stream. A host thread waited for the GPU inside a synchronising call, else it was working. The
walk cuts the window into consecutive pieces, so the times by bound sum to the window exactly. No graph is built;
linear time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from typing import Any

import numpy as np

from gpuprobe.trace.classes import WORK, stream_ids, work_of
from gpuprobe.trace.idle import synchronising
from gpuprobe.trace.launches import Launches
from gpuprobe.trace.model import I64, RangeKind, Trace
from gpuprobe.trace.queueing import Floor

BOUNDS = ("gpu_compute", "gpu_communication", "gpu_memory", "gpu_gap", "launch", "host", "sync_return", "unknown")
TOP_NAMES = 15
MOST_TRIES = 64
"""Events of no length that may be passed over in a search, so that the walk stays linear on odd files."""


def critical_path(trace: Trace, launches: Launches, floor: Floor) -> dict[str, Any]:
    """Window, pieces, time by bound and the kernels with the most time on the path, ns; zeros without GPU work."""
    if len(trace.gpu.start) == 0:
        return {"window_ns": 0, "pieces": 0, "bound_ns": dict.fromkeys(BOUNDS, 0), "kernels": []}
    walk = _Walk(trace, launches, floor)
    walk.run()
    names = sorted(walk.by_name.items(), key=lambda item: (-item[1], item[0]))[:TOP_NAMES]
    return {
        "window_ns": walk.end - walk.begin,
        "pieces": walk.pieces,
        "bound_ns": {bound: walk.bound[bound] for bound in BOUNDS},
        "kernels": [{"name": trace.texts[name], "on_path_ns": time} for name, time in names],
    }


class _Walk:
    """The walk's state: a cursor that only moves back, and the time it attributed on the way."""

    def __init__(self, trace: Trace, launches: Launches, floor: Floor) -> None:
        gpu = trace.gpu
        self._start: list[int] = gpu.start.tolist()
        self._end: list[int] = gpu.end.tolist()
        self._launch: list[int] = launches.start.tolist()
        self._known = launches.known.tolist()
        self._name = gpu.name.tolist()
        self._work = work_of(trace).tolist()
        self._floor = floor.ns
        self._before: list[int] = _event_before(trace).tolist()
        by_end = np.argsort(gpu.end, kind="stable")
        self._by_end: list[int] = by_end.tolist()
        self._ends: list[int] = gpu.end[by_end].tolist()
        waits = synchronising(trace)
        self._sync_start: list[int] = waits.start.tolist()
        self._sync_end: list[int] = waits.end.tolist()
        self.begin: int = _first_start(trace)
        self.end: int = self._ends[-1]
        self.bound: dict[str, int] = defaultdict(int)
        self.by_name: dict[int, int] = defaultdict(int)
        self.pieces = 0
        self._cursor: int = self.end

    def run(self) -> None:
        """Walk from the last event to the begin of the window."""
        event: int | None = self._by_end[-1]
        while event is not None and self._cursor > self.begin:
            work = self._back_to(self._start[event], f"gpu_{WORK[self._work[event]]}")
            self.by_name[self._name[event]] += work
            event = self._cause_of(event)
        self._back_to(self.begin, "host")

    def _back_to(self, time: int, bound: str) -> int:
        """Move the cursor back to ``time`` (never forward) and charge the way to ``bound``."""
        time = max(self.begin, min(time, self._cursor))
        length = self._cursor - time
        self._cursor = time
        if length:
            self.bound[bound] += length
            self.pieces += 1
        return length

    def _cause_of(self, event: int) -> int | None:
        """The GPU event that ``event`` waited for, having charged what lies between; None if there is none."""
        before = self._before[event]
        free = self._end[before] if before >= 0 else self.begin
        if not self._known[event]:
            self._back_to(free, "unknown" if before < 0 else "gpu_gap")
            return before if before >= 0 else None
        launched = self._launch[event]
        ready = max(free, launched + self._floor)
        if self._start[event] > ready:
            other = self._last_ended_in(ready, self._start[event], event)
            if other is not None:
                self._back_to(self._end[other], "gpu_gap")
                return other
        if before >= 0 and free >= launched:
            self._back_to(free, "gpu_gap")
            return before
        self._back_to(launched, "launch")
        return self._cause_on_host()

    def _cause_on_host(self) -> int | None:
        """From a launch call back to the last synchronising call that returned, and the GPU event that it awaited."""
        while True:
            sync = bisect_right(self._sync_end, self._cursor) - 1
            if sync < 0 or self._sync_end[sync] <= self.begin:
                return None
            self._back_to(self._sync_end[sync], "host")
            awaited = self._last_ended_in(self._sync_start[sync], self._cursor, -1)
            if awaited is not None:
                self._back_to(self._end[awaited], "sync_return")
                return awaited
            self._back_to(self._sync_start[sync], "host")

    def _last_ended_in(self, low: int, high: int, but: int) -> int | None:
        """The GPU event that ended last in (low, high], other than ``but``."""
        last = bisect_right(self._ends, high) - 1
        for position in range(last, max(-1, last - MOST_TRIES), -1):
            if self._ends[position] <= low:
                return None
            event = self._by_end[position]
            if event != but and self._start[event] < self._cursor:
                return event
        return None


def _event_before(trace: Trace) -> I64:
    """For each GPU event the event before it on its stream, -1 for the first."""
    stream = stream_ids(trace)
    order = np.lexsort((trace.gpu.end, trace.gpu.start, stream))
    before = np.full(len(order), -1)
    same = stream[order][1:] == stream[order][:-1]
    before[order[1:][same]] = order[:-1][same]
    return before


def _first_start(trace: Trace) -> int:
    """When the run begins: its first GPU event, call, operator or annotation. The profiler's own span is no work."""
    ranges = trace.ranges
    own = ranges.start[(ranges.kind == RangeKind.OPERATOR) | (ranges.kind == RangeKind.ANNOTATION)]
    return min(int(column.min()) for column in (trace.gpu.start, trace.calls.start, own) if len(column))
