"""A device's fitted models of one source of data, as one archive (see ``archive``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gpuprobe.predict import archive
from gpuprobe.predict.head import SHARED, Head, from_document
from gpuprobe.predict.lasting import shared_forest

SCHEMA: Final = archive.SCHEMA
KIND: Final = "gpuprobe-gemm"


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
        found = head.arrays(str(index))
        if any(name in arrays and not np.array_equal(arrays[name], array) for name, array in found.items()):
            raise ValueError("the heads of an artefact share one sustained forest")
        arrays |= found
    header = {"device": device, "source": source, "heads": [head.document() for head in heads]}
    return _model_id({**header, "digest": archive.write(path, KIND, header, arrays)})


def read(path: Path) -> Artefact:
    """An artefact from its file; GpuprobeError where it is missing, damaged, foreign or of another schema."""
    header, arrays = archive.read(path, KIND)
    try:
        lasting = any("lasting" in document for document in header["heads"])
        shared = shared_forest(arrays, SHARED) if lasting else None
        heads = [from_document(document, arrays, str(at), shared) for at, document in enumerate(header["heads"])]
        if not heads:
            raise ValueError("it holds no model")
        return Artefact(str(header["device"]), str(header["source"]), tuple(heads), _model_id(header))
    except archive.DAMAGE as error:
        raise archive.unreadable(path, str(error)) from error


def _model_id(header: Mapping[str, Any]) -> str:
    return f"gemm-{header['device']}-{header['source']}-{header['digest'][:12]}"
