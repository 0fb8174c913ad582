"""Register fragments of matrix instructions: which thread holds which element (PTX ISA 9.7.14), for host checks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mma_m16n8(product: NDArray[np.float64]) -> NDArray[np.float64]:
    """Accumulators of mma.sync m16n8 by lane: 32 x 4 from the 16 x 8 matrix ``product``."""
    lane = np.arange(32)
    row, column = lane >> 2, (lane & 3) * 2
    return np.stack(
        [product[row, column], product[row, column + 1], product[row + 8, column], product[row + 8, column + 1]], axis=1
    )
