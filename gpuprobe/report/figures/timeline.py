"""The timeline of a trace: a lane for each stream, cut into slices of equal time; a bar is as high as its busy share.

A trace of any length gives a picture of bounded size: ``SLICES`` bars at most in each of ``MOST_LANES`` lanes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from gpuprobe.report.axes import Frame, Scale, nice_ticks
from gpuprobe.report.format import cut, seconds, share
from gpuprobe.report.svg import Picture, element, line, number, picture, rect, text
from gpuprobe.trace.classes import WORK, by_stream, work_of
from gpuprobe.trace.exact import step_rows
from gpuprobe.trace.intervals import Intervals, covered, union
from gpuprobe.trace.model import I64, Trace

SLICES = 420
MOST_LANES = 12
MOST_STEPS = 12
WIDTH, LANE, BAR, HEAD = 900, 40, 24, 30
CLASSES = {"compute": "s1", "communication": "s2", "memory": "s3", "call": "s5"}


def timeline(trace: Trace) -> Picture:
    """Streams, busiest first, then the host's calls, over the span of the GPU's work."""
    low, high = int(trace.gpu.start.min()), int(trace.gpu.end.max())
    edges = np.linspace(low, max(high, low + SLICES), SLICES + 1).astype(np.int64)
    lanes = [*_streams(trace), ("host", {"call": union(trace.calls.start, trace.calls.end)})]
    frame = Frame(WIDTH, HEAD + LANE * len(lanes) + 44, left=18, right=18)
    x = frame.x(0, float(edges[-1] - low))
    marks = [*_steps(trace, low, x, frame)]
    for index, (label, parts) in enumerate(lanes):
        marks += _lane(label, parts, edges, HEAD + index * LANE, x)
    ticks = [(value, seconds(value)) for value in nice_ticks(0, x.high, 9)]
    marks += frame.x_axis(x, ticks, "time since the first GPU event")
    slice_ns = float(edges[1] - edges[0])
    said = f"{len(lanes) - 1} streams over {seconds(high - low)}; each bar is {seconds(slice_ns)} and as high as busy."
    caption = f"Timeline: a slice is {seconds(slice_ns)}, a bar as high as its share of busy time"
    seen = {name for _, parts in lanes for name, part in parts.items() if len(part.start)}
    words = {"call": "API call on the host"}
    legend = [(f"mark-{class_}", words.get(name, name)) for name, class_ in CLASSES.items() if name in seen]
    return picture("Timeline of streams", said, frame.height, marks, width=WIDTH, caption=caption, legend=legend)


def _streams(trace: Trace) -> list[tuple[str, dict[str, Intervals]]]:
    """The busiest streams and their busy times by class of work."""
    gpu, work = trace.gpu, work_of(trace)
    found = [
        (
            f"stream {label}",
            {name: _union_of(gpu.start, gpu.end, rows[work[rows] == kind]) for kind, name in enumerate(WORK)},
        )
        for label, rows in by_stream(trace)
    ]
    return sorted(found, key=lambda lane: -sum(part.length for part in lane[1].values()))[:MOST_LANES]


def _union_of(start: I64, end: I64, rows: NDArray[np.intp]) -> Intervals:
    return union(start[rows], end[rows])


def _lane(label: str, parts: dict[str, Intervals], edges: I64, top: float, x: Scale) -> Iterator[Markup]:
    lengths = np.diff(edges)
    base = top + LANE - 4
    busy = {name: covered(part, edges[:-1], edges[1:]) / lengths for name, part in parts.items()}
    total = sum(float((values * lengths).sum()) for values in busy.values()) / float(lengths.sum())
    yield text(f"{cut(label, 60)}: {share(min(total, 1.0))} busy", x.start, top + 9, "small muted")
    yield rect(x.start, base - BAR, x.stop - x.start, BAR, "track")
    below: NDArray[np.int64] = np.zeros(SLICES, np.int64)
    places = np.round(x.start + np.arange(SLICES + 1) * (x.stop - x.start) / SLICES, 1)
    for name, values in busy.items():
        heights = np.where(values > 0, np.maximum(1, np.round(values * BAR)), 0).astype(np.int64)
        heights = np.minimum(heights, BAR - below)
        if heights.any():
            path = _outline(places.tolist(), (base - below).tolist(), heights.tolist())
            yield element("path", class_=CLASSES[name], d=path)
        below = below + heights


def _outline(places: list[float], base: list[float], heights: list[int]) -> str:
    """Rectangles as one path; neighbours of one height and base are drawn as one."""
    path, begin = [], 0
    for end in range(1, len(heights) + 1):
        if end == len(heights) or (heights[end], base[end]) != (heights[begin], base[begin]):
            if heights[begin]:
                left, right = number(places[begin]), number(places[end])
                path.append(f"M{left} {number(base[begin])}H{right}v-{heights[begin]}H{left}z")
            begin = end
    return "".join(path)


def _steps(trace: Trace, low: int, x: Scale, frame: Frame) -> Iterator[Markup]:
    """A line at the begin of each profiler step."""
    rows = step_rows(trace)[:MOST_STEPS]
    last = -1e9
    for start, name in zip((trace.ranges.start[rows] - low).tolist(), trace.ranges.name[rows].tolist(), strict=True):
        if not x.contains(start):
            continue
        yield line(x(start), HEAD - 8, x(start), frame.height - frame.bottom, "mark")
        if x(start) - last > 110:
            yield text(cut(trace.texts[name], 17), x(start) + 3, 12, "small muted")
            last = x(start)
