"""Predicted over measured on logarithmic axes, the diagonal, and colours by what bounds a point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gpuprobe.report.axes import Frame, decades
from gpuprobe.report.format import quantity
from gpuprobe.report.svg import Picture, circle, line, picture

CLASSES = ("s1", "s2", "s3", "s4", "s5")


@dataclass(frozen=True)
class Point:
    """A time or power that was measured, what was predicted of it (SI), and its region."""

    measured: float
    predicted: float
    region: str


def scatter(title: str, points: Sequence[Point], unit: str = "s") -> Picture:
    """A picture of points around the diagonal."""
    values = [value for point in points for value in (point.measured, point.predicted)]
    frame = Frame(height=330, left=64)
    low, high = min(values) / 1.3, max(values) * 1.3
    x, y = frame.x(low, high, log=True), frame.y(low, high, log=True)
    ticks = [(value, quantity(value, unit)) for value in decades(low, high)]
    regions = list(dict.fromkeys(point.region for point in points))
    classes = {region: CLASSES[index % len(CLASSES)] for index, region in enumerate(regions)}
    marks = [
        *frame.y_axis(y, ticks, "predicted"),
        *frame.x_axis(x, ticks, "measured"),
        line(x(low), y(low), x(high), y(high), "mark"),
        *(circle(x(p.measured), y(p.predicted), 1.8, f"dot {classes[p.region]}") for p in points),
    ]
    within = sum(abs(point.predicted / point.measured - 1) <= 0.1 for point in points)
    said = f"{within} of {len(points)} held-out points lie within 10 % of what was measured."
    legend = [(f"mark-{class_}", region) for region, class_ in classes.items()]
    return picture(title, said, frame.height, marks, caption=f"{title}: {said}", legend=legend)
