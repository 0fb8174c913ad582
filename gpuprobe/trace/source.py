"""Bytes of a trace file as a stream: plain or gzip, hashed and counted on the way, never whole in memory."""

from __future__ import annotations

import hashlib
import os
import zlib
from pathlib import Path
from types import TracebackType
from typing import Self

from gpuprobe.errors import Exit, GpuprobeError

GZIP_MAGIC = b"\x1f\x8b"
_COMPRESSED_BLOCK = 1 << 18
_LIKELY_RATIO = 12
"""Uncompressed bytes for each compressed byte of a Kineto trace."""


class ByteSource:
    """The uncompressed bytes of a file. ``damage`` says what is wrong with a gzip stream that broke off, else ''."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = path.open("rb", buffering=0)
            self._compressed = self._file.read(2) == GZIP_MAGIC
            self._file.seek(0)
        except OSError as error:
            raise cannot_read(path, error) from error
        self._inflater = zlib.decompressobj(wbits=31)
        self._pending = b""
        self._hash = hashlib.sha256()
        self.size = 0
        self.damage = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def likely_size(self) -> int:
        """About how many bytes the file holds, uncompressed."""
        size = os.fstat(self._file.fileno()).st_size
        return _LIKELY_RATIO * size if self._compressed else size

    @property
    def sha256(self) -> str:
        """SHA-256 of the uncompressed bytes read so far, hexadecimal."""
        return self._hash.hexdigest()

    def fill(self, view: memoryview) -> int:
        """Fill ``view`` from the stream; fewer bytes than its length only at the end of the file."""
        filled = 0
        while filled < len(view):
            count = self._inflate(view[filled:]) if self._compressed else self._read(view[filled:])
            if count == 0:
                break
            filled += count
        self._hash.update(view[:filled])
        self.size += filled
        return filled

    def _read(self, view: memoryview) -> int:
        try:
            return self._file.readinto(view) or 0
        except OSError as error:
            raise cannot_read(self._path, error) from error

    def _inflate(self, view: memoryview) -> int:
        """Some decompressed bytes into ``view``; 0 at the end of the last gzip member or at damage."""
        while not self.damage:
            if self._inflater.eof and not self._next_member():
                return 0
            compressed = self._pending or self._block()
            try:
                data = self._inflater.decompress(compressed, len(view))
            except zlib.error as error:
                self.damage = f"gzip stream damaged ({error})"
                return 0
            self._pending = self._inflater.unconsumed_tail
            view[: len(data)] = data
            if data:
                return len(data)
            if not compressed and not self._inflater.eof:
                self.damage = "gzip stream truncated"
        return 0

    def _next_member(self) -> bool:
        """Whether another gzip member follows; zero padding after a member is no data."""
        self._pending = (self._inflater.unused_data or self._block()).lstrip(b"\0")
        self._inflater = zlib.decompressobj(wbits=31)
        return bool(self._pending)

    def _block(self) -> bytes:
        try:
            return self._file.read(_COMPRESSED_BLOCK) or b""
        except OSError as error:
            raise cannot_read(self._path, error) from error


def cannot_read(path: Path, error: OSError) -> GpuprobeError:
    """The one-line error of a file that the system does not give us."""
    return GpuprobeError(f"cannot read {path}: {error.strerror or error}", "check the path", Exit.WRONG_USE)
