"""A finished sweep as a file: JSON lines (gzipped or not), CSV or Parquet, by suffix; and JSON lines read back."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.files import write_atomically
from gpuprobe.sweep.journal import Record
from gpuprobe.sweep.rows import COLUMNS, joined


def export(path: Path, records: Sequence[Record]) -> int:
    """Write the rows of a journal to ``path``, whole or not at all; gives their number.

    JSON lines begin with the sessions; Parquet holds them as the schema's metadata; CSV has the rows alone.
    """
    sessions = [record for record in records if record["kind"] == "session"]
    rows = joined(records)
    write_atomically(path, _WRITERS[suffix(path)](sessions, rows))
    return len(rows)


def suffix(path: Path) -> str:
    """The suffix that chooses the format; GpuprobeError where it is none of them or needs pyarrow and there is none."""
    name = next((name for name in _WRITERS if path.name.endswith(name)), "")
    if not name:
        raise GpuprobeError(f"cannot write {path}: unknown suffix", f"use one of: {' '.join(_WRITERS)}")
    if name == ".parquet":
        _pyarrow("pyarrow")
    return name


def _json_lines(sessions: Sequence[Record], rows: Sequence[Record]) -> bytes:
    lines = [*sessions, *({"kind": "row", **row} for row in rows)]
    return "".join(json.dumps(line, allow_nan=False, separators=(",", ":")) + "\n" for line in lines).encode()


def _csv(_: Sequence[Record], rows: Sequence[Record]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(COLUMNS), extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _pyarrow(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise GpuprobeError(
            "Parquet needs pyarrow", "pip install pyarrow, or use -o x.jsonl.gz", Exit.MACHINE_LACKS
        ) from error


def _parquet(sessions: Sequence[Record], rows: Sequence[Record]) -> bytes:
    table = _pyarrow("pyarrow").Table.from_pylist(list(rows))
    buffer = io.BytesIO()
    metadata = {"sessions": json.dumps(sessions)}
    # times hardly repeat: in a dictionary they would take twice the space
    repeating = [name for name in table.column_names if "double" not in str(table.schema.field(name).type)]
    _pyarrow("pyarrow.parquet").write_table(
        table.replace_schema_metadata(metadata), buffer, compression="zstd", compression_level=19,
        use_dictionary=[name for name in repeating if name not in ("index", "repeats")],
    )  # fmt: skip
    return buffer.getvalue()


_WRITERS: Mapping[str, Callable[[Sequence[Record], Sequence[Record]], bytes]] = {
    ".jsonl": _json_lines,
    ".jsonl.gz": lambda sessions, rows: gzip.compress(_json_lines(sessions, rows), mtime=0),
    ".csv": _csv,
    ".parquet": _parquet,
}


def read_rows(path: Path) -> list[Record]:
    """Rows of a sweep exported as .jsonl or .jsonl.gz."""
    data = path.read_bytes()
    lines = (gzip.decompress(data) if path.name.endswith(".gz") else data).splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == "row"]
