"""Register fragments of matrix instructions: which thread holds which element (PTX ISA 9.7.14), for host checks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gpuprobe.operands import operand, rounded


def mma_m16n8(product: NDArray[np.float64]) -> NDArray[np.float64]:
    """Accumulators of mma.sync m16n8 by lane: 32 x 4 from the 16 x 8 matrix ``product``."""
    lane = np.arange(32)
    row, column = lane >> 2, (lane & 3) * 2
    return np.stack(
        [product[row, column], product[row, column + 1], product[row + 8, column], product[row + 8, column + 1]], axis=1
    )


def wgmma_m64(product: NDArray[np.float64], register: int) -> NDArray[np.float64]:
    """Accumulator ``register`` of wgmma m64 by thread of the warpgroup: 128 values of the 64 x N matrix ``product``."""
    thread = np.arange(128)
    row = thread // 32 * 16 + thread % 32 // 4 + register // 2 % 2 * 8
    column = register // 4 * 8 + thread % 4 * 2 + register % 2
    values: NDArray[np.float64] = product[row, column]
    return values


def wgmma_products(kind: str, seed: int, slices: int, n: int = 256) -> NDArray[np.float64]:
    """A x B of each k slice of the tiles that wgmma_rate.cu makes: slices x 64 x n."""
    k = 16 * slices
    a = rounded(operand(np.arange(64 * k, dtype=np.uint32), seed), kind).reshape(64, k)
    b = rounded(operand(np.arange(n * k, dtype=np.uint32) + np.uint32(64 * k), seed), kind).reshape(n, k)
    return np.stack([a[:, i : i + 16] @ b[:, i : i + 16].T for i in range(0, k, 16)])
