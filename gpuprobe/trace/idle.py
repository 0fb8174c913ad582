"""Why a device is idle. Every gap between its busy times is split over causes; the causes sum to the idle time exactly.

A gap [a, b) ends with the event that starts at b; its launch tells the cause, in this order:
``unknown``      no launch of that event is in the file;
``host_sync``    until the launch call began, the part in which a host thread was inside a synchronising call;
``host``         until the launch call began, the rest: the host was late;
``launch``       from the launch call on, up to the launch floor: what a launch costs at best;
``dependency``   what remains, on a stream that was told to wait for an event of another stream;
``graph``        what remains between the kernels of one graph launch;
``scheduling``   what remains: launched in time, started late (the device's own gap between kernels, or an unseen wait).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuprobe.trace.classes import by_device, by_stream
from gpuprobe.trace.intervals import Intervals, covered, gaps, union
from gpuprobe.trace.launches import Launches
from gpuprobe.trace.model import I64, Trace
from gpuprobe.trace.queueing import Floor

CAUSES = ("host", "host_sync", "launch", "dependency", "graph", "scheduling", "unknown")


def is_synchronising(call: str) -> bool:
    """Whether a runtime or driver call returns only when GPU work is done."""
    return "Synchronize" in call or call in ("cudaMemcpy", "hipMemcpy", "hipMemcpyWithStream")


def synchronising(trace: Trace) -> Intervals:
    """When any host thread was inside a synchronising call."""
    rows = trace.text_mask(is_synchronising)[trace.calls.name] & (trace.calls.dur > 0)
    return union(trace.calls.start[rows], trace.calls.end[rows])


def idle_causes(trace: Trace, launches: Launches, floor: Floor) -> dict[str, dict[str, Any]]:
    """Per device: idle time, number of gaps, the longest, and the time by cause, ns."""
    waiting = synchronising(trace)
    told = told_to_wait(trace, launches)
    found = {}
    for label, rows in by_device(trace):
        start, end = trace.gpu.start[rows], trace.gpu.end[rows]
        idle = gaps(union(start, end), int(start.min()), int(end.max()))
        order = np.argsort(start, kind="stable")
        following = rows[order[np.searchsorted(start[order], idle.end)]]
        causes = _split(idle, launches, following, waiting, told[following], floor)
        length = idle.end - idle.start
        found[label] = {
            "idle_ns": idle.length,
            "gaps": len(length),
            "longest_ns": int(length.max(initial=0)),
            "causes_ns": {cause: int(causes[cause].sum()) for cause in CAUSES},
        }
    return found


def _split(
    idle: Intervals,
    launches: Launches,
    following: NDArray[np.intp],
    waiting: Intervals,
    after_wait: NDArray[np.bool_],
    floor: Floor,
) -> dict[str, I64]:
    """Each gap's time by cause."""
    known, graph = launches.known[following], launches.graph[following]
    launched = np.clip(launches.start[following], idle.start, idle.end)
    late = np.where(known, launched - idle.start, 0)
    synced = np.where(known, covered(waiting, idle.start, launched), 0)
    rest = np.where(known, idle.end - launched, 0)
    launch = np.where(late > 0, np.minimum(rest, floor.ns), 0)
    rest = rest - launch
    inside_graph = graph & (launches.start[following] < idle.start)
    return {
        "unknown": np.where(known, 0, idle.end - idle.start),
        "host": late - synced,
        "host_sync": synced,
        "launch": launch,
        "dependency": np.where(after_wait, rest, 0),
        "graph": np.where(inside_graph & ~after_wait, rest, 0),
        "scheduling": np.where(inside_graph | after_wait, 0, rest),
    }


def told_to_wait(trace: Trace, launches: Launches) -> NDArray[np.bool_]:
    """Which GPU events have a wait for another stream between the last launch on their stream and their own."""
    syncs = trace.syncs
    told = np.zeros(len(trace.gpu.start), bool)
    rows = np.flatnonzero(trace.text_mask(lambda text: "Stream Wait" in text)[syncs.name])
    if len(rows) == 0:
        return told
    labels = [f"{lane.device_label}/{lane.stream_label}" for lane in trace.lanes]
    waiting = np.array(labels)[syncs.lane[rows]]
    for label, events in by_stream(trace):
        times = np.sort(syncs.start[rows[waiting == label]])
        order = events[np.argsort(trace.gpu.start[events], kind="stable")]
        launched = launches.start[order]
        before = np.append(np.iinfo(np.int64).min, launched[:-1])
        told[order] = np.searchsorted(times, launched, "right") > np.searchsorted(times, before, "right")
    return told & launches.known
