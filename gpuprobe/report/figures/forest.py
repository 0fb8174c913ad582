"""Ratios with their intervals, one line each: two runs, or a run and published values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from gpuprobe.comparison import Comparison
from gpuprobe.published import Agreement
from gpuprobe.report.axes import Frame, Scale, log_ticks, nice_ticks
from gpuprobe.report.format import label
from gpuprobe.report.run_view import RunView
from gpuprobe.report.svg import Picture, circle, line, picture, rect, text

WIDTH, LABELS, LEFT, RIGHT = 900, 342, 484, 14
"""Labels end at ``LABELS``; ratio and verdict stand between them and the plot: a narrow screen shows both at once."""

PITCH, HEAD = 20, 8
MOST, LABEL = 40, 46
BEYOND = 1.5
"""An interval that reaches further than this times the farthest ratio (logarithms) is cut off at the border."""

FAR = 1.6
"""From this ratio on, the axis is marked as a logarithmic one."""

CLASSES = {"FASTER": "s3", "SLOWER": "s4", "OUTSIDE": "s4", "WITHIN": "s3", "DIFFERENT": "s2"}
"""Verdict → colour; the others are grey. The verdict also stands in words beside each line."""


@dataclass(frozen=True)
class Line:
    """A ratio with its interval, and the band around 1 that counts as no difference."""

    label: str
    verdict: str
    ratio: float
    low: float
    high: float
    band: float = 0.0


def forest(title: str, description: str, rows: Sequence[Line], axis: str) -> Picture:
    """A picture of ratios around 1, on a logarithmic axis where they reach far."""
    frame = Frame(WIDTH, HEAD + PITCH * len(rows) + 46, left=LEFT, right=RIGHT)
    ratios = [end for row in rows for end in (row.ratio, 1 - row.band, 1 + row.band) if end > 0]
    ends = [end for row in rows for end in (row.low, row.high) if end > 0]
    farthest, widest = (max(1.01, *(max(end, 1 / end) for end in found)) for found in (ratios, ends))
    reach = max(farthest, min(widest, farthest**BEYOND)) ** 1.05
    x = frame.x(1 / reach, reach, log=True)
    values = nice_ticks(x.low, x.high, 6) if reach < FAR else log_ticks(x.low, x.high)
    marks = [line(x(value), HEAD, x(value), frame.height - frame.bottom, "grid") for value in values]
    marks += frame.x_axis(x, [(value, f"{value:.4g}") for value in values], axis)
    marks.append(line(x(1), HEAD, x(1), frame.height - frame.bottom, "mark"))
    marks += [mark for index, row in enumerate(rows) for mark in _line(row, HEAD + index * PITCH, x)]
    return picture(title, description, frame.height, marks, width=WIDTH)


def _line(row: Line, top: float, x: Scale) -> Iterator[Markup]:
    class_ = CLASSES.get(row.verdict, "s0")
    base = top + PITCH / 2
    if row.band:
        yield rect(x(1 - row.band), base - 6, x(1 + row.band) - x(1 - row.band), 12, "track")
    yield text(row.label, LABELS, base + 4, anchor="end")
    yield text(f"{row.ratio:.4f} {row.verdict}", LABELS + 12, base + 4, "muted")
    low, high = (min(max(end, x.low), x.high) for end in (row.low, row.high))
    yield line(x(low), base, x(high), base, f"line {class_}")
    yield circle(x(row.ratio), base, 3.6, f"dot {class_}", f"{row.ratio:.4f} ({row.low:.4f} to {row.high:.4f})")


def of_comparison(comparison: Comparison, a: str, b: str) -> Picture | None:
    """The rows of a comparison of ``b`` with ``a`` that lie farthest from 1, in the unit they were measured in."""
    native = [row for row in comparison.rows if row.domain == "native"]
    shown = sorted(native, key=lambda row: -row.apart)[:MOST]
    if not shown:
        return None
    rows = [
        Line(label(row.name, row.quantity, row.params, LABEL), str(row.verdict), row.ratio, row.low, row.high)
        for row in shown
    ]
    title = f"The {len(rows)} rows that differ most"
    said = f"Largest: {rows[0].label} at {rows[0].ratio:.4f}."
    return forest(f"{title}, {b} over {a}", said, rows, "ratio b / a")


def of_published(view: RunView) -> Picture | None:
    """Ours over values published for this product, or else for its chip, with the tolerance; None without any."""
    own = [row for row in view.published if row.match == "device"]
    shown = sorted(own or view.published, key=lambda row: -abs(math.log(row.ratio)) if row.ratio > 0 else 0.0)[:MOST]
    if not shown:
        return None
    rows = [
        Line(
            label(row.name, row.quantity, view.kept(row.name, row.params), LABEL),
            str(row.verdict),
            row.ratio,
            row.low,
            row.high,
            row.tolerance,
        )
        for row in shown
    ]
    within = sum(row.verdict is Agreement.WITHIN for row in shown)
    every = len(own or view.published)
    most = f", the {len(rows)} of {every} that differ most" if every > len(rows) else ""
    where = view.run.device.name if own else f"the chip {view.run.device.chip}"
    said = f"{within} of {len(rows)} lie within their tolerance."
    return forest(f"Ours over values published for {where}{most}", said, rows, "ours / published")
