"""Predicted over measured on logarithmic axes, the diagonal, and colours by what bounds a point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gpuprobe.report.axes import Frame, log_ticks, nice_ticks
from gpuprobe.report.format import quantity
from gpuprobe.report.svg import Picture, dots, line, picture, rect

CLASSES = ("s1", "s2", "s3", "s4", "s5")
NEAR, REACH = 0.1, 0.4
"""Errors that are small, and those that the picture of errors reaches to."""


@dataclass(frozen=True)
class Point:
    """A time or power that was measured, what was predicted of it (SI), and its region."""

    measured: float
    predicted: float
    region: str


def scatter(title: str, points: Sequence[Point], unit: str = "s") -> Picture:
    """A picture of points around the diagonal."""
    values = [value for point in points for value in (point.measured, point.predicted)]
    frame = Frame(height=330, left=70)
    low, high = min(values) / 1.3, max(values) * 1.3
    x, y = frame.x(low, high, log=True), frame.y(low, high, log=True)
    ticks = [(value, quantity(value, unit)) for value in log_ticks(low, high)]
    marks = [
        *frame.y_axis(y, ticks, "predicted"),
        *frame.x_axis(x, ticks, "measured"),
        line(x(low), y(low), x(high), y(high), "mark"),
        *(dots([(x(p.measured), y(p.predicted)) for p in part], f"dots {class_}") for class_, part in _regions(points)),
    ]
    within = sum(abs(point.predicted / point.measured - 1) <= NEAR for point in points)
    said = f"{within} of {len(points)} held-out points lie within {NEAR:.0%} of what was measured"
    return picture(title, said, frame.height, marks, caption=f"{title}: {said}", legend=_legend(points))


def ratios(title: str, points: Sequence[Point], unit: str = "s") -> Picture:
    """The same points as relative errors over what was measured; errors beyond ``REACH`` lie at the edge."""
    frame = Frame(height=300, left=70)
    measured = [point.measured for point in points]
    x = frame.x(min(measured) / 1.3, max(measured) * 1.3, log=True)
    y = frame.y(-REACH, REACH)
    ticks = [(value, f"{value:+.0%}".replace("+0%", "0")) for value in nice_ticks(-REACH, REACH, 6)]
    marks = [
        rect(x.start, y(NEAR), x.stop - x.start, y(-NEAR) - y(NEAR), "track"),
        *frame.y_axis(y, ticks, "predicted / measured - 1"),
        *frame.x_axis(x, [(value, quantity(value, unit)) for value in log_ticks(x.low, x.high)], "measured"),
        line(x.start, y(0), x.stop, y(0), "mark"),
    ]
    for class_, part in _regions(points):
        errors = [(p.measured, max(-REACH, min(REACH, p.predicted / p.measured - 1))) for p in part]
        marks.append(dots([(x(at), y(error)) for at, error in errors], f"dots {class_}"))
    outside = sum(abs(point.predicted / point.measured - 1) > REACH for point in points)
    said = f"{outside} of {len(points)} points lie beyond {REACH:.0%}"
    caption = f"{title}: error over size (grey: within {NEAR:.0%})"
    return picture(f"{title}: error", said, frame.height, marks, caption=caption, legend=_legend(points))


def _regions(points: Sequence[Point]) -> list[tuple[str, list[Point]]]:
    """Colour and points of each region, the same colour for a region in every picture."""
    names = sorted({point.region for point in points})
    return [
        (CLASSES[index % len(CLASSES)], [point for point in points if point.region == name])
        for index, name in enumerate(names)
    ]


def _legend(points: Sequence[Point]) -> list[tuple[str, str]]:
    return [(f"mark-{class_}", f"bound by {part[0].region}") for class_, part in _regions(points)]
