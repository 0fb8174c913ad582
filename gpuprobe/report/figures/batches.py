"""A batch sweep: launch-to-start time, throughput, busy share and energy over the batch, with the turning point."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from gpuprobe.report.axes import Frame, Scale, log_ticks, nice_ticks
from gpuprobe.report.format import quantity, share
from gpuprobe.report.svg import Picture, circle, line, picture, polyline, text

Points = Sequence[tuple[float, float]]


def batches(sweep: Mapping[str, Any]) -> list[Picture]:
    """A picture for each quantity that at least two batches have."""
    turn, rows = sweep.get("turns_at"), sweep["points"]
    drawn = []
    for key, title, unit, factor in (
        ("tklqt_per_kernel_ns", "From launch to start, a kernel (TKLQT)", "s", 1e-9),
        ("tokens_per_s", "Throughput", "tokens/s", 1.0),
        ("gpu_busy_share", "GPU busy", "share", 1.0),
        ("energy_per_token_j", "Energy of a token", "J", 1.0),
    ):
        points = [(float(row["batch"]), row[key] * factor) for row in rows if row.get(key)]
        if len(points) > 1:
            flat = sweep["flat_ns"] * 1e-9 if key.startswith("tklqt") and sweep.get("flat_ns") else None
            drawn.append(_picture(title, unit, points, turn, flat))
    return drawn


def _picture(title: str, unit: str, points: Points, turn: float | None, flat: float | None) -> Picture:
    frame = Frame(height=270, left=78, top=24)
    x = frame.x(points[0][0] / 1.3, points[-1][0] * 1.3, log=True)
    values = [value for _, value in points] + ([flat] if flat else [])
    if unit == "share":
        y = frame.y(0, 1.05)
        ticks = [(value, f"{value:.0%}") for value in nice_ticks(0, 1, 5)]
    else:
        y = frame.y(min(values) / (2.5 if flat else 1.6), max(values) * 1.6, log=True)
        ticks = [(value, _tick(value, unit)) for value in log_ticks(y.low, y.high, 6)]
    marks = [
        *frame.y_axis(y, ticks, unit if unit == "tokens/s" else ""),
        *frame.x_axis(x, [(at, f"{at:g}") for at, _ in points], "batch"),
    ]
    marks += _marks(frame, x, y, turn, flat)
    marks.append(polyline([(x(at), y(value)) for at, value in points], "line s1"))
    told = [(at, share(value) if unit == "share" else quantity(value, unit)) for at, value in points]
    marks += [circle(x(at), y(value), 3.4, "dot s1", f"batch {at:g}: {words}")
              for (at, value), (_, words) in zip(points, told, strict=True)]  # fmt: skip
    return picture(title, "; ".join(f"batch {at:g}: {words}" for at, words in told), frame.height, marks)


def _tick(value: float, unit: str) -> str:
    if unit != "tokens/s":
        return quantity(value, unit)
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"


def _marks(frame: Frame, x: Scale, y: Scale, turn: float | None, flat: float | None) -> Iterator[Markup]:
    if flat:
        yield line(x.start, y(flat), x.stop, y(flat), "mark")
        yield text("flat level: the CPU limits", x.stop, y(flat) + 13, "small muted halo", "end")
    if turn and x.contains(turn):
        yield line(x(turn), frame.top - 4, x(turn), frame.height - frame.bottom, "limit")
        yield text(f"turns at batch {turn:g}", x(turn), frame.top - 9, "muted", "middle")
