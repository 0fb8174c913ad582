"""The hierarchical roofline as a picture that stands alone: ceilings by type, slopes by level, GEMMs as points."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from markupsafe import Markup

from gpuprobe.report.axes import Frame, Scale, decades
from gpuprobe.report.format import quantity
from gpuprobe.report.run_view import RunView
from gpuprobe.report.svg import Picture, circle, line, picture, polyline, text
from gpuprobe.roofline import Ceiling, Placed, Roofline, Slope, ridges

WIDTH, HEIGHT = 820, 500
NEAR = 0.04
"""Limits of one origin that are as near to each other (relative) are drawn as one."""
LEAST_GAP = 13.0
ABOVE_LINE, ABOVE_DOTS = 6.0, 12.0
"""Height of a slope's label over its line, and over a line that dots lie on."""

SWEEP = "roofline_sweep"
INTEGERS = ("s8", "s4", "b1", "int32")
COLOURS = {"L1": "s3", "shared": "s4", "L2": "s2", "DRAM": "s1"}
STYLE = """
text { font: 12px system-ui, "Segoe UI", Roboto, "Liberation Sans", sans-serif; fill: #1a1f27; }
.small { font-size: 11px; } .halo { paint-order: stroke; stroke: #ffffff; stroke-width: 3px; }
.label, .muted { fill: #57606b; } .title { font-size: 15px; font-weight: 600; }
.axis { stroke: #57606b; fill: none; } .grid { stroke: #e4e8ed; fill: none; }
.line { fill: none; stroke-width: 1.8; } .sheet { stroke-dasharray: 5 3; }
.s0 { fill: #57606b; } .s1 { fill: #2467cf; } .s2 { fill: #b8560a; } .s3 { fill: #1a7a44; } .s4 { fill: #7a4bc4; }
.line.s0 { stroke: #57606b; fill: none; } .line.s1 { stroke: #2467cf; fill: none; }
.line.s2 { stroke: #b8560a; fill: none; } .line.s3 { stroke: #1a7a44; fill: none; }
.line.s4 { stroke: #7a4bc4; fill: none; } .gemm { fill: #c32034; stroke: #ffffff; } .paper { fill: #ffffff; }
"""


@dataclass(frozen=True)
class Measured:
    """A kernel that was run: FLOP per byte of DRAM, FLOP/s, and what is said about it."""

    intensity: float
    flop_per_s: float
    tip: str


def swept(view: RunView) -> list[Measured]:
    """The run's kernel of growing intensity: both of its rates were measured in the same launches."""
    bandwidth = {row.params.get("FMAS"): row.value for row in view.rows(SWEEP, "bandwidth")}
    return [
        Measured(
            row.value / bytes_per_s,
            row.value,
            f"{row.params['FMAS']} FMA an element: {quantity(row.value, 'FLOP/s')} at {quantity(bytes_per_s, 'B/s')}",
        )
        for row in view.rows(SWEEP, "flops")
        if (bytes_per_s := bandwidth.get(row.params.get("FMAS")))
    ]


def of_run(view: RunView) -> Picture | None:
    """The roofline of a run with its swept kernel as points; None where it measured no bandwidth or no rate."""
    if view.roofline is None:
        return None
    points = swept(view)
    dots = f"; dots: a kernel of {len(points)} intensities" if points else ""
    drawn = hierarchy(view.roofline, points=points)
    return replace(drawn, caption=f"Hierarchical roofline{dots}")


def hierarchy(found: Roofline, placed: Sequence[Placed] = (), points: Sequence[Measured] = ()) -> Picture:
    """Attainable FLOP/s over FLOP/B for every type and level; solid lines are measured or published, dashed stated."""
    frame = Frame(width=WIDTH, height=HEIGHT, left=64, right=184, top=44)
    x, y = _scales(frame, found, placed)
    powers = [(value, quantity(value, "FLOP/s").replace("FLOP/s", "")) for value in decades(y.low, y.high)]
    marks = [
        text(found.product, frame.left, 18, "title"),
        text(f"{found.note}; dashed: data sheet", frame.left, 34, "small muted"),
        *frame.y_axis(y, powers, "FLOP/s (operations a second for integers)"),
        *frame.x_axis(x, [(value, f"{value:g}") for value in decades(x.low, x.high)], "arithmetic intensity, FLOP/B"),
    ]
    top = found.ceilings[0].rate.value
    for slopes in _groups(found.slopes):
        swept_along = bool(points) and "DRAM" in [one.level for one in slopes]
        marks += _slope(slopes, top, x, y, ABOVE_DOTS if swept_along else ABOVE_LINE)
    marks += _ceilings(found, x, y)
    for one in placed:
        marks += _point(one, x, y)
    marks += [
        circle(x(one.intensity), y(one.flop_per_s), 4, "gemm", one.tip) for one in points if y.contains(one.flop_per_s)
    ]
    said = "; ".join(f"{c.kind} over {s.level} from {at:.3g} FLOP/B" for c, s, at in ridges(found))
    return picture(f"Roofline of {found.product}", said, HEIGHT, marks, width=WIDTH)


