"""What the core misses on GPUs with data, for GPUs without: a share of the mean residual of their chips, as a forest.

Small GEMMs, split k and the library's choices go wrong in much the same way everywhere; the rest differs by chip, so
that less than the whole residual is believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from gpuprobe import resources
from gpuprobe.predict import archive
from gpuprobe.predict import forest as forests
from gpuprobe.predict.features import NAMES
from gpuprobe.predict.forest import Forest

KIND: Final = "gpuprobe-gemm-transfer"
FILE: Final = "transfer.npz"
DTYPES: Final = ("bf16", "fp16")
"""Types it was learned from or that run on the same kernels, at sizes that are multiples of 8."""
_PREFIX: Final = "transfer"


def write(path: Path, forest: Forest, devices: Sequence[str]) -> str:
    """Write the forest learned from some devices; gives its model_id. The same forest gives the same bytes."""
    header = {"devices": list(devices), "features": list(NAMES)}
    return f"gemm-transfer-{archive.write(path, KIND, header, forest.arrays(_PREFIX))[:12]}"


def read(path: Path) -> Forest:
    """The forest of a file; GpuprobeError where it is missing, damaged or of other features."""
    header, arrays = archive.read(path, KIND)
    try:
        if tuple(header["features"]) != NAMES:
            raise ValueError("it was fitted on other features")
        return forests.from_arrays(arrays, _PREFIX, len(NAMES), 1)
    except archive.DAMAGE as error:
        raise archive.unreadable(path, str(error)) from error


@cache
def shipped() -> Forest:
    """The forest that comes with the package."""
    return read(resources.folder("models") / FILE)
