"""How commands speak: one document or table on stdout, messages and progress on stderr, files by suffix.

Every command imports this module at its top, so what takes milliseconds to load is imported where it is used.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TextIO, TypeVar

import click

from gpuprobe.errors import Exit, GpuprobeError

Command = TypeVar("Command", bound=Callable[..., Any])
Rows = Sequence[Sequence[str]]

CLEAR_LINE = "\r\x1b[2K"
PLAIN_PROGRESS_EVERY_S = 10.0


def emit_json(document: Any) -> None:
    """Print ``document`` as the one thing on stdout; numbers that are not finite are an error, not a NaN."""
    print(json.dumps(document, allow_nan=False, indent=2 if _is_terminal(sys.stdout) else None))


def note(message: str) -> None:
    """A message to the reader, on stderr, so that stdout stays data."""
    print(message, file=sys.stderr, flush=True)


def table(
    columns: Sequence[str],
    rows: Rows,
    title: str = "",
    *,
    right: Collection[str] = (),
    styles: Mapping[str, str] | None = None,
) -> None:
    """Print a table: by rich on a terminal, else plain text whose lines do not depend on any width.

    ``right`` names the columns to align right; ``styles`` gives a rich style to cells by their whole text.
    """
    if _is_terminal(sys.stdout):
        _rich_table(columns, rows, title, right, styles or {})
    else:
        print("\n".join(_plain_table(columns, rows, title, right)))


def _plain_table(columns: Sequence[str], rows: Rows, title: str, right: Collection[str]) -> list[str]:
    """Lines of a table in which cells are two or more spaces apart."""
    cells = [list(columns), *([" ".join(cell.split()) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    aligned = [
        "  ".join(
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(columns, line, widths, strict=True)
        ).rstrip()
        for line in cells
    ]
    return [title, *aligned] if title else aligned


def _rich_table(
    columns: Sequence[str], rows: Rows, title: str, right: Collection[str], styles: Mapping[str, str]
) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    view = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        view.add_column(name, justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        # Text, not markup: kernel names hold square brackets.
        view.add_row(*(Text(cell, style=styles.get(cell, "")) for cell in row))
    Console().print(view)


def json_option(function: Command) -> Command:
    """The option ``--json``, passed on as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")(function)


def output_option(function: Command) -> Command:
    """The option ``-o FILE``, passed on as ``output``; a suffix or folder that cannot work fails before any work."""
    return click.option(
        "-o",
        "--output",
        metavar="FILE",
        type=click.Path(path_type=Path),
        callback=lambda _context, _option, path: None if path is None else check_output(path),
        help="Also write the result to FILE: .json, .json.gz, .csv, .parquet, .html or .md.",
    )(function)


