"""Operators of a trace on the roofline of their GPU: achieved FLOP/s over arithmetic intensity."""

from __future__ import annotations

import math
from typing import Any

from gpuprobe.report.axes import Frame, decades
from gpuprobe.report.format import cut, quantity, seconds, share
from gpuprobe.report.svg import Picture, circle, line, picture, polyline, text

MOST = 60
_KINDS = {"gemm": "s1", "batched_gemm": "s1", "attention": "s2", "norm": "s3", "softmax": "s3"}
_OTHER = "s5"
_LEGEND = (("mark-s1", "GEMM"), ("mark-s2", "attention"), ("mark-s3", "norm"), ("mark-s5", "elementwise"))


def operators(roofline: dict[str, Any]) -> Picture | None:
    """Operators with the most GPU time under the limits; None without limits or FLOPs."""
    limits = roofline["limits"]
    rows = [row for row in roofline["operators"] if row["flop"] and row["median_ns"]]
    rows = sorted(rows, key=lambda row: -row["sum_ns"])[:MOST]
    if limits is None or not rows:
        return None
    rates = limits["flop_per_s"]
    fastest = max((row["rate"] if row["rate"] in rates else "fp32" for row in rows), key=lambda name: rates[name])
    top = rates[fastest]
    intensities = [row["flop"] / row["bytes"] for row in rows]
    frame = Frame(height=320, left=68)
    ridge = top / limits["bytes_per_s"]
    x = frame.x(_down(min(intensities) / 2), _up(max(*intensities, ridge) * 2), log=True)
    y = frame.y(_down(min(row["flop_per_s"] for row in rows) / 2), top * 2, log=True)
    begin = max(x.low, y.low / limits["bytes_per_s"])
    middle = math.sqrt(begin * ridge)
    marks = [
        *frame.y_axis(y, [(value, quantity(value, "FLOP/s").replace("FLOP/s", "")) for value in decades(y.low, y.high)],
                      "FLOP/s"),
        *frame.x_axis(x, [(value, f"{value:g}") for value in decades(x.low, x.high)], "arithmetic intensity, FLOP/B"),
        polyline([(x(begin), y(begin * limits["bytes_per_s"])), (x(ridge), y(top))], "limit"),
        line(x(ridge), y(top), x.stop, y(top), "limit"),
        text(f"{fastest} {quantity(top, 'FLOP/s')}", x.stop, y(top) - 6, "small", "end"),
        text(f"memory {quantity(limits['bytes_per_s'], 'B/s')}", x(middle) - 8, y(middle * limits["bytes_per_s"]) - 6,
             "small muted halo", "end"),
    ]  # fmt: skip
    total = sum(row["sum_ns"] for row in rows)
    for row in rows:
        place = x(row["flop"] / row["bytes"]), y(row["flop_per_s"])
        tip = f"{cut(row['name'], 60)} {cut(str(row['shapes']), 80)}: {seconds(row['median_ns'])} x {row['calls']}"
        marks.append(circle(*place, 2.5 + 9 * math.sqrt(row["sum_ns"] / total), f"dot {_class(row)}", tip))
    said = "; ".join(f"{row['name']} {share(row['share_of_limit'])} of its limit" for row in rows[:8])
    caption = "Operators under the roofline: a dot's area is its GPU time"
    return picture("Operators under the roofline", said, frame.height, marks, caption=caption, legend=_LEGEND)


def _class(row: dict[str, Any]) -> str:
    return _KINDS.get(row["kind"], _OTHER)


def _down(value: float) -> float:
    return 10.0 ** math.floor(math.log10(value))


def _up(value: float) -> float:
    return 10.0 ** math.ceil(math.log10(value))
