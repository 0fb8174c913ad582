"""Growing a Trace: interned text and lanes, columns appended in pieces, joined once at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuprobe.trace.model import (
    TABLES,
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


class Builder:
    """Collects pieces of the tables; ``finish`` joins them into a Trace."""

    def __init__(self) -> None:
        self.texts = Texts()
        self.lanes = Lanes()
        self.pieces: dict[str, list[Mapping[str, NDArray[Any]]]] = {name: [] for name in TABLES}
        self.warnings: list[str] = []

    def add(self, table: str, columns: Mapping[str, Any]) -> None:
        """Append rows to a table; text and lanes must already be ids."""
        dtypes = columns_of(TABLES[table])
        self.pieces[table].append({name: np.asarray(values, dtypes[name]) for name, values in columns.items()})

    def finish(self, meta: Mapping[str, Any]) -> Trace:
        """The Trace of everything added."""
        return Trace(
            texts=tuple(self.texts.in_order),
            lanes=tuple(self.lanes.in_order),
            gpu=make(GpuTable, self._joined("gpu")),
            calls=make(CallTable, self._joined("calls")),
            ranges=make(RangeTable, self._joined("ranges")),
            syncs=make(SyncTable, self._joined("syncs")),
            samples=make(SampleTable, self._joined("samples")),
            meta=dict(meta),
            warnings=tuple(self.warnings),
        )

    def _joined(self, table: str) -> dict[str, NDArray[Any]]:
        pieces = self.pieces.pop(table)
        joined = {}
        for name, dtype in columns_of(TABLES[table]).items():
            parts = [piece[name] if name in piece else np.zeros(len(piece["start"]), dtype) for piece in pieces]
            joined[name] = np.concatenate(parts) if parts else np.zeros(0, dtype)
        return joined
