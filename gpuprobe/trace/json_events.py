"""Cutting a JSON trace of any size and layout into pieces of whole events, without reading it whole.

A piece is cut at the last ``} , {`` of a buffer and decoded. A cut at a wrong place (inside a string, or deeper than
the array of events) always leaves the piece with an open string or bracket, so that its decoding fails; only then does
the slow cutter, which counts brackets outside strings, look for the true borders.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from gpuprobe.errors import GpuprobeError
from gpuprobe.trace.source import ByteSource

CHUNK = 1 << 20
"""Bytes a piece: large enough to amortise a call, small enough for the processor's cache."""
LARGEST_EVENT = 256 << 20
_TOKENS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\]:"]', re.DOTALL)
_SPACE = b" \t\r\n"


@dataclass
class Outline:
    """What surrounds the events: the document's other keys, and how it broke off, if it did."""

    is_object: bool = True
    head: bytes = b""
    tail: bytes = b""
    damage: str = ""
    skipped: int = 0


class EventStream:
    """Hands every event of a source to ``take`` (the bytes of a JSON array; it decodes, keeps and counts the events, or
    raises msgspec.DecodeError having kept nothing) or, where a piece is bad, each object to ``take_odd`` (0 if no
    event).
    """

    def __init__(
        self,
        source: ByteSource,
        take: Callable[[Any], int],
        take_odd: Callable[[bytes], int],
        chunk: int = CHUNK,
    ) -> None:
        self._source = source
        self._take = take
        self._take_odd = take_odd
        self._buffer = bytearray(chunk + 1)
        self._filled = 1  # byte 0 is kept for the '[' of a piece
        self._ended = False
        self.outline = Outline()

    def read(self) -> int:
        """Read to the end; the number of events handed over."""
        self._open()
        total = 0
        done = False
        while not done:
            self._fill()
            self._blank_comma()
            fast = self._last_piece() if self._ended else self._fast_piece()
            if fast is not None:
                count, done = fast, self._ended
            else:
                count, done = self._careful()
            total += count
        return total

    def _fill(self) -> None:
        """Read until the buffer is full or the file ends."""
        if self._ended:
            return
        with memoryview(self._buffer) as view, view[self._filled :] as room:
            count = self._source.fill(room)
            self._ended = count < len(room)
        self._filled += count

    def _grow(self) -> None:
        """Twice the room, for an event or a head that does not fit."""
        if len(self._buffer) > LARGEST_EVENT:
            raise GpuprobeError("one event of the trace is larger than 256 MB", "record the trace again")
        self._buffer = bytearray(self._buffer) + bytes(len(self._buffer))

    def _keep_from(self, position: int) -> None:
        """Drop what lies before ``position``; the rest moves to the front."""
        rest = self._buffer[position : self._filled]
        self._buffer[1 : 1 + len(rest)] = rest
        self._filled = 1 + len(rest)

    def _fast_cut(self) -> int:
        """Position just after the ``}`` of the last ``} , {`` in the buffer; 0 where none is near its end."""
        position = self._filled
        for _ in range(4096):
            position = self._buffer.rfind(b"{", 1, position)
            if position < 0:
                return 0
            before = bytes(self._buffer[max(1, position - 64) : position]).rstrip(_SPACE)
            if before.endswith(b",") and before[:-1].rstrip(_SPACE).endswith(b"}"):
                return self._buffer.rfind(b"}", 1, position) + 1
        return 0

    def _blank_comma(self) -> None:
        """Take away the comma that the last piece left before the next event."""
        for position in range(1, self._filled):
            if self._buffer[position] not in _SPACE:
                if self._buffer[position] == ord(","):
                    self._buffer[position] = ord(" ")
                return

    def _fast_piece(self) -> int | None:
        """Events up to the last border; None where there is none, it was wrong, or the text is bad."""
        cut = self._fast_cut()
        if not cut:
            return None
        replaced = self._buffer[cut]
        self._buffer[cut] = ord("]")
        count = self._taken(cut + 1)
        self._buffer[cut] = replaced
        if count is not None:
            self._keep_from(self._buffer.find(b",", cut) + 1)
        return count

    def _last_piece(self) -> int | None:
        """Events of the file's end, where it is well-formed; sets the outline's tail."""
        end = self._buffer.rfind(b"]", 1, self._filled)
        tail = bytes(self._buffer[end + 1 : self._filled]).strip(_SPACE)
        if end < 0 or (tail[:1] not in (b",", b"}") if self.outline.is_object else tail):
            return None
        count = self._taken(end + 1)
        if count is not None:
            self.outline.tail = tail
        return count

    def _taken(self, end: int) -> int | None:
        self._buffer[0] = ord("[")
        try:
            return self._take(memoryview(self._buffer)[:end])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def _careful(self) -> tuple[int, bool]:
        """Whole events of the buffer by counting brackets, and whether they are the last."""
        text = bytes(self._buffer[1 : self._filled])
        borders, end, broken = whole_events(text)
        count = self._taken_apart(text, borders)
        if end is not None:
            self._read_tail(text[end + 1 :])
        elif broken is not None:
            self.outline.damage = f"broken JSON at byte {self._source.size - len(text) + broken}"
            self._drain()
        elif self._ended:
            self.outline.damage = self._source.damage or "the file ends in the middle"
        else:
            self._keep_from(1 + (borders[-1][1] if borders else 0))
            if not borders:
                self._grow()
            return count, False
        return count, True

    def _taken_apart(self, text: bytes, borders: list[tuple[int, int]]) -> int:
        """The events between the borders: all at once where they are good, else one by one."""
        if not borders:
            return 0
        try:
            return self._take(b"[" + text[borders[0][0] : borders[-1][1]] + b"]")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            counts = [self._take_odd(text[begin:stop]) for begin, stop in borders]
            self.outline.skipped += counts.count(0)
            return sum(counts)

    def _read_tail(self, first: bytes) -> None:
        parts = [first]
        size = len(first)
        while not self._ended and size < LARGEST_EVENT:
            self._filled = 1
            self._fill()
            parts.append(bytes(self._buffer[1 : self._filled]))
            size += len(parts[-1])
        self.outline.tail = b"".join(parts)
        self._drain()

    def _drain(self) -> None:
        """Read on to the end, for the hash and the size alone."""
        while not self._ended:
            self._filled = 1
            self._fill()

    def _open(self) -> None:
        """Find the array of events; GpuprobeError where the text is no JSON trace."""
        while True:
            self._fill()
            text = bytes(self._buffer[1 : self._filled]).removeprefix(b"\xef\xbb\xbf")
            skipped = self._filled - 1 - len(text)
            stripped = text.lstrip(_SPACE)
            skipped += len(text) - len(stripped)
            if stripped[:1] == b"[":
                self.outline.is_object = False
                self._keep_from(1 + skipped + 1)
                return
            if stripped and stripped[:1] != b"{":
                raise GpuprobeError("it is not JSON", "pass a torch.profiler, nsys SQLite, Chrome or .gptrace file")
            found = events_key(stripped)
            if found is not None:
                self.outline.head = stripped[:found]
                self._keep_from(1 + skipped + found)
                return
            if self._ended:
                raise GpuprobeError("it holds no 'traceEvents'", "pass a trace exported by torch.profiler or Chrome")
            self._grow()


