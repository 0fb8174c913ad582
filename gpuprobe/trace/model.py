"""One Trace for every source: columns of integers, interned text, lanes, and what is known about the recording.

All times are integer nanoseconds on the file's own clock. Text is interned in ``Trace.texts`` and columns hold its
index; id 0 is the empty text. Text comes from untrusted files: escape it wherever it is shown. Absent numbers are 0
where 0 means "none" in CUPTI (correlation, external id, graph, node) and -1 elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import IntEnum
from functools import cache
from typing import Any, NamedTuple, TypeVar, get_type_hints

import numpy as np
from numpy.typing import NDArray

Label = int | str | None
U8 = NDArray[np.uint8]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
F64 = NDArray[np.float64]

_DTYPES: dict[Any, type[np.generic]] = {U8: np.uint8, I32: np.int32, I64: np.int64, F64: np.float64}


class GpuKind(IntEnum):
    """What a GPU event is: only kernels count as kernels, copies and sets are memory work."""

    KERNEL = 0
    MEMCPY = 1
    MEMSET = 2


class CallKind(IntEnum):
    """Which API a host call belongs to."""

    RUNTIME = 0
    DRIVER = 1


class RangeKind(IntEnum):
    """What a host (or mirrored GPU) range is."""

    OPERATOR = 0
    ANNOTATION = 1
    PYTHON = 2
    GPU_ANNOTATION = 3
    OVERHEAD = 4
    OTHER = 5


class Lane(NamedTuple):
    """Where an event ran: process and thread as the file names them; device and stream for GPU work, else None."""

    pid: Label
    tid: Label
    device: Label = None
    stream: Label = None

    @property
    def device_label(self) -> str:
        """The device as text; the process where the file states no device."""
        return str(self.pid if self.device is None else self.device)

    @property
    def stream_label(self) -> str:
        """The stream as text; the thread where the file states no stream."""
        return str(self.tid if self.stream is None else self.stream)


@dataclass(frozen=True)
class GpuTable:
    """Kernels, copies and memsets, in the file's order.

    ``correlation`` is unique to one launch call within the Trace (readers of several processes renumber it).
    ``config`` and ``detail`` are text ids of small JSON objects: launch shape (grid, block, registers, shared) and
    collective arguments. ``bytes`` is -1 where unknown; ``graph`` and ``node`` are CUPTI's ids, 0 for none.
    """

    start: I64
    dur: I64
    name: I32
    kind: U8
    lane: I32
    correlation: I64
    external: I64
    config: I32
    detail: I32
    bytes: I64
    graph: I64
    node: I64

    @property
    def end(self) -> I64:
        """End of each event, ns."""
        return self.start + self.dur


@dataclass(frozen=True)
class CallTable:
    """Runtime and driver API calls on host threads, in the file's order."""

    start: I64
    dur: I64
    name: I32
    kind: U8
    lane: I32
    correlation: I64
    external: I64

    @property
    def end(self) -> I64:
        """End of each call, ns."""
        return self.start + self.dur


@dataclass(frozen=True)
class RangeTable:
    """Operators, annotations (NVTX, record_function, profiler steps), Python frames and other ranges.

    ``args`` is the text id of a JSON object with the operator's input dimensions, types, strides and values.
    ``category`` is the file's own word.
    """

    start: I64
    dur: I64
    name: I32
    kind: U8
    lane: I32
    category: I32
    external: I64
    args: I32

    @property
    def end(self) -> I64:
        """End of each range, ns."""
        return self.start + self.dur


@dataclass(frozen=True)
class SyncTable:
    """Synchronisation records, never GPU work. ``wait_correlation`` is the call that recorded the awaited event."""

    start: I64
    dur: I64
    name: I32
    lane: I32
    correlation: I64
    wait_stream: I64
    wait_correlation: I64

    @property
    def end(self) -> I64:
        """End of each record, ns."""
        return self.start + self.dur


@dataclass(frozen=True)
class SampleTable:
    """Counter samples (power in W, clocks in Hz, …): ``name`` says which, ``value`` is in the name's unit."""

    start: I64
    name: I32
    lane: I32
    value: F64


AnyTable = GpuTable | CallTable | RangeTable | SyncTable | SampleTable
T = TypeVar("T", GpuTable, CallTable, RangeTable, SyncTable, SampleTable)


def columns_of(table: type[AnyTable]) -> Mapping[str, type[np.generic]]:
    """Column names of a table and their dtypes, in the declared order."""
    return _columns(table)  # type: ignore[arg-type]  # a class is hashable; its __hash__ is its instances'


@cache
def _columns(table: Any) -> Mapping[str, type[np.generic]]:
    hints = get_type_hints(table)
    return {item.name: _DTYPES[hints[item.name]] for item in fields(table)}


def make(table: type[T], columns: Mapping[str, Any]) -> T:
    """A table from columns; a missing column becomes zeros of the right length (text id 0, no correlation)."""
    length = len(next(iter(columns.values()))) if columns else 0
    arrays = {
        name: np.asarray(columns[name], dtype) if name in columns else np.zeros(length, dtype)
        for name, dtype in columns_of(table).items()
    }
    if any(len(array) != length for array in arrays.values()):
        raise ValueError(f"columns of {table.__name__} differ in length")
    return table(**arrays)


def take(table: T, rows: NDArray[Any]) -> T:
    """The rows of a table chosen by a mask or by indices."""
    return type(table)(**{name: getattr(table, name)[rows] for name in columns_of(type(table))})


def rows_of(table: AnyTable) -> int:
    """Number of rows."""
    return len(table.start)


@dataclass(frozen=True)
class Trace:
    """A recorded run. ``meta`` holds plain JSON: store.py writes it as it is; meta.py knows the types of its keys.

    Keys used: ``source`` (file, format, json_bytes, json_sha256, events, events_by_ph_cat), ``devices`` (a list of the
    recorder's property objects), ``rank``, ``world_size``, ``base_ns`` (added to a time it gives Unix time), ``vendor``
    (nvidia, amd or unknown), ``processes`` and ``threads`` (names for display) and ``recorder`` (its own cost: records,
    dropped, bytes, seconds). ``warnings`` are one-line sentences for the user.
    """

    texts: tuple[str, ...] = ("",)
    lanes: tuple[Lane, ...] = ()
    gpu: GpuTable = field(default_factory=lambda: make(GpuTable, {}))
    calls: CallTable = field(default_factory=lambda: make(CallTable, {}))
    ranges: RangeTable = field(default_factory=lambda: make(RangeTable, {}))
    syncs: SyncTable = field(default_factory=lambda: make(SyncTable, {}))
    samples: SampleTable = field(default_factory=lambda: make(SampleTable, {}))
    meta: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The source's file name, for messages."""
        return str(self.meta.get("source", {}).get("file", "trace"))

    def text_mask(self, accept: Any) -> NDArray[np.bool_]:
        """A mask over text ids: ``accept(text)`` evaluated once for each distinct text."""
        return np.fromiter((bool(accept(text)) for text in self.texts), bool, len(self.texts))


TABLES: Mapping[str, type[AnyTable]] = {
    "gpu": GpuTable,
    "calls": CallTable,
    "ranges": RangeTable,
    "syncs": SyncTable,
    "samples": SampleTable,
}
