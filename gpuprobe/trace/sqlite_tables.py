"""Tables of an SQLite file as integer columns, whatever their schema's age: what is missing has a default."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from gpuprobe.errors import GpuprobeError

_ROWS_AT_A_TIME = 65536
_SIGNED_64 = 1 << 63


class Database:
    """A read-only SQLite file. Only real tables are read, never views or triggers of an untrusted schema."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1", uri=True)
            self._connection.execute("PRAGMA trusted_schema = OFF")
            self._connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
            rows = self._connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
        except (sqlite3.Error, ValueError) as error:
            raise self.damaged(str(error)) from error
        self.tables = {str(name) for name, sql in rows if "VIRTUAL" not in str(sql).upper()[:20]}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def columns(self, table: str, wanted: Mapping[str, int]) -> dict[str, NDArray[np.int64]]:
        """Integer columns of a table; the defaults stand for NULL and for missing columns. Empty if no table."""
        if table not in self.tables:
            return {name: np.zeros(0, np.int64) for name in wanted}
        present = self._names(table)
        parts = [
            f"coalesce({_quoted(name)}, {default})" if name in present else str(default)
            for name, default in wanted.items()
        ]
        try:
            cursor = self._connection.execute(f"SELECT {', '.join(parts)} FROM {_quoted(table)}")  # noqa: S608
            pieces = []
            while rows := cursor.fetchmany(_ROWS_AT_A_TIME):
                pieces.append(np.array([[_signed(value) for value in row] for row in rows], np.int64))
        except (sqlite3.Error, ValueError, TypeError, OverflowError) as error:
            raise self.damaged(str(error)) from error
        matrix = np.concatenate(pieces) if pieces else np.zeros((0, len(wanted)), np.int64)
        return {name: np.ascontiguousarray(matrix[:, index]) for index, name in enumerate(wanted)}

    def rows(self, table: str, *names: str) -> list[tuple[Any, ...]]:
        """Values of any type of the named columns, None where one is missing; no rows if no table."""
        if table not in self.tables:
            return []
        present = self._names(table)
        parts = [_quoted(name) if name in present else "NULL" for name in names]
        try:
            return self._connection.execute(f"SELECT {', '.join(parts)} FROM {_quoted(table)}").fetchall()  # noqa: S608
        except (sqlite3.Error, ValueError) as error:
            raise self.damaged(str(error)) from error

    def _names(self, table: str) -> set[str]:
        try:
            return {str(row[1]) for row in self._connection.execute(f"PRAGMA table_info({_quoted(table)})")}
        except (sqlite3.Error, ValueError) as error:
            raise self.damaged(str(error)) from error

    def damaged(self, reason: str) -> GpuprobeError:
        """The one-line error of a file whose content can not be."""
        return GpuprobeError(
            f"cannot read {self._path} as a trace: damaged SQLite file ({reason})",
            "export it again: nsys export --type sqlite FILE.nsys-rep",
        )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _signed(value: Any) -> int:
    """An integer of a column within 64 bits; larger unsigned ones wrap as CUPTI's do."""
    number = int(value)
    return number if -_SIGNED_64 <= number < _SIGNED_64 else (number + _SIGNED_64) % (1 << 64) - _SIGNED_64