def events_key(text: bytes) -> int | None:
    """Position after the ``[`` of the top-level key traceEvents in the begin of an object; None if not there."""
    depth, last, key = 0, b"", False
    for token in _TOKENS.finditer(text):
        mark = token.group()
        if mark == b'"':
            return None
        if mark == b":":
            key = depth == 1 and last == b'"traceEvents"'
        elif mark in b"{[":
            if key and mark == b"[":
                return token.end()
            depth, key = depth + 1, False
        elif mark in b"}]":
            depth -= 1
        last = mark
    return None


def whole_events(text: bytes) -> tuple[list[tuple[int, int]], int | None, int | None]:
    """Borders of the complete objects in the text of an array; where the array ends; where brackets do not match."""
    borders: list[tuple[int, int]] = []
    open_brackets: list[bytes] = []
    begin = 0
    for token in _TOKENS.finditer(text):
        mark = token.group()
        if mark == b'"':
            break  # a string that does not end here
        if mark in (b"{", b"["):
            if not open_brackets:
                begin = token.start()
            open_brackets.append(mark)
        elif mark in (b"}", b"]"):
            if not open_brackets:
                return (borders, token.start(), None) if mark == b"]" else (borders, None, token.start())
            if open_brackets.pop() != (b"{" if mark == b"}" else b"["):
                return borders, None, token.start()
            if not open_brackets:
                borders.append((begin, token.end()))
    return borders, None, None
