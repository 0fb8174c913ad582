"""What of a process belongs to its windows. A launch is one thing, its calls and its GPU work: both stay or none does.

The recorder switches CUPTI's kinds and functions one after the other while the program launches on. So a launch belongs
to the window in which its first call began: once everything was on, and before anything went off. Of a launch across
such a border CUPTI may hold the call alone (GPU work was enqueued with its kind off) or the GPU work alone (its call
began or ended with the function off); these are left out and counted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpuprobe.trace.model import I64
from gpuprobe.trace.record.spool import Records, Spool
from gpuprobe.trace.record.texts import call_name

CORRECT_GRAPHS = 130_101
"""CUPTI 13.1 Update 1: before it graph launches had wrong correlations after the first window (its release notes)."""
_LAUNCHING = re.compile(r"Launch(?!HostFunc)|Memcpy|Memset")
_BEGINS, _ALL_ON = 1, 2
_NEVER = np.iinfo(np.int64).max
_LATEST = 2**62
"""ns: a later time is a damaged file's."""

Mask = NDArray[np.bool_]


class Period(NamedTuple):
    """A window of one process, ns: when its switching on began, when all was on, when the switching off began.

    ``off`` is None where the file does not say: the window lasted until the process's last flush.
    """

    switching: int
    on: int
    off: int | None


@dataclass(frozen=True)
class Kept:
    """The records that belong to the windows, and how many launches were cut.

    Of what is kept: how many GPU events have no call, and how many calls that launch, copy or set have no GPU work
    (they were captured into a graph, or it was lost).
    """

    kernels: Records
    memory: Records
    runtime: Records
    driver: Records
    cut: int = 0
    without_call: int = 0
    without_work: int = 0


def periods_of(spool: Spool) -> list[Period]:
    """The windows of a process in order of time."""
    found: list[Period] = []
    now: Period | None = None
    for mark in spool["marks"]:
        time = min(int(mark["time"]), _LATEST)
        if mark["border"] == _BEGINS:
            now = Period(time, time, None)
        elif now and mark["border"] == _ALL_ON:
            now = now._replace(on=time)
        elif now:
            found.append(now._replace(off=time))
            now = None
    return sorted([*found, *([now] if now else [])], key=lambda period: period.on)


def kept_of(spool: Spool) -> Kept:
    """The records that belong to the windows of a process; all of them where it has no windows."""
    periods = periods_of(spool)
    if periods and spool.info.get("windows") == "":  # on from CUDA's own start: no launch was before it
        periods[0] = Period(0, 0, periods[0].off)
    return _Borders(spool, periods or [Period(0, 0, None)]).kept()


class _Calls:
    """The calls of a process, those with one correlation (a driver call nested in its runtime call) together."""

    def __init__(self, spool: Spool) -> None:
        calls = [spool["runtime"], spool["driver"]]
        self.correlation, self.of_call = np.unique(
            np.concatenate([table["correlation"] for table in calls]), return_inverse=True
        )
        self.first = np.full(len(self.correlation), _NEVER)
        self.last = np.zeros(len(self.correlation), np.int64)
        np.minimum.at(self.first, self.of_call, np.concatenate([_ns(table["start"]) for table in calls]))
        np.maximum.at(self.last, self.of_call, np.concatenate([_ns(table["end"]) for table in calls]))
        names = [number for number, text in spool.names.items() if _LAUNCHING.search(call_name(text))]
        launching = np.isin(np.concatenate([table["name"] for table in calls]), names)
        self.launching = np.zeros(len(self.correlation), bool)
        np.logical_or.at(self.launching, self.of_call, launching)

    def of(self, correlation: NDArray[Any]) -> I64:
        """The place of each correlation, -1 where no call has it."""
        if not len(self.correlation):
            return np.full(len(correlation), -1)
        place = np.minimum(np.searchsorted(self.correlation, correlation), len(self.correlation) - 1)
        return np.where((self.correlation[place] == correlation) & (correlation != 0), place, -1)


