"""One .npz file of plain arrays and a JSON header, under a digest: data only, nothing in it runs.

The digest covers header and arrays, so that a damaged file is refused rather than believed.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gpuprobe.errors import GpuprobeError
from gpuprobe.files import write_atomically

SCHEMA: Final = 1
DAMAGE: Final = (KeyError, ValueError, TypeError, IndexError, AttributeError, UnicodeDecodeError)
"""What reading the header's values may raise where they are not what was written."""
_LARGEST_FILE: Final = 64 << 20
_HEADER: Final = "header"

Arrays = Mapping[str, NDArray[np.generic]]


def write(path: Path, kind: str, header: Mapping[str, Any], arrays: Arrays) -> str:
    """Write an archive, whole or not at all; gives its digest. The same contents give the same bytes."""
    told: dict[str, Any] = {"kind": kind, "schema": SCHEMA, **header}
    told["digest"] = _digest(told, arrays)
    text = np.frombuffer(json.dumps(told, allow_nan=False).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **{_HEADER: text, **arrays})
    write_atomically(path, buffer.getvalue())
    return str(told["digest"])


def read(path: Path, kind: str) -> tuple[dict[str, Any], dict[str, NDArray[np.generic]]]:
    """Header and arrays; GpuprobeError where the file is missing, damaged, of another kind or schema."""
    arrays = _arrays(path)
    try:
        header = json.loads(arrays.pop(_HEADER).tobytes())
        if not isinstance(header, dict) or header.get("kind") != kind:
            raise ValueError("it is no model of gpuprobe of this kind")
        if header["schema"] != SCHEMA:
            raise unreadable(path, f"it has schema {header['schema']}; this gpuprobe reads {SCHEMA}")
        if header["digest"] != _digest(header, arrays):
            raise ValueError("its digest does not match")
    except DAMAGE as error:
        raise unreadable(path, str(error)) from error
    return header, arrays


def _arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise unreadable(path, f"it is larger than {_LARGEST_FILE >> 20} MiB")
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except OSError as error:
        raise GpuprobeError(f"cannot read {path}: {error.strerror or error}", "see: gpuprobe train --help") from error
    except (ValueError, TypeError, AttributeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise unreadable(path, str(error)) from error


def unreadable(path: Path, why: str) -> GpuprobeError:
    """The error for a file that is no model."""
    return GpuprobeError(f"{path} is no usable model: {why}", "rebuild it with: gpuprobe train, or reinstall gpuprobe")


def _digest(header: Mapping[str, Any], arrays: Arrays) -> str:
    """SHA-256 of the header without its digest and of every array with its name, type and shape."""
    told = {name: value for name, value in header.items() if name != "digest"}
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
