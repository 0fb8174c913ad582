"""Stacked bars: a whole split into parts, one line of text above each bar."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from markupsafe import Markup

from gpuprobe.report.format import cut, seconds, share
from gpuprobe.report.svg import WIDTH, Picture, picture, rect, text

PITCH, BAR = 36, 13


def stacked(
    title: str, rows: Sequence[tuple[str, Mapping[str, int]]], parts: Sequence[tuple[str, str, str]]
) -> Picture:
    """Bars of (label, key → ns); ``parts`` are (key, name, CSS class), drawn in that order, each bar its own 100 %."""
    drawn = [mark for index, row in enumerate(rows) for mark in _bar(*row, parts, index * PITCH)]
    present = [part for part in parts if any(values.get(part[0], 0) for _, values in rows)]
    said = "; ".join(
        f"{label}: " + ", ".join(f"{name} {seconds(values.get(key, 0))}" for key, name, _ in present)
        for label, values in rows
    )
    legend = [(f"mark-{class_}", name) for _, name, class_ in present]
    return picture(title, said, len(rows) * PITCH, drawn, legend=legend)


def _bar(label: str, values: Mapping[str, int], parts: Sequence[tuple[str, str, str]], top: float) -> Iterator[Markup]:
    total = sum(values.get(key, 0) for key, _, _ in parts)
    yield text(cut(label, 44), 0, top + 13, "strong")
    yield text(seconds(total), WIDTH, top + 13, "muted", "end")
    yield rect(0, top + 18, WIDTH, BAR, "track")
    left = 0.0
    for key, name, class_ in parts:
        value = values.get(key, 0)
        width = WIDTH * value / total if total else 0.0
        if value:
            yield rect(left, top + 18, width, BAR, class_, f"{name}: {seconds(value)}, {share(value / total)}")
        left += width
