"""A device's fitted models as one .npz file of plain arrays and a JSON header: data only, nothing that runs.

The header's digest covers header and arrays, so that a damaged file is refused rather than believed.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gpuprobe.errors import GpuprobeError
from gpuprobe.predict.head import Head, from_document
from gpuprobe.record import write_atomically

SCHEMA: Final = 1
KIND: Final = "gpuprobe-gemm"
_LARGEST_FILE: Final = 64 << 20
_HEADER: Final = "header"


@dataclass(frozen=True)
class Artefact:
    """The heads of one device from one source of data."""

    device: str
    source: str
    heads: tuple[Head, ...]
    model_id: str


def write(path: Path, device: str, source: str, heads: Sequence[Head]) -> str:
    """Write an artefact, whole or not at all; gives its model_id. The same heads give the same bytes."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for index, head in enumerate(heads):
        arrays |= head.forest.arrays(str(index))
    header = {
        "kind": KIND, "schema": SCHEMA, "device": device, "source": source,
        "heads": [head.document() for head in heads],
    }  # fmt: skip
    header["digest"] = _digest(header, arrays)
    text = np.frombuffer(json.dumps(header, allow_nan=False).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **{_HEADER: text, **arrays})
    write_atomically(path, buffer.getvalue())
    return _model_id(header)


def read(path: Path) -> Artefact:
    """An artefact from its file; GpuprobeError where it is missing, damaged, foreign or of another schema."""
    arrays = _arrays(path)
    try:
        header = json.loads(arrays.pop(_HEADER).tobytes())
        if not isinstance(header, dict) or header.get("kind") != KIND:
            raise ValueError("it is no model of gpuprobe")
        if header["schema"] != SCHEMA:
            raise _unreadable(path, f"it has schema {header['schema']}; this gpuprobe reads {SCHEMA}")
        if header["digest"] != _digest(header, arrays):
            raise ValueError("its digest does not match")
        heads = [from_document(document, arrays, str(index)) for index, document in enumerate(header["heads"])]
        if not heads:
            raise ValueError("it holds no model")
        return Artefact(str(header["device"]), str(header["source"]), tuple(heads), _model_id(header))
    except (KeyError, ValueError, TypeError, IndexError, AttributeError, UnicodeDecodeError) as error:
        raise _unreadable(path, str(error)) from error


def _arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise _unreadable(path, f"it is larger than {_LARGEST_FILE >> 20} MiB")
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except OSError as error:
        raise GpuprobeError(f"cannot read {path}: {error.strerror or error}", "see: gpuprobe train --help") from error
    except (ValueError, TypeError, AttributeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise _unreadable(path, str(error)) from error


def _unreadable(path: Path, why: str) -> GpuprobeError:
    return GpuprobeError(f"{path} is no usable model: {why}", "rebuild it with: gpuprobe train, or reinstall gpuprobe")


def _digest(header: Mapping[str, Any], arrays: Mapping[str, NDArray[np.generic]]) -> str:
    """SHA-256 of the header without its digest and of every array with its name, type and shape."""
    told = {name: value for name, value in header.items() if name != "digest"}
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _model_id(header: Mapping[str, Any]) -> str:
    return f"gemm-{header['device']}-{header['source']}-{header['digest'][:12]}"
