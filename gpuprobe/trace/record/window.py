"""Cutting a recording to what was asked for: phases by their range's name, steps by their number."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gpuprobe.errors import GpuprobeError
from gpuprobe.trace.intervals import union
from gpuprobe.trace.model import I64, AnyTable, Label, RangeKind, Trace, take

STEP = r"(?i)^(ProfilerStep#\d+|(.*[\s_./:-])?(step|iteration|iter)([\s_#:=-]*\d+)?)$"
"""Ranges that are steps where --phase says nothing: ``ProfilerStep#3``, ``step``, ``train_step 7``, ``iteration=2``."""
_EDGE_NS = 200_000_000
_MOST = 2**31

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Window:
    """What to keep: ranges whose name matches ``phase``, of them in time order ``first`` to before ``last``."""

    phase: str | None = None
    first: int = 0
    last: int = _MOST

    @property
    def whole(self) -> bool:
        """Whether everything is kept."""
        return self.phase is None and (self.first, self.last) == (0, _MOST)


def parse_window(phase: str | None, steps: str | None) -> Window:
    """The window of the options ``--phase REGEX`` and ``--steps A:B`` (B exclusive, either may be left out)."""
    if phase is not None:
        try:
            re.compile(phase)
        except re.error as error:
            raise GpuprobeError(
                f"--phase '{phase}' is no regular expression: {error}", "for example: --phase 'decode|prefill'"
            ) from error
    if steps is None:
        return Window(phase)
    found = re.fullmatch(r"(\d*):(\d*)", steps)
    if not found:
        raise GpuprobeError(
            f"--steps takes A:B, not '{steps}'", "for example: --steps 2:5 for the third to the fifth step"
        )
    first, last = int(found[1] or 0), int(found[2] or _MOST)
    if first >= last:
        raise GpuprobeError(f"--steps {steps} holds no step", "B is exclusive: --steps 2:3 is one step")
    return Window(phase, first, last)


def parse_sample(text: str | None) -> tuple[int, int] | None:
    """Milliseconds of recording and of pause of the option ``--sample ON:OFF``."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,7}):(\d{1,7})", text)
    if not found or not int(found[1]) or not int(found[2]):
        raise GpuprobeError(
            f"--sample takes milliseconds ON:OFF, not '{text}'", "for example: --sample 50:200 records a fifth"
        )
    return int(found[1]), int(found[2])


def cut(trace: Trace, window: Window) -> Trace:
    """The part of a trace inside the window; the whole with a warning where no range matches (a recording is dear)."""
    if window.whole:
        return trace
    rows = _matching(trace, window)
    if not len(rows):
        what = f"--phase {window.phase}" if window.phase else "a step"
        warning = f"no range matches {what} (from {window.first}): the whole recording is kept"
        return replace(trace, warnings=(*trace.warnings, warning))
    keep = _Kept(trace, rows)
    meta = {
        **trace.meta,
        "window": {"phase": window.phase, "first": window.first, "last": window.last, "ranges": len(rows)},
    }
    return replace(
        trace,
        gpu=take(trace.gpu, keep.gpu()),
        calls=take(trace.calls, keep.started_in(trace.calls)),
        ranges=take(trace.ranges, keep.started_in(trace.ranges)),
        syncs=take(trace.syncs, keep.started_in(trace.syncs)),
        samples=take(trace.samples, keep.near(trace.samples.start)),
        meta=meta,
    )


def _matching(trace: Trace, window: Window) -> NDArray[np.intp]:
    """Rows of Trace.ranges inside the window, of each process its own numbering."""
    named = trace.text_mask(re.compile(window.phase or STEP).search)[trace.ranges.name]
    rows = np.flatnonzero(named & np.isin(trace.ranges.kind, (RangeKind.ANNOTATION, RangeKind.OPERATOR)))
    rows = rows[np.argsort(trace.ranges.start[rows], kind="stable")]
    pids = _pids(trace)[trace.ranges.lane[rows]]
    parts = [rows[pids == pid][window.first : window.last] for pid in np.unique(pids)]
    return np.concatenate(parts) if parts else rows


class _Kept:
    """Which rows of each table lie in the chosen ranges of their own process."""

    def __init__(self, trace: Trace, rows: NDArray[np.intp]) -> None:
        self._trace, self._pids = trace, _pids(trace)
        start, end = trace.ranges.start[rows], trace.ranges.end[rows]
        pids = self._pids[trace.ranges.lane[rows]]
        self._windows = {int(pid): _union(start[pids == pid], end[pids == pid]) for pid in np.unique(pids)}
        self._span = int(start.min()), int(end.max())

    def started_in(self, table: AnyTable) -> Mask:
        """Rows that start inside a window of their process."""
        assert hasattr(table, "lane")
        kept = np.zeros(len(table.start), bool)
        for pid, (begins, ends) in self._windows.items():
            before = np.searchsorted(begins, table.start, side="right") - 1
            inside = (before >= 0) & (table.start < ends[np.maximum(before, 0)])
            kept |= inside & (self._pids[table.lane] == pid)
        return kept

    def gpu(self) -> Mask:
        """GPU work whose launch is kept, wherever it ran; without a launch in the file, by its own start."""
        trace = self._trace
        calls = self.started_in(trace.calls)
        launched = np.isin(trace.gpu.correlation, trace.calls.correlation) & (trace.gpu.correlation != 0)
        kept = np.isin(trace.gpu.correlation, trace.calls.correlation[calls])
        return np.where(launched, kept, self.started_in(trace.gpu))

    def near(self, times: I64) -> Mask:
        """Times from shortly before the first window to shortly after the last: sensors tick slowly."""
        return (times >= self._span[0] - _EDGE_NS) & (times <= self._span[1] + _EDGE_NS)


def _union(start: I64, end: I64) -> tuple[I64, I64]:
    merged = union(start, end)
    return merged.start, merged.end


def _pids(trace: Trace) -> NDArray[np.intp]:
    """A number for each lane's process."""
    numbers: dict[Label, int] = {}
    return np.fromiter((numbers.setdefault(lane.pid, len(numbers)) for lane in trace.lanes), np.intp, len(trace.lanes))
