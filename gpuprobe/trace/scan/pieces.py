"""Pieces of a trace through the native scanner into the same columns, in the same order, as Python's own reading."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from gpuprobe.trace.kineto_columns import KinetoColumns
from gpuprobe.trace.kineto_schema import TEXT_EVENTS, Label

ROWS, TALLIES, SPANS = 1 << 16, 256, 1 << 14
"""Room for a piece's events; a piece with more is read by Python."""
_LONG = ("start", "dur", "correlation", "external", "bytes", "graph", "node", "wait_stream", "wait_correlation")
_SHORT = ("name", "category", "thread", "lane", "config", "shapes", "detail", "unused")
_ROW = np.dtype([*((name, np.int64) for name in _LONG), *((name, np.int32) for name in _SHORT)])
_TALLY = np.dtype([("phase", np.int32), ("category", np.int32), ("count", np.int64)])
_SPAN = np.dtype([("begin", np.int64), ("length", np.int64)])
_TEXT, _LABEL, _LANE = 0, 1, 5
_UNKNOWN, _NO_LABEL = -1, -2
_LABELS: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Label)
_STRINGS = msgspec.json.Decoder(str)
_ROOM = (("", ctypes.c_void_p), ("_room", ctypes.c_int64), ("_used", ctypes.c_int64))
_NUMBERS = {
    "gpu": ("correlation", "external", "bytes", "graph", "node"),
    "calls": ("correlation", "external"),
    "operators": ("external",),
    "syncs": ("correlation", "wait_stream", "wait_correlation"),
}
Rows = NDArray[Any]
Numbers = NDArray[np.int32]


class _Piece(ctypes.Structure):
    """A piece and the room for what is in it, as scanner.cpp's Piece."""

    _fields_ = (
        ("text", ctypes.c_void_p),
        ("length", ctypes.c_int64),
        *((f"{what}{field}", kind) for what in ("rows", "tallies", "spans") for field, kind in _ROOM),
    )


