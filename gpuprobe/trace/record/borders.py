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
_CAPTURE_BEGINS, _CAPTURE_ENDS = re.compile("StreamBeginCapture"), re.compile("StreamEndCapture")
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

    Of what is kept: how many GPU events have no call; of calls that launch, copy or set and have no GPU work, how many
    were captured into a graph, and how many were not (their work was lost). ``misnumbered`` counts calls of the runtime
    with the number of an earlier one: their GPU work is joined to that one.
    """

    kernels: Records
    memory: Records
    runtime: Records
    driver: Records
    cut: int = 0
    without_call: int = 0
    without_work: int = 0
    captured: int = 0
    misnumbered: int = 0


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


def first_launch(spool: Spool, after: int) -> int | None:
    """When the first call that is known to launch, copy or set began after a time, ns; None where none did."""
    calls = _Calls(spool)
    later = calls.first[calls.launching & (calls.first > after)]
    return int(later.min()) if len(later) else None


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
        self._spool, self._columns = spool, {key: np.concatenate([t[key] for t in calls]) for key in ("name", "thread")}
        self.launching = np.zeros(len(self.correlation), bool)
        np.logical_or.at(self.launching, self.of_call, self._named(_LAUNCHING))

    def _named(self, pattern: re.Pattern[str]) -> Mask:
        """Which calls, one by one, have a name that matches."""
        names = [number for number, text in self._spool.names.items() if pattern.search(call_name(text))]
        named: Mask = np.isin(self._columns["name"], names)
        return named

    def captured(self) -> Mask:
        """Those made while their thread captured a graph, between the calls that begin and end it."""
        begins, ends = self._named(_CAPTURE_BEGINS), self._named(_CAPTURE_ENDS)
        found = np.zeros(len(self.correlation), bool)
        for thread in np.unique(self._columns["thread"][begins]):
            here = self._columns["thread"] == thread
            begun, ended = (np.sort(self.first[self.of_call[here & mask]]) for mask in (begins, ends))
            places = np.unique(self.of_call[here])
            found[places] = np.searchsorted(begun, self.first[places]) > np.searchsorted(ended, self.first[places])
        return found

    def disorder(self) -> int:
        """By how much a call's number can be less than that of one that began before it; 0 within a thread."""
        numbers = self.correlation[np.argsort(self.first, kind="stable")].astype(np.int64)
        return int((np.maximum.accumulate(numbers) - numbers).max(initial=0))

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
        captured = idle & self._calls.captured() if idle.any() else idle
        split = len(self._spool["runtime"])
        return Kept(
            kernels,
            memory,
            _of(self._spool["runtime"], calls[:split]),
            _of(self._spool["driver"], calls[split:]),
            cut=len(np.unique(np.concatenate(gone))) + cut,
            without_call=sum(orphans) if self._inside.any() else 0,
            without_work=int((idle & ~captured).sum()),
            captured=int(captured.sum()),
            misnumbered=_misnumbered(self._spool["runtime"]),
        )

    def _work_that_stays(self, work: Records, place: I64) -> Mask:
        """Whether GPU work stays: with its call; without one, where it was launched between calls of one window.

        CUPTI numbers calls in the order in which they begin; those that several threads make at a time, nearly so.
        Where there are no calls, the work has no number, or CUPTI gives graphs wrong ones, its own start decides.
        """
        start = _ns(work["start"])
        window = np.searchsorted(self._switching, start, side="right") - 1
        by_start: Mask = (window >= 0) & (start >= self._on[window])
        if not len(self._inside):
            return by_start
        by_call = np.where(place >= 0, self._inside[place], self._between(work) if self._inside.any() else by_start)
        numberless = (work["correlation"] == 0) | (self._graphs_err() & (work["graph"] > 0))
        return np.where(numberless, by_start, by_call)

    def _between(self, work: Records) -> Mask:
        low, high = self._numbers()
        window = np.searchsorted(low, work["correlation"], side="right") - 1
        return (window >= 0) & (work["correlation"] <= high[window])

    def _numbers(self) -> tuple[I64, I64]:
        """Least and greatest correlation of what surely was launched in each window, of those that have calls."""
        window, number = self._window[self._inside], self._calls.correlation[self._inside].astype(np.int64)
        low, high = np.full(len(self._on), _NEVER), np.zeros(len(self._on), np.int64)
        np.minimum.at(low, window, number)
        np.maximum.at(high, window, number)
        disorder = self._calls.disorder()
        low, high = np.where(low < _NEVER, low + disorder, low), high - disorder
        low[self._on == 0], high[self._off == _NEVER] = 0, _NEVER
        order = np.argsort(low, kind="stable")
        return low[order], np.maximum.accumulate(high[order])

    def _graphs_err(self) -> bool:
        version = self._spool.info.get("cupti_version", "")
        return version.isdigit() and 130_000 <= int(version) < CORRECT_GRAPHS

    def _calls_that_stay(self, launched: I64) -> tuple[Mask, int, Mask]:
        """Mask of all calls; how many launches without GPU work lie across a border; those that stay, by correlation.

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
        return stays[calls.of_call], int(cut.sum()), stays & calls.launching & ~has_work


def _misnumbered(calls: Records) -> int:
    """How many calls bear the number of one that had ended before."""
    ordered = calls[np.lexsort((calls["start"], calls["correlation"]))]
    before, after = ordered[:-1], ordered[1:]
    return int(((before["correlation"] == after["correlation"]) & (after["start"] >= before["end"])).sum())


def _of(table: Records, mask: Mask) -> Records:
    """The rows of a mask; most recordings lose none, and records are large."""
    return table if mask.all() else table[mask]


def _ns(times: NDArray[Any]) -> I64:
    signed: I64 = np.minimum(times, np.uint64(_NEVER)).astype(np.int64)
    return signed
