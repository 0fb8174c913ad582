"""Heat maps of warps × independent chains: the rate in each cell, its share of the best cell as colour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from gpuprobe.record import Measurement, Param
from gpuprobe.report.run_view import RunView
from gpuprobe.report.svg import WIDTH, Picture, picture, rect, text

COLUMNS, ROWS = "WARPS", "ILP"
_LIMITS = {"ilp_table": "issue limit"}
"""What the limit of a probe is, where it is not that of the pipe."""

STEPS = 8
"""Colours of the scale: the classes h0 to h7 of the style sheet, each an eighth of the best cell's rate."""

LEFT, TOP, CELL, BASE = 34, 4, 34, 40


def heatmaps(view: RunView) -> list[Picture]:
    """A map for each probe, quantity per SM, operand type and kind of operands that has both axes."""
    families: dict[tuple[object, ...], list[Measurement]] = {}
    for row in view.run.measurements:
        if {COLUMNS, ROWS} <= row.params.keys() and row.unit.endswith("/cycle/SM"):
            families.setdefault((row.name, row.quantity, *_facet(row).items()), []).append(row)
    maps = [
        rows
        for rows in families.values()
        if all(len({row.params[axis] for row in rows}) > 1 for axis in (COLUMNS, ROWS))
    ]
    return [_map(rows) for rows in sorted(maps, key=lambda rows: -len(rows))]


def _facet(row: Measurement) -> dict[str, Param]:
    return {name: value for name, value in row.params.items() if name not in (COLUMNS, ROWS)}


def step(share: float) -> int:
    """The colour of a share of the limit."""
    return min(STEPS - 1, max(0, int(share * STEPS)))


def _map(rows: Sequence[Measurement]) -> Picture:
    columns, lines = (sorted({float(row.params[axis]) for row in rows}) for axis in (COLUMNS, ROWS))
    width = (WIDTH - LEFT) / len(columns)
    height = TOP + CELL * len(lines) + BASE
    most = max(row.value for row in rows)
    marks = [mark for row in rows for mark in _cell(row, columns, lines, width, most)]
    marks += [
        text(f"{value:g}", LEFT + (index + 0.5) * width, height - BASE + 16, anchor="middle")
        for index, value in enumerate(columns)
    ]
    marks += [text(f"{value:g}", LEFT - 6, _top(lines, value) + CELL / 2 + 4, anchor="end") for value in lines]
    middle = TOP + CELL * len(lines) / 2
    marks.append(text("warps per SM", LEFT + (WIDTH - LEFT) / 2, height - 7, "label", "middle"))
    marks.append(text("chains", 10, middle, "label", "middle", transform=f"rotate(-90 10 {middle:.0f})"))
    title = " ".join([rows[0].name, *map(str, _facet(rows[0]).values())])
    limit = rows[0].limit
    of_limit = f"; {_LIMITS.get(rows[0].name, 'limit')} {limit:.0f}" if limit else ""
    best = f"best {most:.0f} {rows[0].unit}{of_limit}"
    return picture(title, f"{best}, of {len(rows)} cells.", height, marks, caption=f"{title}: {best}")


def _top(lines: Sequence[float], value: float) -> float:
    """Few chains at the bottom, as on an axis."""
    return TOP + CELL * (len(lines) - 1 - lines.index(value))


def _cell(
    row: Measurement, columns: Sequence[float], lines: Sequence[float], width: float, most: float
) -> Iterator[Markup]:
    left = LEFT + columns.index(float(row.params[COLUMNS])) * width
    top = _top(lines, float(row.params[ROWS]))
    colour = step(row.value / most)
    tip = f"{row.params[COLUMNS]} warps, {row.params[ROWS]} chains: {row.value:.1f} {row.unit}"
    yield rect(left, top, width - 1.5, CELL - 1.5, f"h{colour}", tip)
    yield text(f"{row.value:.0f}", left + width / 2, top + CELL / 2 + 4, f"on{colour}", "middle")
