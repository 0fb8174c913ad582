"""Cutting a recording to what was asked for: phases by their range's name, steps by their number."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gpuprobe.errors import GpuprobeError
from gpuprobe.trace.intervals import union
from gpuprobe.trace.model import I64, AnyTable, GpuTable, Label, RangeKind, SyncTable, Trace, take

STEP = r"(?i)^(ProfilerStep#\d+|(.*[\s_./:-])?(step|iteration|iter)([\s_#:=-]*\d+)?)$"
"""Ranges that are steps where --phase says nothing: ``ProfilerStep#3``, ``step``, ``train_step 7``, ``iteration=2``."""
_EDGE_NS = 200_000_000
_MOST = 2**31
_SHOWN = 6

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

    @property
    def what(self) -> str:
        """What is kept, in words."""
        named = f"--phase {self.phase}" if self.phase else "a step"
        return f"{named} from number {self.first} on" if self.first else named


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
        warning = f"no range matches {window.what}: the whole recording is kept"
        return replace(trace, warnings=(*trace.warnings, warning))
    return _cut(trace, window, rows)


def part(trace: Trace, window: Window) -> Trace:
    """The part of a trace inside the window; GpuprobeError where no range matches."""
    if window.whole:
        return trace
    rows = _matching(trace, window)
    if not len(rows):
        named = _shown(trace)
        raise GpuprobeError(f"no range of {trace.title} matches {window.what}", f"it holds {named}" if named else "")
    return _cut(trace, window, rows)


def _shown(trace: Trace) -> str:
    """The most frequent annotations of a trace, for an error message."""
    names, counts = np.unique(trace.ranges.name[trace.ranges.kind == RangeKind.ANNOTATION], return_counts=True)
    most = np.argsort(-counts, kind="stable")[:_SHOWN]
    return ", ".join(
        f"'{trace.texts[name][:40]}' ({count})" for name, count in zip(names[most], counts[most], strict=True)
    )


def _cut(trace: Trace, window: Window, rows: NDArray[np.intp]) -> Trace:
    keep = _Kept(trace, rows)
    gpu = keep.with_call(trace.gpu)
    samples, warnings = keep.near(trace.samples.start), trace.warnings
    if hidden := _hidden(trace, gpu):
        told = f"{hidden} GPU events ran among those that are kept and are left out: their time is idle here, and"
        samples, warnings = samples & False, (*warnings, f"{told} power samples are left out")
    meta = {
        **trace.meta,
        "window": {"phase": window.phase, "first": window.first, "last": window.last, "ranges": len(rows)},
    }
    return replace(
        trace,
        gpu=take(trace.gpu, gpu),
        calls=take(trace.calls, keep.started_in(trace.calls)),
        ranges=take(trace.ranges, keep.started_in(trace.ranges)),
        syncs=take(trace.syncs, keep.with_call(trace.syncs)),
        samples=take(trace.samples, samples),
        meta=meta,
        warnings=warnings,
    )


def _hidden(trace: Trace, kept: Mask) -> int:
    """GPU events that are not kept and ran between the first and the last of those that are."""
    if not kept.any():
        return 0
    begin, end = int(trace.gpu.start[kept].min()), int(trace.gpu.end[kept].max())
    return int((~kept & (trace.gpu.start < end) & (trace.gpu.end > begin)).sum())


def _matching(trace: Trace, window: Window) -> NDArray[np.intp]:
    """Rows of Trace.ranges inside the window, of each process its own numbering."""
    named = trace.text_mask(re.compile(window.phase or STEP).search)[trace.ranges.name]
    rows = np.flatnonzero(named & np.isin(trace.ranges.kind, (RangeKind.ANNOTATION, RangeKind.OPERATOR)))
    if window.phase is None:
        rows = _outermost(trace, rows)
    rows = rows[np.argsort(trace.ranges.start[rows], kind="stable")]
    pids = _pids(trace)[trace.ranges.lane[rows]]
    parts = [rows[pids == pid][window.first : window.last] for pid in np.unique(pids)]
    return np.concatenate(parts) if parts else rows


def _outermost(trace: Trace, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Without ranges inside another one of their thread: ``Optimizer.step`` within ``ProfilerStep#3`` is no step."""
    ranges = trace.ranges
    rows = rows[np.lexsort((-ranges.end[rows], ranges.start[rows], ranges.lane[rows]))]
    outer, lane, until = [], -1, 0
    for row, here, end in zip(rows.tolist(), ranges.lane[rows].tolist(), ranges.end[rows].tolist(), strict=True):
        if here != lane or end > until:
            outer.append(row)
            lane, until = here, end
    return np.array(outer, np.intp)


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

    def with_call(self, table: GpuTable | SyncTable) -> Mask:
        """Rows whose call is kept, wherever they ran; without a call in the file, by their own start."""
        trace = self._trace
        calls = self.started_in(trace.calls)
        launched = np.isin(table.correlation, trace.calls.correlation) & (table.correlation != 0)
        kept = np.isin(table.correlation, trace.calls.correlation[calls])
        return np.where(launched, kept, self.started_in(table))

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
