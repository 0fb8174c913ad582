"""Which operator a GPU event belongs to: the innermost one around its launch call, on the launching thread."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gpuprobe.trace.launches import Launches
from gpuprobe.trace.model import I64, RangeKind, Trace


def innermost_operator(trace: Trace, launches: Launches) -> I64:
    """Row of Trace.ranges of each GPU event's operator; -1 where it has none (or no launch in the file)."""
    return innermost(trace, launches, np.flatnonzero(trace.ranges.kind == RangeKind.OPERATOR))


def innermost(trace: Trace, launches: Launches, rows: NDArray[np.intp]) -> I64:
    """Of the given rows of Trace.ranges the innermost around each GPU event's launch call; -1 where there is none."""
    owner = np.full(len(trace.gpu.start), -1, np.int64)
    known = np.flatnonzero(launches.known)
    if len(rows) == 0 or len(known) == 0:
        return owner
    thread = _threads(trace)
    of_call = thread[trace.calls.lane[launches.call[known]]]
    known = known[np.argsort(of_call, kind="stable")]
    borders = np.searchsorted(np.sort(of_call), np.arange(len(trace.lanes) + 1))
    for number, part in _by_thread(trace, rows):
        events = known[borders[number] : borders[number + 1]]
        if len(events):
            owner[events] = _around(trace, part, launches.start[events])
    return owner


def parents(trace: Trace, rows: NDArray[np.intp]) -> I64:
    """For each row of Trace.ranges the enclosing one among ``rows`` on its thread; -1 where there is none."""
    above = np.full(len(trace.ranges.start), -1, np.int64)
    for _, part in _by_thread(trace, rows):
        found = _enclosing(trace.ranges.start[part], trace.ranges.end[part])
        above[part] = np.where(found >= 0, part[found], -1)
    return above


def _by_thread(trace: Trace, rows: NDArray[np.intp]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """(thread, its rows by start, longest first)."""
    thread = _threads(trace)[trace.ranges.lane[rows]]
    order = np.lexsort((rows, -trace.ranges.end[rows], trace.ranges.start[rows], thread))
    borders = np.searchsorted(thread[order], np.arange(len(trace.lanes) + 1))
    for number, (begin, end) in enumerate(pairwise(borders.tolist())):
        if end > begin:
            yield number, rows[order[begin:end]]


def _threads(trace: Trace) -> NDArray[np.intp]:
    """A number for each lane's (process, thread)."""
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(lane[:2], len(numbers)) for lane in trace.lanes], np.intp)


def _around(trace: Trace, rows: NDArray[np.intp], times: I64) -> I64:
    """The range (of one thread's, sorted and nested) open at each time that began last; -1 outside all."""
    start, end = trace.ranges.start[rows], trace.ranges.end[rows]
    above = _enclosing(start, end)
    found = np.searchsorted(start, times, side="right") - 1
    ended = (found >= 0) & (end[found] <= times)
    while ended.any():  # as often as ranges are deep
        found[ended] = above[found[ended]]
        ended = (found >= 0) & (end[found] <= times)
    return np.where(found >= 0, rows[found], -1)


def _enclosing(start: I64, end: I64) -> NDArray[np.intp]:
    """The place of each range's enclosing one (ranges sorted by start, longest first); -1 for outermost ones."""
    above = np.full(len(start), -1, np.intp)
    stack: list[int] = []
    ends = end.tolist()
    for index, begin in enumerate(start.tolist()):
        while stack and ends[stack[-1]] <= begin:
            stack.pop()
        if stack:
            above[index] = stack[-1]
        stack.append(index)
    return above
