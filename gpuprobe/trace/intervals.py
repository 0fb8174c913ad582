"""Sets of time as sorted, disjoint intervals: unions, intersections, lengths; all in integer nanoseconds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gpuprobe.trace.model import I64


class Intervals(NamedTuple):
    """Disjoint intervals [start, end) in ascending order."""

    start: I64
    end: I64

    @property
    def length(self) -> int:
        """Total length, ns."""
        return int((self.end - self.start).sum())


def union(start: I64, end: I64) -> Intervals:
    """The union of intervals in any order; those that touch become one."""
    if len(start) == 0:
        return Intervals(start, end)
    order = np.argsort(start, kind="stable")
    start, end = start[order], end[order]
    reach = np.maximum.accumulate(end)
    first = np.append(True, start[1:] > reach[:-1])
    return Intervals(start[first], np.append(reach[np.flatnonzero(first)[1:] - 1], reach[-1]))


def length_of_union(start: I64, end: I64) -> int:
    """Length of the union of intervals, ns."""
    return union(start, end).length


def gaps(busy: Intervals, low: int, high: int) -> Intervals:
    """What ``busy`` leaves free of [low, high)."""
    if high <= low:
        return Intervals(np.zeros(0, np.int64), np.zeros(0, np.int64))
    start = np.clip(np.append(low, busy.end), low, high)
    end = np.clip(np.append(busy.start, high), low, high)
    keep = end > start
    return Intervals(start[keep], end[keep])


def intersection(a: Intervals, b: Intervals) -> Intervals:
    """Times in both sets: the complement of the union of the complements."""
    if len(a.start) == 0 or len(b.start) == 0:
        return Intervals(np.zeros(0, np.int64), np.zeros(0, np.int64))
    low, high = int(min(a.start[0], b.start[0])), int(max(a.end[-1], b.end[-1]))
    free_a, free_b = gaps(a, low, high), gaps(b, low, high)
    free = union(np.concatenate([free_a.start, free_b.start]), np.concatenate([free_a.end, free_b.end]))
    return gaps(free, low, high)


def covered(busy: Intervals, low: I64, high: I64) -> I64:
    """Length of ``busy`` inside each window [low, high), ns."""
    return _covered_before(busy, high) - _covered_before(busy, low)


def _covered_before(busy: Intervals, time: I64) -> I64:
    """Length of ``busy`` before each time, ns."""
    if len(busy.start) == 0:
        return np.zeros(len(time), np.int64)
    total = np.append(0, np.cumsum(busy.end - busy.start))
    index = np.searchsorted(busy.start, time, side="right")
    last = np.maximum(index - 1, 0)
    inside = np.minimum(time, busy.end[last]) - busy.start[last]
    return np.where(index > 0, total[last] + inside, 0)
