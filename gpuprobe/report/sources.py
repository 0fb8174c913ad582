"""Files to report on: a run, a trace, a batch sweep or models, told apart by their content."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gpuprobe.errors import GpuprobeError
from gpuprobe.record import Run
from gpuprobe.run_files import read_run

if TYPE_CHECKING:
    from gpuprobe.profile import DeviceProfile
    from gpuprobe.report.models import Models
    from gpuprobe.report.sweeps import Sweeps
    from gpuprobe.trace.model import Trace

HEAD = 1 << 16
"""So much of a file, unpacked, tells what it is: a run names its schema and id first, a trace its metadata."""

_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class Source:
    """A file read: its path as given, the SHA-256 of its bytes, and what it holds."""

    path: Path
    sha256: str
    content: Run | Trace | Models | Sweeps


def read(path: Path) -> Source:
    """Read a run, a trace, a batch sweep, a model card or an evaluation; GpuprobeError where it is none or damaged."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        head = _head(path)
    except OSError as error:
        raise GpuprobeError(f"cannot read {path}: {error.strerror or error}", "check the path") from error
    if b'"run_id"' in head:
        return Source(path, digest, read_run(path))
    if b'"sweeps"' in head[:200] and b'"traceEvents"' not in head:
        return Source(path, digest, _sweeps(path))
    return Source(path, digest, _models(path) if _is_models(head) else _trace(path))


def read_content(path: Path) -> Run | Trace | DeviceProfile:
    """What a file holds: a run, a device profile, else a trace; GpuprobeError where it is none of them."""
    try:
        head = _head(path)
    except OSError as error:
        raise GpuprobeError(f"cannot read {path}: {error.strerror or error}", "check the path") from error
    if b'"run_id"' in head:
        return read_run(path)
    if b'"peaks"' in head and b'"traceEvents"' not in head:
        from gpuprobe.profile_files import from_file  # noqa: PLC0415 - runs and traces need none of it

        return from_file(path)
    return _trace(path)


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


def _is_models(head: bytes) -> bool:
    """Whether a file is a model card or an evaluation, by its first keys."""
    named = b'"model_id"' in head or b'"errors"' in head[:200]
    return named and b'"traceEvents"' not in head


def _sweeps(path: Path) -> Sweeps:
    from gpuprobe.report.sweeps import read_sweeps  # noqa: PLC0415 - a run needs none of it

    return read_sweeps(path)


def _models(path: Path) -> Models:
    from gpuprobe.report.models import read_models  # noqa: PLC0415 - a run needs none of it

    return read_models(path)


def _trace(path: Path) -> Trace:
    from gpuprobe.trace.read import read_trace  # noqa: PLC0415 - the readers cost 60 ms that a run does not need

    return read_trace(path)
