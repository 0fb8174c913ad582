"""Classes of GEMMs by the alignment of n and k: each runs on kernels of its own and has a model of its own.

A class is aligned where n and k are multiples of 16 bytes of inputs. int8 has a kernel for rows that are aligned along
k alone: of 1,523 shapes timed on an H200, the class decides the family of the library's kernel in every one.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gpuprobe.ops.gemm import DTYPES


class Alignment(IntEnum):
    """A class of GEMMs; artefacts and cards hold its number under ``ragged``."""

    ALIGNED = 0
    RAGGED = 1
    N_RAGGED = 2

    @property
    def label(self) -> str:
        """Its name in tables."""
        return ("aligned", "ragged", "n ragged")[self]


_BELOW: Final = {dtype.name: dtype.aligned - 1 for dtype in DTYPES.values()}
_ALONG_K: Final = frozenset({"int8"})
_CLASSES: Final = tuple(Alignment)


def alignment(n: int, k: int, dtype: str) -> int:
    """The class of one GEMM, as a number; any of an unknown type, which whoever is asked for its model refuses."""
    below = _BELOW.get(dtype, 0)
    if not (n | k) & below:
        return 0
    return 2 if dtype in _ALONG_K and not k & below else 1


def alignments(n: NDArray[np.int64], k: NDArray[np.int64], dtype: str) -> NDArray[np.int64]:
    """As ``alignment``, of arrays."""
    below = _BELOW.get(dtype, 0)
    ragged = np.where((k & below == 0) & (dtype in _ALONG_K), 2, 1)
    result: NDArray[np.int64] = np.where((n | k) & below == 0, 0, ragged)
    return result


def present(codes: NDArray[np.int64]) -> list[Alignment]:
    """The classes that occur."""
    return [name for name in _CLASSES if (codes == name).any()]
