"""Recordings of windows (``--sample``, ``--capture``): the time between windows is cut out of the trace.

Nothing was seen between two windows, so that time is neither busy nor idle: the trace's clock stands still in it. What
ran keeps its own duration, to the nanosecond. What all of the run would have held at the windows' pace is estimated;
a program that waits for its launches runs faster outside of them, by what recording costs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpuprobe.stats import student_quantile
from gpuprobe.trace.model import I64, GpuKind, SampleTable, Trace, make, take
from gpuprobe.trace.record.borders import CORRECT_GRAPHS, periods_of
from gpuprobe.trace.record.spool import Spool

FEWEST_WINDOWS = 5
"""Estimates of the whole run need so many windows."""
_CONFIDENCE = 0.9


class Estimate(NamedTuple):
    """What the whole run held at the windows' pace, with the ends of its 90 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Windows:
    """When records were taken, ns on the trace's clock, in order; ``span_ns`` is from the recorder's start to end."""

    begin: I64
    end: I64
    span_ns: int
    sampled: bool

    @property
    def recorded_ns(self) -> int:
        """The length of all windows."""
        return int((self.end - self.begin).sum())

    def seen(self, gpu_start: I64, gpu_end: I64) -> tuple[I64, I64]:
        """Windows lengthened by what was launched in them and ran on, those that then meet joined."""
        end = self.end.copy()
        if len(gpu_start):
            np.maximum.at(end, np.maximum(np.searchsorted(self.begin, gpu_start, side="right") - 1, 0), gpu_end)
        end = np.maximum.accumulate(end)
        first = np.append(True, self.begin[1:] > end[:-1])
        return self.begin[first], end[np.append(first[1:], True)]


def windows_of(spools: Sequence[Spool], base: int) -> Windows | None:
    """The windows of all processes together; None where there was no more than one."""
    pairs = [pair for spool in spools for pair in _pairs(spool)]
    if not pairs:
        return None
    pairs.sort()
    begin, end = (np.array(column, np.int64) - base for column in zip(*pairs, strict=True))
    end = np.maximum.accumulate(end)
    first = np.append(True, begin[1:] > end[:-1])
    if first.sum() < 2:
        return None
    clocks = np.concatenate([spool["stats"]["cupti_ns"] for spool in spools]).astype(np.int64)
    span = int(clocks.max() - clocks.min()) if len(clocks) else 0
    sampled = any(spool.info.get("windows") == "sample" for spool in spools)
    begin, end = begin[first], end[np.append(first[1:], True)]
    return Windows(begin, end, max(span, int((end - begin).sum())), sampled)


def _pairs(spool: Spool) -> list[tuple[int, int]]:
    """Begin and end of each window of a process; a window without an end goes on to the last thing known."""
    last = max([0, *spool["stats"]["cupti_ns"][-1:].tolist()])
    return [(on, max(on, last) if off is None else max(on, off)) for _, on, off in periods_of(spool)]


def without_outside(trace: Trace, spools: Sequence[Spool], base: int) -> Trace:
    """A recording of one window without ranges that ran outside of it: a step there would look idle."""
    pairs = [pair for spool in spools if spool.info.get("windows") for pair in _pairs(spool)]
    if not pairs:
        return trace
    begin, end = min(pair[0] for pair in pairs) - base, max(pair[1] for pair in pairs) - base
    inside = (trace.ranges.end >= begin) & (trace.ranges.start <= end)
    return replace(trace, ranges=take(trace.ranges, np.flatnonzero(inside)))


