"""Files written whole or not at all, and the JSON in them."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
import zlib
from pathlib import Path
from typing import Any

from gpuprobe.errors import Exit, GpuprobeError


def encode(document: Any, *, compress: bool) -> bytes:
    """Compact UTF-8 JSON of ``document``; gzip where asked, without a time stamp: equal runs are equal files."""
    text = json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
    return gzip.compress(text, 9, mtime=0) if compress else text


GZIP_MAGIC = b"\x1f\x8b"
MOST_UNPACKED = 1 << 30
"""Bytes that a gzip file may unpack to: the largest run has a tenth of them, and a bomb ends here."""


def unpacked(data: bytes, most: int = MOST_UNPACKED) -> bytes:
    """``data``, unpacked where it is gzip; ValueError where that is damaged, cut short, or more than ``most`` bytes."""
    if not data.startswith(GZIP_MAGIC):
        return data
    parts: list[bytes] = []
    while data:
        inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            parts.append(inflater.decompress(data, most + 1 - sum(map(len, parts))))
        except zlib.error as error:
            raise ValueError(f"its gzip stream is damaged ({error})") from error
        if sum(map(len, parts)) > most:
            raise ValueError(f"it unpacks to more than {most >> 20} MiB")
        if not inflater.eof:
            raise ValueError("its gzip stream is truncated")
        data = inflater.unused_data.lstrip(b"\0")  # another member, or padding
    return b"".join(parts)


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` to a temporary name beside ``path``, flush it to disk and rename; GpuprobeError on any failure."""
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        raise GpuprobeError(
            f"cannot write {path}: {error.strerror or error}",
            "choose another path with -o, or free space",
            Exit.MACHINE_LACKS,
        ) from error
    finally:  # also on Ctrl-C; after the rename there is nothing left to remove
        if temporary:
            Path(temporary).unlink(missing_ok=True)
