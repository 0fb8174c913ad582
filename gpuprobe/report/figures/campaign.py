"""SM clock and power over the time of a run: median and range of all samples in each slice."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, pairwise

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from gpuprobe.report.axes import Frame, Scale, nice_ticks
from gpuprobe.report.run_view import RunView
from gpuprobe.report.svg import Picture, area, line, picture, polyline, text

SLICES = 180
WIDTH, PANEL, LEFT = 900, 170, 62
Slices = list[tuple[float, float, float, float]]
"""Time, median, lowest and highest value of each slice that holds samples."""


def over_time(view: RunView) -> Picture | None:
    """Two panels over one time axis; None where no sample states both time and clock."""
    clock, power = (_slices(view, name) for name in ("sm_clock_hz", "power_w"))
    if len(clock) < 2 or len(power) < 2:
        return None
    end = max(clock[-1][0], power[-1][0])
    limits = view.run.environment.power_limit_w, view.run.device.get("boost_clock_hz")
    boost = limits[1] / 1e6 if limits[1] else None
    clock_mhz = [(at, median / 1e6, low / 1e6, high / 1e6) for at, median, low, high in clock]
    marks = [
        *_panel(0, end, clock_mhz, "SM clock, MHz", "s1", boost, "boost clock"),
        *_panel(PANEL, end, power, "power, W", "s2", limits[0], "power limit"),
    ]
    frame = Frame(WIDTH, 2 * PANEL + 44, left=LEFT, bottom=42)
    ticks = [(value, f"{value:.0f}") for value in nice_ticks(0, end, 10)]
    marks += frame.x_axis(frame.x(0, end), ticks, "seconds since the run began")
    lowest, highest = min(row[2] for row in clock), max(row[3] for row in power)
    said = f"The SM clock fell to {lowest / 1e6:.0f} MHz at the lowest; power reached {highest:.0f} W."
    return picture("SM clock and power over the run", said, frame.height, marks, width=WIDTH)


def _slices(view: RunView, column: str) -> Slices:
    columns = [one.columns for one in view.run.series if "at_s" in one.columns and column in one.columns]
    at, value = (
        np.fromiter(chain.from_iterable(part[name] for part in columns), np.float64) for name in ("at_s", column)
    )
    known = value > 0
    return list(_summaries(at[known], value[known]))


def _summaries(at: NDArray[np.float64], value: NDArray[np.float64]) -> Iterator[tuple[float, float, float, float]]:
    if len(at) == 0 or not at.max() > 0:
        return
    edges = np.linspace(0, at.max(), SLICES + 1)
    order = np.argsort(at, kind="stable")
    borders = np.searchsorted(at[order], edges)
    borders[-1] = len(at)
    for index in range(SLICES):
        inside = value[order[borders[index] : borders[index + 1]]]
        if len(inside):
            middle = float(edges[index] + edges[index + 1]) / 2
            yield middle, float(np.median(inside)), float(inside.min()), float(inside.max())


def _unbroken(rows: Slices) -> Iterator[Slices]:
    """Parts without an empty slice: nothing is drawn where nothing was sampled."""
    step = min(b[0] - a[0] for a, b in pairwise(rows))
    begin = 0
    for index in range(1, len(rows) + 1):
        if index == len(rows) or rows[index][0] - rows[index - 1][0] > 1.5 * step:
            yield rows[begin:index]
            begin = index


def _panel(
    top: float, end: float, rows: Slices, label: str, class_: str, limit: float | None, limit_name: str
) -> Iterator[Markup]:
    frame = Frame(WIDTH, PANEL, left=LEFT, bottom=8, top=14)
    x = frame.x(0, end)
    values = [one for row in rows for one in row[2:]] + ([limit] if limit else [])
    margin = 0.06 * (max(values) - min(values)) or 1.0
    y = Scale(min(values) - margin, max(values) + margin, top + PANEL - frame.bottom, top + frame.top)
    for value in nice_ticks(y.low, y.high, 4):
        yield line(frame.left, y(value), WIDTH - frame.right, y(value), "grid")
        yield text(f"{value:.0f}", frame.left - 6, y(value) + 4, anchor="end")
    middle = top + PANEL / 2
    yield text(label, 12, middle, "label", "middle", transform=f"rotate(-90 12 {middle:.0f})")
    for part in _unbroken(rows):
        upper, lower = ([(x(row[0]), y(row[end])) for row in part] for end in (3, 2))
        yield area(upper, lower, f"{class_} band")
        yield polyline([(x(at), y(median)) for at, median, _, _ in part], f"line {class_}")
    if limit:
        yield line(frame.left, y(limit), WIDTH - frame.right, y(limit), "limit")
        yield text(f"{limit_name} {limit:.0f}", WIDTH - frame.right, y(limit) - 5, "small muted halo", "end")
