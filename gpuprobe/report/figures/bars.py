"""Horizontal bars with a line of text above each: value, interval, limit and published value on one scale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from gpuprobe.record import Measurement
from gpuprobe.report.figures.curves import DRAWN
from gpuprobe.report.figures.hierarchy import SWEEP as ROOFLINE
from gpuprobe.report.format import cut, params, quantity, share
from gpuprobe.report.run_view import RunView
from gpuprobe.report.svg import WIDTH, Picture, diamond, line, picture, rect, text

WIDE = 900
PITCH, BAR, TOP = 34, 11, 6
MOST = 40
_FIRST = ("dram_bandwidth", "l2_bandwidth")
LIMIT_SHOWN_UP_TO = 1.6
"""A limit further off than this multiple of the longest bar is stated in words: drawing it would flatten the bars."""

_LEGEND = (("mark-limit", "limit"), ("mark-published", "published"))


@dataclass(frozen=True)
class Bar:
    """One bar: label on the left, note on the right, all numbers in one unit."""

    label: str
    note: str
    value: float
    low: float
    high: float
    class_: str = "s1"
    limit: float | None = None
    published: float | None = None
    tip: str = ""


def bars(title: str, description: str, rows: Sequence[Bar], caption: str = "", width: float = WIDTH) -> Picture:
    """A picture of bars from zero."""
    longest = max(max(row.value, row.high, row.published or 0.0) for row in rows)
    limits = [row.limit for row in rows if row.limit and row.limit <= LIMIT_SHOWN_UP_TO * longest]
    scale = width / (max([longest, *limits]) or 1.0) / 1.01  # all may be 0
    drawn = [mark for index, row in enumerate(rows) for mark in _bar(row, TOP + index * PITCH, scale, width)]
    shown = (bool(limits), any(row.published for row in rows))
    legend = [entry for entry, there in zip(_LEGEND, shown, strict=True) if there]
    return picture(title, description, TOP + len(rows) * PITCH, drawn, width=width, caption=caption, legend=legend)


def _bar(row: Bar, top: float, scale: float, width: float) -> Iterator[Markup]:
    base = top + 17
    yield text(row.label, 0, top + 12, "strong")
    if row.note:
        yield text(row.note, width, top + 12, "muted", "end")
    yield rect(0, base, width, BAR, "track")
    yield rect(0, base, row.value * scale, BAR, row.class_, row.tip or f"{row.label}: {row.note}")
    if (row.high - row.low) * scale > 1:
        yield line(row.low * scale, base + BAR / 2, row.high * scale, base + BAR / 2, "whisker")
    if row.limit and row.limit * scale <= width:
        yield line(row.limit * scale, base - 2, row.limit * scale, base + BAR + 2, "limit")
    if row.published:
        yield diamond(row.published * scale, base + BAR / 2, BAR / 2, "published", f"published: {row.published:.4g}")


def bandwidths(view: RunView) -> list[Picture]:
    """A picture for each probe that measures bytes per second and is not drawn as a curve: the best of its grid."""
    names = dict.fromkeys(row.name for row in view.best_in("B/s") if (row.name, row.quantity) not in DRAWN)
    ordered = sorted(names, key=lambda name: name not in _FIRST)
    return [_bandwidth(view, name) for name in ordered if name != ROOFLINE]


def _bandwidth(view: RunView, name: str) -> Picture:
    found = []
    for row in [row for row in view.best_in("B/s") if row.name == name][:MOST]:
        beside = view.published_for(row)
        of_limit = f" · {share(row.value / row.limit)} of the limit" if row.limit else ""
        bar = Bar(
            cut(_setting(view, row) or row.quantity, 34),
            quantity(row.value, row.unit) + of_limit,
            row.value,
            row.low,
            row.high,
            limit=row.limit,
            published=beside.published if beside else None,
            tip=f"{params(row.params)}, interval {quantity(row.low, row.unit)} to {quantity(row.high, row.unit)}",
        )
        found.append(bar)
    said = "; ".join(f"{bar.label}: {bar.note}" for bar in found)
    return bars(f"{name}: bytes per second", said, found)


def _setting(view: RunView, row: Measurement) -> str:
    """What tells a row from others of its probe: words without their axis, numbers with it."""
    kept = view.kept(row.name, row.params)
    return " ".join(value if isinstance(value, str) else params({axis: value}) for axis, value in kept.items())
