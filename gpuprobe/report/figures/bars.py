"""Horizontal bars with a line of text above each: value, interval, limit and published value on one scale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from gpuprobe.report.format import cut, label, params, quantity, share
from gpuprobe.report.run_view import RunView
from gpuprobe.report.svg import WIDTH, Picture, diamond, line, picture, rect, text

PITCH, BAR, TOP = 34, 11, 6
MOST = 40
_LATENCIES = ("latency", "near", "far")
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


def bars(title: str, description: str, rows: Sequence[Bar], caption: str = "") -> Picture:
    """A picture of bars from zero."""
    longest = max(max(row.value, row.high, row.published or 0.0) for row in rows)
    limits = [row.limit for row in rows if row.limit and row.limit <= LIMIT_SHOWN_UP_TO * longest]
    scale = WIDTH / max([longest, *limits]) / 1.01
    drawn = [mark for index, row in enumerate(rows) for mark in _bar(row, TOP + index * PITCH, scale)]
    shown = (bool(limits), any(row.published for row in rows))
    legend = [entry for entry, there in zip(_LEGEND, shown, strict=True) if there]
    return picture(title, description, TOP + len(rows) * PITCH, drawn, caption=caption, legend=legend)


def _bar(row: Bar, top: float, scale: float) -> Iterator[Markup]:
    base = top + 17
    yield text(row.label, 0, top + 12, "strong")
    yield text(row.note, WIDTH, top + 12, "muted", "end")
    yield rect(0, base, WIDTH, BAR, "track")
    yield rect(0, base, row.value * scale, BAR, row.class_, row.tip or f"{row.label}: {row.note}")
    if (row.high - row.low) * scale > 1:
        yield line(row.low * scale, base + BAR / 2, row.high * scale, base + BAR / 2, "whisker")
    if row.limit and row.limit * scale <= WIDTH:
        yield line(row.limit * scale, base - 2, row.limit * scale, base + BAR + 2, "limit")
    if row.published:
        yield diamond(row.published * scale, base + BAR / 2, BAR / 2, "published", f"published: {row.published:.4g}")


def latencies(view: RunView) -> Picture | None:
    """Every latency in cycles but the sweep over footprints, shortest first."""
    rows = sorted(
        (row for row in view.best if row.unit == "cycle" and row.quantity in _LATENCIES and "BYTES" not in row.params),
        key=lambda row: row.value,
    )[:MOST]
    if not rows:
        return None
    found = []
    for row in rows:
        beside = view.published_for(row)
        time = f" = {quantity(row.value / row.sm_clock_hz, 's')}" if row.sm_clock_hz else ""
        found.append(
            Bar(
                label(row.name, row.quantity, view.kept(row.name, row.params), 44),
                quantity(row.value, "cycles") + time,
                row.value,
                row.low,
                row.high,
                published=beside.published if beside else None,
            )
        )
    text = (
        f"{found[0].label} is the shortest with {found[0].note}, {found[-1].label} the longest with {found[-1].note}."
    )
    return bars("Latencies in cycles of the SM clock", text, found)


def bandwidths(view: RunView) -> list[Picture]:
    """A picture for each probe that measures bytes per second: the best of its grid for each kind of access."""
    names = dict.fromkeys(row.name for row in view.best_in("B/s"))
    return [_bandwidth(view, name) for name in names]


def _bandwidth(view: RunView, name: str) -> Picture:
    found = []
    for row in [row for row in view.best_in("B/s") if row.name == name][:MOST]:
        beside = view.published_for(row)
        of_limit = f" · {share(row.value / row.limit)} of the limit" if row.limit else ""
        bar = Bar(
            cut(params(view.kept(row.name, row.params)) or row.quantity, 34),
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


def tensor_rates(view: RunView) -> Picture | None:
    """Whole-GPU rates in FLOP/s: the best of each type and kind of operands, with clock and power."""
    rows = view.best_in("FLOP/s")[:MOST]
    if not rows:
        return None
    found = []
    for row in rows:
        beside = view.published_for(row)
        around = [f"{row.sm_clock_hz / 1e6:.0f} MHz"] if row.sm_clock_hz else []
        around += [f"{row.power_w:.0f} W"] if row.power_w else []
        of_limit = [share(row.value / row.limit)] if row.limit else []
        values = [str(value) for key, value in view.kept(row.name, row.params).items() if isinstance(value, str)]
        found.append(
            Bar(
                cut(" ".join([row.name, *values]), 32),
                " · ".join([quantity(row.value, row.unit), *of_limit, *around]),
                row.value,
                row.low,
                row.high,
                "s2" if row.params.get("OPERANDS") == "zero" else "s1",
                row.limit,
                beside.published if beside else None,
            )
        )
    said = "; ".join(f"{bar.label}: {bar.note}" for bar in found)
    drawn = bars("Tensor rates of the whole GPU", said, found)
    operands = [("mark-s1", "random operands"), ("mark-s2", "zero operands")]
    return Picture(drawn.svg, drawn.caption, (*operands, *drawn.legend))


def launches(view: RunView) -> Picture | None:
    """Host times of launching: what a launch call takes, and the period of launches in a row."""
    rows = view.best_in("s")[:MOST]
    if not rows:
        return None
    found = [
        Bar(
            label(row.name, row.quantity, view.kept(row.name, row.params), 44),
            quantity(row.value, row.unit),
            row.value,
            row.low,
            row.high,
            published=beside.published if (beside := view.published_for(row)) else None,
        )
        for row in rows
    ]
    return bars("Launching", "; ".join(f"{bar.label}: {bar.note}" for bar in found), found)
