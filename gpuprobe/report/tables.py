"""A table as data: what templates/macros.html.j2 draws and script.js sorts and filters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isclose

from markupsafe import Markup, escape

from gpuprobe.report.format import printable


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


def body(table: Table) -> Markup:
    """The table's rows as HTML; all text is escaped. Python writes thousands of rows faster than a template."""
    numeric = [column.numeric for column in table.columns]
    return Markup("\n".join(_row(row, numeric) for row in table.rows))  # noqa: S704 - cells are escaped in _cell


def _row(row: Row, numeric: Sequence[bool]) -> str:
    head, *rest = row.cells
    cells = [_cell("th", ' scope="row"', head, numeric[0])]
    cells += [_cell("td", "", cell, right) for cell, right in zip(rest, numeric[1:], strict=True)]
    minor = ' class="minor"' if row.minor else ""
    return f"<tr{minor}>{''.join(cells)}</tr>"


def _cell(tag: str, scope: str, cell: Cell, numeric: bool) -> str:
    wrapped = "" if numeric else _wrapped(cell.text)
    classes = f"{wrapped} {cell.class_}".strip()
    class_ = f' class="{classes}"' if classes else ""
    sort = "" if cell.sort is None or (numeric and _says_its_place(cell)) else f' data-s="{cell.sort:.6g}"'
    small = f"<small>{_shown(cell.small)}</small>" if cell.small else ""
    return f"<{tag}{scope}{class_}{sort}>{_shown(cell.text)}{small}</{tag}>"


def _says_its_place(cell: Cell) -> bool:
    """Whether the number at the begin of a cell's text, which script.js reads, is what the cell is sorted by."""
    try:
        said = float(cell.text.partition(" ")[0])
    except ValueError:
        return False
    return cell.sort is not None and not cell.small and isclose(said, cell.sort, rel_tol=5e-4)


@lru_cache(4096)
def _shown(text: str) -> str:
    """Escaped text; a plain str, since joining markup escapes anew, and remembered, since columns repeat themselves."""
    return str(escape(printable(text)))


def _wrapped(text: str) -> str:
    """The class of a cell whose text is long: it is broken into lines of a least width. A word stays whole."""
    if len(text) > 60:
        return "ww"
    return "w" if len(text) > (20 if " " in text else 32) else ""


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
