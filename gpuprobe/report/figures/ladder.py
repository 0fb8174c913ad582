"""Ladders: quantities of one unit on a logarithmic axis, a line each, in groups; every dot is a measurement."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from gpuprobe.profile import Value
from gpuprobe.record import Measurement
from gpuprobe.report.axes import Frame, Scale, log_ticks
from gpuprobe.report.format import cut, params, quantity, span
from gpuprobe.report.run_view import RunView
from gpuprobe.report.svg import Picture, circle, diamond, line, picture, text

WIDTH, SAID, LEFT, RIGHT = 900, 424, 438, 34
"""Labels begin at the left and what they say ends at ``SAID``, before the plot: a narrow screen shows both at once."""

TICK_ROOM = 66
NEAR = 0.01
"""Dots that are as near (relative) lie on each other."""

PITCH, HEADING, TOP, BOTTOM = 21, 27, 6, 44
_COSTS = ("latency", "near", "far", "one_way_cycles")
_SEARCHES = ("l1_capacity", "tlb_reach")
"""Probes whose single latencies are steps of a search: their result is a size, and a curve shows them."""

_CURVE = "kernel after kernel"
"""How launch costs that are points of a curve over the grid begin."""

_GROUPS = {
    "compute": "Arithmetic",
    "tensor": "Matrix units",
    "memory": "Memory",
    "sync": "Synchronisation",
    "system": "System",
}


@dataclass(frozen=True)
class Dot:
    """A value with its interval and what is said about it."""

    value: float
    low: float
    high: float
    tip: str


@dataclass(frozen=True)
class Rung:
    """A line of a ladder: a label, its dots, and values that others published."""

    label: str
    dots: Sequence[Dot]
    published: Sequence[float] = ()


Groups = Sequence[tuple[str, Sequence[Rung]]]


def ladder(title: str, groups: Groups, unit: str, axis: str) -> Picture:
    """A picture of rungs under their headings; the range of each stands in words beside it."""
    rungs = [rung for _, group in groups for rung in group]
    places = [place for rung in rungs for dot in rung.dots for place in (dot.value, dot.low, dot.high) if place > 0]
    places += [value for rung in rungs for value in rung.published]
    headings = sum(bool(heading) for heading, _ in groups)
    height = TOP + HEADING * headings + PITCH * len(rungs) + BOTTOM
    frame = Frame(WIDTH, height, left=LEFT, right=RIGHT, top=TOP, bottom=BOTTOM)
    x = frame.x(min(places) / 1.25, max(places) * 1.25, log=True)
    ticks = [(value, f"{value:g}" if unit == "cycle" else quantity(value, unit)) for value in _spaced(x)]
    marks = [line(x(value), TOP, x(value), height - BOTTOM, "grid") for value, _ in ticks]
    marks += [*frame.x_axis(x, ticks, axis), *_rows(groups, unit, x)]
    said = "; ".join(f"{rung.label} {_range(rung, unit)}" for rung in rungs)
    legend = [("mark-s1", "measured"), ("mark-published", "published")] if any(r.published for r in rungs) else []
    return picture(title, said, height, marks, width=WIDTH, legend=legend)


def _spaced(x: Scale) -> list[float]:
    """Round values with room for their labels, powers of ten before others."""
    kept: list[float] = []
    for value in sorted(log_ticks(x.low, x.high), key=lambda tick: (round(math.log10(tick), 6) % 1 > 0, tick)):
        if all(abs(x(value) - x(other)) >= TICK_ROOM for other in kept):
            kept.append(value)
    return sorted(kept)


def _rows(groups: Groups, unit: str, x: Scale) -> Iterator[Markup]:
    top = float(TOP)
    for heading, rungs in groups:
        if heading:
            yield text(heading, 0, top + HEADING - 9, "heading")
            top += HEADING
        for rung in rungs:
            yield from _rung(rung, unit, x, top + PITCH / 2)
            top += PITCH


def _rung(rung: Rung, unit: str, x: Scale, middle: float) -> Iterator[Markup]:
    yield text(rung.label, 10, middle + 4)
    yield text(_range(rung, unit), SAID, middle + 4, "muted", "end")
    values = [dot.value for dot in rung.dots]
    yield line(x(min(values)), middle, x(max(values)), middle, "span")
    for dot in rung.dots:
        if dot.low > 0 and x(dot.high) - x(dot.low) > 7:
            yield line(x(dot.low), middle, x(dot.high), middle, "line s1")
        yield circle(x(dot.value), middle, 3.2, "dot s1", dot.tip)
    for value in rung.published:
        yield diamond(x(value), middle, 4.6, "published", f"published: {quantity(value, unit)}")


def _range(rung: Rung, unit: str) -> str:
    values = [dot.value for dot in rung.dots]
    return span(min(values), max(values), unit)


def latencies(view: RunView) -> Picture | None:
    """Every probe's latencies in cycles of the SM clock, shortest first within its group."""
    rows = [row for row in view.best if row.unit == "cycle" and row.quantity in _COSTS and row.name not in _SEARCHES]
    families: dict[tuple[str, str], list[Measurement]] = {}
    for row in rows:
        families.setdefault((row.name, row.quantity), []).append(row)
    groups: dict[str, list[Rung]] = {}
    for (name, quantity_name), family in families.items():
        label = name if quantity_name == "latency" else f"{name} {quantity_name.replace('_', ' ')}"
        published = {found.published for row in family if (found := view.published_for(row)) is not None}
        dots = list(_dots(view, family))
        heading = _GROUPS.get(view.group(name), "Others")
        groups.setdefault(heading, []).append(Rung(cut(label, 36), dots, sorted(published)))
    if not groups:
        return None
    ordered = [
        (heading, sorted(groups[heading], key=_shortest))
        for heading in (*_GROUPS.values(), "Others")
        if heading in groups
    ]
    return ladder("Latencies, probe by probe", ordered, "cycle", "cycles of the SM clock")


