"""The roofline of measured peaks: ceilings of compute, slopes of DRAM and L2, the data sheet's beside them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from markupsafe import Markup

from gpuprobe.report.axes import Frame, Scale, decades
from gpuprobe.report.format import quantity
from gpuprobe.report.run_view import RunView
from gpuprobe.report.svg import Picture, circle, line, picture, polyline, text


class Peak(NamedTuple):
    """One ceiling (FLOP/s) or slope (B/s)."""

    name: str
    value: float


class Roofline(NamedTuple):
    """Measured peaks, highest first, and the data sheet's."""

    compute: list[Peak]
    memory: list[Peak]
    datasheet_compute: Peak | None
    datasheet_memory: Peak | None

    def ridges(self) -> list[tuple[Peak, Peak, float]]:
        """Ceiling, slope and the intensity (FLOP/B) from which the ceiling limits."""
        return [(ceiling, slope, ceiling.value / slope.value) for ceiling in self.compute for slope in self.memory]


def peaks(view: RunView) -> Roofline | None:
    """The highest rate of each compute probe on random operands and the best read rate of each memory."""
    compute = [row for row in view.best_in("FLOP/s") if row.params.get("OPERANDS", "random") == "random"]
    memory = [row for row in view.best_in("B/s") if str(row.params.get("MODE", "READ")) == "READ"]
    if not compute or not memory:
        return None
    ceilings = _highest(
        [(row.name.removesuffix("_rate"), str(row.params.get("TYPE", "")), row.value) for row in compute]
    )
    slopes = _highest([(row.name.split("_")[0].upper(), "read", row.value) for row in memory])
    stated = {key: view.run.device.get(key) for key in ("tensor_f16_flop_per_s", "dram_bandwidth_bytes_per_s")}
    sheet = [Peak("data sheet", value) if value else None for value in stated.values()]
    return Roofline(ceilings, slopes, *sheet)


def _highest(rows: list[tuple[str, str, float]]) -> list[Peak]:
    found: dict[str, Peak] = {}
    for name, detail, value in rows:
        if name not in found or value > found[name].value:
            found[name] = Peak(f"{name} {detail.lower()}".strip(), value)
    return sorted(found.values(), key=lambda peak: -peak.value)


def roofline(view: RunView) -> Picture | None:
    """Attainable FLOP/s over arithmetic intensity; None without a compute and a memory peak."""
    found = peaks(view)
    if found is None:
        return None
    top = found.compute[0].value
    if found.datasheet_compute:
        top = max(top, found.datasheet_compute.value)
    frame = Frame(height=320, left=58)
    ridges = [intensity for _, _, intensity in found.ridges()]
    x = frame.x(10 ** math.floor(math.log10(min(ridges) / 20)), 10 ** math.ceil(math.log10(max(ridges) * 12)), log=True)
    y = frame.y(found.memory[-1].value * x.low, top * 1.7, log=True)
    marks = [
        *frame.y_axis(y, [(value, quantity(value, "FLOP/s").replace("FLOP/s", "")) for value in decades(y.low, y.high)],
                      "FLOP/s"),
        *frame.x_axis(x, [(value, f"{value:g}") for value in decades(x.low, x.high)], "arithmetic intensity, FLOP/B"),
        *_datasheet(found, x, y),
    ]  # fmt: skip
    for index, slope in enumerate(found.memory):
        below = 14 if index == len(found.memory) - 1 else -6
        marks += _slope(slope, found.compute[0].value, x, y, f"s{2 + index % 3}", below)
    for index, ceiling in enumerate(found.compute):
        marks += _ceiling(ceiling, found.memory[0], x, y, 14 if index else -6)
    marks += [
        circle(x(at), y(ceiling.value), 3, "dot s1", f"{slope.name} to {ceiling.name}: {at:.0f} FLOP/B")
        for ceiling, slope, at in found.ridges()
        if x.contains(at)
    ]
    said = "; ".join(f"{ceiling.name} over {slope.name} from {at:.0f} FLOP/B" for ceiling, slope, at in found.ridges())
    legend = [("mark-s1", "measured"), *_datasheet_legend(found)]
    return picture("Roofline of the measured peaks", said, frame.height, marks, legend=legend)


def _slope(peak: Peak, top: float, x: Scale, y: Scale, class_: str, below: float) -> Iterator[Markup]:
    begin = max(x.low, y.low / peak.value)
    places = [(x(at), y(at * peak.value)) for at in (begin, top / peak.value)]
    yield polyline(places, f"line {class_}")
    (x1, y1), (x2, y2) = places
    angle = math.degrees(math.atan2(y2 - y1, x2 - x1))
    at, height = x1 + 0.14 * (x2 - x1), y1 + 0.14 * (y2 - y1)
    turned = f"rotate({angle:.1f} {at:.1f} {height:.1f})"
    yield text(f"{peak.name} {quantity(peak.value, 'B/s')}", at, height + below, "small", transform=turned)


def _ceiling(peak: Peak, fastest: Peak, x: Scale, y: Scale, below: float) -> Iterator[Markup]:
    yield line(x(peak.value / fastest.value), y(peak.value), x.stop, y(peak.value), "line s1")
    yield text(f"{peak.name} {quantity(peak.value, 'FLOP/s')}", x.stop, y(peak.value) + below, "small", "end")


def _datasheet(found: Roofline, x: Scale, y: Scale) -> Iterator[Markup]:
    compute, memory = found.datasheet_compute, found.datasheet_memory
    if compute:
        yield line(x(compute.value / found.memory[0].value), y(compute.value), x.stop, y(compute.value), "limit")
    if memory and compute:
        begin = max(x.low, y.low / memory.value)
        yield line(x(begin), y(begin * memory.value), x(compute.value / memory.value), y(compute.value), "limit")


def _datasheet_legend(found: Roofline) -> list[tuple[str, str]]:
    compute, memory = found.datasheet_compute, found.datasheet_memory
    if not compute or not memory:
        return []
    return [
        ("mark-limit", f"data sheet: f16 {quantity(compute.value, 'FLOP/s')}, DRAM {quantity(memory.value, 'B/s')}")
    ]
