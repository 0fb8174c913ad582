"""Any trace file → Trace. The content decides on the reader, never the name."""

from __future__ import annotations

from pathlib import Path

from gpuprobe.errors import GpuprobeError
from gpuprobe.trace.model import Trace
from gpuprobe.trace.source import cannot_read
from gpuprobe.trace.store import MAGIC, read_gptrace

_SQLITE_MAGIC = b"SQLite format 3\0"


def read_trace(path: Path) -> Trace:
    """Read a .gptrace, Kineto or Chrome JSON (plain or gzip) or nsys SQLite file; GpuprobeError where it is none."""
    try:
        with path.open("rb") as file:
            first = file.read(16)
    except OSError as error:
        raise cannot_read(path, error) from error
    if not first:
        raise GpuprobeError(f"cannot read {path} as a trace: the file is empty (0 bytes)", "record the trace again")
    if path.suffix in (".nsys-rep", ".qdrep"):
        raise GpuprobeError(
            f"cannot read {path} as a trace: only Nsight Systems itself reads its reports",
            f"export it first: nsys export --type sqlite {path.name}",
        )
    if first.startswith(MAGIC):
        return read_gptrace(path)
    if first == _SQLITE_MAGIC:
        from gpuprobe.trace.nsys import read_nsys  # noqa: PLC0415 - sqlite3 costs 10 ms, few traces need it

        return read_nsys(path)
    from gpuprobe.trace.kineto import read_kineto  # noqa: PLC0415 - building the decoders costs 20 ms

    return read_kineto(path)