class NativePieces:
    """Scans pieces into ``columns``. One scanner for each file: it remembers the file's texts."""

    def __init__(self, library: ctypes.CDLL, columns: KinetoColumns) -> None:
        self._library = library
        self._scanner = library.scanner_new(int.from_bytes(os.urandom(8), "little"))
        if not self._scanner:
            raise MemoryError
        self._columns = columns
        self._rows, self._tallies, self._spans = np.empty(ROWS, _ROW), np.empty(TALLIES, _TALLY), np.empty(SPANS, _SPAN)
        self._piece = _Piece()
        for name, array in (("rows", self._rows), ("tallies", self._tallies), ("spans", self._spans)):
            setattr(self._piece, name, array.ctypes.data)
            setattr(self._piece, f"{name}_room", len(array))
        self._values: list[Any] = []
        self._usable = True
        self._texts, self._raws, self._lanes, self._categories = _Ids(), _Ids(), _Ids(), _Ids()

    def __del__(self) -> None:
        if self._scanner:
            self._library.scanner_free(self._scanner)

    def take(self, text: Any) -> int | None:
        """The number of events in a piece (a JSON array), now in the columns; None and nothing kept where it is odd."""
        if not self._usable:
            return None
        chars = np.frombuffer(text, np.uint8)
        piece = self._piece
        piece.text, piece.length = chars.ctypes.data, len(chars)
        count = self._library.scanner_scan(self._scanner, ctypes.byref(piece))
        if count < 0:
            return None
        self._learn()
        if not self._usable:
            return None
        rows, tallies = self._rows[: piece.rows_used], self._tallies[: piece.tallies_used]
        try:
            apart = _taken_apart(self._spans[: piece.spans_used], chars)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        if len(rows):
            self._distribute(rows)
        counts: dict[tuple[str | None, str | None], int] = {
            (chr(phase), self._value(category)): number for phase, category, number in tallies.tolist()
        }
        self._columns.count_apart(counts)
        self._columns.keep_apart(apart)
        return int(count)

    def _learn(self) -> None:
        """Values of what the scanner has numbered since the last piece.

        A text that JSON's rules refuse (half a surrogate pair) ends the scanner's use: Python reads the rest.
        """
        for number in range(len(self._values), self._library.scanner_known(self._scanner)):
            kind, raw = self._numbered(number)
            value: Any = None
            if kind == _LANE:
                labels = np.frombuffer(raw, np.int32).tolist()
                value = tuple(self._value(label) for label in labels if label != _NO_LABEL)
            elif kind in (_TEXT, _LABEL):
                try:
                    value = _decoded(kind, raw)
                except msgspec.DecodeError:
                    self._usable = False
            self._values.append(value)

    def _numbered(self, number: int) -> tuple[int, bytes]:
        """Kind and bytes of what has a number."""
        length, kind = ctypes.c_int64(), ctypes.c_int32()
        at = self._library.scanner_text(self._scanner, number, ctypes.byref(length), ctypes.byref(kind))
        return kind.value, ctypes.string_at(at, length.value)

    def _distribute(self, rows: Rows) -> None:
        """Complete events to their tables, each in the order of the file."""
        categories, texts = self._columns.categories, self._columns.builder.texts
        codes = self._categories.of(rows["category"], lambda number: categories[self._value(number)])
        for target, chosen in self._columns.by_target(codes):
            own = rows.take(chosen)
            columns = {"start": own["start"], "dur": own["dur"]}
            columns["name"] = self._texts.of(own["name"], lambda number: texts[self._value(number)])
            columns |= self._columns.of_category(target, codes[chosen])
            columns |= self._lane(own["lane" if target in ("gpu", "syncs") else "thread"])
            columns |= {name: own[name] for name in _NUMBERS.get(target, ())}
            columns |= self._kept(target, own)
            self._columns.append(target, columns)

    def _lane(self, numbers: Numbers) -> dict[str, Numbers]:
        lanes = self._columns.builder.lanes
        return {"lane": self._lanes.of(numbers, lambda number: lanes[self._values[number]])}

    def _kept(self, target: str, rows: Rows) -> dict[str, Numbers]:
        """Text ids of what is kept as JSON."""
        columns = self._columns
        if target == "gpu":
            return {
                "config": self._json(rows["config"], columns.config),
                "detail": self._json(rows["detail"], columns.detail),
            }
        return {"args": self._json(rows["shapes"], columns.shapes)} if target == "operators" else {}

    def _json(self, numbers: Numbers, texts: dict[bytes, int]) -> Numbers:
        return self._raws.of(numbers, lambda number: texts[self._numbered(number)[1]] if number >= 0 else 0)

    def _value(self, number: int) -> Any:
        return self._values[number] if number >= 0 else None


class _Ids:
    """The scanner's numbers (-1 for absent) → ids, asked for once each, in the order in which they come."""

    def __init__(self) -> None:
        self._known = np.full(1, _UNKNOWN, np.int32)  # the last one stands for -1

    def of(self, numbers: Numbers, identify: Callable[[int], int]) -> Numbers:
        """The id of each number."""
        most = int(numbers.max(initial=-1))
        if most >= len(self._known) - 1:
            absent = self._known[-1:]
            self._known = np.concatenate([self._known[:-1], np.full(most + 1, _UNKNOWN, np.int32), absent])
        found = self._known[numbers]
        if found.min(initial=0) == _UNKNOWN:
            for number in dict.fromkeys(numbers[found == _UNKNOWN].tolist()):
                self._known[number] = identify(number)
            found = self._known[numbers]
        return found


def _decoded(kind: int, raw: bytes) -> Any:
    """The value of a text or label; bad UTF-8 becomes replacement characters."""
    decoder, text = (_STRINGS, b'"' + raw + b'"') if kind == _TEXT else (_LABELS, raw)
    try:
        return decoder.decode(text)
    except UnicodeDecodeError:
        return decoder.decode(text.decode("utf-8", "replace").encode())


def _taken_apart(spans: Rows, chars: NDArray[np.uint8]) -> list[Any]:
    """The events at ``spans``, decoded."""
    if not len(spans):
        return []
    texts = (chars[begin : begin + length].tobytes() for begin, length in spans.tolist())
    return TEXT_EVENTS.decode(b"[" + b",".join(texts) + b"]")
