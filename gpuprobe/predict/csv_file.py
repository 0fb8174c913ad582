"""CSV files of queries: read and checked whole before anything is predicted, written whole or not at all."""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.ops.gemm import LARGEST_DIMENSION

_LONGEST_SHOWN: Final = 40


@dataclass(frozen=True)
class Table:
    """A CSV as it is: header, cells, the line of each row; ``form`` says what it should look like."""

    path: Path
    form: str
    header: list[str]
    cells: list[list[str]]
    lines: list[int]

    def column(self, name: str, default: str = "") -> list[str]:
        """The cells of a column, stripped; ``default`` in every row where there is no such column."""
        if name not in self.header:
            return [default] * len(self.cells)
        at = self.header.index(name)
        return [row[at].strip() for row in self.cells]

    def whole(self, name: str) -> list[int]:
        """A column of whole numbers from 1; GpuprobeError names the first bad line."""
        return [self._whole(line, name, text) for line, text in zip(self.lines, self.column(name), strict=True)]

    def _whole(self, line: int, name: str, text: str) -> int:
        try:
            size = int(text)
        except ValueError:
            raise self.bad(line, f"{name} = '{short(text)}' is not a whole number") from None
        if not 1 <= size <= LARGEST_DIMENSION:
            raise self.bad(line, f"{name} = {short(text)} is out of range")
        return size

    def bad(self, line: int, why: str, hint: str = "") -> GpuprobeError:
        """The error for a line."""
        return GpuprobeError(f"{self.path}, line {line}: {why}", hint or self.form)


def read(path: Path, needed: Sequence[str], added: Sequence[str], form: str) -> Table:
    """A CSV with the columns ``needed`` and none of ``added``; GpuprobeError otherwise. Blank lines are left out."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _table(path, csv.reader(file, strict=True), needed, added, form)
    except OSError as error:
        raise GpuprobeError(f"cannot read {path}: {error.strerror or error}", "check the path after --csv") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise GpuprobeError(f"{path} is no CSV: {error}", form) from error


def _table(path: Path, reader: Any, needed: Sequence[str], added: Sequence[str], form: str) -> Table:
    header = [name.strip() for name in next(reader, [])]
    missing = [name for name in needed if name not in header]
    if missing:
        raise GpuprobeError(f"{path} has no column {', '.join(missing)}", form)
    twice = sorted({name for name in header if header.count(name) > 1 or name in added})
    if twice:
        raise GpuprobeError(f"{path}: the column {', '.join(twice)} would be there twice", "rename or remove it")
    table = Table(path, form, header, [], [])
    for row in reader:
        if row:
            if len(row) != len(header):
                raise table.bad(reader.line_num, f"{len(row)} cells instead of {len(header)}")
            table.cells.append(row)
            table.lines.append(reader.line_num)
    return table


def write(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a CSV, row by row into a temporary file that takes its place at the end."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(header)
                writer.writerows(rows)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise GpuprobeError(
            f"cannot write {path}: {error.strerror or error}", "choose another path with -o", Exit.MACHINE_LACKS
        ) from error


def short(text: str) -> str:
    """``text`` in a few words of an error message."""
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"


def text_of(value: Any) -> str:
    """A predicted value as a cell: numbers to six digits, true or false."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
