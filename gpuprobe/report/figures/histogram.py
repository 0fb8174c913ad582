"""The two halves of a split L2: a histogram of single timed loads, from the raw samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from gpuprobe.record import Series
from gpuprobe.report.axes import Frame, Scale, nice_ticks
from gpuprobe.report.run_view import RunView
from gpuprobe.report.svg import Picture, line, picture, polyline, rect, text

PROBE = "l2_near_far"
BIN = 4
"""Cycles of one bin; a column lap0_0488 counts loads of 488 to 495 cycles."""

RARE = 5e-4
"""Bins with less than this share of the loads are outside the picture (page walks, refreshes)."""


def near_far(view: RunView) -> Picture | None:
    """First and second lap of the chase, less the cost of the clock reads; None without single-load samples."""
    singles = [one for one in view.series(PROBE) if one.params.get("LOADS") == 1]
    laps = [_counts(singles, f"lap{lap}_") for lap in (0, 1)]
    again = view.one(PROBE, "again")
    if not all(laps) or again is None:
        return None
    cost = _median(laps[1]) + BIN / 2 - again.value
    shown = [{at - cost: count for at, count in lap.items() if count > RARE * lap.total()} for lap in laps]
    places = [at for lap in shown for at in lap]
    frame = Frame(height=300, top=24)
    x = frame.x(min(places) - BIN, max(places) + 2 * BIN)
    shares = [{at: count / laps[lap].total() for at, count in shown[lap].items()} for lap in (0, 1)]
    y = frame.y(0, max(max(lap.values()) for lap in shares) * 1.08)
    marks = list(frame.y_axis(y, [(value, f"{value:.0%}") for value in nice_ticks(0, y.high, 5)], "share of loads"))
    width = x(BIN) - x(0)
    marks += [
        rect(x(at), y(value), width - 0.6, y(0) - y(value), "s1", f"{at:.0f} cycles: {value:.2%}")
        for at, value in sorted(shares[0].items())
    ]
    marks.append(polyline(list(_outline(shares[1], x, y)), "line s2"))
    marks += frame.x_axis(x, [(value, f"{value:.0f}") for value in nice_ticks(x.low, x.high, 7)], "cycles")
    found = {name: view.one(PROBE, name) for name in ("near", "far")}
    for name, row in found.items():
        if row is not None and x.contains(row.value):
            marks.append(line(x(row.value), frame.top - 4, x(row.value), y(0), "mark"))
            marks.append(text(f"{name} {row.value:.0f}", x(row.value), frame.top - 9, "muted", "middle"))
    said = "; ".join(f"{name} {row.value:.1f} cycles" for name, row in found.items() if row is not None)
    return picture(
        "L2 hits of single loads: near and far half",
        f"{said}; a second lap takes {again.value:.1f} cycles.",
        frame.height,
        marks,
        legend=[("mark-s1", "first lap: lines where they were written"), ("mark-s2", "second lap: own copies")],
    )


def _outline(lap: Mapping[float, float], x: Scale, y: Scale) -> Iterator[tuple[float, float]]:
    """The outline of a histogram whose bins may have gaps between them."""
    for at, value in sorted(lap.items()):
        if at - BIN not in lap:
            yield x(at), y(0)
        yield x(at), y(value)
        yield x(at + BIN), y(value)
        if at + BIN not in lap:
            yield x(at + BIN), y(0)


def _median(counts: Counter[int]) -> float:
    """The lower median of what ``counts`` counts, some hundred thousand loads, without writing them all out."""
    half, below = (counts.total() + 1) // 2, 0
    for at, count in sorted(counts.items()):
        below += count
        if below >= half:
            return float(at)
    return 0.0


def _counts(series: list[Series], prefix: str) -> Counter[int]:
    """Loads by the lower edge of their bin, cycles, summed over samples."""
    counts: Counter[int] = Counter()
    for one in series:
        for name, column in one.columns.items():
            if name.startswith(prefix):
                counts[int(name.removeprefix(prefix))] += int(sum(column))
    return counts