def _shortest(rung: Rung) -> float:
    return min(dot.value for dot in rung.dots)


def _dots(view: RunView, rows: Sequence[Measurement]) -> Iterator[Dot]:
    """Rows that would be drawn on each other as one dot, which names them all."""
    near: dict[int, list[Measurement]] = {}
    for row in rows:
        near.setdefault(round(math.log(max(row.value, 1e-3)) / NEAR), []).append(row)
    for group in near.values():
        names = [params(view.kept(row.name, row.params)) or row.quantity for row in group]
        row = group[0]
        time = f" = {quantity(row.value / row.sm_clock_hz, 's')}" if row.sm_clock_hz else ""
        ends = min(row.low for row in group), max(row.high for row in group)
        yield Dot(row.value, *ends, f"{cut('; '.join(names), 100)}: {quantity(row.value, row.unit)}{time}")


def levels(view: RunView) -> Picture | None:
    """Bandwidth of each level of memory by kind of access, measured ones alone."""
    found = {(one.level, one.mode): one.rate for one in view.profile.bandwidths if one.rate.origin == "measured"}
    rungs = _of_profile((f"{level}, {mode}", rate) for (level, mode), rate in found.items())
    return ladder("Bandwidth of every level", [("", rungs[::-1])], "B/s", "bytes per second") if rungs else None


def launches(view: RunView) -> Picture | None:
    """Times of launching and waiting, one for each kind; the curve over the grid's blocks is drawn beside them."""
    alone = [one for one in view.profile.launches if not one.what.startswith(_CURVE)]
    rungs = _of_profile((one.what, one.seconds) for one in alone)
    return ladder("What launching costs", [("", rungs)], "s", "time") if rungs else None


def energies(view: RunView) -> list[Picture]:
    """Energy of an operation and of moving a bit, a picture for each unit."""
    found = []
    for unit, title in (
        ("J/op", "Energy of an instruction in a thread"),
        ("J/FMA", "Energy of a multiply-add of the matrix units"),
        ("J/bit", "Energy of moving a bit"),
    ):
        rungs = _of_profile(
            (f"{one.what}{f', {one.operands} operands' if one.operands != 'any' else ''}", one.joules)
            for one in view.profile.energies
            if one.joules.unit == unit
        )
        found += [ladder(title, [("", rungs)], unit, "joules beyond those of a waiting GPU")] if rungs else []
    return found


def _of_profile(values: Iterable[tuple[str, Value]]) -> list[Rung]:
    rungs = []
    for what, value in sorted(values, key=lambda one: one[1].value):
        interval = f"{quantity(value.low, value.unit)} to {quantity(value.high, value.unit)}"
        tip = f"{quantity(value.value, value.unit)} ({interval})"
        rungs.append(Rung(cut(what, 52), [Dot(value.value, value.low, value.high, tip)]))
    return rungs
