"""Rates of the matrix units against their limits: a line for each type, random and zero operands beside each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from gpuprobe.record import Measurement
from gpuprobe.report.axes import Frame, Scale, nice_ticks
from gpuprobe.report.format import cut, quantity, scaled, share
from gpuprobe.report.run_view import RunView
from gpuprobe.report.svg import Picture, diamond, line, picture, rect, text

WIDTH, LABELS, LEFT, RIGHT = 900, 230, 468, 14
"""Labels end at ``LABELS``; what they say stands between them and the bars: a narrow screen shows both at once."""

PITCH, BAR, TOP, BOTTOM = 27, 8, 8, 44
_UNITS = ("FLOP/s", "op/s")
_INTEGERS = ("S8", "U8", "S4", "U4", "B1")
_CURVES = ("wgmma_rate_by_n", "wgmma_sparse_rate_by_n")
"""Drawn over an axis instead."""

_TITLES = {
    "dense": "Dense rates of the whole GPU", "sparse": "Rates with 2:4 sparsity, counted as dense",
    "bits": "Rates of single bits",
}  # fmt: skip
_LEGEND = (
    ("mark-s1", "random operands"),
    ("mark-s2", "zero operands"),
    ("mark-limit", "limit at the measured clock"),
    ("mark-published", "published"),
)


@dataclass(frozen=True)
class Rate:
    """Best rows of a type: with random operands, with zeros."""

    label: str
    random: Measurement | None
    zero: Measurement | None

    @property
    def rows(self) -> list[Measurement]:
        """Those that were measured, random first."""
        return [row for row in (self.random, self.zero) if row is not None]


def rates(view: RunView) -> list[Picture]:
    """A picture of the dense, of the sparse and of the single-bit rates."""
    families: dict[str, dict[str, dict[str, Measurement]]] = {}
    for row in view.best:
        if row.unit in _UNITS and view.group(row.name) == "tensor" and row.name not in _CURVES:
            kept = {k: v for k, v in view.kept(row.name, row.params).items() if k not in ("OPERANDS", "SPARSE")}
            label = " ".join([row.name.removesuffix("_zero"), *filter(None, (_word(k, v) for k, v in kept.items()))])
            operands = str(row.params.get("OPERANDS", "random"))
            families.setdefault(_kind(row), {}).setdefault(label, {})[operands] = row
    found = []
    for kind, title in _TITLES.items():
        parts = [Rate(cut(label, 38), by.get("random"), by.get("zero")) for label, by in families.get(kind, {}).items()]
        found += [_picture(view, title, parts)] if parts else []
    return found


def _word(name: str, value: object) -> str:
    return str(value) if isinstance(value, str) else "" if name in ("CHAIN", "FRESH") else f"{name.lower()}={value}"


def _kind(row: Measurement) -> str:
    type_ = str(row.params.get("MMA", row.params.get("TYPE", "")))
    return "bits" if type_.startswith("B1") else "sparse" if "sparse" in row.name else "dense"


def _unit(row: Measurement) -> str:
    """The unit a rate is said in: what integers do are operations, also where the run counts all types alike."""
    return "op/s" if str(row.params.get("TYPE", "")).startswith(_INTEGERS) else row.unit


def _picture(view: RunView, title: str, parts: Sequence[Rate]) -> Picture:
    parts = sorted(parts, key=lambda part: -max(row.value for row in part.rows))
    height = TOP + PITCH * len(parts) + BOTTOM
    frame = Frame(WIDTH, height, left=LEFT, right=RIGHT, top=TOP, bottom=BOTTOM)
    ends = [end for part in parts for row in part.rows for end in (row.high, row.limit or 0.0)]
    x = frame.x(0, max(ends) * 1.02)
    scale, unit = scaled(x.high, parts[0].rows[0].unit)
    ticks = [(value, f"{value / scale:g}") for value in nice_ticks(0, x.high, 5)]
    marks = [line(x(value), TOP, x(value), height - BOTTOM, "grid") for value, _ in ticks]
    marks += frame.x_axis(x, ticks, f"{unit}; a multiply-add is two operations")
    for index, part in enumerate(parts):
        marks += _bars(view, part, x, TOP + index * PITCH)
    said = "; ".join(f"{part.label} {_note(part)}" for part in parts)
    rows = [row for part in parts for row in part.rows]
    there = (True, any(p.zero for p in parts), any(r.limit for r in rows), any(map(view.published_for, rows)))
    legend = [entry for entry, shown in zip(_LEGEND, there, strict=True) if shown]
    return picture(title, said, height, marks, width=WIDTH, legend=legend)


def _bars(view: RunView, part: Rate, x: Scale, top: float) -> Iterator[Markup]:
    yield text(part.label, LABELS, top + 17, anchor="end")
    yield text(_note(part), LABELS + 10, top + 17, "small muted")
    for place, row in enumerate((part.random, part.zero)):
        if row is None:
            continue
        base = top + 4 + place * (BAR + 1)
        tip = f"{part.label}, {row.params.get('OPERANDS', 'random')} operands: {_facts(row)}"
        yield rect(x(0), base, x(row.value) - x(0), BAR, "s2" if place else "s1", tip)
        if row.limit:
            yield line(x(row.limit), base - 1, x(row.limit), base + BAR + 1, "limit")
    published = [found.published for row in part.rows if (found := view.published_for(row)) is not None]
    for value in published[:1]:
        if x.contains(value):
            yield diamond(
                x(value), top + 4 + BAR / 2, 4.6, "published", f"published: {quantity(value, _unit(part.rows[0]))}"
            )


def _facts(row: Measurement) -> str:
    around = [f"{share(row.value / row.limit)} of the limit"] if row.limit else []
    around += [f"{row.sm_clock_hz / 1e6:.0f} MHz"] if row.sm_clock_hz else []
    around += [f"{row.power_w:.0f} W"] if row.power_w else []
    return ", ".join([quantity(row.value, _unit(row)), *around])


def _note(part: Rate) -> str:
    """What stands beside the bars: rate, share of the limit and clock of the first row."""
    row = part.rows[0]
    of_limit = f" · {share(row.value / row.limit)}" if row.limit else ""
    clock = f" · {row.sm_clock_hz / 1e6:.0f} MHz" if row.sm_clock_hz else ""
    return f"{quantity(row.value, _unit(row))}{of_limit}{clock}"