def cut_out(trace: Trace, windows: Windows, cupti_version: int) -> Trace:
    """The trace on a clock that stands still between windows; estimates of the whole run and what to beware of."""
    begin, end = windows.seen(trace.gpu.start, trace.gpu.end)
    before = begin[0] + np.append(0, np.cumsum(end - begin))

    def observed(time: I64) -> I64:
        window = np.maximum(np.searchsorted(begin, time, side="right") - 1, 0)
        shown: I64 = before[window] + np.clip(time - begin[window], 0, (end - begin)[window])
        return shown

    def moved(table: Any) -> Any:
        start, until = observed(table.start), observed(table.end)
        window = np.maximum(np.searchsorted(begin, table.start, side="right") - 1, 0)
        inside = (begin[window] <= table.start) & (table.start <= end[window])
        return take(replace(table, start=start, dur=until - start), np.flatnonzero(inside | (until > start)))

    meta = {**trace.meta, "windows": _told(trace, windows)}
    return replace(
        trace,
        gpu=replace(trace.gpu, start=observed(trace.gpu.start)),
        calls=moved(trace.calls),
        ranges=moved(trace.ranges),
        syncs=moved(trace.syncs),
        samples=make(SampleTable, {}),
        meta=meta,
        warnings=(*trace.warnings, *_warnings(trace, meta["windows"], cupti_version)),
    )


def _told(trace: Trace, windows: Windows) -> dict[str, Any]:
    """Meta data: how much was recorded, and for samples the estimates of GPU work in the whole run.

    Windows in ns on the clock before the cut.
    """
    told: dict[str, Any] = {
        "count": len(windows.begin),
        "recorded_ns": windows.recorded_ns,
        "span_ns": windows.span_ns,
        "begin_ns": windows.begin.tolist(),
        "end_ns": windows.end.tolist(),
    }
    if not windows.sampled or len(windows.begin) < FEWEST_WINDOWS:
        return told
    window = np.maximum(np.searchsorted(windows.begin, trace.gpu.start, side="right") - 1, 0)
    of_kernels = trace.gpu.kind == GpuKind.KERNEL
    names = {
        trace.texts[name]: _estimates(windows, window, trace.gpu.dur, trace.gpu.name == name)
        for name in np.unique(trace.gpu.name).tolist()
    }
    return {**told, "estimates": {"kernels": _estimates(windows, window, trace.gpu.dur, of_kernels), "by_name": names}}


def _estimates(windows: Windows, window: NDArray[Any], dur: I64, mask: NDArray[np.bool_]) -> dict[str, list[float]]:
    count = np.bincount(window[mask], minlength=len(windows.begin))
    ns = np.bincount(window[mask], weights=dur[mask], minlength=len(windows.begin))
    return {"count": list(estimate(windows, count)), "ns": list(estimate(windows, ns))}


def estimate(windows: Windows, totals: NDArray[Any]) -> Estimate:
    """The whole run's total of something, from its totals in the windows: the ratio estimator of survey sampling.

    Its interval is Student's from the windows' residuals, with the correction for the share that was seen (Cochran,
    Sampling Techniques, 3rd edition, sections 6.3 and 2.6). What was seen is its least.
    """
    lengths = (windows.end - windows.begin).astype(float)
    rate, span, count = totals.sum() / lengths.sum(), windows.span_ns, len(lengths)
    residual = ((totals - rate * lengths) ** 2).sum() / (count - 1)
    unseen = max(0.0, 1 - lengths.sum() / span)
    half = student_quantile(_CONFIDENCE, count - 1) * span / lengths.mean() * math.sqrt(residual / count * unseen)
    return Estimate(float(rate * span), max(float(totals.sum()), float(rate * span - half)), float(rate * span + half))


def _warnings(trace: Trace, told: dict[str, Any], cupti_version: int) -> list[str]:
    share = told["recorded_ns"] / told["span_ns"]
    found = [
        f"{told['count']} windows hold {share:.0%} of the {told['span_ns'] / 1e9:.3g} s of this run: the time between"
        " them is cut out, of ranges too, and power samples are left out"
    ]
    if "estimates" in told:
        count, ns = (told["estimates"]["kernels"][key] for key in ("count", "ns"))
        found.append(
            f"at the windows' pace the whole run holds {count[0]:.0f} kernels (90 %: {count[1]:.0f} to {count[2]:.0f}),"
            f" {ns[0] / 1e9:.3g} s of kernel time ({ns[1] / 1e9:.3g} to {ns[2] / 1e9:.3g}); recording slows launches"
        )
    if 130_000 <= cupti_version < CORRECT_GRAPHS and (trace.gpu.graph > 0).any():
        found.append("before CUPTI 13.1 Update 1 graphs launched after the first window have wrong correlations")
    return found
