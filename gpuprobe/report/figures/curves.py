"""Curves: a quantity of a probe over one of its axes, a line for each setting of the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from gpuprobe.record import Measurement, Params
from gpuprobe.report.axes import Frame, Scale, nice_ticks
from gpuprobe.report.format import params, quantity, scaled, size
from gpuprobe.report.run_view import RunView
from gpuprobe.report.svg import Picture, circle, line, picture, polyline, text

CLASSES = ("s1", "s2", "s3", "s4", "s5", "s6")
DIGIT = 8
"""Width of a digit of a label beside the vertical axis."""

TICK_ROOM = 60
"""Between two labels of the horizontal axis: ``512 MiB`` and a gap."""

BESIDE = "l2_bandwidth_curve"


@dataclass(frozen=True)
class Curve:
    """What is drawn over what: a quantity of a probe over ``axis``; ``only`` keeps rows of one setting."""

    probe: str
    quantity: str
    axis: str
    title: str
    label: str
    scale: int = 0
    """Bytes of a step of the axis where it is a size; 0 where it is a number."""
    only: tuple[tuple[str, str], ...] = ()


SECTIONS = {
    "latency": (
        Curve("constant_latency", "latency", "BYTES", "Constants: latency over the set", "set", 1),
        Curve("tlb_reach", "latency", "MIB", "Pages of 2 MiB: latency over the reach", "reach", 1 << 20),
        Curve("shared_conflict_latency", "latency", "WAYS", "Shared memory: latency over bank conflicts",
              "lanes that want one bank"),
        Curve("barrier_latency", "latency", "WARPS", "Barriers: latency over warps", "warps that wait"),
    ),
    "bandwidth": (
        Curve("l2_bandwidth_curve", "throughput", "MIB", "Read bandwidth over the set size", "set", 1 << 20),
        Curve("strided_read", "throughput", "STRIDE", "Strided reads from DRAM: useful bytes",
              "stride, words of 4 bytes"),
        Curve("cp_async", "throughput", "STAGES", "cp.async: bandwidth over stages in flight", "stages"),
        Curve("tma_multicast", "throughput", "CLUSTER", "TMA multicast: bytes delivered", "blocks of a cluster"),
        Curve("dsm_rate", "throughput", "CLUSTER", "Distributed shared memory: a ring of neighbours",
              "blocks of a cluster", only=(("PATTERN", "RING"),)),
    ),
    "tensor": (
        Curve("wgmma_rate_by_n", "rate", "N", "wgmma f16: rate over the width n", "n of m64nNk16",
              only=(("TYPE", "F16"),)),
        Curve("wgmma_latency_by_n", "latency", "N", "wgmma f16: latency over the width n", "n of m64nNk16",
              only=(("TYPE", "F16"),)),
        Curve("wgmma_sparse_rate_by_n", "rate", "N", "wgmma.sp f16: rate over the width n", "n of m64nNk32",
              only=(("TYPE", "F16"),)),
    ),
    "launching": (
        Curve("launch_cost", "period", "BLOCKS", "Time from kernel to kernel over the grid", "blocks of the grid"),
    ),
}  # fmt: skip
"""Section of the page → its curves."""

DRAWN = frozenset((curve.probe, curve.quantity) for curves in SECTIONS.values() for curve in curves)


def curves(view: RunView, section: str) -> list[Picture]:
    """The curves of a section that the run has data of."""
    return [drawn for curve in SECTIONS[section] if (drawn := draw(view, curve)) is not None]


def draw(view: RunView, curve: Curve) -> Picture | None:
    """A picture of a curve; None with fewer than three places."""
    series = _series(view, curve)
    rows = [row for part in series.values() for row in part]
    places = sorted({_at(row, curve) for row in rows})
    if len(places) < 3:
        return None
    unit = rows[0].unit
    highest = max(row.high for row in rows) * 1.1
    scale, shown_unit = scaled(highest, unit)
    ticks = [(value, f"{value / scale:g}") for value in nice_ticks(0, highest, 5)]
    frame = Frame(height=290, top=24, left=26 + DIGIT * max(3, *(len(name) for _, name in ticks)))
    x = frame.x(places[0] / 1.15, places[-1] * 1.15, log=True)
    y = frame.y(0, highest)
    marks = [*frame.y_axis(y, ticks, shown_unit), *frame.x_axis(x, _ticks(places, x, curve), curve.label)]
    marks += _marks(view, curve, frame, x, y)
    for class_, part in zip(CLASSES, series.values(), strict=False):
        marks += _line(part, curve, x, y, class_)
    said = "; ".join(f"{_size(_at(row, curve), curve)} {name}: {quantity(row.value, unit)}".replace(" :", ":")
                     for name, part in series.items() for row in part[:: max(1, len(part) // 6)])  # fmt: skip
    legend = [(f"mark-{class_}", name) for class_, name in zip(CLASSES, series, strict=False) if name]
    return picture(curve.title, said, frame.height, marks, legend=legend)


def _series(view: RunView, curve: Curve) -> dict[str, list[Measurement]]:
    """Best rows by their other settings, in the order of the axis; none of a setting with less than two places."""
    found: dict[str, list[Measurement]] = {}
    for row in view.best:
        at = row.params.get(curve.axis)
        fits = (
            row.name == curve.probe
            and row.quantity == curve.quantity
            and dict(curve.only).items() <= row.params.items()
        )
        if fits and isinstance(at, int | float) and at > 0:
            others = {
                k: v for k, v in view.kept(row.name, row.params).items() if k not in (curve.axis, *dict(curve.only))
            }
            found.setdefault(_words(others), []).append(row)
    shared = _shared_words(list(found))
    return {
        " ".join(word for word in name.split(" ") if word not in shared): sorted(part, key=lambda row: _at(row, curve))
        for name, part in found.items()
        if len(part) > 1
    }


def _words(others: Params) -> str:
    return " ".join(str(value) if isinstance(value, str) else f"{name}={value}" for name, value in others.items())


def _shared_words(names: Sequence[str]) -> set[str]:
    """Words that every series has: they tell nothing apart."""
    return set.intersection(*(set(name.split(" ")) for name in names)) if len(names) > 1 else set()


def _at(row: Measurement, curve: Curve) -> float:
    return float(row.params[curve.axis])


def _size(value: float, curve: Curve) -> str:
    return size(int(value * curve.scale)) if curve.scale else f"{value:g}"


def _ticks(places: Sequence[float], x: Scale, curve: Curve) -> list[tuple[float, str]]:
    """Measured places as ticks, powers of two before others, as many as have room."""
    chosen: list[float] = []
    for place in sorted(places, key=lambda value: (not _is_power_of_two(value), value)):
        if all(abs(x(place) - x(other)) >= TICK_ROOM for other in chosen):
            chosen.append(place)
    return [(place, _size(place, curve)) for place in sorted(chosen)]


def _is_power_of_two(value: float) -> bool:
    return value == int(value) and int(value) & (int(value) - 1) == 0


def _marks(view: RunView, curve: Curve, frame: Frame, x: Scale, y: Scale) -> Iterator[Markup]:
    """The size of L2 and the limit of DRAM in the curve that passes both."""
    if curve.probe != BESIDE:
        return
    capacity = view.run.device.get("l2_bytes")
    if capacity and x.contains(capacity / curve.scale):
        at = x(capacity / curve.scale)
        yield line(at, frame.top - 4, at, y(0), "mark")
        yield text(f"L2 {size(int(capacity))}", at, frame.top - 9, "muted", "middle")
    limit = view.run.device.get("dram_bandwidth_bytes_per_s")
    if limit and y.contains(limit):
        yield line(x.start, y(limit), x.stop, y(limit), "limit")
        yield text(f"DRAM interface {quantity(limit, 'B/s')}", x.start + 4, y(limit) - 6, "small muted halo")


def _line(rows: Sequence[Measurement], curve: Curve, x: Scale, y: Scale, class_: str) -> Iterator[Markup]:
    yield polyline([(x(_at(row, curve)), y(row.value)) for row in rows], f"line {class_}")
    for row in rows:
        at = x(_at(row, curve))
        if y(row.low) - y(row.high) > 1:
            yield line(at, y(row.low), at, y(row.high), f"line {class_}")
        tip = f"{params(row.params)}: {quantity(row.value, row.unit)}"
        yield circle(at, y(row.value), 2.4, f"dot {class_}", tip)
