"""Files written whole or not at all, and the JSON in them."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from gpuprobe.errors import Exit, GpuprobeError


def encode(document: Any, *, compress: bool) -> bytes:
    """Compact UTF-8 JSON of ``document``; gzip where asked, without a time stamp: equal runs are equal files."""
    text = json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
    return gzip.compress(text, 9, mtime=0) if compress else text


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