def check_output(path: Path) -> Path:
    """``path`` itself where it can be written; GpuprobeError where its suffix or its folder forbids that."""
    if _suffix(path) not in _WRITERS:
        raise GpuprobeError(f"cannot write {path}: unknown suffix", f"use one of: {' '.join(_WRITERS)}")
    if path.is_dir():
        raise GpuprobeError(f"cannot write {path}: it is a folder", f"name a file: -o {path / 'run.json'}")
    existing = next(folder for folder in path.absolute().parents if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise GpuprobeError(
            f"cannot write {path}: no permission in {existing}", "choose another path with -o", Exit.MACHINE_LACKS
        )
    return path


def write_output(path: Path, document: Any, columns: Sequence[str], rows: Rows) -> None:
    """Write a result by the suffix of ``path``: the document as JSON, else the table; whole or not at all."""
    from gpuprobe.files import write_atomically

    check_output(path)
    write_atomically(path, _WRITERS[_suffix(path)](document, columns, rows))


def _suffix(path: Path) -> str:
    suffixes = path.suffixes[-2:]
    return "".join(suffixes) if suffixes[-1:] == [".gz"] else path.suffix


def _json(document: Any, _columns: Sequence[str], _rows: Rows) -> bytes:
    from gpuprobe.files import encode

    return encode(document, compress=False) + b"\n"


def _json_gz(document: Any, _columns: Sequence[str], _rows: Rows) -> bytes:
    from gpuprobe.files import encode

    return encode(document, compress=True)


def _csv(_document: Any, columns: Sequence[str], rows: Rows) -> bytes:
    import csv
    import io

    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue().encode()


def _md(_document: Any, columns: Sequence[str], rows: Rows) -> bytes:
    lines = [list(columns), ["---"] * len(columns), *rows]
    cells = [[" ".join(cell.split()).replace("\\", "\\\\").replace("|", "\\|") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells).encode()


def _html(_document: Any, columns: Sequence[str], rows: Rows) -> bytes:
    from html import escape

    def line(tag: str, cells: Sequence[str], attributes: str = "") -> str:
        return f"<tr>{''.join(f'<{tag}{attributes}>{escape(cell)}</{tag}>' for cell in cells)}</tr>\n"

    body = "".join(line("td", row) for row in rows)
    table = f"<table>\n<thead>{line('th', columns, ' scope=col')}</thead>\n<tbody>\n{body}</tbody>\n</table>\n"
    head = '<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>gpuprobe</title>\n'
    rules = "table{border-collapse:collapse}th,td{border:1px solid #8888;padding:2px 8px;text-align:left}"
    style = f"<style>{rules}</style>\n"
    return f"{head}{style}{table}</html>\n".encode("utf-8", "replace")


def _parquet(_document: Any, columns: Sequence[str], rows: Rows) -> bytes:
    """The table's columns; one whose cells are all numbers is stored as numbers (empty cells as nulls)."""
    import io
    from importlib import import_module

    arrow: Any = _arrow(import_module, "pyarrow")
    parquet: Any = _arrow(import_module, "pyarrow.parquet")
    values = [_typed([row[index] for row in rows]) for index in range(len(columns))]
    file = io.BytesIO()
    parquet.write_table(arrow.table(dict(zip(columns, values, strict=True))), file)
    return file.getvalue()


def _arrow(load: Callable[[str], Any], name: str) -> Any:
    try:
        return load(name)
    except ImportError as error:
        raise GpuprobeError(
            "writing Parquet needs pyarrow", "pip install 'gpuprobe[train]', or write .csv", Exit.MACHINE_LACKS
        ) from error


def _typed(cells: Sequence[str]) -> list[float | None] | list[str]:
    try:
        return [float(cell) if cell else None for cell in cells]
    except ValueError:
        return list(cells)


_WRITERS: Mapping[str, Callable[[Any, Sequence[str], Rows], bytes]] = {
    ".json": _json,
    ".json.gz": _json_gz,
    ".csv": _csv,
    ".parquet": _parquet,
    ".html": _html,
    ".md": _md,
}


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


class Progress:
    """What is going on, on stderr: one line that changes on a terminal, else a plain line now and then."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._live = _is_terminal(sys.stderr)
        self._next_s = clock()
        self._text = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def update(self, text: str) -> None:
        """Show ``text`` in place of the last; in a log file at most one such line in 10 s."""
        self._text = text
        if self._live:
            self._write(CLEAR_LINE + text[: _columns() - 1])
        elif self._clock() >= self._next_s:
            self._next_s = self._clock() + PLAIN_PROGRESS_EVERY_S
            self._write(text + "\n")

    def line(self, text: str) -> None:
        """A line that stays, above the one that changes."""
        self._write((CLEAR_LINE if self._live else "") + text + "\n")
        if self._live:
            self.update(self._text)

    def close(self) -> None:
        """Take the changing line away."""
        if self._live and self._text:
            self._text = ""
            self._write(CLEAR_LINE)

    def _write(self, text: str) -> None:
        print(text, end="", file=sys.stderr, flush=True)


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except OSError:
        return 80
