"""Files to report on: a run or a trace, told apart by their content."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gpuprobe.errors import GpuprobeError
from gpuprobe.record import Run, read_run

if TYPE_CHECKING:
    from gpuprobe.trace.model import Trace

HEAD = 1 << 16
"""So much of a file, unpacked, tells what it is: a run names its schema and id first, a trace its metadata."""

_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Source:
    """A file read: its path as given, the SHA-256 of its bytes, and what it holds."""

    path: Path
    sha256: str
    content: Run | Trace


def read(path: Path) -> Source:
    """Read a run or a trace; GpuprobeError where it is neither, damaged or missing."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        is_run = b'"run_id"' in _head(path)
    except OSError as error:
        raise GpuprobeError(f"cannot read {path}: {error.strerror or error}", "check the path") from error
    return Source(path, digest, read_run(path) if is_run else _trace(path))


def _head(path: Path) -> bytes:
    """The first bytes, unpacked; of a damaged gzip file what can be unpacked (its reader then says what is wrong)."""
    with path.open("rb") as file:
        first = file.read(HEAD)
    if not first.startswith(_GZIP):
        return first
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(first, HEAD)
    except zlib.error:
        return b""


def _trace(path: Path) -> Trace:
    from gpuprobe.trace.read import read_trace  # noqa: PLC0415 - the readers cost 60 ms that a run does not need

    return read_trace(path)
