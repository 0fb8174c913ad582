"""The latency staircase: cycles of a dependent load against the footprint, with the sizes of the caches."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from gpuprobe.record import Measurement
from gpuprobe.report.axes import Frame, Scale, nice_ticks
from gpuprobe.report.format import size
from gpuprobe.report.run_view import RunView
from gpuprobe.report.svg import Picture, circle, line, picture, polyline, text

_CLASSES = ("s1", "s2", "s3", "s4")
_WORDS = {"CA": "may hit L1 (ld.ca)", "CG": "L2 and beyond (ld.cg)"}


def staircase(view: RunView) -> Picture | None:
    """Latency over footprint, a line for each cache policy; None with fewer than two footprints."""
    rows = sorted(
        (row for row in view.rows("global_latency", "latency") if isinstance(row.params.get("BYTES"), int)),
        key=_footprint,
    )
    if len({_footprint(row) for row in rows}) < 2:
        return None
    frame = Frame(height=300, top=22)
    x = frame.x(_footprint(rows[0]) / 1.3, _footprint(rows[-1]) * 1.3, log=True)
    y = frame.y(0, max(row.high for row in rows) * 1.12)
    policies = list(dict.fromkeys(str(row.params.get("CACHE", "")) for row in rows))
    marks = [*_axes(frame, x, y), *_capacities(view, frame, x)]
    for class_, policy in zip(_CLASSES, policies, strict=False):
        marks += _steps([row for row in rows if str(row.params.get("CACHE", "")) == policy], x, y, class_)
    said = "; ".join(f"{size(int(_footprint(row)))}: {row.value:.1f} cycles" for row in rows)
    legend = [
        (f"mark-{class_}", _WORDS.get(policy, policy)) for class_, policy in zip(_CLASSES, policies, strict=False)
    ]
    return picture("Latency of a dependent load against the footprint", said, frame.height, marks, legend=legend)


def _footprint(row: Measurement) -> float:
    return float(row.params["BYTES"])


def _axes(frame: Frame, x: Scale, y: Scale) -> Iterator[Markup]:
    powers = [(float(1 << power), size(1 << power)) for power in range(10, 50, 4)]
    yield from frame.y_axis(y, [(value, f"{value:.0f}") for value in nice_ticks(0, y.high)], "cycles")
    yield from frame.x_axis(x, [tick for tick in powers if x.contains(tick[0])], "footprint")


def _capacities(view: RunView, frame: Frame, x: Scale) -> Iterator[Markup]:
    """A dashed line at the size of each cache that the device or its architecture states."""
    architecture = view.architecture
    sizes = {
        "L1": architecture.l1_and_shared_bytes if architecture else None,
        "L2": view.run.device.get("l2_bytes"),
    }
    for name, capacity in sizes.items():
        if capacity and x.contains(capacity):
            yield line(x(capacity), frame.top - 4, x(capacity), frame.height - frame.bottom, "mark")
            yield text(f"{name} {size(int(capacity))}", x(capacity), frame.top - 9, "muted", "middle")


def _steps(rows: list[Measurement], x: Scale, y: Scale, class_: str) -> Iterator[Markup]:
    yield polyline([(x(_footprint(row)), y(row.value)) for row in rows], f"line {class_}")
    for row in rows:
        at = x(_footprint(row))
        if y(row.low) - y(row.high) > 1:
            yield line(at, y(row.low), at, y(row.high), f"line {class_}")
        tip = f"{size(int(_footprint(row)))}: {row.value:.4g} cycles ({row.low:.4g} to {row.high:.4g})"
        yield circle(at, y(row.value), 2.6, f"dot {class_}", tip)
