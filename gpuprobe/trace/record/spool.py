"""Reading the spool files that the native recorder writes: blocks of packed records (layouts in trace/native/spool.h).

A killed program leaves whole blocks and at most a part of one: everything before it is read, and ``truncated`` says so.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpuprobe.errors import Exit, GpuprobeError

Records = NDArray[Any]
VERSION = 1
_MAGIC = 0x31425047
_BLOCK = struct.Struct("<IIII")
_NAME = struct.Struct("<II")
_INFO, _NAMES = 1, 2

LAYOUTS: Mapping[str, tuple[int, np.dtype[Any]]] = {
    "kernels": (
        3,
        np.dtype(
            [
                *((name, "<u8") for name in ("start", "end", "node")),
                *((name, "<u4") for name in ("name", "device", "context", "stream", "correlation", "graph")),
                ("grid", "<i4", 3),
                ("block", "<i4", 3),
                *((name, "<u4") for name in ("registers", "static_shared", "dynamic_shared", "channel_type")),
            ]
        ),
    ),
    "memory": (
        4,
        np.dtype(
            [
                *((name, "<u8") for name in ("start", "end", "bytes", "node")),
                *((name, "<u4") for name in ("device", "context", "stream", "correlation", "graph")),
                *((name, "u1") for name in ("is_set", "copy_kind", "source", "target")),
            ]
        ),
    ),
    "runtime": (
        5,
        np.dtype(
            [
                ("start", "<u8"),
                ("end", "<u8"),
                ("name", "<u4"),
                ("thread", "<u4"),
                ("correlation", "<u4"),
                ("result", "<i4"),
            ]
        ),
    ),
    "driver": (
        6,
        np.dtype(
            [
                ("start", "<u8"),
                ("end", "<u8"),
                ("name", "<u4"),
                ("thread", "<u4"),
                ("correlation", "<u4"),
                ("result", "<i4"),
            ]
        ),
    ),
    "syncs": (
        7,
        np.dtype(
            [
                *((name, "<u8") for name in ("start", "end", "event_record")),
                *((name, "<u4") for name in ("type", "context", "stream", "correlation")),
            ]
        ),
    ),
    "events": (
        8,
        np.dtype([("record", "<u8"), *((name, "<u4") for name in ("context", "stream", "correlation", "event"))]),
    ),
    "markers": (
        9,
        np.dtype(
            [("time", "<u8"), *((name, "<u4") for name in ("flags", "id", "name", "domain", "thread", "object_kind"))]
        ),
    ),
    "externals": (10, np.dtype([("id", "<u8"), ("kind", "<u4"), ("correlation", "<u4")])),
    "overheads": (
        11,
        np.dtype(
            [("start", "<u8"), ("end", "<u8"), *((name, "<u4") for name in ("kind", "object_kind", "thread", "zero"))]
        ),
    ),
    "devices": (
        12,
        np.dtype(
            [
                ("memory_bytes", "<u8"),
                ("uuid", "u1", 16),
                *(
                    (name, "<u4")
                    for name in ("id", "name", "multiprocessors", "major", "minor", "clock_khz", "l2_bytes", "zero")
                ),
            ]
        ),
    ),
    "contexts": (13, np.dtype([("context", "<u4"), ("device", "<u4")])),
    "marks": (15, np.dtype([("time", "<u8"), ("border", "<u8")])),
    "stats": (
        14,
        np.dtype(
            [
                (name, "<u8")
                for name in (
                    *("cupti_ns", "realtime_ns", "monotonic_ns"),
                    *("records", "dropped", "unknown", "bytes", "buffers", "lost_buffers"),
                    *("callback_ns", "request_ns", "closed"),
                )
            ]
        ),
    ),
}
"""Kind number and record layout by table name."""

_TABLE_OF = {kind: (name, layout) for name, (kind, layout) in LAYOUTS.items()}


class Block(NamedTuple):
    """One block: what it holds, how many records, and its payload."""

    kind: int
    records: int
    payload: memoryview


@dataclass(frozen=True)
class Spool:
    """What one process left: ``info`` about it, interned text by id, and record arrays by table name.

    ``truncated`` where the file ends inside a block, ``closed`` where the program ended by its exit handlers.
    """

    path: Path
    size: int
    info: Mapping[str, str]
    names: Mapping[int, str]
    tables: Mapping[str, Records] = field(repr=False)
    truncated: bool = False

    def __getitem__(self, table: str) -> Records:
        return self.tables[table]

    @property
    def pid(self) -> int:
        """The process that wrote it."""
        return int(self.info.get("pid", 0))

    @property
    def closed(self) -> bool:
        """Whether the recorder flushed everything at the program's end."""
        return bool(len(self["stats"]) and self["stats"]["closed"][-1])

    def stat(self, name: str) -> int:
        """The last value of a cumulative count of the recorder; 0 where it wrote none."""
        return int(self["stats"][name][-1]) if len(self["stats"]) else 0


def read_spool(path: Path) -> Spool:
    """The content of a spool file; GpuprobeError where it is no spool file of this version."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GpuprobeError(f"cannot read {path}: {error.strerror or error}", exit_code=Exit.MACHINE_LACKS) from error
    info: dict[str, str] = {}
    names: dict[int, str] = {0: ""}
    pieces: dict[str, list[Records]] = {name: [] for name in LAYOUTS}
    end = 0
    for block in _blocks(data):
        end += _BLOCK.size + len(block.payload)
        if block.kind == _INFO:
            info.update(_pairs(block.payload))
        elif block.kind == _NAMES:
            names.update(_names(block))
        elif block.kind in _TABLE_OF:
            table, layout = _TABLE_OF[block.kind]
            if len(block.payload) != block.records * layout.itemsize:
                raise _other_version(path)
            pieces[table].append(np.frombuffer(block.payload, layout))
    if info.get("spool", str(VERSION)) != str(VERSION) or not data.startswith(
        _BLOCK.pack(_MAGIC, 0, 0, 0)[: min(4, len(data))]
    ):
        raise _other_version(path)
    tables = {name: np.concatenate(parts) if parts else np.zeros(0, LAYOUTS[name][1]) for name, parts in pieces.items()}
    return Spool(path, len(data), info, names, tables, truncated=end != len(data))


def _blocks(data: bytes) -> Iterator[Block]:
    """The whole blocks from the beginning on; ends where a header is wrong or a payload incomplete."""
    view, position = memoryview(data), 0
    while position + _BLOCK.size <= len(data):
        magic, kind, count, size = _BLOCK.unpack_from(data, position)
        begin = position + _BLOCK.size
        if magic != _MAGIC or begin + size > len(data):
            return
        yield Block(kind, count, view[begin : begin + size])
        position = begin + size


def _pairs(payload: memoryview) -> dict[str, str]:
    texts = bytes(payload).decode("utf-8", "replace").split("\0")
    return {key: value for key, value in zip(texts[::2], texts[1::2], strict=False) if key}


def _names(block: Block) -> Iterator[tuple[int, str]]:
    position = 0
    for _ in range(block.records):
        if position + _NAME.size > len(block.payload):
            return
        identifier, size = _NAME.unpack_from(block.payload, position)
        position += _NAME.size
        yield identifier, bytes(block.payload[position : position + size]).decode("utf-8", "replace")
        position += size + (8 - size % 8) % 8


def _other_version(path: Path) -> GpuprobeError:
    return GpuprobeError(
        f"{path} is no spool file of this version of gpuprobe", "record again with the gpuprobe that decodes"
    )