def standalone(drawn: Picture) -> str:
    """The picture as an SVG file of its own."""
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" '
    paper = f'<style>{STYLE}</style><rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>'
    head, _, body = str(drawn.svg).partition(">")
    return f"{head.replace('<svg ', opening, 1)}>{paper}{body}\n"


def _scales(frame: Frame, found: Roofline, placed: Sequence[Placed]) -> tuple[Scale, Scale]:
    at = [intensity for _, _, intensity in ridges(found)] + [p for one in placed for p in (one.dram_intensity,)]
    low = 10 ** math.floor(math.log10(min(at) / 2))
    high = 10 ** math.ceil(math.log10(max(at) * 2))
    x = frame.x(low, high, log=True)
    slowest = found.slopes[-1].rate.value if found.slopes else found.ceilings[-1].rate.value
    rates = [one.flop_per_s for one in placed]
    bottom = min([slowest * low * 2, found.ceilings[-1].rate.value / 4, *(rate / 2 for rate in rates)])
    return x, frame.y(bottom, found.ceilings[0].rate.value * 1.6, log=True)


def _slope(slopes: Sequence[Slope], top: float, x: Scale, y: Scale, above: float) -> Iterator[Markup]:
    slope = slopes[0]
    rate = slope.rate.value
    ends = [max(x.low, y.low / rate), min(x.high, top / rate)]
    places = [(x(at), y(at * rate)) for at in ends]
    colour = COLOURS.get(slope.level, "s0")
    yield polyline(places, f"line {colour}{_dashed(slope.rate.origin)}")
    (x1, y1), (x2, y2) = places
    angle = math.degrees(math.atan2(y2 - y1, x2 - x1))
    at, height = x1 + 0.3 * (x2 - x1), y1 + 0.3 * (y2 - y1) - above
    turned = f"rotate({angle:.1f} {at:.1f} {height:.1f})"
    levels = ", ".join(one.level for one in slopes)
    yield text(f"{levels} {quantity(rate, 'B/s')}", at, height, f"small halo {colour}", transform=turned)


def _dashed(origin: str) -> str:
    return " sheet" if origin == "datasheet" else ""


def _ceilings(found: Roofline, x: Scale, y: Scale) -> Iterator[Markup]:
    """A line for each group of ceilings, its label beside the plot; labels are pushed apart where they would meet."""
    fastest = found.slopes[0].rate.value if found.slopes else found.ceilings[0].rate.value / x.low
    lowest = -math.inf
    for group in _groups(found.ceilings):
        rate, origin = group[0].rate.value, group[0].rate.origin
        yield line(x(max(x.low, rate / fastest)), y(rate), x.stop, y(rate), f"line s0{_dashed(origin)}")
        lowest = max(y(rate) + 4, lowest + LEAST_GAP)
        kinds = [one.kind for one in group]
        label = f"{', '.join(kinds)} {quantity(rate, unit_of(kinds))}"
        yield text(label, x.stop + 6, lowest, "small")


def unit_of(kinds: Sequence[str]) -> str:
    """The unit that rates of ``kinds`` are said in: what integers and bits do are operations."""
    return "op/s" if all(kind in INTEGERS for kind in kinds) else "FLOP/s"


Limit = TypeVar("Limit", Ceiling, Slope)


def _groups(limits: Sequence[Limit]) -> list[list[Limit]]:
    """Limits from the highest down, joined where they are of one origin and near to each other."""
    groups: list[list[Limit]] = []
    for one in limits:
        last = groups[-1][0].rate if groups else None
        if last and one.rate.origin == last.origin and one.rate.value >= (1 - NEAR) * last.value:
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups


def _point(one: Placed, x: Scale, y: Scale) -> Iterator[Markup]:
    name = f"{one.gemm.m}×{one.gemm.n}×{one.gemm.k} {one.gemm.dtype}"
    tip = f"{name}: {quantity(one.flop_per_s, 'FLOP/s')}, {one.share:.0%} of what {one.bound} allows"
    at, height = x(one.dram_intensity), y(one.flop_per_s)
    yield polyline([(at, y(one.low)), (at, y(one.high))], "line s0")
    yield circle(at, height, 4.5, "gemm", tip)
    yield text(name, at + 8, height + 14, "small")
