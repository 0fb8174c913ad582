"""Latency of L2 from every SM: to the half it sits at, and to the other one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from markupsafe import Markup

from gpuprobe.record import Measurement
from gpuprobe.report.axes import Frame, Scale, nice_ticks
from gpuprobe.report.run_view import RunView
from gpuprobe.report.svg import Picture, circle, picture, rect, text

PROBE, AXIS = "l2_map", "SM"
WIDTH, STRIP = 920, 10


def l2_map(view: RunView) -> Picture | None:
    """Near and far latency over the SMs' numbers, with a strip that says which half each SM belongs to."""
    near, far, half = (_by_sm(view, quantity) for quantity in ("near", "far", "half"))
    if len(near) < 2:
        return None
    frame = Frame(width=WIDTH, height=300, top=30)
    values = [row.value for row in (*near.values(), *far.values())]
    x, y = frame.x(-1, max(near) + 1), frame.y(min(values) * 0.9, max(values) * 1.05)
    marks = [
        *frame.y_axis(y, [(value, f"{value:.0f}") for value in nice_ticks(y.low, y.high)], "cycles"),
        *frame.x_axis(x, [(value, f"{value:.0f}") for value in nice_ticks(0, max(near), 12)], "SM, by number"),
        *_halves(half, x),
    ]
    for rows, class_, word in ((far, "s2", "far"), (near, "s1", "near")):
        marks += [circle(x(sm), y(row.value), 2.6, f"dot {class_}", _tip(sm, row, word)) for sm, row in rows.items()]
    said = "; ".join(f"{word} {_range(rows)} cycles" for rows, word in ((near, "near"), (far, "far")) if rows)
    legend = (("mark-s1", "near half"), ("mark-s2", "far half"), ("mark-s5", "strip: half 1"), ("mark-s6", "half 2"))
    return picture("Latency of L2 from every SM", said, frame.height, marks, width=WIDTH, legend=legend)


def _by_sm(view: RunView, quantity: str) -> Mapping[int, Measurement]:
    rows = (row for row in view.rows(PROBE, quantity) if isinstance(row.params.get(AXIS), int))
    return {int(row.params[AXIS]): row for row in sorted(rows, key=lambda row: int(row.params[AXIS]))}


def _halves(half: Mapping[int, Measurement], x: Scale) -> Iterator[Markup]:
    if half:
        yield text("half", x.start - 6, STRIP + 9, "muted", "end")
    for sm, row in half.items():
        yield rect(x(sm - 0.5), STRIP, x(sm + 0.5) - x(sm - 0.5), 9, "s5" if row.value < 1.5 else "s6", f"SM {sm}")


def _tip(sm: int, row: Measurement, word: str) -> str:
    return f"SM {sm}, {word}: {row.value:.1f} cycles ({row.low:.1f} to {row.high:.1f})"


def _range(rows: Mapping[int, Measurement]) -> str:
    values = [row.value for row in rows.values()]
    return f"{min(values):.0f} to {max(values):.0f}"
