"""Growing a Trace: interned text and lanes, columns that rows are appended to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuprobe.trace.model import (
    TABLES,
    AnyTable,
    CallTable,
    GpuTable,
    Lane,
    RangeTable,
    SampleTable,
    SyncTable,
    Trace,
    columns_of,
    make,
)


class Texts(dict[str | None, int]):
    """Text to id; an unseen text gets the next id. None and the empty text are id 0."""

    def __init__(self) -> None:
        super().__init__({"": 0, None: 0})
        self.in_order = [""]

    def __missing__(self, text: str | None) -> int:
        self[text] = identifier = len(self.in_order)
        self.in_order.append(str(text))
        return identifier


class Lanes(dict[tuple[Any, ...], int]):
    """(pid, tid) or (pid, tid, device, stream) to id; an unseen lane gets the next id."""

    def __init__(self) -> None:
        super().__init__()
        self.in_order: list[Lane] = []

    def __missing__(self, key: tuple[Any, ...]) -> int:
        self[key] = identifier = len(self.in_order)
        self.in_order.append(Lane(*key))
        return identifier


class _Rows:
    """A table that grows: room is doubled, and what is not used of it takes no memory."""

    def __init__(self, table: type[AnyTable]) -> None:
        self._columns: dict[str, NDArray[Any]] = {name: np.empty(0, kind) for name, kind in columns_of(table).items()}
        self._used = 0

    def append(self, columns: Mapping[str, Any]) -> None:
        """Append rows; an absent column becomes zeros."""
        if unknown := columns.keys() - self._columns.keys():
            raise KeyError(f"no such columns: {sorted(unknown)}")
        begin, self._used = self._used, self._used + len(columns["start"])
        if self._used > len(self._columns["start"]):
            self._grow(begin, max(self._used, 2 * begin))
        for name, values in self._columns.items():
            values[begin : self._used] = columns.get(name, 0)

    def _grow(self, used: int, room: int) -> None:
        for name, values in self._columns.items():  # one after the other, so that only one is there twice
            larger = np.empty(room, values.dtype)
            larger[:used] = values[:used]
            self._columns[name] = larger

    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns, each as long as there are rows."""
        return {name: values[: self._used] for name, values in self._columns.items()}


class Builder:
    """Collects pieces of the tables; ``finish`` makes a Trace of them."""

    def __init__(self) -> None:
        self.texts = Texts()
        self.lanes = Lanes()
        self.warnings: list[str] = []
        self._rows = {name: _Rows(table) for name, table in TABLES.items()}

    def add(self, table: str, columns: Mapping[str, Any]) -> None:
        """Append rows to a table; text and lanes must already be ids."""
        self._rows[table].append(columns)

    def finish(self, meta: Mapping[str, Any]) -> Trace:
        """The Trace of everything added."""
        return Trace(
            texts=tuple(self.texts.in_order),
            lanes=tuple(self.lanes.in_order),
            gpu=make(GpuTable, self._rows["gpu"].columns()),
            calls=make(CallTable, self._rows["calls"].columns()),
            ranges=make(RangeTable, self._rows["ranges"].columns()),
            syncs=make(SyncTable, self._rows["syncs"].columns()),
            samples=make(SampleTable, self._rows["samples"].columns()),
            meta=dict(meta),
            warnings=tuple(self.warnings),
        )
