"""A table as data: what templates/macros.html.j2 draws and script.js sorts and filters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A column's heading; ``numeric`` columns are aligned right and sorted by ``Cell.sort``."""

    name: str
    numeric: bool = False


@dataclass(frozen=True)
class Cell:
    """A cell: its text, the number it is sorted by, and small print below it."""

    text: str
    sort: float | None = None
    small: str = ""
    class_: str = ""


@dataclass(frozen=True)
class Row:
    """Cells of a row; a ``minor`` row is hidden until asked for."""

    cells: tuple[Cell, ...]
    minor: bool = False


@dataclass(frozen=True)
class Table:
    """A table with an id that is unique in the page, a caption, and the words for its hidden rows."""

    id: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    minor_label: str = ""

    @property
    def minor_rows(self) -> int:
        """Number of rows hidden at first."""
        return sum(row.minor for row in self.rows)


Cells = Sequence[str | Cell]
"""A row of a plain table."""


def plain(id_: str, caption: str, columns: Sequence[tuple[str, bool]], rows: Sequence[Cells]) -> Table:
    """A table of texts and cells; ``columns`` are (heading, numeric)."""
    return Table(
        id_,
        caption,
        tuple(Column(name, numeric) for name, numeric in columns),
        tuple(Row(tuple(Cell(cell) if isinstance(cell, str) else cell for cell in row)) for row in rows),
    )
