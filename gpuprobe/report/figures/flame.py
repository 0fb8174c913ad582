"""A flame picture: ranges inside ranges and the kernels below them, as wide as their GPU time."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from markupsafe import Markup

from gpuprobe.report.format import cut, seconds, share
from gpuprobe.report.svg import Picture, picture, rect, text
from gpuprobe.trace.flame import Node

WIDTH, ROW, GAP = 900, 20, 1
NARROWEST = 1.5
"""Narrower boxes are left out; their time stays visible as a gap above their parent."""
_LETTER = 6.2
_CLASSES = ("s1", "s2", "s3", "s4", "s5", "s6")


def flame(root: Node) -> Picture | None:
    """Outermost names on top; None where there is no GPU time."""
    if root.ns <= 0:
        return None
    drawn = list(_boxes(root, 0.0, 0, WIDTH / root.ns, root.ns))
    depth = max(row for row, _ in drawn) + 1
    marks = [mark for _, mark in drawn]
    said = "; ".join(f"{cut(node.name, 40)} {share(node.ns / root.ns)}" for node in root.children()[:6])
    caption = f"Who asked for the {seconds(root.ns)} of GPU time: ranges, operators inside them, kernels at the end"
    return picture("GPU time by range and operator", said, depth * ROW + 4, marks, width=WIDTH, caption=caption)


def _boxes(node: Node, left: float, row: int, scale: float, whole: int) -> Iterator[tuple[int, Markup]]:
    width = node.ns * scale
    if width < NARROWEST:
        return
    tip = f"{cut(node.name, 200)}: {seconds(node.ns)}, {share(node.ns / whole)}"
    class_ = _CLASSES[zlib.crc32(node.name.encode("utf-8", "replace")) % len(_CLASSES)]
    yield row, rect(left, row * ROW, width - GAP, ROW - GAP, f"{class_} box" if row else "track", tip)
    letters = int((width - 6) / _LETTER)
    if letters > 3:
        yield row, text(cut(node.name, letters), left + 3, row * ROW + 14, "small")
    for child in node.children():
        yield from _boxes(child, left, row + 1, scale, whole)
        left += child.ns * scale