class _Borders:
    def __init__(self, spool: Spool, periods: list[Period]) -> None:
        self._spool, self._calls = spool, _Calls(spool)
        self._switching = np.array([period.switching for period in periods])
        self._on = np.array([period.on for period in periods])
        self._off = np.array([_NEVER if period.off is None else period.off for period in periods])
        calls = self._calls
        self._window = np.searchsorted(self._on, calls.first, side="right") - 1
        self._inside = (self._window >= 0) & (calls.first <= self._off[self._window])

    def kept(self) -> Kept:
        """Both kinds of GPU work by their calls, then the calls by their GPU work."""
        tables = [self._spool["kernels"], self._spool["memory"]]
        places = [self._calls.of(table["correlation"]) for table in tables]
        stay = [self._work_that_stays(table, place) for table, place in zip(tables, places, strict=True)]
        kernels, memory = (_of(table, mask) for table, mask in zip(tables, stay, strict=True))
        gone = [table["correlation"][~mask] for table, mask in zip(tables, stay, strict=True)]
        orphans = [int((mask & (place < 0)).sum()) for mask, place in zip(stay, places, strict=True)]
        calls, cut, idle = self._calls_that_stay(np.concatenate(places))
        split = len(self._spool["runtime"])
        return Kept(
            kernels,
            memory,
            _of(self._spool["runtime"], calls[:split]),
            _of(self._spool["driver"], calls[split:]),
            cut=len(np.unique(np.concatenate(gone))) + cut,
            without_call=sum(orphans) if self._inside.any() else 0,
            without_work=idle,
        )

    def _work_that_stays(self, work: Records, place: I64) -> Mask:
        """Whether GPU work stays: with its call; without one, where it was launched between calls of one window.

        CUPTI numbers calls in the order in which they begin. Where there are no calls, or CUPTI gives graphs wrong
        correlations, the work's own start decides.
        """
        start = _ns(work["start"])
        window = np.searchsorted(self._switching, start, side="right") - 1
        by_start: Mask = (window >= 0) & (start >= self._on[window])
        if not len(self._inside):
            return by_start
        by_call = np.where(place >= 0, self._inside[place], self._between(work) if self._inside.any() else by_start)
        return np.where(self._graphs_err() & (work["graph"] > 0), by_start, by_call)

    def _between(self, work: Records) -> Mask:
        low, high = self._numbers()
        window = np.searchsorted(low, work["correlation"], side="right") - 1
        return (window >= 0) & (work["correlation"] <= high[window])

    def _numbers(self) -> tuple[I64, I64]:
        """Least and greatest correlation of the calls of each window that has some."""
        window, number = self._window[self._inside], self._calls.correlation[self._inside].astype(np.int64)
        low, high = np.full(len(self._on), _NEVER), np.zeros(len(self._on), np.int64)
        np.minimum.at(low, window, number)
        np.maximum.at(high, window, number)
        low[self._on == 0], high[self._off == _NEVER] = 0, _NEVER
        order = np.argsort(low, kind="stable")
        return low[order], np.maximum.accumulate(high[order])

    def _graphs_err(self) -> bool:
        version = self._spool.info.get("cupti_version", "")
        return version.isdigit() and 130_000 <= int(version) < CORRECT_GRAPHS

    def _calls_that_stay(self, launched: I64) -> tuple[Mask, int, int]:
        """Mask of all calls; how many launches without GPU work lie across a border, and how many stay.

        Of what launches nothing (waits, allocations) every call that ran in a window stays.
        """
        calls = self._calls
        has_work = np.zeros(len(calls.first), bool)
        has_work[launched[launched >= 0]] = True
        last_window = np.searchsorted(self._on, calls.last, side="right") - 1
        ran = (last_window >= 0) & (calls.first <= self._off[last_window])
        upcoming = np.minimum(self._window + 1, len(self._on) - 1)
        at_begin = (calls.first < self._on[upcoming]) & (calls.last >= self._switching[upcoming])
        at_end = self._inside & (calls.last > self._off[self._window])
        cut = ~has_work & calls.launching & (at_begin | at_end)
        stays: Mask = np.where(has_work, self._inside, ran & ~cut)
        return stays[calls.of_call], int(cut.sum()), int((stays & calls.launching & ~has_work).sum())


def _of(table: Records, mask: Mask) -> Records:
    """The rows of a mask; most recordings lose none, and records are large."""
    return table if mask.all() else table[mask]


def _ns(times: NDArray[Any]) -> I64:
    signed: I64 = np.minimum(times, np.uint64(_NEVER)).astype(np.int64)
    return signed
