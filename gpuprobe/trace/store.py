"""The own trace file, ``.gptrace``: a small JSON header and one block of bytes for each column.

Layout (all integers little-endian): ``GPTRACE\\n`` · u32 length of the header · header · blocks in the header's order.
The header is JSON: ``schema`` (1) · ``meta`` and ``warnings`` of the Trace · ``lanes`` ([pid, tid, device, stream]) ·
``texts`` (count, bytes; the block is a deflated JSON array of strings) · ``tables`` → name → column → description
(columns.py) · ``size`` of all blocks. A kernel of a real trace takes 3 to 10 bytes. Nothing in a file is executed, no
path in it is followed, and every size is checked before memory is taken. Readers ignore unknown columns and fill
missing ones with zeros, so columns may be added.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from numpy.typing import NDArray

from gpuprobe.errors import GpuprobeError
from gpuprobe.files import write_atomically
from gpuprobe.trace.clock import LIMIT_NS
from gpuprobe.trace.columns import MOST_DEFLATED, decode_column, encode_column, encode_data_column
from gpuprobe.trace.meta import checked
from gpuprobe.trace.model import (
    TABLES,
    CallTable,
    GpuTable,
    Lane,
    RangeTable,
    SampleTable,
    SyncTable,
    T,
    Trace,
    columns_of,
    make,
)
from gpuprobe.trace.source import cannot_read

MAGIC = b"GPTRACE\n"
SCHEMA = 1
_HINT = "record or export the trace again"


def write_trace(trace: Trace, path: Path) -> None:
    """Write ``trace`` whole or not at all."""
    write_atomically(path, encode_trace(trace))


def encode_trace(trace: Trace) -> bytes:
    """The bytes of the own file."""
    texts = zlib.compress(msgspec.json.encode(trace.texts), 6)
    blocks = [texts]
    tables: dict[str, dict[str, Any]] = {}
    for name, table in TABLES.items():
        tables[name] = {}
        for column in columns_of(table):
            encode = encode_data_column if column == "start" else encode_column
            tables[name][column], data = encode(getattr(getattr(trace, name), column))
            blocks.append(data)
    header = {
        "schema": SCHEMA,
        "meta": trace.meta,
        "warnings": trace.warnings,
        "lanes": trace.lanes,
        "texts": {"count": len(trace.texts), "bytes": len(texts)},
        "tables": tables,
        "size": sum(map(len, blocks)),
    }
    head = json.dumps(header, separators=(",", ":")).encode()
    return b"".join([MAGIC, struct.pack("<I", len(head)), head, *blocks])


def read_gptrace(path: Path) -> Trace:
    """Read an own file; GpuprobeError where it is missing, damaged or of a later schema."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise cannot_read(path, error) from error
    try:
        return _decode(memoryview(data))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, RecursionError) as error:
        reason = str(error) or type(error).__name__
        raise GpuprobeError(f"cannot read {path} as a trace: {reason}", _HINT) from error


def _decode(data: memoryview) -> Trace:
    if bytes(data[:8]) != MAGIC:
        raise ValueError("it is no .gptrace file")
    if len(data) < 12:
        raise ValueError("the file is truncated")
    (length,) = struct.unpack("<I", data[8:12])
    try:
        header = msgspec.json.decode(data[12 : 12 + length])
    except msgspec.DecodeError as error:
        raise ValueError(f"damaged header ({error})") from error
    if header["schema"] > SCHEMA:
        raise ValueError(f"schema {header['schema']} is newer than this gpuprobe reads ({SCHEMA})")
    blocks = _Blocks(data[12 + length :], header["size"])
    texts = _texts(header["texts"], blocks)
    lanes = tuple(Lane(*map(_label, lane)) for lane in header["lanes"])
    tables = {name: _table(columns, blocks) for name, columns in header["tables"].items()}
    limits = {
        "name": len(texts),
        "category": len(texts),
        "config": len(texts),
        "detail": len(texts),
        "args": len(texts),
    }
    limits["lane"] = len(lanes)
    meta = header["meta"]
    if not isinstance(meta, dict):
        raise ValueError("damaged header (meta)")
    meta, damaged = checked(meta)
    return Trace(
        texts=texts,
        lanes=lanes,
        gpu=_checked(GpuTable, tables, "gpu", {**limits, "kind": 3}),
        calls=_checked(CallTable, tables, "calls", {**limits, "kind": 2}),
        ranges=_checked(RangeTable, tables, "ranges", {**limits, "kind": 6}),
        syncs=_checked(SyncTable, tables, "syncs", limits),
        samples=_checked(SampleTable, tables, "samples", limits),
        meta=meta,
        warnings=(*map(str, header["warnings"]), *damaged),
    )


class _Blocks:
    """The blocks of a file, taken one after the other."""

    def __init__(self, data: memoryview, size: int) -> None:
        if len(data) != size:
            raise ValueError("the file is truncated" if len(data) < size else "the file is longer than it says")
        self._data = data
        self._next = 0

    def take(self, size: int) -> memoryview:
        """The next ``size`` bytes."""
        if not 0 <= size <= len(self._data) - self._next:
            raise ValueError("the file is truncated")
        block = self._data[self._next : self._next + size]
        self._next += size
        return block


def _texts(about: Mapping[str, Any], blocks: _Blocks) -> tuple[str, ...]:
    block = blocks.take(about["bytes"])
    try:
        inflater = zlib.decompressobj()
        raw = inflater.decompress(block, MOST_DEFLATED * len(block) + 64)
        texts: list[str] = msgspec.json.decode(raw, type=list[str])
    except (zlib.error, msgspec.DecodeError) as error:
        raise ValueError(f"damaged texts ({error})") from error
    if len(texts) != about["count"] or texts[:1] != [""]:
        raise ValueError("damaged texts")
    return tuple(texts)


def _label(value: Any) -> int | str | None:
    if value is None or (isinstance(value, (int, str)) and not isinstance(value, bool)):
        return value
    raise ValueError("damaged lanes")


def _table(columns: Mapping[str, Mapping[str, Any]], blocks: _Blocks) -> dict[str, NDArray[Any]]:
    rows = int(columns["start"]["rows"])
    if rows > MOST_DEFLATED * (int(columns["start"]["bytes"]) + 1):
        raise ValueError("a table promises more rows than its bytes can hold")
    if any(int(about["rows"]) != rows for about in columns.values()):
        raise ValueError("columns of a table differ in length")
    return {name: decode_column(about, blocks.take(about["bytes"])) for name, about in columns.items()}


def _checked(table: type[T], tables: Mapping[str, dict[str, NDArray[Any]]], name: str, limits: Mapping[str, int]) -> T:
    """A table whose ids all point somewhere and whose times can be added without overflow."""
    columns = tables.get(name, {})
    for column, values in columns.items():
        if column in limits and len(values) and (values.min() < 0 or values.max() >= limits[column]):
            raise ValueError(f"column {name}.{column} points outside its table")
        if column in ("start", "dur") and len(values) and max(-int(values.min()), int(values.max())) > LIMIT_NS:
            raise ValueError(f"column {name}.{column} holds no times")
    return make(table, {column: values for column, values in columns.items() if column in columns_of(table)})
