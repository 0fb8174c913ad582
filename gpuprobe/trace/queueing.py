"""What a launch meets: an idle stream or a queue. The launch floor, and how deep the queues are.

The floor is the 5th percentile of the launch-to-start time over kernels whose stream had nothing left to do when their
launch call began: what a launch costs when it waits for nothing. What exceeds it is queueing.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpuprobe.trace.classes import by_stream, stream_ids
from gpuprobe.trace.exact import queue_depths
from gpuprobe.trace.launches import Launches
from gpuprobe.trace.model import GpuKind, Trace

HARDWARE_QUEUE = 1024
"""Launches that a stream takes before the host call blocks."""
FLOOR_PERCENTILE = 5


class Floor(NamedTuple):
    """The launch floor, ns, and how many launches it rests on: 0 and 0 where none found its stream idle."""

    ns: int
    samples: int


def found_idle(trace: Trace, launches: Launches) -> NDArray[np.bool_]:
    """Which GPU events were launched when everything before them on their stream had ended."""
    gpu = trace.gpu
    stream = stream_ids(trace)
    order = np.lexsort((gpu.end, gpu.start, stream))
    idle = np.zeros(len(order), bool)
    borders = [*np.flatnonzero(np.append(True, stream[order][1:] != stream[order][:-1])).tolist(), len(order)]
    for begin, stop in pairwise(borders):
        rows = order[begin:stop]
        if len(rows):
            before = np.append(np.iinfo(np.int64).min, np.maximum.accumulate(gpu.end[rows])[:-1])
            idle[rows] = launches.start[rows] >= before
    return idle & launches.known


def launch_floor(trace: Trace, launches: Launches) -> Floor:
    """The floor of this trace, over kernels outside graphs."""
    waits = trace.gpu.start - launches.start
    rows = (trace.gpu.kind == GpuKind.KERNEL) & ~launches.graph & (waits >= 0) & found_idle(trace, launches)
    if not rows.any():
        return Floor(0, 0)
    return Floor(int(np.percentile(waits[rows], FLOOR_PERCENTILE, method="lower")), int(rows.sum()))


def queue_table(trace: Trace, launches: Launches) -> dict[str, dict[str, Any]]:
    """Per stream: deepest queue, its mean over time, share of time with work waiting, time at the hardware's limit."""
    table = {}
    for label, rows in by_stream(trace):
        known = rows[launches.known[rows]]
        times, depth = queue_depths(trace.gpu.start[known], launches.start[known])
        length = np.diff(times)
        total = int(length.sum())
        held = depth[:-1]
        table[label] = {
            "launched": len(known),
            "depth_max": int(depth.max(initial=0)),
            "depth_mean": float((held * length).sum() / total) if total else 0.0,
            "waiting_share": float(length[held > 0].sum() / total) if total else 0.0,
            "full_ns": int(length[held >= HARDWARE_QUEUE].sum()),
            "started_before_launch": int((trace.gpu.start[known] < launches.start[known]).sum()),
        }
    return table
